"""Outlines: the pieces of a garment in the unit square, from category, silhouette, length and sleeve.

A piece is a polygon of (x, y) in shares of the side, y downwards; garments hang centred on x = 0.5.
The widest skirts reach over the edge and are cut off there.
"""

from dataclasses import dataclass

Point = tuple[float, float]
Piece = tuple[Point, ...]

TOPS = ("티셔츠", "셔츠", "블라우스", "니트웨어", "후드티", "탑", "브라탑")
OUTERS = ("코트", "재킷", "점퍼", "가디건", "베스트", "짚업", "패딩")
BOTTOMS = ("청바지", "팬츠", "조거팬츠", "래깅스")
SKIRTS = ("스커트",)
DRESSES = ("드레스",)
SUITS = ("점프수트",)

WIDTHS = {
    "스키니": 0.78, "타이트": 0.84, "노멀": 1.0, "벨보텀": 0.95, "루즈": 1.16, "와이드": 1.24,
    "오버사이즈": 1.32,
}  # fmt: skip
TOP_HEMS = {"크롭": 0.5, "노멀": 0.66, "하프": 0.74, "롱": 0.9, "맥시": 0.95}
LOWER_HEMS = {
    "미니": 0.42, "니렝스": 0.58, "하프": 0.52, "미디": 0.7, "발목": 0.84, "노멀": 0.88, "롱": 0.92,
    "맥시": 0.96, "크롭": 0.72,
}  # fmt: skip
SLEEVES = {"민소매": 0.0, "없음": 0.0, "캡": 0.1, "반팔": 0.2, "7부소매": 0.36, "긴팔": 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The cloth of a garment and the lines that its details hang on.

    `shoulder` and `hem` are its highest and lowest y, `belt` and `front` the y of its waist and of the end
    of its opening; `half` is half the width of the body; `opens` says that it opens at the front.
    """

    pieces: tuple[Piece, ...]
    shoulder: float
    hem: float
    half: float
    belt: float
    front: float
    opens: bool = False


def outline_of(category: str, silhouette: str, length: str, sleeve: str) -> Outline:
    """The outline of a garment. Raises ValueError: if there is none for the category, naming it."""
    width = WIDTHS.get(silhouette, 1.0)
    if category in (*TOPS, *OUTERS):
        return _upper(category, width, TOP_HEMS.get(length, 0.66), SLEEVES.get(sleeve, 0.5))
    if category in BOTTOMS:
        return _trousers(category, width, silhouette == "벨보텀", LOWER_HEMS.get(length, 0.9), 0.1)
    if category in SKIRTS:
        return _skirt(width, LOWER_HEMS.get(length, 0.6))
    if category in DRESSES:
        return _dress(width, 0.3 + 0.7 * LOWER_HEMS.get(length, 0.7), SLEEVES.get(sleeve, 0.0))
    if category in SUITS:
        return _suit(width, 0.5 + 0.5 * LOWER_HEMS.get(length, 0.9), SLEEVES.get(sleeve, 0.2))
    raise ValueError(f"no outline for the category {category!r}")


def _sleeves(shoulder: float, half: float, reach: float, thick: float) -> tuple[Piece, ...]:
    if reach <= 0:
        return ()
    wrist, cuff = 0.5 + half + reach * 0.42, shoulder + reach * 0.95
    return _both_sides(
        (0.5 + half * 0.94, shoulder),
        (wrist, cuff),
        (wrist - thick, cuff + 0.03),
        (0.5 + half * 0.9, shoulder + 0.2),
    )


def _both_sides(*right: Point) -> tuple[Piece, Piece]:
    """A piece on the right and its mirror image."""
    return right, tuple((1 - x, y) for x, y in right)


def _symmetric(*edge: Point) -> Piece:
    """A piece from its right edge, downwards: (distance from the middle, y)."""
    right = [(0.5 + across, y) for across, y in edge]
    left = [(0.5 - across, y) for across, y in reversed(edge)]
    return (*right, *left)


def _upper(category: str, width: float, hem: float, reach: float) -> Outline:
    top, half = 0.16, 0.19 * width
    if category == "브라탑":
        hem, reach = 0.36, 0.0
    if category in ("탑", "베스트"):
        reach = 0.0
    thick = {"패딩": 0.16, "코트": 0.13, "니트웨어": 0.12}.get(category, 0.1) * (0.6 + 0.4 * width)
    strap = 0.5 if category in ("탑", "브라탑") else 0.94
    flare = {"코트": 1.16, "블라우스": 1.1}.get(category, 1.0)
    body = _symmetric((0.07, top - 0.02), (half * strap, top + 0.02), (half, top + 0.2), (half * flare, hem))
    hood: Piece = ((0.38, 0.16), (0.4, 0.06), (0.5, 0.03), (0.6, 0.06), (0.62, 0.16))
    hoods = (hood,) if category in ("후드티", "짚업") else ()
    return Outline(
        pieces=(*hoods, *_sleeves(top + 0.02, half, reach, thick), body),
        shoulder=top,
        hem=hem,
        half=half,
        belt=hem - 0.12,
        front=hem,
        opens=category in (*OUTERS, "셔츠"),
    )


def _trousers(category: str, width: float, bell: bool, hem: float, top: float) -> Outline:
    half = 0.15 * (0.7 + 0.3 * width)
    ankle = 0.055 * width * {"조거팬츠": 0.8, "래깅스": 0.7}.get(category, 1.25)
    knee = ankle * (0.8 if bell else 1.1)
    end = ankle * (2.0 if bell else 1.0)
    middle = top + (hem - top) * 0.55
    leg = 0.5 + half * 0.72
    legs = _both_sides(
        (0.5 - 0.005, top),
        (0.5 + half, top),
        (0.5 + half * 1.15, top + 0.16),
        (leg + knee, middle),
        (leg + end, hem),
        (leg - end, hem),
        (leg - knee, middle),
        (0.5 + 0.006, top + 0.26),
        (0.5 - 0.005, top + 0.26),
    )
    return Outline(pieces=legs, shoulder=top, hem=hem, half=half, belt=top + 0.01, front=top + 0.2)


def _skirt(width: float, hem: float) -> Outline:
    top, waist = 0.16, 0.13
    bottom = waist + (hem - top) * 0.34 * width**1.6
    body = _symmetric((waist, top), (bottom, hem))
    return Outline(pieces=(body,), shoulder=top, hem=hem, half=waist, belt=top + 0.01, front=hem)


def _dress(width: float, hem: float, reach: float) -> Outline:
    top, half, waist = 0.08, 0.155 * (0.6 + 0.4 * width), 0.11 * width
    bottom = waist + (hem - 0.36) * 0.4 * width
    body = _symmetric((0.06, top), (half * 0.9, top + 0.02), (half, top + 0.14), (waist, 0.36), (bottom, hem))
    return Outline(
        pieces=(*_sleeves(top + 0.02, half, reach, 0.09), body),
        shoulder=top,
        hem=hem,
        half=half,
        belt=0.35,
        front=hem,
    )


def _suit(width: float, hem: float, reach: float) -> Outline:
    legs = _trousers("팬츠", width, False, hem, 0.4)
    half = 0.15 * (0.6 + 0.4 * width)
    bodice = _symmetric((0.06, 0.08), (half * 0.9, 0.1), (half, 0.22), (legs.half, 0.42))
    return Outline(
        pieces=(*_sleeves(0.1, half, reach, 0.09), *legs.pieces, bodice),
        shoulder=0.08,
        hem=hem,
        half=half,
        belt=0.4,
        front=0.56,
    )

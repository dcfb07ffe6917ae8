"""The label file of a photograph of K-Fashion: its garments with their attributes and boxes (F-1 … F-4).

A label lists four parts of clothing, each with garments whose attributes, polygons and rectangles stand at
the same place of three lists. An empty part is a list of one empty mapping. Text is read in NFC.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from trainer.errors import InvalidData

OTHER_STYLE = "기타"
PARTS = {"상의": "top", "하의": "bottom", "아우터": "outer", "원피스": "dress"}
# Fields of our records and where they stand in a label.
SINGLE = {
    "category": ("카테고리",), "silhouette": ("핏",), "colour": ("색상", "서브색상"), "length": ("기장",),
    "sleeve": ("소매기장",), "neckline": ("넥라인",), "collar": ("옷깃",),
}  # fmt: skip
MULTIPLE = {"material": "소재", "detail": "디테일", "print": "프린트"}
# What photographs of one look share: the group of the first pattern that a name fits.
DEFAULT_LOOKS = (r"^(.+_\d+)_\d+$", r"^(.+-[A-Za-z]+)_\d+$")
_NUMBER = re.compile(r"\d+")
_POINT = re.compile(r"^([XY])좌표(\d+)$")
_RECT = ("X좌표", "Y좌표", "가로", "세로")
# Label files round the box around a polygon: its corner to half a pixel, its sides down to whole pixels.
_TOLERANCE = 2.0

Attributes = dict[str, str | list[str]]


class Box(NamedTuple):
    """Pixels from `left` and `top` up to `right` and `bottom`, which are outside."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def has_area(self) -> bool:
        """Whether its width and height are positive."""
        return self.right > self.left and self.bottom > self.top

    def scaled(self, across: float, down: float) -> "Box":
        """The box in a picture whose width and height are multiplied by these factors."""
        return Box(self.left * across, self.top * down, self.right * across, self.bottom * down)

    def clamped(self, width: int, height: int) -> "Box":
        """The part that lies inside a picture of that size; it may have no area."""
        sides = zip(self, (width, height, width, height), strict=True)
        return Box(*(min(max(side, 0.0), limit) for side, limit in sides))

    def agrees(self, other: "Box") -> bool:
        """Whether every side lies within two pixels of the other's."""
        return all(abs(a - b) <= _TOLERANCE for a, b in zip(self, other, strict=True))


def polygon_box(polygon: Mapping[str, object]) -> Box | None:
    """The box around the points X좌표1, Y좌표1, X좌표2, …, whatever their order in the file.

    None without a point. A number with the key of a single axis is ignored.
    """
    axes: dict[int, dict[str, float]] = {}
    for key, value in polygon.items():
        match, number = _POINT.match(key), _number(value)
        if match and number is not None:
            axes.setdefault(int(match[2]), {})[match[1]] = number
    points = [point for point in axes.values() if len(point) == 2]
    if not points:
        return None
    xs, ys = [point["X"] for point in points], [point["Y"] for point in points]
    return Box(min(xs), min(ys), max(xs), max(ys))


def rect_box(rect: Mapping[str, object]) -> Box | None:
    """The box of X좌표, Y좌표, 가로 and 세로; None unless all four are numbers."""
    left, top, width, height = (_number(rect.get(key)) for key in _RECT)
    if left is None or top is None or width is None or height is None:
        return None
    return Box(left, top, left + width, top + height)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledGarment:
    """One garment of a photograph. `box` is None without a polygon and a rectangle."""

    part: str
    place: int
    attributes: Attributes
    box: Box | None
    from_polygon: bool
    rect_disagrees: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label file. `look`: shared by photographs of a look; `width`, `height`: as the file states them."""

    image_name: str
    look: str
    width: int
    height: int
    garments: tuple[LabelledGarment, ...]


def read_label(body: object, folder: str, stem: str, looks: Sequence[str] = DEFAULT_LOOKS) -> Label:
    """The label in the body of a file. `folder`: the style of its folder; `stem`: its name.

    looks: patterns whose one group is the look in the name of a photograph.

    Raises InvalidData: when it is not of the K-Fashion schema, naming the missing part.
    """
    image, data = _mapping(body, "이미지 정보"), _mapping(body, "데이터셋 정보")
    details = _mapping(data, "데이터셋 상세설명")
    name = nfc(str(image.get("이미지 파일명") or f"{stem}.jpg"))
    return Label(
        image_name=name,
        look=look_of(name.rpartition(".")[0] or name, looks),
        width=int(_number(image.get("이미지 너비")) or 0),
        height=int(_number(image.get("이미지 높이")) or 0),
        garments=tuple(_garments(details, folder)),
    )


def look_of(name: str, looks: Sequence[str] = DEFAULT_LOOKS) -> str:
    """The look that a photograph is of, by its name without suffix; the name itself where no pattern fits."""
    matches = (re.match(pattern, name) for pattern in looks)
    return next((str(match[1]) for match in matches if match), name)


def numeric_id(file_name: str) -> int | None:
    """The first run of digits in a file name (F-1); None without one."""
    match = _NUMBER.search(file_name)
    return int(match[0]) if match else None


def _garments(details: Mapping[str, object], folder: str) -> Iterator[LabelledGarment]:
    labels = _mapping(details, "라벨링")
    rects, polygons = (_mapping(details, name) for name in ("렉트좌표", "폴리곤좌표"))
    styles = _styles(labels, folder)
    for part, english in PARTS.items():
        rows = zip_longest(*(_entries(lists, part) for lists in (labels, polygons, rects)), fillvalue={})
        for place, (label, polygon, rect) in enumerate(rows):
            if not (label or polygon or rect):
                continue
            # One without an area, such as a polygon whose points are on a line, shows no garment.
            around, given = (
                box if box is not None and box.has_area else None
                for box in (polygon_box(polygon), rect_box(rect))
            )
            yield LabelledGarment(
                part=english,
                place=place,
                attributes=_attributes(label, styles),
                box=around if around is not None else given,
                from_polygon=around is not None,
                rect_disagrees=around is not None and given is not None and not around.agrees(given),
            )


def _attributes(label: Mapping[str, object], styles: list[str]) -> Attributes:
    """The garment's own attributes with the photograph's styles; fields without a word are left out."""
    attributes: Attributes = {}
    for field, keys in SINGLE.items():
        words = [word for key in keys if (word := _word(label.get(key)))]
        if words:
            attributes[field] = words[0]
    for field, key in MULTIPLE.items():
        value = label.get(key)
        listed = [word for item in (value if isinstance(value, list) else [value]) if (word := _word(item))]
        if listed:
            attributes[field] = listed
    return attributes | {"style": styles} if attributes and styles else attributes


def _styles(labels: Mapping[str, object], folder: str) -> list[str]:
    """스타일 and 서브스타일; the style of the folder where the label has neither."""
    styles = [
        word
        for entry in _entries(labels, "스타일")
        for key in ("스타일", "서브스타일")
        if (word := _word(entry.get(key)))
    ]
    return [word for word in dict.fromkeys(styles or [folder]) if word != OTHER_STYLE]


def _entries(lists: Mapping[str, object], part: str) -> list[Mapping[str, object]]:
    value = lists.get(part)
    return [entry if isinstance(entry, Mapping) else {} for entry in value] if isinstance(value, list) else []


def _mapping(body: object, name: str) -> Mapping[str, object]:
    part = body.get(name) if isinstance(body, Mapping) else None
    if not isinstance(part, Mapping):
        raise InvalidData(f"no {name}")
    return part


def _word(value: object) -> str:
    return nfc(value).strip() if isinstance(value, str) else ""


def nfc(text: str) -> str:
    """Text in the form in which names are compared: copies made on macOS have them decomposed."""
    return unicodedata.normalize("NFC", text)

"""A K-Fashion label file: the garments of one photograph, their attributes and boxes (F-1 … F-4).

A file lists four parts of clothing, each with garments whose attributes, polygons and rectangles stand at the
same place of three lists. An empty part is a list of one empty mapping.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from trainer.errors import InvalidData

PARTS = {"상의": "top", "하의": "bottom", "아우터": "outer", "원피스": "dress"}
OTHER_STYLE = "기타"
# Fields of our records and where they stand in a label.
SINGLE = {
    "category": ("카테고리",),
    "silhouette": ("핏",),
    "colour": ("색상", "서브색상"),
    "length": ("기장",),
    "sleeve": ("소매기장",),
    "neckline": ("넥라인",),
    "collar": ("옷깃",),
}
MULTIPLE = {"material": "소재", "detail": "디테일", "print": "프린트"}
_LOOK = re.compile(r"^(.+_\d+)_\d+$")
_NUMBER = re.compile(r"\d+")

Attributes = dict[str, str | list[str]]
_POINT = re.compile(r"^([XY])좌표(\d+)$")
_RECT = ("X좌표", "Y좌표", "가로", "세로")
# Label files round the box around a polygon: its corner to half a pixel, its sides down to whole pixels.
_TOLERANCE = 2.0


@dataclass(frozen=True, slots=True)
class Box:
    """Pixels from `left` and `top` up to `right` and `bottom`, which are outside."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def has_area(self) -> bool:
        """Whether its width and height are positive."""
        return self.right > self.left and self.bottom > self.top

    def clamped(self, width: int, height: int) -> "Box":
        """The part that lies inside a picture of that size; it may have no area."""
        return Box(
            min(max(self.left, 0.0), width),
            min(max(self.top, 0.0), height),
            min(max(self.right, 0.0), width),
            min(max(self.bottom, 0.0), height),
        )

    def agrees(self, other: "Box") -> bool:
        """Whether every side lies within two pixels of the other's."""
        mine, theirs = ((b.left, b.top, b.right, b.bottom) for b in (self, other))
        return all(abs(a - b) <= _TOLERANCE for a, b in zip(mine, theirs, strict=True))


def polygon_box(polygon: Mapping[str, object]) -> Box | None:
    """The box around the points X좌표1, Y좌표1, X좌표2, …, whatever their order in the file.

    None without a point. A number with the key of a single axis is ignored.
    """
    axes: dict[int, dict[str, float]] = {}
    for key, value in polygon.items():
        match = _POINT.match(key)
        if match and isinstance(value, int | float) and not isinstance(value, bool):
            axes.setdefault(int(match[2]), {})[match[1]] = float(value)
    points = [axes[number] for number in sorted(axes) if len(axes[number]) == 2]
    if not points:
        return None
    xs, ys = [point["X"] for point in points], [point["Y"] for point in points]
    return Box(min(xs), min(ys), max(xs), max(ys))


def rect_box(rect: Mapping[str, object]) -> Box | None:
    """The box of X좌표, Y좌표, 가로 and 세로; None unless all four are numbers."""
    values = [rect.get(key) for key in _RECT]
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) != len(_RECT):
        return None
    left, top, width, height = numbers
    return Box(left, top, left + width, top + height)


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


def read_label(body: object, folder: str, stem: str) -> Label:
    """The label in the body of a file. `folder`: the style of its folder; `stem`: its name.

    Raises InvalidData: when it is not of the K-Fashion schema, naming the missing part.
    """
    image, data = _mapping(body, "이미지 정보"), _mapping(body, "데이터셋 정보")
    details = _mapping(data, "데이터셋 상세설명")
    name = unicodedata.normalize("NFC", str(image.get("이미지 파일명") or f"{stem}.jpg"))
    return Label(
        image_name=name,
        look=_look(name.rpartition(".")[0] or name),
        width=_side(image, "이미지 너비"),
        height=_side(image, "이미지 높이"),
        garments=tuple(_garments(details, folder)),
    )


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
            around, given = polygon_box(polygon), rect_box(rect)
            given = given if given is not None and given.has_area else None
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


def _side(image: Mapping[str, object], name: str) -> int:
    value = image.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _word(value: object) -> str:
    return unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else ""


def _look(stem: str) -> str:
    match = _LOOK.match(stem)
    return match[1] if match else stem

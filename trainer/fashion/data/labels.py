"""One K-Fashion label file: the garments that it tells of (F-1 … F-4).

A file tells of one photograph: four parts of clothing, each with a list of garments whose attributes,
polygons and rectangles stand at the same place of three lists. An empty part is a list of one empty mapping.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from trainer.errors import InvalidData
from trainer.fashion.data.boxes import Box, polygon_box, rect_box

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledGarment:
    """One garment of a photograph. `box` is None where neither polygon nor rectangle tells where it is."""

    part: str
    place: int
    attributes: Attributes
    box: Box | None
    from_polygon: bool
    rect_disagrees: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One label file. `look` is shared by photographs of one look; `width` and `height` as it states them."""

    image_name: str
    look: str
    width: int
    height: int
    garments: tuple[LabelledGarment, ...]


def read_label(body: object, folder: str, stem: str) -> Label:
    """The label of one file. `folder`: the style that it lies under; `stem`: its name.

    Raises InvalidData: when it is not of the K-Fashion schema, naming the part that is missing.
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
    found = _NUMBER.search(file_name)
    return int(found[0]) if found else None


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
    """The garment's own attributes with the photograph's styles; what is not said is left out."""
    found: Attributes = {}
    for field, keys in SINGLE.items():
        words = [word for key in keys if (word := _word(label.get(key)))]
        if words:
            found[field] = words[0]
    for field, key in MULTIPLE.items():
        value = label.get(key)
        listed = [word for item in (value if isinstance(value, list) else [value]) if (word := _word(item))]
        if listed:
            found[field] = listed
    return found | {"style": styles} if found and styles else found


def _styles(labels: Mapping[str, object], folder: str) -> list[str]:
    """스타일 and 서브스타일; the folder's style where the label says none."""
    found = [
        word
        for entry in _entries(labels, "스타일")
        for key in ("스타일", "서브스타일")
        if (word := _word(entry.get(key)))
    ]
    return [word for word in dict.fromkeys(found or [folder]) if word != OTHER_STYLE]


def _entries(lists: Mapping[str, object], part: str) -> list[Mapping[str, object]]:
    value = lists.get(part)
    return [entry if isinstance(entry, Mapping) else {} for entry in value] if isinstance(value, list) else []


def _mapping(body: object, name: str) -> Mapping[str, object]:
    found = body.get(name) if isinstance(body, Mapping) else None
    if not isinstance(found, Mapping):
        raise InvalidData(f"no {name}")
    return found


def _side(image: Mapping[str, object], name: str) -> int:
    value = image.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _word(value: object) -> str:
    return unicodedata.normalize("NFC", value).strip() if isinstance(value, str) else ""


def _look(stem: str) -> str:
    found = _LOOK.match(stem)
    return found[1] if found else stem

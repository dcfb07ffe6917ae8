"""Where a garment is in its photograph: polygons and rectangles of label files to boxes (F-2)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_POINT = re.compile(r"^([XY])좌표(\d+)$")
_RECT = ("X좌표", "Y좌표", "가로", "세로")
# The label files round a polygon's own box: half a pixel at its corner, down to whole pixels in its sides.
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
        """Whether anything is inside."""
        return self.right > self.left and self.bottom > self.top

    def clamped(self, width: int, height: int) -> "Box":
        """The part of it that lies inside a picture; maybe nothing."""
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

    None without a point. Points are told by number, so a key of one axis without the other is left out.
    """
    found: dict[int, dict[str, float]] = {}
    for key, value in polygon.items():
        match = _POINT.match(key)
        if match and isinstance(value, int | float) and not isinstance(value, bool):
            found.setdefault(int(match[2]), {})[match[1]] = float(value)
    points = [found[number] for number in sorted(found) if len(found[number]) == 2]
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

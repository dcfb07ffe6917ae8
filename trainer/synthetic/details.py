"""What is sewn on: necklines, collars, buttons, zips and the other details of a garment.

Coordinates are those of `outlines`, times the side of the picture.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

from trainer.synthetic.outlines import Cut

Colour = tuple[int, int, int]
Detail = Callable[["Needle"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needle:
    """Where a detail is drawn: the canvas, the cut and the colours to use."""

    draw: ImageDraw.ImageDraw
    cut: Cut
    size: int
    thread: Colour
    trim: Colour

    def line(self, *points: tuple[float, float], width: float = 0.008, fill: Colour | None = None) -> None:
        scaled = [(x * self.size, y * self.size) for x, y in points]
        self.draw.line(
            scaled, fill=fill or self.thread, width=max(1, round(width * self.size)), joint="curve"
        )

    def polygon(self, *points: tuple[float, float], fill: Colour | None = None) -> None:
        self.draw.polygon(
            [(x * self.size, y * self.size) for x, y in points], fill=fill or self.trim, outline=self.thread
        )

    def disc(self, x: float, y: float, radius: float, fill: Colour | None = None) -> None:
        box = tuple(v * self.size for v in (x - radius, y - radius, x + radius, y + radius))
        self.draw.ellipse(box, fill=fill or self.trim, outline=self.thread)


def neck(needle: Needle, neckline: str, ground: Colour) -> None:
    """Cut the neckline out of the cloth: what shows is the ground behind the garment."""
    top = needle.cut.shoulder
    if neckline == "터틀넥":
        needle.polygon((0.44, top - 0.08), (0.56, top - 0.08), (0.57, top + 0.01), (0.43, top + 0.01))
        needle.line((0.44, top - 0.05), (0.56, top - 0.05))
        return
    shapes = {
        "라운드넥": [
            (0.5 + 0.07 * np.cos(t), top - 0.02 + 0.06 * np.sin(t)) for t in np.linspace(0, np.pi, 15)
        ],
        "유넥": [(0.5 + 0.075 * np.cos(t), top - 0.02 + 0.12 * np.sin(t)) for t in np.linspace(0, np.pi, 15)],
        "브이넥": [(0.43, top - 0.03), (0.57, top - 0.03), (0.5, top + 0.14)],
        "스퀘어넥": [(0.42, top - 0.03), (0.58, top - 0.03), (0.57, top + 0.08), (0.43, top + 0.08)],
        "보트넥": [(0.37, top - 0.03), (0.63, top - 0.03), (0.58, top + 0.02), (0.42, top + 0.02)],
        "오프숄더": [(0.2, top - 0.04), (0.8, top - 0.04), (0.76, top + 0.06), (0.24, top + 0.06)],
    }
    if neckline in shapes:
        points = [(float(x), float(y)) for x, y in shapes[neckline]]
        needle.draw.polygon([(x * needle.size, y * needle.size) for x, y in points], fill=ground)
        needle.line(*points[1:] if len(points) < 6 else points, width=0.007)


def collar(needle: Needle, word: str) -> None:
    """Lay a collar round the neck."""
    top = needle.cut.shoulder
    if word in ("셔츠칼라", "폴로칼라"):
        for side in (-1, 1):
            needle.polygon(
                (0.5 + side * 0.075, top - 0.04),
                (0.5, top + 0.02),
                (0.5 + side * 0.06, top + 0.07),
                (0.5 + side * 0.1, top),
            )
    elif word == "테일러드칼라":
        for side in (-1, 1):
            needle.polygon(
                (0.5 + side * 0.075, top - 0.04),
                (0.5, top + 0.22),
                (0.5 + side * 0.1, top + 0.1),
                (0.5 + side * 0.07, top + 0.07),
                (0.5 + side * 0.11, top + 0.04),
            )
    elif word == "밴드칼라":
        needle.polygon((0.43, top - 0.05), (0.57, top - 0.05), (0.57, top), (0.43, top))
    elif word == "피터팬칼라":
        for side in (-1, 1):
            needle.disc(0.5 + side * 0.05, top + 0.02, 0.05)
    elif word == "세일러칼라":
        needle.polygon(
            (0.36, top - 0.02), (0.64, top - 0.02), (0.6, top + 0.1), (0.5, top + 0.2), (0.4, top + 0.1)
        )


def _buttons(needle: Needle, columns: tuple[float, ...] = (0.5,)) -> None:
    for x in columns:
        for y in np.arange(needle.cut.shoulder + 0.1, needle.cut.front - 0.03, 0.085):
            needle.disc(x, float(y), 0.012)


def _double(needle: Needle) -> None:
    _buttons(needle, (0.45, 0.55))


def _zip(needle: Needle) -> None:
    needle.line((0.5, needle.cut.shoulder), (0.5, needle.cut.front), width=0.018, fill=(176, 178, 184))
    for y in np.arange(needle.cut.shoulder, needle.cut.front, 0.014):
        needle.line((0.494, float(y)), (0.506, float(y)), width=0.004, fill=(70, 70, 76))


def _pockets(needle: Needle) -> None:
    y = needle.cut.shoulder + (needle.cut.hem - needle.cut.shoulder) * (
        0.55 if needle.cut.shoulder > 0.12 else 0.16
    )
    for side in (-1, 1):
        x = 0.5 + side * needle.cut.half * 0.55
        needle.polygon(
            (x - 0.045, y), (x + 0.045, y), (x + 0.042, y + 0.09), (x, y + 0.105), (x - 0.042, y + 0.09)
        )


def _hem_width(needle: Needle) -> float:
    return max(
        abs(x - 0.5) for piece in needle.cut.pieces for x, y in piece if abs(y - needle.cut.hem) < 0.02
    )


def _ruffle(needle: Needle) -> None:
    half, y = _hem_width(needle), needle.cut.hem
    for row in range(2):
        for x in np.linspace(0.5 - half, 0.5 + half, 13):
            needle.disc(float(x), y - 0.01 - row * 0.05, 0.03)


def _fringe(needle: Needle) -> None:
    half, y = _hem_width(needle), needle.cut.hem
    for x in np.linspace(0.5 - half, 0.5 + half, 34):
        needle.line((float(x), y - 0.05), (float(x) + 0.004, y + 0.05), width=0.006, fill=needle.trim)


def _pleats(needle: Needle) -> None:
    half, top = _hem_width(needle), max(needle.cut.shoulder, 0.16)
    start = top + (needle.cut.hem - top) * (0.08 if needle.cut.half < 0.14 else 0.5)
    for share in np.linspace(-0.9, 0.9, 11):
        needle.line(
            (0.5 + needle.cut.half * 0.9 * float(share), start),
            (0.5 + half * float(share), needle.cut.hem),
            width=0.006,
        )


def _slit(needle: Needle) -> None:
    x, y = 0.5 + _hem_width(needle) * 0.4, needle.cut.hem
    needle.polygon((x, y - 0.22), (x + 0.035, y + 0.004), (x - 0.035, y + 0.004), fill=(236, 206, 184))


def _ribbon(needle: Needle) -> None:
    y = needle.cut.shoulder + 0.06
    for side in (-1, 1):
        needle.polygon((0.5, y), (0.5 + side * 0.085, y - 0.04), (0.5 + side * 0.085, y + 0.04))
        needle.polygon((0.5, y), (0.5 + side * 0.05, y + 0.13), (0.5 + side * 0.015, y + 0.13))
    needle.disc(0.5, y, 0.02)


def _belt(needle: Needle) -> None:
    y = needle.cut.belt
    half = needle.cut.half * 1.05
    needle.polygon(
        (0.5 - half, y), (0.5 + half, y), (0.5 + half, y + 0.035), (0.5 - half, y + 0.035), fill=(70, 48, 34)
    )
    needle.polygon(
        (0.475, y - 0.004), (0.525, y - 0.004), (0.525, y + 0.039), (0.475, y + 0.039), fill=(208, 178, 92)
    )


def _ripped(needle: Needle) -> None:
    for x, y in ((0.4, 0.42), (0.6, 0.5), (0.42, 0.62), (0.59, 0.7)):
        for step in range(4):
            needle.line(
                (x - 0.03, y + step * 0.011), (x + 0.03, y + step * 0.011), width=0.006, fill=(232, 226, 216)
            )


def _cable(needle: Needle) -> None:
    ys = np.arange(needle.cut.shoulder + 0.06, needle.cut.hem - 0.02, 0.008)
    for centre in (0.42, 0.5, 0.58):
        for sign in (-1, 1):
            wave = centre + sign * 0.014 * np.sin(ys * 90)
            needle.line(*[(float(x), float(y)) for x, y in zip(wave, ys, strict=True)], width=0.007)


def _spangles(needle: Needle) -> None:
    rng = np.random.default_rng(7)
    reach = needle.cut.half * 0.85
    for _ in range(120):
        x, y = (
            rng.uniform(0.5 - reach, 0.5 + reach),
            rng.uniform(needle.cut.shoulder + 0.1, needle.cut.hem - 0.04),
        )
        needle.disc(float(x), float(y), 0.006, fill=(250, 240, 200))


def _embroidery(needle: Needle) -> None:
    x, y = 0.5 - needle.cut.half * 0.5, needle.cut.shoulder + 0.17
    for turn in np.linspace(0, 2 * np.pi, 7)[:-1]:
        needle.disc(x + 0.03 * float(np.cos(turn)), y + 0.03 * float(np.sin(turn)), 0.02, fill=(222, 70, 96))
    needle.disc(x, y, 0.016, fill=(244, 206, 84))


DETAILS: dict[str, Detail] = {
    "단추": _buttons,
    "싱글브레스티드": _buttons,
    "더블브레스티드": _double,
    "지퍼": _zip,
    "포켓": _pockets,
    "러플": _ruffle,
    "프릴": _ruffle,
    "프린지": _fringe,
    "플리츠": _pleats,
    "슬릿": _slit,
    "리본": _ribbon,
    "버클": _belt,
    "디스트로이드": _ripped,
    "니트꽈베기": _cable,
    "스팽글": _spangles,
    "자수": _embroidery,
}

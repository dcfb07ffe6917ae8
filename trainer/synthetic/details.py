"""Details of a drawn garment: necklines, collars, buttons, zips and whatever else lies on the cloth.

Coordinates are those of `outlines`, in shares of the side of the picture.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

from trainer.synthetic.fabrics import Colour
from trainer.synthetic.outlines import Outline, Point

Detail = Callable[["Pen"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """Draws on a picture of `size` pixels a side: seams in `thread`, parts in `trim`."""

    draw: ImageDraw.ImageDraw
    shape: Outline
    size: int
    thread: Colour
    trim: Colour

    def line(self, *points: Point, width: float = 0.008, fill: Colour | None = None) -> None:
        pixels = max(1, round(width * self.size))
        self.draw.line(self._scaled(points), fill=fill or self.thread, width=pixels, joint="curve")

    def polygon(self, *points: Point, fill: Colour | None = None) -> None:
        self.draw.polygon(self._scaled(points), fill=fill or self.trim, outline=self.thread)

    def rectangle(
        self, left: float, top: float, right: float, bottom: float, fill: Colour | None = None
    ) -> None:
        self.polygon((left, top), (right, top), (right, bottom), (left, bottom), fill=fill)

    def disc(self, x: float, y: float, radius: float, fill: Colour | None = None) -> None:
        corners = self._scaled(((x - radius, y - radius), (x + radius, y + radius)))
        self.draw.ellipse(corners, fill=fill or self.trim, outline=self.thread)

    def cut(self, points: tuple[Point, ...], ground: Colour) -> None:
        """Let the ground show through the cloth."""
        self.draw.polygon(self._scaled(points), fill=ground)

    def _scaled(self, points: tuple[Point, ...]) -> list[Point]:
        return [(x * self.size, y * self.size) for x, y in points]


def draw_neckline(pen: Pen, neckline: str, ground: Colour) -> None:
    """Cut the neckline out of the cloth: what shows is the ground behind the garment."""
    top = pen.shape.shoulder
    if neckline == "터틀넥":
        pen.polygon((0.44, top - 0.08), (0.56, top - 0.08), (0.57, top + 0.01), (0.43, top + 0.01))
        pen.line((0.44, top - 0.05), (0.56, top - 0.05))
        return
    shapes: dict[str, tuple[Point, ...]] = {
        "라운드넥": _half_disc(top - 0.02, 0.07, 0.06),
        "유넥": _half_disc(top - 0.02, 0.075, 0.12),
        "브이넥": ((0.43, top - 0.03), (0.57, top - 0.03), (0.5, top + 0.14)),
        "스퀘어넥": ((0.42, top - 0.03), (0.58, top - 0.03), (0.57, top + 0.08), (0.43, top + 0.08)),
        "보트넥": ((0.37, top - 0.03), (0.63, top - 0.03), (0.58, top + 0.02), (0.42, top + 0.02)),
        "오프숄더": ((0.2, top - 0.04), (0.8, top - 0.04), (0.76, top + 0.06), (0.24, top + 0.06)),
    }
    if neckline in shapes:
        points = shapes[neckline]
        pen.cut(points, ground)
        pen.line(*points[1:] if len(points) < 6 else points, width=0.007)


def _half_disc(top: float, half: float, deep: float) -> tuple[Point, ...]:
    turns = np.linspace(0, np.pi, 15)
    return tuple((float(0.5 + half * np.cos(t)), float(top + deep * np.sin(t))) for t in turns)


def draw_collar(pen: Pen, word: str) -> None:
    """Lay a collar round the neck; a word that names none here draws nothing."""
    top = pen.shape.shoulder
    if word == "밴드칼라":
        pen.rectangle(0.43, top - 0.05, 0.57, top)
    elif word == "세일러칼라":
        pen.polygon(
            (0.36, top - 0.02), (0.64, top - 0.02), (0.6, top + 0.1), (0.5, top + 0.2), (0.4, top + 0.1)
        )
    for side in (-1, 1):
        if word in ("셔츠칼라", "폴로칼라"):
            pen.polygon(
                (0.5 + side * 0.075, top - 0.04),
                (0.5, top + 0.02),
                (0.5 + side * 0.06, top + 0.07),
                (0.5 + side * 0.1, top),
            )
        elif word == "테일러드칼라":
            pen.polygon(
                (0.5 + side * 0.075, top - 0.04),
                (0.5, top + 0.22),
                (0.5 + side * 0.1, top + 0.1),
                (0.5 + side * 0.07, top + 0.07),
                (0.5 + side * 0.11, top + 0.04),
            )
        elif word == "피터팬칼라":
            pen.disc(0.5 + side * 0.05, top + 0.02, 0.05)


def _buttons(pen: Pen, columns: tuple[float, ...] = (0.5,)) -> None:
    for x in columns:
        for y in np.arange(pen.shape.shoulder + 0.1, pen.shape.front - 0.03, 0.085):
            pen.disc(x, float(y), 0.012)


def _two_rows_of_buttons(pen: Pen) -> None:
    _buttons(pen, (0.45, 0.55))


def _zip(pen: Pen) -> None:
    pen.line((0.5, pen.shape.shoulder), (0.5, pen.shape.front), width=0.018, fill=(176, 178, 184))
    for y in np.arange(pen.shape.shoulder, pen.shape.front, 0.014):
        pen.line((0.494, float(y)), (0.506, float(y)), width=0.004, fill=(70, 70, 76))


def _pockets(pen: Pen) -> None:
    shape = pen.shape
    y = shape.shoulder + (shape.hem - shape.shoulder) * (0.55 if shape.shoulder > 0.12 else 0.16)
    for side in (-1, 1):
        x = 0.5 + side * shape.half * 0.55
        pen.polygon(
            (x - 0.045, y), (x + 0.045, y), (x + 0.042, y + 0.09), (x, y + 0.105), (x - 0.042, y + 0.09)
        )


def _hem_width(pen: Pen) -> float:
    """Half the width of the garment at its hem."""
    points = [point for piece in pen.shape.pieces for point in piece]
    return max(abs(x - 0.5) for x, y in points if abs(y - pen.shape.hem) < 0.02)


def _ruffle(pen: Pen) -> None:
    half, y = _hem_width(pen), pen.shape.hem
    for row in range(2):
        for x in np.linspace(0.5 - half, 0.5 + half, 13):
            pen.disc(float(x), y - 0.01 - row * 0.05, 0.03)


def _fringe(pen: Pen) -> None:
    half, y = _hem_width(pen), pen.shape.hem
    for x in np.linspace(0.5 - half, 0.5 + half, 34):
        pen.line((float(x), y - 0.05), (float(x) + 0.004, y + 0.05), width=0.006, fill=pen.trim)


def _pleats(pen: Pen) -> None:
    shape, half, top = pen.shape, _hem_width(pen), max(pen.shape.shoulder, 0.16)
    start = top + (shape.hem - top) * (0.08 if shape.half < 0.14 else 0.5)
    for share in np.linspace(-0.9, 0.9, 11).tolist():
        pen.line((0.5 + shape.half * 0.9 * share, start), (0.5 + half * share, shape.hem), width=0.006)


def _slit(pen: Pen) -> None:
    x, y = 0.5 + _hem_width(pen) * 0.4, pen.shape.hem
    pen.polygon((x, y - 0.22), (x + 0.035, y + 0.004), (x - 0.035, y + 0.004), fill=(236, 206, 184))


def _ribbon(pen: Pen) -> None:
    y = pen.shape.shoulder + 0.06
    for side in (-1, 1):
        pen.polygon((0.5, y), (0.5 + side * 0.085, y - 0.04), (0.5 + side * 0.085, y + 0.04))
        pen.polygon((0.5, y), (0.5 + side * 0.05, y + 0.13), (0.5 + side * 0.015, y + 0.13))
    pen.disc(0.5, y, 0.02)


def _belt(pen: Pen) -> None:
    y, half = pen.shape.belt, pen.shape.half * 1.05
    pen.rectangle(0.5 - half, y, 0.5 + half, y + 0.035, fill=(70, 48, 34))
    pen.rectangle(0.475, y - 0.004, 0.525, y + 0.039, fill=(208, 178, 92))


def _rips(pen: Pen) -> None:
    for x, top in ((0.4, 0.42), (0.6, 0.5), (0.42, 0.62), (0.59, 0.7)):
        for step in range(4):
            y = top + step * 0.011
            pen.line((x - 0.03, y), (x + 0.03, y), width=0.006, fill=(232, 226, 216))


def _cable(pen: Pen) -> None:
    ys = np.arange(pen.shape.shoulder + 0.06, pen.shape.hem - 0.02, 0.008)
    for centre in (0.42, 0.5, 0.58):
        for sign in (-1, 1):
            wave = centre + sign * 0.014 * np.sin(ys * 90)
            pen.line(*zip(wave.tolist(), ys.tolist(), strict=True), width=0.007)


def _spangles(pen: Pen) -> None:
    rng, shape = np.random.default_rng(7), pen.shape
    reach = shape.half * 0.85
    for _ in range(120):
        x = float(rng.uniform(0.5 - reach, 0.5 + reach))
        pen.disc(x, float(rng.uniform(shape.shoulder + 0.1, shape.hem - 0.04)), 0.006, fill=(250, 240, 200))


def _embroidery(pen: Pen) -> None:
    x, y = 0.5 - pen.shape.half * 0.5, pen.shape.shoulder + 0.17
    for turn in np.linspace(0, 2 * np.pi, 7)[:-1]:
        pen.disc(x + 0.03 * float(np.cos(turn)), y + 0.03 * float(np.sin(turn)), 0.02, fill=(222, 70, 96))
    pen.disc(x, y, 0.016, fill=(244, 206, 84))


DETAILS: dict[str, Detail] = {
    "단추": _buttons, "싱글브레스티드": _buttons, "더블브레스티드": _two_rows_of_buttons, "지퍼": _zip,
    "포켓": _pockets, "러플": _ruffle, "프릴": _ruffle, "프린지": _fringe, "플리츠": _pleats, "슬릿": _slit,
    "리본": _ribbon, "버클": _belt, "디스트로이드": _rips, "니트꽈베기": _cable, "스팽글": _spangles,
    "자수": _embroidery,
}  # fmt: skip

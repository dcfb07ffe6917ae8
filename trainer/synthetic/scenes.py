"""Scenes of paintings, drawn in the colours of a palette: landscapes, still lifes, a city, a portrait.

Shapes: K control point.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import ImageDraw

Colour = tuple[int, int, int]
Scene = Callable[["Canvas"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Six colours of one harmony."""

    sky: Colour
    glow: Colour
    ground: Colour
    accent: Colour
    dark: Colour
    light: Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """What a scene is painted on and with: the pen, the palette, chance, and the side in pixels."""

    pen: ImageDraw.ImageDraw
    palette: Palette
    rng: np.random.Generator
    size: int

    def length(self, low: float, high: float) -> float:
        """A random length in pixels; its bounds are shares of the side."""
        return self.size * self.rng.uniform(low, high)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def ellipse(self, x: float, y: float, box: Sequence[float], colour: Colour) -> None:
        """`box`: left, top, right and bottom from (x, y), as shares of the side."""
        self.pen.ellipse(self._around(x, y, box), fill=colour)

    def chord(
        self, x: float, y: float, box: Sequence[float], angles: tuple[int, int], colour: Colour
    ) -> None:
        """Part of an ellipse, see `ellipse`; `angles` in degrees."""
        self.pen.chord(self._around(x, y, box), *angles, fill=colour)

    def line(self, points: Sequence[float], colour: Colour, width: float = 1) -> None:
        self.pen.line(tuple(points), fill=colour, width=max(1, round(width)))

    def ridge(self, level: float, rough: float, colour: Colour) -> None:
        """Fill what is below a rugged line at a share of the height."""
        heights_K = self.rng.normal(0, rough, 9)
        across = np.linspace(0, 8, self.size // 2)
        curve = np.interp(across, np.arange(9), heights_K) + self.rng.normal(0, rough * 0.06, len(across))
        xs = np.linspace(0, self.size, len(across))
        points = [(float(x), float(self.size * (level + y))) for x, y in zip(xs, curve, strict=True)]
        self.pen.polygon([*points, (self.size, self.size), (0, self.size)], fill=colour)

    def _around(self, x: float, y: float, box: Sequence[float]) -> tuple[float, float, float, float]:
        left, top, right, bottom = (share * self.size for share in box)
        return x + left, y + top, x + right, y + bottom


def _landscape(canvas: Canvas) -> None:
    rng, palette, length = canvas.rng, canvas.palette, canvas.length
    canvas.disc(length(0.15, 0.85), length(0.12, 0.35), length(0.05, 0.1), palette.accent)
    layers = int(rng.integers(3, 6))
    for layer in range(layers):
        share = layer / (layers - 1)
        tone = _blend(palette.sky, palette.ground, 0.35 + 0.65 * share)
        canvas.ridge(0.4 + 0.42 * share, 0.09 * (1.2 - share), tone)
    for _ in range(int(rng.integers(5, 16))):
        _tree(canvas, length(0.02, 0.98), length(0.82, 0.98), length(0.08, 0.2))


def _tree(canvas: Canvas, x: float, foot: float, tall: float) -> None:
    rng, palette = canvas.rng, canvas.palette
    canvas.line((x, foot, x, foot - tall), palette.dark, tall * 0.08)
    shade = palette.accent if rng.random() < 0.4 else palette.dark
    leaf = _blend(palette.ground, shade, rng.uniform(0.2, 0.7))
    for _ in range(7):
        across, up = x + rng.normal(0, tall * 0.16), foot - tall * rng.uniform(0.55, 1.1)
        radius = tall * rng.uniform(0.1, 0.2)
        canvas.disc(across, up, radius, _blend(leaf, palette.light, rng.uniform(0, 0.25)))


def _seascape(canvas: Canvas) -> None:
    rng, palette, size, length = canvas.rng, canvas.palette, canvas.size, canvas.length
    horizon, sun = length(0.4, 0.6), length(0.2, 0.8)
    canvas.disc(sun, horizon - length(0.02, 0.2), length(0.05, 0.1), palette.accent)
    canvas.pen.rectangle((0, horizon, size, size), fill=_blend(palette.sky, palette.dark, 0.45))
    for _ in range(160):
        y = horizon + (size - horizon) * rng.random()
        reach = size * (0.01 + 0.08 * (y - horizon) / (size - horizon))
        x = rng.normal(sun, size * 0.3)
        glitter = abs(x - sun) < size * 0.07
        tone = palette.accent if glitter else _blend(palette.sky, palette.light, rng.random())
        canvas.line((x - reach, y, x + reach, y), tone, size // 150)
    for _ in range(int(rng.integers(1, 5))):
        _boat(canvas, horizon)


def _boat(canvas: Canvas, horizon: float) -> None:
    below = canvas.size - horizon
    x, y = canvas.length(0.08, 0.92), horizon + below * canvas.rng.uniform(0.05, 0.6)
    unit = canvas.size * (0.03 + 0.07 * (y - horizon) / below)
    hull = [
        (x - unit, y),
        (x + unit, y),
        (x + unit * 0.6, y + unit * 0.45),
        (x - unit * 0.6, y + unit * 0.45),
    ]
    canvas.pen.polygon(hull, fill=canvas.palette.dark)
    for top, reach, colour in ((2, 0.9, canvas.palette.light), (1.7, -0.6, canvas.palette.accent)):
        foot = y - unit * 0.2
        canvas.pen.polygon([(x, y - unit * top), (x, foot), (x + unit * reach, foot)], fill=colour)


def _still_life(canvas: Canvas) -> None:
    palette, size = canvas.palette, canvas.size
    table = canvas.length(0.58, 0.7)
    canvas.pen.rectangle((0, table, size, size), fill=palette.ground)
    cloth = [(size * 0.1, table), (size * 0.55, table), (size * 0.42, size), (size * 0.02, size)]
    canvas.pen.polygon(cloth, fill=palette.light)
    x = canvas.length(0.3, 0.7)
    for _ in range(int(canvas.rng.integers(5, 11))):
        _flower(canvas, x, table)
    vase = _blend(palette.sky, palette.dark, 0.5)
    canvas.ellipse(x, table, (-0.11, -0.24, 0.11, 0.07), vase)
    canvas.ellipse(x, table, (-0.07, -0.2, -0.035, -0.05), palette.light)
    for _ in range(int(canvas.rng.integers(3, 8))):
        _fruit(canvas, table)


def _flower(canvas: Canvas, x: float, table: float) -> None:
    rng, palette, size = canvas.rng, canvas.palette, canvas.size
    tip_x, tip_y = x + rng.normal(0, size * 0.15), table - canvas.length(0.34, 0.54)
    canvas.line((x, table - size * 0.2, tip_x, tip_y), palette.dark, size // 120)
    petal = _blend(palette.accent, palette.light, rng.uniform(0, 0.5))
    for turn in np.linspace(0, 2 * np.pi, 6)[:-1]:
        middle = tip_x + np.cos(turn) * size * 0.03, tip_y + np.sin(turn) * size * 0.03
        canvas.disc(*middle, size * 0.026, petal)
    canvas.disc(tip_x, tip_y, size * 0.016, palette.dark)


def _fruit(canvas: Canvas, table: float) -> None:
    palette = canvas.palette
    x, y, radius = canvas.length(0.08, 0.92), table + canvas.length(0.06, 0.25), canvas.length(0.04, 0.07)
    tone = _blend(palette.accent, palette.glow, canvas.rng.random())
    canvas.disc(x + radius * 0.25, y + radius * 0.3, radius, palette.dark)
    canvas.disc(x, y, radius, tone)
    canvas.disc(x - radius * 0.3, y - radius * 0.3, radius * 0.3, palette.light)


def _city(canvas: Canvas) -> None:
    rng, palette, size = canvas.rng, canvas.palette, canvas.size
    for row in range(3):
        x = -size * 0.03
        while x < size:
            wide, tall = canvas.length(0.07, 0.16), canvas.length(0.16, 0.5) * (1 - 0.2 * row)
            box = (x, size * (0.75 + 0.12 * row) - tall, x + wide, size)
            haze = _blend(palette.sky, palette.ground, 0.4 + 0.2 * row)
            canvas.pen.rectangle(box, fill=_blend(haze, palette.dark, rng.uniform(0.1, 0.5)))
            _windows(canvas, box)
            x += wide * rng.uniform(0.9, 1.25)


def _windows(canvas: Canvas, box: tuple[float, float, float, float]) -> None:
    rng, step = canvas.rng, canvas.size * 0.032
    for y in np.arange(box[1] + step * 0.6, box[3], step * 1.3):
        for x in np.arange(box[0] + step * 0.4, box[2] - step * 0.6, step):
            if rng.random() < 0.55:
                light = _blend(canvas.palette.accent, canvas.palette.glow, rng.random())
                canvas.pen.rectangle((x, y, x + step * 0.45, y + step * 0.6), fill=light)


def _forest(canvas: Canvas) -> None:
    rng, palette, size = canvas.rng, canvas.palette, canvas.size
    canvas.ridge(0.72, 0.03, palette.ground)
    for _ in range(26):
        depth = rng.random()
        x, foot = size * rng.random(), size * (0.7 + 0.28 * depth)
        bark = _blend(palette.sky, palette.dark, 0.3 + 0.7 * depth)
        canvas.line((x, 0, x + rng.normal(0, size * 0.03), foot), bark, size * (0.008 + 0.03 * depth))
        for _ in range(5):
            y = foot * rng.random() * 0.7
            branch = (x, y, x + rng.normal(0, size * 0.12), y - canvas.length(0.03, 0.12))
            canvas.line(branch, bark, size // 160)
    for _ in range(420):
        tone = _blend(palette.accent, palette.ground, rng.random())
        x, y = size * rng.random(), size * abs(rng.normal(0, 0.28))
        canvas.disc(x, y, canvas.length(0.004, 0.014), tone)


def _blocks(canvas: Canvas) -> None:
    rng, palette, size = canvas.rng, canvas.palette, canvas.size
    colours = (palette.light, palette.light, palette.accent, palette.sky, palette.ground, palette.glow)
    xs = np.sort(np.concatenate(([0, 1], rng.random(int(rng.integers(3, 7)))))) * size
    ys = np.sort(np.concatenate(([0, 1], rng.random(int(rng.integers(3, 7)))))) * size
    line = max(2, size // 50)
    for left, right in pairwise(xs):
        for top, bottom in pairwise(ys):
            fill = colours[int(rng.integers(len(colours)))]
            canvas.pen.rectangle((left, top, right, bottom), fill=fill, outline=palette.dark, width=line)


def _circles(canvas: Canvas) -> None:
    rng, palette, size = canvas.rng, canvas.palette, canvas.size
    colours = (palette.accent, palette.ground, palette.glow, palette.dark, palette.light, palette.sky)
    for _ in range(int(rng.integers(12, 24))):
        x, y, radius = size * rng.random(), size * rng.random(), canvas.length(0.03, 0.17)
        for ring in range(int(rng.integers(2, 5))):
            canvas.disc(x, y, radius * (1 - 0.25 * ring), colours[int(rng.integers(len(colours)))])
    for _ in range(10):
        canvas.line([float(v) for v in rng.random(4) * size], palette.dark, size // 110)


def _portrait(canvas: Canvas) -> None:
    palette, size = canvas.palette, canvas.size
    x, y = canvas.length(0.42, 0.58), canvas.length(0.38, 0.46)
    skin = _blend((236, 200, 170), palette.ground, canvas.rng.uniform(0.0, 0.45))
    hair = _blend(palette.dark, palette.accent, canvas.rng.uniform(0, 0.35))
    canvas.ellipse(x, y, (-0.36, 0.3, 0.36, 1.1), palette.ground)
    collar = [(x - size * 0.1, y + size * 0.32), (x + size * 0.1, y + size * 0.32), (x, y + size * 0.48)]
    canvas.pen.polygon(collar, fill=palette.light)
    canvas.ellipse(x, y, (-0.21, -0.27, 0.21, canvas.rng.uniform(0.2, 0.42)), hair)
    throat = (x - size * 0.06, y + size * 0.12, x + size * 0.06, y + size * 0.34)
    canvas.pen.rectangle(throat, fill=_blend(skin, palette.dark, 0.2))
    canvas.ellipse(x, y, (-0.15, -0.19, 0.15, 0.23), skin)
    canvas.chord(x, y, (-0.16, -0.24, 0.16, 0.06), (180, 360), hair)
    for side in (-1, 1):
        eye = x + side * size * 0.06
        canvas.ellipse(eye, y, (-0.026, -0.01, 0.026, 0.022), palette.light)
        canvas.disc(eye, y + size * 0.006, size * 0.012, palette.dark)
        brow = (eye - size * 0.03, y - size * 0.035, eye + size * 0.03, y - size * 0.04)
        canvas.line(brow, hair, size // 90)
    nose = (x, y + size * 0.02, x - size * 0.015, y + size * 0.09, x + size * 0.01, y + size * 0.095)
    canvas.line(nose, _blend(skin, palette.dark, 0.45), size // 120)
    mouth = _blend(palette.accent, (170, 50, 60), 0.6)
    canvas.chord(x, y, (-0.05, 0.11, 0.05, 0.16), (0, 180), mouth)


def _blend(one: Colour, other: Colour, share: float) -> Colour:
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))  # type: ignore[return-value]


SCENES: tuple[Scene, ...] = (_landscape, _seascape, _still_life, _city, _forest, _blocks, _circles, _portrait)

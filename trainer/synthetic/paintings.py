"""Procedural paintings: each artist has a palette, a brush and favourite scenes.

Shapes: H height, W width, C colour channel, K control point.
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

WORKS_PER_ARTIST = 3

Colour = tuple[int, int, int]
Scene = Callable[[ImageDraw.ImageDraw, np.random.Generator, "Palette", int], None]


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
class Artist:
    """One hand: what it mixes, how it strokes and what it likes to paint."""

    hue: float
    saturation: float
    stroke_length: float
    stroke_angle: float
    scenes: tuple[Scene, ...]


def artist(seed: int, number: int) -> Artist:
    """The artist of that number; the same arguments always give the same artist."""
    rng = np.random.default_rng([seed, 1, number])
    chosen = rng.choice(len(SCENES), size=3, replace=False)
    return Artist(
        hue=float(rng.random()),
        saturation=float(rng.uniform(0.35, 0.85)),
        stroke_length=float(rng.uniform(0.02, 0.05)),
        stroke_angle=float(rng.uniform(0, np.pi)),
        scenes=tuple(SCENES[i] for i in chosen),
    )


def paint(hand: Artist, seed: int, work: int, size: int = 256) -> Image.Image:
    """An RGB painting of `size` × `size` pixels; the same arguments always give the same pixels."""
    rng = np.random.default_rng([seed, 2, work])
    palette = _mix(hand, rng)
    picture = Image.fromarray(_wash(rng, palette, size))
    scene = hand.scenes[int(rng.integers(len(hand.scenes)))]
    scene(ImageDraw.Draw(picture), rng, palette, size)
    return _brush(picture, hand, rng)


def draw_painting(seed: int, work: int, size: int = 256) -> Image.Image:
    """A painting of a collection in which every artist has made `WORKS_PER_ARTIST` works."""
    return paint(artist(seed, work // WORKS_PER_ARTIST), seed, work, size)


def _mix(hand: Artist, rng: np.random.Generator) -> Palette:
    hue = hand.hue + rng.normal(0, 0.04)
    opposite = hue + 0.5 + rng.normal(0, 0.05)
    aside = hue + rng.choice((-0.14, 0.14))
    rich = hand.saturation
    return Palette(
        sky=_colour(hue, 0.55 * rich, rng.uniform(0.6, 0.9)),
        glow=_colour(opposite, 0.45 * rich, rng.uniform(0.88, 0.99)),
        ground=_colour(aside, 0.8 * rich, rng.uniform(0.3, 0.55)),
        accent=_colour(opposite, min(1.0, 1.15 * rich), rng.uniform(0.75, 0.95)),
        dark=_colour(hue, 0.5 * rich, rng.uniform(0.1, 0.22)),
        light=_colour(aside, 0.15 * rich, rng.uniform(0.9, 1.0)),
    )


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _blend(one: Colour, other: Colour, share: float) -> Colour:
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))  # type: ignore[return-value]


def _wash(rng: np.random.Generator, palette: Palette, size: int) -> np.ndarray:
    """Underpainting: a vertical gradient with soft clouds of a second colour, uint8 (H, W, C)."""
    height_H = np.linspace(0, 1, size)[:, None, None]
    wash_HWC = np.array(palette.sky) * (1 - height_H) + np.array(palette.glow) * height_H
    cloud_HW = np.zeros((size, size))
    for cells in (3, 6, 12):
        noise = Image.fromarray(rng.random((cells, cells)).astype(np.float32))
        cloud_HW += np.asarray(noise.resize((size, size), Image.Resampling.BICUBIC)) / cells
    cloud_HW = np.clip((cloud_HW - cloud_HW.mean()) / cloud_HW.std() * 0.16, -0.4, 0.4)
    wash_HWC = wash_HWC + cloud_HW[:, :, None] * (np.array(palette.light) - np.array(palette.sky))
    return np.asarray(np.clip(wash_HWC, 0, 255), dtype=np.uint8)


def _ridge(rng: np.random.Generator, size: int, level: float, rough: float) -> list[tuple[float, float]]:
    heights_K = rng.normal(0, rough, 9)
    across = np.linspace(0, 8, size // 2)
    curve = np.interp(across, np.arange(9), heights_K) + rng.normal(0, rough * 0.06, len(across))
    xs = np.linspace(0, size, len(across))
    return [(float(x), float(size * (level + y))) for x, y in zip(xs, curve, strict=True)]


def _fill_below(
    draw: ImageDraw.ImageDraw, ridge: list[tuple[float, float]], size: int, colour: Colour
) -> None:
    draw.polygon([*ridge, (size, size), (0, size)], fill=colour)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _landscape(draw: ImageDraw.ImageDraw, rng: np.random.Generator, palette: Palette, size: int) -> None:
    _disc(
        draw,
        rng.uniform(0.15, 0.85) * size,
        rng.uniform(0.12, 0.35) * size,
        rng.uniform(0.05, 0.1) * size,
        palette.accent,
    )
    layers = int(rng.integers(3, 6))
    for layer in range(layers):
        share = layer / (layers - 1)
        level = 0.4 + 0.42 * share
        _fill_below(
            draw,
            _ridge(rng, size, level, 0.09 * (1.2 - share)),
            size,
            _blend(palette.sky, palette.ground, 0.35 + 0.65 * share),
        )
    for _ in range(int(rng.integers(5, 16))):
        _tree(
            draw,
            rng,
            palette,
            size * rng.uniform(0.02, 0.98),
            size * rng.uniform(0.82, 0.98),
            size * rng.uniform(0.08, 0.2),
        )


def _tree(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, palette: Palette, x: float, foot: float, tall: float
) -> None:
    draw.line((x, foot, x, foot - tall), fill=palette.dark, width=max(1, round(tall * 0.08)))
    leaf = _blend(
        palette.ground, palette.accent if rng.random() < 0.4 else palette.dark, rng.uniform(0.2, 0.7)
    )
    for _ in range(7):
        _disc(
            draw,
            x + rng.normal(0, tall * 0.16),
            foot - tall * rng.uniform(0.55, 1.1),
            tall * rng.uniform(0.1, 0.2),
            _blend(leaf, palette.light, rng.uniform(0, 0.25)),
        )


def _seascape(draw: ImageDraw.ImageDraw, rng: np.random.Generator, palette: Palette, size: int) -> None:
    horizon = size * rng.uniform(0.4, 0.6)
    sun = size * rng.uniform(0.2, 0.8)
    _disc(draw, sun, horizon - size * rng.uniform(0.02, 0.2), size * rng.uniform(0.05, 0.1), palette.accent)
    draw.rectangle((0, horizon, size, size), fill=_blend(palette.sky, palette.dark, 0.45))
    for _ in range(160):
        y = horizon + (size - horizon) * rng.random()
        reach = size * (0.01 + 0.08 * (y - horizon) / (size - horizon))
        x = rng.normal(sun, size * 0.3)
        tone = (
            palette.accent if abs(x - sun) < size * 0.07 else _blend(palette.sky, palette.light, rng.random())
        )
        draw.line((x - reach, y, x + reach, y), fill=tone, width=max(1, size // 150))
    for _ in range(int(rng.integers(1, 5))):
        _boat(draw, rng, palette, size, horizon)


def _boat(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, palette: Palette, size: int, horizon: float
) -> None:
    x, y = size * rng.uniform(0.08, 0.92), horizon + (size - horizon) * rng.uniform(0.05, 0.6)
    unit = size * (0.03 + 0.07 * (y - horizon) / (size - horizon))
    draw.polygon(
        [(x - unit, y), (x + unit, y), (x + unit * 0.6, y + unit * 0.45), (x - unit * 0.6, y + unit * 0.45)],
        fill=palette.dark,
    )
    draw.polygon(
        [(x, y - unit * 2), (x, y - unit * 0.2), (x + unit * 0.9, y - unit * 0.2)], fill=palette.light
    )
    draw.polygon(
        [(x, y - unit * 1.7), (x, y - unit * 0.2), (x - unit * 0.6, y - unit * 0.2)], fill=palette.accent
    )


def _still_life(draw: ImageDraw.ImageDraw, rng: np.random.Generator, palette: Palette, size: int) -> None:
    table = size * rng.uniform(0.58, 0.7)
    draw.rectangle((0, table, size, size), fill=palette.ground)
    draw.polygon(
        [(size * 0.1, table), (size * 0.55, table), (size * 0.42, size), (size * 0.02, size)],
        fill=palette.light,
    )
    x = size * rng.uniform(0.3, 0.7)
    for _ in range(int(rng.integers(5, 11))):
        tip = (x + rng.normal(0, size * 0.15), table - size * rng.uniform(0.34, 0.54))
        draw.line((x, table - size * 0.2, *tip), fill=palette.dark, width=max(1, size // 120))
        petal = _blend(palette.accent, palette.light, rng.uniform(0, 0.5))
        for turn in np.linspace(0, 2 * np.pi, 6)[:-1]:
            _disc(
                draw,
                tip[0] + np.cos(turn) * size * 0.03,
                tip[1] + np.sin(turn) * size * 0.03,
                size * 0.026,
                petal,
            )
        _disc(draw, *tip, size * 0.016, palette.dark)
    draw.ellipse(
        (x - size * 0.11, table - size * 0.24, x + size * 0.11, table + size * 0.07),
        fill=_blend(palette.sky, palette.dark, 0.5),
    )
    draw.ellipse(
        (x - size * 0.07, table - size * 0.2, x - size * 0.035, table - size * 0.05), fill=palette.light
    )
    for _ in range(int(rng.integers(3, 8))):
        fruit_x, fruit_y = size * rng.uniform(0.08, 0.92), table + size * rng.uniform(0.06, 0.25)
        radius = size * rng.uniform(0.04, 0.07)
        tone = _blend(palette.accent, palette.glow, rng.random())
        _disc(draw, fruit_x + radius * 0.25, fruit_y + radius * 0.3, radius, palette.dark)
        _disc(draw, fruit_x, fruit_y, radius, tone)
        _disc(draw, fruit_x - radius * 0.3, fruit_y - radius * 0.3, radius * 0.3, palette.light)


def _city(draw: ImageDraw.ImageDraw, rng: np.random.Generator, palette: Palette, size: int) -> None:
    for row in range(3):
        x = -size * 0.03
        while x < size:
            wide, tall = size * rng.uniform(0.07, 0.16), size * rng.uniform(0.16, 0.5) * (1 - 0.2 * row)
            top = size * (0.75 + 0.12 * row) - tall
            wall = _blend(
                _blend(palette.sky, palette.ground, 0.4 + 0.2 * row), palette.dark, rng.uniform(0.1, 0.5)
            )
            draw.rectangle((x, top, x + wide, size), fill=wall)
            _windows(draw, rng, palette, (x, top, x + wide, size), size)
            x += wide * rng.uniform(0.9, 1.25)


def _windows(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    palette: Palette,
    box: tuple[float, float, float, float],
    size: int,
) -> None:
    step = size * 0.032
    for y in np.arange(box[1] + step * 0.6, box[3], step * 1.3):
        for x in np.arange(box[0] + step * 0.4, box[2] - step * 0.6, step):
            if rng.random() < 0.55:
                draw.rectangle(
                    (x, y, x + step * 0.45, y + step * 0.6),
                    fill=_blend(palette.accent, palette.glow, rng.random()),
                )


def _forest(draw: ImageDraw.ImageDraw, rng: np.random.Generator, palette: Palette, size: int) -> None:
    _fill_below(draw, _ridge(rng, size, 0.72, 0.03), size, palette.ground)
    for _ in range(26):
        depth = rng.random()
        x, foot = size * rng.random(), size * (0.7 + 0.28 * depth)
        bark = _blend(palette.sky, palette.dark, 0.3 + 0.7 * depth)
        draw.line(
            (x, 0, x + rng.normal(0, size * 0.03), foot),
            fill=bark,
            width=max(1, round(size * (0.008 + 0.03 * depth))),
        )
        for _ in range(5):
            y = foot * rng.random() * 0.7
            draw.line(
                (x, y, x + rng.normal(0, size * 0.12), y - size * rng.uniform(0.03, 0.12)),
                fill=bark,
                width=max(1, size // 160),
            )
    for _ in range(420):
        tone = _blend(palette.accent, palette.ground, rng.random())
        _disc(
            draw, size * rng.random(), size * abs(rng.normal(0, 0.28)), size * rng.uniform(0.004, 0.014), tone
        )


def _blocks(draw: ImageDraw.ImageDraw, rng: np.random.Generator, palette: Palette, size: int) -> None:
    colours = (palette.light, palette.light, palette.accent, palette.sky, palette.ground, palette.glow)
    xs = np.sort(np.concatenate(([0, 1], rng.random(int(rng.integers(3, 7)))))) * size
    ys = np.sort(np.concatenate(([0, 1], rng.random(int(rng.integers(3, 7)))))) * size
    line = max(2, size // 50)
    for left, right in pairwise(xs):
        for top, bottom in pairwise(ys):
            draw.rectangle(
                (left, top, right, bottom),
                fill=colours[int(rng.integers(len(colours)))],
                outline=palette.dark,
                width=line,
            )


def _circles(draw: ImageDraw.ImageDraw, rng: np.random.Generator, palette: Palette, size: int) -> None:
    colours = (palette.accent, palette.ground, palette.glow, palette.dark, palette.light, palette.sky)
    for _ in range(int(rng.integers(12, 24))):
        x, y, radius = size * rng.random(), size * rng.random(), size * rng.uniform(0.03, 0.17)
        for ring in range(int(rng.integers(2, 5))):
            _disc(draw, x, y, radius * (1 - 0.25 * ring), colours[int(rng.integers(len(colours)))])
    for _ in range(10):
        ends = tuple(float(v) for v in rng.random(4) * size)
        draw.line(ends, fill=palette.dark, width=max(1, size // 110))


def _portrait(draw: ImageDraw.ImageDraw, rng: np.random.Generator, palette: Palette, size: int) -> None:
    x, y = size * rng.uniform(0.42, 0.58), size * rng.uniform(0.38, 0.46)
    skin = _blend((236, 200, 170), palette.ground, rng.uniform(0.0, 0.45))
    hair = _blend(palette.dark, palette.accent, rng.uniform(0, 0.35))
    draw.ellipse((x - size * 0.36, y + size * 0.3, x + size * 0.36, y + size * 1.1), fill=palette.ground)
    draw.polygon(
        [(x - size * 0.1, y + size * 0.32), (x + size * 0.1, y + size * 0.32), (x, y + size * 0.48)],
        fill=palette.light,
    )
    draw.ellipse(
        (x - size * 0.21, y - size * 0.27, x + size * 0.21, y + size * rng.uniform(0.2, 0.42)), fill=hair
    )
    draw.rectangle(
        (x - size * 0.06, y + size * 0.12, x + size * 0.06, y + size * 0.34),
        fill=_blend(skin, palette.dark, 0.2),
    )
    draw.ellipse((x - size * 0.15, y - size * 0.19, x + size * 0.15, y + size * 0.23), fill=skin)
    draw.chord((x - size * 0.16, y - size * 0.24, x + size * 0.16, y + size * 0.06), 180, 360, fill=hair)
    for side in (-1, 1):
        eye = x + side * size * 0.06
        draw.ellipse(
            (eye - size * 0.026, y - size * 0.01, eye + size * 0.026, y + size * 0.022), fill=palette.light
        )
        _disc(draw, eye, y + size * 0.006, size * 0.012, palette.dark)
        draw.line(
            (eye - size * 0.03, y - size * 0.035, eye + size * 0.03, y - size * 0.04),
            fill=hair,
            width=max(1, size // 90),
        )
    draw.line(
        (x, y + size * 0.02, x - size * 0.015, y + size * 0.09, x + size * 0.01, y + size * 0.095),
        fill=_blend(skin, palette.dark, 0.45),
        width=max(1, size // 120),
    )
    draw.chord(
        (x - size * 0.05, y + size * 0.11, x + size * 0.05, y + size * 0.16),
        0,
        180,
        fill=_blend(palette.accent, (170, 50, 60), 0.6),
    )


def _brush(picture: Image.Image, hand: Artist, rng: np.random.Generator) -> Image.Image:
    """The picture again in strokes that follow its edges: broad ones first, fine ones over them."""
    size = picture.width
    source_HWC = np.asarray(picture)
    grey_HW = source_HWC.mean(axis=2)
    down_HW, across_HW = np.gradient(grey_HW)
    along_HW = np.arctan2(across_HW, -down_HW)
    flat_HW = np.hypot(down_HW, across_HW) < 2.0
    along_HW = np.where(flat_HW, hand.stroke_angle, along_HW)
    draw = ImageDraw.Draw(picture)
    for count, width, reach in ((size * 5, 0.016, 1.0), (size * 9, 0.006, 0.5)):
        _strokes(
            draw,
            rng,
            source_HWC,
            along_HW,
            (count, max(1, round(size * width)), hand.stroke_length * size * reach),
        )
    return picture


def _strokes(
    draw: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    source_HWC: np.ndarray,
    along_HW: np.ndarray,
    brush: tuple[int, int, float],
) -> None:
    count, width, reach = brush
    size = len(source_HWC)
    ys, xs = rng.integers(size, size=(2, count))
    angles = along_HW[ys, xs] + rng.normal(0, 0.25, count)
    colours = np.clip(
        source_HWC[ys, xs] + rng.normal(0, 9, (count, 1)) + rng.normal(0, 5, (count, 3)), 0, 255
    )
    steps = np.stack((np.cos(angles), np.sin(angles)), axis=1) * reach * rng.uniform(0.4, 1.0, (count, 1))
    for x, y, (step_x, step_y), colour in zip(
        xs.tolist(), ys.tolist(), steps.tolist(), colours.astype(int).tolist(), strict=True
    ):
        draw.line((x - step_x, y - step_y, x + step_x, y + step_y), fill=tuple(colour), width=width)


SCENES: tuple[Scene, ...] = (_landscape, _seascape, _still_life, _city, _forest, _blocks, _circles, _portrait)

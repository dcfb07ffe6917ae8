"""Procedural paintings: each artist has a palette, a brush and favourite scenes.

Shapes: H height, W width, C colour channel.
"""

import colorsys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from trainer.synthetic.scenes import SCENES, Canvas, Colour, Palette, Scene

WORKS_PER_ARTIST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Artist:
    """The colours, the strokes and the scenes that the works of one artist share."""

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


def paint(by: Artist, seed: int, work: int, size: int = 256) -> Image.Image:
    """An RGB painting of `size` × `size` pixels; the same arguments always give the same pixels."""
    rng = np.random.default_rng([seed, 2, work])
    palette = _mix_palette(by, rng)
    picture = Image.fromarray(_wash(rng, palette, size))
    scene = by.scenes[int(rng.integers(len(by.scenes)))]
    scene(Canvas(pen=ImageDraw.Draw(picture), palette=palette, rng=rng, size=size))
    return _brush(picture, by, rng)


def draw_painting(seed: int, work: int, size: int = 256) -> Image.Image:
    """A painting of a collection in which every artist has made `WORKS_PER_ARTIST` works."""
    return paint(artist(seed, work // WORKS_PER_ARTIST), seed, work, size)


def _mix_palette(by: Artist, rng: np.random.Generator) -> Palette:
    hue = by.hue + rng.normal(0, 0.04)
    opposite = hue + 0.5 + rng.normal(0, 0.05)
    aside = hue + rng.choice((-0.14, 0.14))
    rich = by.saturation
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


def _brush(picture: Image.Image, by: Artist, rng: np.random.Generator) -> Image.Image:
    """The picture again in strokes that follow its edges: broad ones first, fine ones over them."""
    size = picture.width
    source_HWC = np.asarray(picture)
    down_HW, across_HW = np.gradient(source_HWC.mean(axis=2))
    flat_HW = np.hypot(down_HW, across_HW) < 2.0
    along_HW = np.where(flat_HW, by.stroke_angle, np.arctan2(across_HW, -down_HW))
    pen = ImageDraw.Draw(picture)
    for count, width, reach in ((size * 5, 0.016, 1.0), (size * 9, 0.006, 0.5)):
        ys, xs = rng.integers(size, size=(2, count))
        angles = along_HW[ys, xs] + rng.normal(0, 0.25, count)
        mottled = source_HWC[ys, xs] + rng.normal(0, 9, (count, 1)) + rng.normal(0, 5, (count, 3))
        colours = np.clip(mottled, 0, 255).astype(int)
        steps = np.stack((np.cos(angles), np.sin(angles)), axis=1) * (by.stroke_length * size * reach)
        starts = np.stack((xs, ys), axis=1)
        steps *= rng.uniform(0.4, 1.0, (count, 1))
        ends = np.concatenate((starts - steps, starts + steps), axis=1)
        for stroke, colour in zip(ends.tolist(), colours.tolist(), strict=True):
            pen.line(stroke, fill=tuple(colour), width=max(1, round(size * width)))
    return picture

"""Drawn pictures in four tiers, which the packaged head is trained on: paintings, and garments on them.

Shapes: S side.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from pretraining.config import HeadsSettings
from pretraining.corpus import cut_out
from trainer.loop.progress import Progress
from trainer.synthetic.artworks import write_graded
from trainer.synthetic.garments import draw_garment
from trainer.synthetic.paintings import draw_painting
from trainer.synthetic.records import Record

SIDE: Final = 160
PAINTING_SIDE: Final = 192
# Paintings whose parts are grounds of garments; every third garment keeps its own plain ground.
GROUNDS: Final = 120
PLAIN_EVERY: Final = 3
# Samples, benchmarks and the training of the encoders draw with other seeds.
GROUND_SEED, PAINTING_SEED = 7, 11


def write_graded_set(directory: Path, settings: HeadsSettings, progress: Progress) -> Path:
    """Paintings and garments on grounds, each in four tiers; the path of their metadata (A-1)."""
    sources = directory / "sources"
    sources.mkdir(parents=True, exist_ok=True)
    grounds = [draw_painting(GROUND_SEED, work, PAINTING_SIDE) for work in range(GROUNDS)]
    paths, total = [], settings.paintings + settings.graded_garments
    for number in range(total):
        paths.append(sources / f"{number:05d}.png")
        if number < settings.paintings:
            picture = draw_painting(PAINTING_SEED, number, PAINTING_SIDE)
        else:
            picture, _ = draw_laid(settings.seed + 1, number, grounds)
        picture.save(paths[-1], compress_level=1)
        progress("drawing pictures to grade", number + 1, total)
    return write_graded(directory / "tiers", paths, settings.seed)


def draw_laid(seed: int, number: int, grounds: Sequence[Image.Image]) -> tuple[Image.Image, Record]:
    """A garment on a part of a ground, turned and shifted; a third on their own, as they are drawn."""
    rng = np.random.default_rng([seed, 9, number])
    if number % PLAIN_EVERY == 0:
        garment = draw_garment(seed, number, SIDE)
        return garment.picture, garment.record
    layer_SS4, record = cut_out(seed, number, SIDE)
    side = int(SIDE * rng.uniform(0.75, 1.15))
    layer = Image.fromarray(layer_SS4, "RGBA").resize((side, side), Image.Resampling.BILINEAR)
    turned = layer.rotate(float(rng.uniform(-20, 20)), Image.Resampling.BILINEAR)
    left, top = ((SIDE - side) // 2 + int(shift) for shift in rng.integers(-14, 15, 2))
    placed = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    placed.paste(turned, (left, top))
    return _over(placed, _ground(grounds, rng), float(1 + rng.uniform(-0.35, 0.15))), record


def _ground(grounds: Sequence[Image.Image], rng: np.random.Generator) -> Image.Image:
    """A square part of a painting; half of them nearly of one colour."""
    painting = grounds[int(rng.integers(len(grounds)))]
    side = int(painting.width * rng.uniform(0.25, 0.9))
    left, top = (int(place) for place in rng.integers(0, painting.width - side, 2))
    part = painting.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        red, green, blue = (int(value) for value in rng.integers(60, 250, 3))
        part = Image.blend(
            part, Image.new("RGB", part.size, (red, green, blue)), float(rng.uniform(0.3, 0.9))
        )
    return part


def _over(layer: Image.Image, ground: Image.Image, light: float) -> Image.Image:
    """`layer` holds colours times opacity, as `corpus.cut_out` gives them."""
    layer_SS4, ground_SS3 = np.asarray(layer).astype(np.float32), np.asarray(ground).astype(np.float32)
    mixed_SS3 = layer_SS4[:, :, :3] * light + ground_SS3 * (1 - layer_SS4[:, :, 3:] / 255)
    return Image.fromarray(np.clip(mixed_SS3, 0, 255).astype(np.uint8))

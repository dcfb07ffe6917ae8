"""Drawn garments whose picture follows from their attribute records."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from model_store.durable import write_text
from trainer.synthetic.details import DETAILS, Pen, draw_collar, draw_neckline
from trainer.synthetic.fabrics import COLOURS, Colour, draw_cloth
from trainer.synthetic.outlines import Outline, outline_of
from trainer.synthetic.records import Record, random_record, word_of

RECORDS_FILE = "garments.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Garment:
    """A garment: its number, its attribute record and its picture."""

    number: int
    record: Record
    picture: Image.Image


def draw_garment(seed: int, number: int, size: int = 160, ground: Colour | None = None) -> Garment:
    """The garment of that number, `size` × `size` pixels; always the same for the same arguments.

    `ground`: the RGB colour that it lies on, by default a pale one drawn with it.
    """
    rng = np.random.default_rng([seed, 4, number])
    record = random_record(rng)
    return Garment(number=number, record=record, picture=draw_record(record, rng, size, ground))


def write_garments(directory: Path, count: int, seed: int = 42, size: int = 160) -> Path:
    """Draw `count` garments into `directory` and return the path of their records.

    The records are JSON lines `{"item_id", "path", "attributes"}`; `path` is relative to `directory`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        garment = draw_garment(seed, number, size)
        name = f"garment_{number:05d}.png"
        garment.picture.save(directory / name, compress_level=1)
        line = {"item_id": f"garment-{number:05d}", "path": name, "attributes": garment.record}
        lines.append(json.dumps(line, ensure_ascii=False))
    path = directory / RECORDS_FILE
    write_text(path, "\n".join(lines) + "\n", sync=False)
    return path


def draw_record(
    record: Record, rng: np.random.Generator, size: int = 160, ground: Colour | None = None
) -> Image.Image:
    """An RGB picture of the garment of a record; `rng` decides only what the record leaves open.

    Raises ValueError: if there is no outline for its category, naming it.
    """
    side = size * 2
    # Drawn in any case, so that a garment is the same on every ground.
    pale = tuple(int(v) for v in rng.integers(218, 250, 3))
    ground = ground or (pale[0], pale[1], pale[2])
    fields = ("category", "silhouette", "length", "sleeve", "colour", "print", "material")
    words = [word_of(record, field) for field in fields]
    shape = outline_of(*words[:4])
    cloth = draw_cloth(rng, side, *words[4:])
    picture = Image.new("RGB", (side, side), ground)
    mask = _mask(shape, side)
    _shadow(picture, mask)
    picture.paste(_folded(cloth, mask, rng), mask=mask)
    _add_details(picture, shape, record, ground)
    centred = (0, round((0.5 - (shape.shoulder + shape.hem) / 2) * side))
    turned = picture.rotate(
        float(rng.normal(0, 2.5)), Image.Resampling.BILINEAR, translate=centred, fillcolor=ground
    )
    return turned.resize((size, size), Image.Resampling.LANCZOS)


def _mask(shape: Outline, side: int) -> Image.Image:
    mask = Image.new("L", (side, side), 0)
    pen = ImageDraw.Draw(mask)
    for piece in shape.pieces:
        pen.polygon([(x * side, y * side) for x, y in piece], fill=255)
    # Rounds the corners that sewing would round.
    return mask.filter(ImageFilter.GaussianBlur(side * 0.008)).point(lambda v: 255 if v > 127 else 0)


def _shadow(picture: Image.Image, mask: Image.Image) -> None:
    side = picture.width
    soft = ImageChops.offset(mask, side // 60, side // 45).filter(ImageFilter.GaussianBlur(side * 0.02))
    picture.paste((150, 150, 156), mask=soft.point(lambda v: v * 0.45))


def _folded(cloth: Image.Image, mask: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The cloth with folds and with darker edges."""
    side = cloth.width
    across_W = np.arange(side) / side
    waves = [0.035 * np.sin(across_W * f + rng.uniform(0, 6)) for f in (9.0, 21.0, 43.0)]
    folds_W = np.sum(waves, axis=0)
    edge_HW = np.asarray(mask.filter(ImageFilter.GaussianBlur(side * 0.02))) / 255
    light_HW = (1 + folds_W)[None, :] * (0.62 + 0.4 * np.clip(edge_HW, 0, 1))
    return Image.fromarray(np.clip(np.asarray(cloth) * light_HW[:, :, None], 0, 255).astype(np.uint8))


def _add_details(picture: Image.Image, shape: Outline, record: Record, ground: Colour) -> None:
    base = COLOURS.get(word_of(record, "colour"), COLOURS["그레이"])
    bright = sum(base) > 380
    pen = Pen(
        draw=ImageDraw.Draw(picture),
        shape=shape,
        size=picture.width,
        thread=_darker(base, 0.45) if bright else _lighter(base, 70),
        trim=_darker(base, 0.86) if bright else _lighter(base, 28),
    )
    draw_neckline(pen, word_of(record, "neckline"), ground)
    if shape.opens:
        pen.line((0.5, shape.shoulder), (0.5, shape.hem), width=0.006)
    draw_collar(pen, word_of(record, "collar"))
    for word in record.get("detail", []):
        if word in DETAILS:
            DETAILS[word](pen)


def _darker(colour: Colour, share: float) -> Colour:
    red, green, blue = (round(value * share) for value in colour)
    return red, green, blue


def _lighter(colour: Colour, step: int) -> Colour:
    red, green, blue = (min(255, value + step) for value in colour)
    return red, green, blue

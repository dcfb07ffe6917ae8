"""Garments cut out of K-Fashion's photographs, each with its record (F-2)."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from inference.attributes import AttributeSchema
from inference.errors import InvalidAttributes, InvalidImage
from inference.pixels import open_upright
from model_store.durable import replacing
from trainer.fashion.data.data_report import Exclusions, Problem
from trainer.fashion.data.kfashion import KFashion, Photographed
from trainer.fashion.data.labels import Box, LabelledGarment, numeric_id
from trainer.loop.progress import Progress

QUALITY = 95
LEAST_SIDE = 8
NO_AREA = "no area inside the photograph"
# Photographs in hand at once: enough to keep the cores busy.
_WINDOW = 64

Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A crop to write: a box of a photograph, and its file."""

    box: Box
    out: Path


def cut_garments(
    dataset: KFashion, schema: AttributeSchema, pictures: Path, exclusions: Exclusions, progress: Progress
) -> Iterator[Line]:
    """Write a crop of every garment below `pictures` and yield its record.

    Garments and files that cannot be used are counted in `exclusions`.
    """
    photographs, done, total = dataset.photographs(), 0, sum(dataset.count().values())
    # Pillow releases the interpreter lock while it decodes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while window := list(islice(photographs, _WINDOW)):
            for results in pool.map(lambda one: _garments(one, schema, pictures), window):
                for result in results:
                    if isinstance(result, Problem):
                        exclusions.add(result)
                    else:
                        exclusions.noted.update(result.pop("noted"))
                        yield result
            done += len(window)
            progress("cutting garments", done, total)


def _garments(
    photographed: Photographed | Problem, schema: AttributeSchema, pictures: Path
) -> list[Line | Problem]:
    """The records of a photograph, or for each garment why it has none."""
    if isinstance(photographed, Problem):
        return [photographed]
    label, path = photographed.label, photographed.path
    results: list[Line | Problem] = []
    crops: list[tuple[LabelledGarment, Crop]] = []
    for garment in label.garments:
        name = f"{path.stem}-{garment.part}-{garment.place}"
        if not garment.attributes:
            results.append(Problem(path=path, reason="no attributes", detail=name))
        elif garment.box is None:
            results.append(Problem(path=path, reason="no polygon and no rectangle", detail=name))
        else:
            out = pictures / photographed.partition / photographed.style / f"{file_name(name)}.jpg"
            crops.append((garment, Crop(box=garment.box, out=out)))
    try:
        faults = cut_photograph(
            photographed.picture, tuple(crop for _, crop in crops), (label.width, label.height)
        )
    except InvalidImage as error:
        problem = Problem(path=photographed.picture, reason="photograph not readable", detail=str(error))
        return [*results, problem]
    for (garment, crop), fault in zip(crops, faults, strict=True):
        if fault:
            results.append(Problem(path=path, reason=fault, detail=crop.out.stem))
        else:
            results.append(_record(photographed, garment, crop.out.relative_to(pictures.parent), schema))
    return results


def _record(
    photographed: Photographed, garment: LabelledGarment, path: Path, schema: AttributeSchema
) -> Line | Problem:
    try:
        attributes = schema.normalise(dict(garment.attributes), unknown="drop")
    except InvalidAttributes as error:
        return Problem(path=photographed.path, reason="attributes not readable", detail=str(error))
    lists = {field.name for field in schema.fields if field.multiple}
    noted = [] if garment.from_polygon else ["box of the rectangle: no polygon"]
    return {
        "item_id": "/".join(path.with_suffix("").parts[1:]),
        "path": str(path),
        "attributes": {n: list(w) if n in lists else w[0] for n, w in attributes.items() if w},
        "group": photographed.label.look,
        "style_folder": photographed.style,
        "number": numeric_id(photographed.path.name),
        "noted": noted + (["rectangle disagrees with polygon"] if garment.rect_disagrees else []),
    }


def cut_photograph(picture: Path, crops: tuple[Crop, ...], stated: tuple[int, int]) -> tuple[str, ...]:
    """Write the crops of a photograph; for each, "" or why there is none.

    `stated`: width and height that the boxes are in; those of a photograph that was scaled are scaled along.
    A crop that exists is kept. Raises InvalidImage: when the photograph cannot be read.
    """
    missing = [crop for crop in crops if not crop.out.exists()]
    if not missing:
        return ("",) * len(crops)
    try:
        photograph = open_upright(picture.read_bytes()).convert("RGB")
    except OSError as error:
        raise InvalidImage(f"not readable ({type(error).__name__})") from error
    return tuple(_cut(photograph, crop, stated) if crop in missing else "" for crop in crops)


def _cut(photograph: Image.Image, crop: Crop, stated: tuple[int, int]) -> str:
    across = photograph.width / stated[0] if stated[0] > 0 else 1.0
    down = photograph.height / stated[1] if stated[1] > 0 else 1.0
    box = crop.box
    scaled = Box(box.left * across, box.top * down, box.right * across, box.bottom * down)
    inside = scaled.clamped(photograph.width, photograph.height)
    left, top, right, bottom = map(round, (inside.left, inside.top, inside.right, inside.bottom))
    if right - left < LEAST_SIDE or bottom - top < LEAST_SIDE:
        return NO_AREA
    # A crop can be cut again: it need not survive a power failure.
    with replacing(crop.out, sync=False) as temporary:
        photograph.crop((left, top, right, bottom)).save(temporary, "JPEG", quality=QUALITY)
    return ""


def file_name(name: str) -> str:
    """A name without characters that a path or a shell treats in a special way."""
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name).strip(".")

"""K-Fashion to a folder to train on: a crop and a record of every garment (F-1, F-2, F-5)."""

import hashlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from inference.attributes import AttributeSchema
from inference.errors import InvalidAttributes, InvalidImage
from inference.pixels import ImageLimits, open_upright
from model_store.durable import replacing
from trainer.fashion.config import AttributeSettings
from trainer.fashion.data.data_report import Exclusions, Problem
from trainer.fashion.data.kfashion import KFashion, Photographed
from trainer.fashion.data.kfashion_label import Label, LabelledGarment, numeric_id
from trainer.fashion.data.prepare import PICTURES, Line, PrepareOptions, Source, write_prepared
from trainer.loop.progress import Progress
from trainer.pictures import read_picture

QUALITY = 95
LEAST_SIDE = 8
NO_AREA = "no area inside the photograph"
# Photographs in hand at once: enough to keep the cores busy.
_WINDOW = 64
_CROP = re.compile(r"^(.+)-[0-9a-f]{8}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """The folder that crops are written below, None to write none, and the bounds of photographs."""

    folder: Path | None
    limits: ImageLimits


def prepare_kfashion(
    dataset: KFashion, settings: AttributeSettings, options: PrepareOptions
) -> dict[str, Any]:
    """Cut every garment out and write its record; returns the report.

    Raises InvalidData: when no garment is usable or, strictly, when anything had to be left out.
    """
    exclusions, schema = Exclusions(), AttributeSchema(settings.preprocessing())
    cutting = Cutting(folder=options.out / PICTURES, limits=options.limits)
    lines = cut_garments(dataset, schema, cutting, exclusions, options.progress)
    about = {"source": "K-Fashion", "label_files": dataset.count()}
    source = Source(about=about, schema=lambda _counts: settings, own_words=False)
    current: dict[str, str] = {}
    report = write_prepared(_remembered(lines, current), source, options, exclusions)
    _remove_earlier(options.out, current)
    return report


def cut_garments(
    dataset: KFashion,
    schema: AttributeSchema,
    cutting: Cutting,
    exclusions: Exclusions,
    progress: Progress,
) -> Iterator[Line]:
    """Write a crop of every garment, unless there is one, and yield its record.

    Garments and files that cannot be used are counted in `exclusions`. Without a folder nothing is written:
    every garment is cut in memory, to see that it can be.
    """
    photographs, done, total = dataset.photographs(), 0, sum(dataset.count().values())
    # Pillow releases the interpreter lock while it decodes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while window := list(islice(photographs, _WINDOW)):
            for results in pool.map(lambda one: _garments(one, schema, cutting), window):
                for result in results:
                    if isinstance(result, Problem):
                        exclusions.add(result)
                    else:
                        exclusions.noted.update(result.pop("noted"))
                        yield result
            done += len(window)
            progress("cutting garments", done, total)


def _garments(
    photographed: Photographed | Problem, schema: AttributeSchema, cutting: Cutting
) -> list[Line | Problem]:
    """The records of a photograph, or for each garment why it has none."""
    if isinstance(photographed, Problem):
        return [photographed]
    path = photographed.path
    results: list[Line | Problem] = []
    boxed: dict[str, LabelledGarment] = {}
    for garment in photographed.label.garments:
        name = f"{path.stem}-{garment.part}-{garment.place}"
        if not garment.attributes:
            results.append(Problem(path=path, reason="no attributes", detail=name))
        elif garment.box is None:
            results.append(Problem(path=path, reason="no polygon and no rectangle", detail=name))
        else:
            boxed[name] = garment
    try:
        # Read whole even where all crops are there: only its bytes say that they are of this photograph.
        crops = _Crops(photographed, cutting) if boxed else None
        cut = {name: crops.cut(name, garment) for name, garment in boxed.items()} if crops else {}
    except (OSError, InvalidImage) as error:
        detail = str(error) if isinstance(error, InvalidImage) else f"not readable ({type(error).__name__})"
        return [*results, Problem(path=photographed.picture, reason="photograph not readable", detail=detail)]
    return results + [
        Problem(path=path, reason=NO_AREA, detail=name)
        if crop is None
        else _record(photographed, boxed[name], (name, crop), schema)
        for name, crop in cut.items()
    ]


class _Crops:
    """The crops of one photograph, each under a name that states what it was cut from."""

    def __init__(self, photographed: Photographed, cutting: Cutting) -> None:
        self._label, self._style = photographed.label, Path(photographed.partition) / photographed.style
        self._pictures, self._limits = cutting.folder, cutting.limits
        self._data = read_picture(photographed.picture, cutting.limits)
        self._digest = hashlib.sha256(self._data)
        self._photograph: Image.Image | None = None

    def cut(self, name: str, garment: LabelledGarment) -> Path | None:
        """The path of a crop below the folder of pictures; None where it fills next to none of it.

        A crop that is there is of this photograph and this box, so that it is not cut again.
        Raises InvalidImage, OSError: when the photograph cannot be read or the crop not be written.
        """
        digest = self._digest.copy()
        digest.update(repr((self._label.width, self._label.height, garment.box, QUALITY)).encode())
        relative = self._style / f"{_file_name(name)}-{digest.hexdigest()[:8]}.jpg"
        if self._pictures is not None and (self._pictures / relative).exists():
            return relative
        if self._photograph is None:
            self._photograph = open_upright(self._data, self._limits).convert("RGB")
        crop = _cropped(self._photograph, self._label, garment)
        if crop is not None and self._pictures is not None:
            # A crop can be cut again: it need not survive a power failure.
            with replacing(self._pictures / relative, sync=False) as temporary:
                crop.save(temporary, "JPEG", quality=QUALITY)
        return relative if crop is not None else None


def _cropped(photograph: Image.Image, label: Label, garment: LabelledGarment) -> Image.Image | None:
    """The part of a photograph that a garment fills; None where it fills next to none.

    Boxes are in pixels of the size that the label states: those of a photograph that was scaled are scaled
    along.
    """
    assert garment.box is not None
    across = photograph.width / label.width if label.width > 0 else 1.0
    down = photograph.height / label.height if label.height > 0 else 1.0
    inside = garment.box.scaled(across, down).clamped(*photograph.size)
    left, top, right, bottom = map(round, inside)
    if right - left < LEAST_SIDE or bottom - top < LEAST_SIDE:
        return None
    return photograph.crop((left, top, right, bottom))


def _record(
    photographed: Photographed, garment: LabelledGarment, crop: tuple[str, Path], schema: AttributeSchema
) -> Line | Problem:
    try:
        attributes = schema.normalise(dict(garment.attributes), unknown="drop")
    except InvalidAttributes as error:
        return Problem(path=photographed.path, reason="attributes not readable", detail=str(error))
    lists = {field.name for field in schema.fields if field.multiple}
    noted = [] if garment.from_polygon else ["box of the rectangle: no polygon"]
    name, path = crop
    return {
        "item_id": (path.parent / _file_name(name)).as_posix(),
        "path": str(Path(PICTURES) / path),
        "attributes": {n: list(w) if n in lists else w[0] for n, w in attributes.items() if w},
        "group": photographed.label.look,
        "style_folder": photographed.style,
        "number": numeric_id(photographed.path.name),
        "noted": noted + (["rectangle disagrees with polygon"] if garment.rect_disagrees else []),
    }


def _remembered(lines: Iterator[Line], current: dict[str, str]) -> Iterator[Line]:
    """The lines as they are; `current` gets the picture of each."""
    for line in lines:
        current[line["item_id"]] = line["path"]
        yield line


def _remove_earlier(out: Path, current: dict[str, str]) -> None:
    """Delete crops of these garments that an earlier preparation cut from another photograph or box."""
    for path in (out / PICTURES).rglob("*.jpg"):
        match, relative = _CROP.match(path.stem), path.relative_to(out)
        item = (relative.parent / match[1]).relative_to(PICTURES).as_posix() if match else ""
        if current.get(item, str(relative)) != str(relative):
            path.unlink()


def _file_name(name: str) -> str:
    """A name without characters that a path or a shell treats in a special way."""
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name).strip(".")

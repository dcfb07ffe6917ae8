"""From label files or a shop's table to a folder to train on: pictures, records, their split, a report.

Everything that was left out is counted by reason and named; strictly, it is an error (F-1, F-2, F-5, F-6). In
memory are groups, words and counts, not records: a million of them pass through.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from inference.attributes import AttributeSchema, normalise_text
from inference.errors import InvalidAttributes, InvalidImage
from inference.item_table import ItemRow, read_item_table, words_of
from inference.pixels import inspect_image, open_upright
from model_store.durable import replacing, write_text
from trainer.errors import InvalidData
from trainer.fashion.config import AttributeSettings, FieldSettings
from trainer.fashion.data.data_report import Exclusions, Problem, RecordCounts
from trainer.fashion.data.kfashion import KFashion, Label, LabelledGarment, Photographed, numeric_id
from trainer.fashion.data.prepared_data import RECORDS, TRAIN, VAL, VOCABULARY_FILE, held_out_groups
from trainer.loop.progress import Progress
from trainer.reports.json_report import write_report

REPORT, PICTURES = "data_report.json", "pictures"
QUALITY = 95
LEAST_SIDE = 8
NO_AREA = "no area inside the photograph"
# Photographs in hand at once: enough to keep the cores busy.
_WINDOW = 64

Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOptions:
    """Where to write, how strictly to read, how to split."""

    out: Path
    strict: bool
    seed: int
    progress: Progress


def prepare_kfashion(
    dataset: KFashion, settings: AttributeSettings, options: PrepareOptions
) -> dict[str, Any]:
    """Cut every garment out and write its record; returns the report.

    Raises InvalidData: when no garment is usable or, strictly, when anything had to be left out.
    """
    exclusions, schema = Exclusions(), AttributeSchema(settings.preprocessing())
    lines = _cut_garments(dataset, schema, options.out / PICTURES, exclusions, options.progress)
    about = {"source": "K-Fashion", "label_files": dataset.count()}
    return _write(lines, options, exclusions, about, RecordCounts())


def _cut_garments(
    dataset: KFashion, schema: AttributeSchema, pictures: Path, exclusions: Exclusions, progress: Progress
) -> Iterator[Line]:
    """Write a crop of every garment below `pictures`, unless there is one, and yield its record.

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
    crops: dict[Path, LabelledGarment] = {}
    for garment in label.garments:
        name = f"{path.stem}-{garment.part}-{garment.place}"
        if not garment.attributes:
            results.append(Problem(path=path, reason="no attributes", detail=name))
        elif garment.box is None:
            results.append(Problem(path=path, reason="no polygon and no rectangle", detail=name))
        else:
            crops[pictures / photographed.partition / photographed.style / f"{_file_name(name)}.jpg"] = (
                garment
            )
    missing = [out for out in crops if not out.exists()]
    try:
        photograph = open_upright(photographed.picture.read_bytes()).convert("RGB") if missing else None
    except (OSError, InvalidImage) as error:
        detail = str(error) if isinstance(error, InvalidImage) else f"not readable ({type(error).__name__})"
        return [*results, Problem(path=photographed.picture, reason="photograph not readable", detail=detail)]
    for out, garment in crops.items():
        if photograph is not None and out in missing and not _cut(photograph, label, garment, out):
            results.append(Problem(path=path, reason=NO_AREA, detail=out.stem))
        else:
            results.append(_record(photographed, garment, out.relative_to(pictures.parent), schema))
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


def _cut(photograph: Image.Image, label: Label, garment: LabelledGarment, out: Path) -> bool:
    """Write the part of a photograph that a garment fills; False where it fills next to none.

    Boxes are in pixels of the size that the label states: those of a photograph that was scaled are scaled
    along.
    """
    assert garment.box is not None
    across = photograph.width / label.width if label.width > 0 else 1.0
    down = photograph.height / label.height if label.height > 0 else 1.0
    inside = garment.box.scaled(across, down).clamped(*photograph.size)
    left, top, right, bottom = map(round, inside)
    if right - left < LEAST_SIDE or bottom - top < LEAST_SIDE:
        return False
    # A crop can be cut again: it need not survive a power failure.
    with replacing(out, sync=False) as temporary:
        photograph.crop((left, top, right, bottom)).save(temporary, "JPEG", quality=QUALITY)
    return True


def prepare_table(
    table: Path, images: Path, settings: AttributeSettings, options: PrepareOptions
) -> dict[str, Any]:
    """Copy every row's picture, write its record, and a vocabulary of the training part; returns the report.

    Raises InvalidData: as `prepare_kfashion`. Raises InvalidTable: as `read_item_table`.
    """
    exclusions, counts = Exclusions(), RecordCounts()
    lines = _copy_all(read_item_table(table), images.resolve(), settings, options, exclusions)
    report = _write(lines, options, exclusions, {"source": table.name}, counts)
    fields = [field.model_dump() for field in _vocabulary(settings, counts)]
    body = json.dumps({"fields": fields}, ensure_ascii=False, indent=1)
    write_text(options.out / VOCABULARY_FILE, body + "\n")
    return report


def _vocabulary(settings: AttributeSettings, counts: RecordCounts) -> Iterator[FieldSettings]:
    """The fields of the training part by name; words by how often they occur, commonest first (F-4, F-6).

    A field that the settings have keeps its kind; any other is a list when a record has several words in it.
    """
    known = {field.name: field for field in settings.fields}
    for name, words in sorted(counts.words[TRAIN].items()):
        yield FieldSettings(
            name=name,
            multiple=name in counts.lists[TRAIN] or (name in known and known[name].multiple),
            core=name in known and known[name].core,
            words=tuple(sorted(words, key=lambda word: (-words[word], word))),
        )


def _copy_all(
    rows: Iterable[ItemRow],
    images: Path,
    settings: AttributeSettings,
    options: PrepareOptions,
    exclusions: Exclusions,
) -> Iterator[Line]:
    spelling = AttributeSchema(settings.preprocessing()).spelling
    lists = {field.name for field in settings.fields if field.multiple}
    seen: set[str] = set()
    for done, row in enumerate(rows, start=1):
        options.progress("reading the table", done, done)
        words = {name: words_of(value) for name, value in row.attributes.items()}
        problem = _row_problem(row, images, seen) or ("" if any(words.values()) else "no attributes")
        if problem:
            exclusions.add(Problem(path=Path(f"line {row.line}"), reason=problem, detail=row.image))
            continue
        seen.add(row.item_id)
        spelt = {name: [normalise_text(word, spelling) for word in own] for name, own in words.items() if own}
        yield {
            "item_id": row.item_id,
            "path": str(_copied(row, images, options.out)),
            "attributes": {n: w if n in lists or len(w) > 1 else w[0] for n, w in spelt.items()},
            "group": row.group,
        }


def _row_problem(row: ItemRow, images: Path, seen: set[str]) -> str:
    path = (images / row.image).resolve()
    if row.item_id in seen:
        return "item_id twice"
    if not path.is_relative_to(images):
        return "picture outside the folder"
    if not path.is_file():
        return "no picture"
    try:
        inspect_image(path.read_bytes())
    except InvalidImage:
        return "picture not readable"
    return ""


def _copied(row: ItemRow, images: Path, out: Path) -> Path:
    """The picture under a name of its own in the folder; relative to it."""
    source = images / row.image
    digest = hashlib.sha256(row.item_id.encode()).hexdigest()[:8]
    relative = Path(PICTURES) / f"{_file_name(source.stem)}-{digest}{source.suffix.lower()}"
    with replacing(out / relative, sync=False) as temporary:
        shutil.copyfile(source, temporary)
    return relative


def _write(
    lines: Iterable[Line],
    options: PrepareOptions,
    exclusions: Exclusions,
    about: dict[str, Any],
    counts: RecordCounts,
) -> dict[str, Any]:
    """Records with their part of the split, a fifth of the groups to validate on, then the report.

    Records are written twice, first as a draft without parts: until all are written, the file of an earlier
    preparation stays.
    """
    path, groups = options.out / RECORDS, set[str]()
    draft = path.with_name(f".{path.name}.draft")
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with draft.open("w", encoding="utf-8") as stream:
            for line in lines:
                groups.add(str(line["group"]))
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        if not groups or (options.strict and exclusions.excluded):
            raise InvalidData(str(exclusions) or "no garment to write")
        held = held_out_groups(groups, options.seed)
        with (
            draft.open(encoding="utf-8") as drafted,
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8") as stream,
        ):
            for text in drafted:
                line = json.loads(text)
                line["split"] = VAL if line["group"] in held else TRAIN
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
                counts.add(line)
    finally:
        draft.unlink(missing_ok=True)
    body = {**about, "seed": options.seed, **counts.report(), **exclusions.report()}
    return write_report(options.out / REPORT, body)


def _file_name(name: str) -> str:
    """A name without characters that a path or a shell treats in a special way."""
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name).strip(".")

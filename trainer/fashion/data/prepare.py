"""From label files or a catalogue to a folder that training reads: crops, records, split, a report.

Everything that was left out is counted by reason and named; strictly, it is an error (F-1, F-2, F-5, F-6).
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

from inference.attributes import AttributeSchema, normalise_text
from inference.errors import InvalidAttributes, InvalidImage
from inference.pixels import inspect_image
from trainer.errors import InvalidData
from trainer.fashion.config import AttributeSettings
from trainer.fashion.data.catalogues import CatalogueRow, read_catalogue
from trainer.fashion.data.crops import Cut, cut_photograph
from trainer.fashion.data.data_report import Census, Exclusions, Problem
from trainer.fashion.data.kfashion import KFashion, Photographed
from trainer.fashion.data.labels import LabelledGarment, numeric_id
from trainer.fashion.data.record_writer import TRAIN, RecordDraft
from trainer.fashion.data.vocabularies import VOCABULARY_FILE, VocabularyBuilder
from trainer.loop.progress import Progress
from trainer.reports.json_report import write_report

RECORDS, REPORT, PICTURES = "garments.jsonl", "data_report.json", "pictures"
# Photographs in hand at once: enough to keep the cores busy.
_WINDOW = 64

Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Where to write, how strictly to read, how to split."""

    out: Path
    strict: bool
    seed: int
    progress: Progress


def prepare_kfashion(
    dataset: KFashion, settings: AttributeSettings, preparation: Preparation
) -> dict[str, Any]:
    """Cut every garment out and write its record; returns the report.

    Raises InvalidData: when nothing usable is found or, strictly, when anything had to be left out.
    """
    exclusions, counts = Exclusions(), dataset.count()
    schema = AttributeSchema(settings.preprocessing())
    lines = _cut_all(dataset, schema, preparation, exclusions, sum(counts.values()))
    about = {"source": "K-Fashion", "label_files": counts}
    return _write(lines, preparation, exclusions, about, None)


def prepare_catalogue(
    table: Path, images: Path, settings: AttributeSettings, preparation: Preparation
) -> dict[str, Any]:
    """Copy every row's picture, write its record, and a vocabulary of the training part; returns the report.

    Raises InvalidData: as `prepare_kfashion`, and for a table that cannot be read.
    """
    exclusions, builder = Exclusions(), VocabularyBuilder(settings)
    lines = _copy_all(read_catalogue(table), images.resolve(), settings, preparation, exclusions)
    report = _write(lines, preparation, exclusions, {"source": table.name}, builder)
    fields = [field.model_dump() for field in builder.fields()]
    _replace(preparation.out / VOCABULARY_FILE, json.dumps({"fields": fields}, ensure_ascii=False, indent=1))
    return report


def _cut_all(
    dataset: KFashion, schema: AttributeSchema, preparation: Preparation, exclusions: Exclusions, total: int
) -> Iterator[Line]:
    found, done = dataset.photographs(), 0
    # Pillow lets go of the interpreter while it decodes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while window := list(islice(found, _WINDOW)):
            photographs = [one for one in window if isinstance(one, Photographed)]
            for problem in (one for one in window if isinstance(one, Problem)):
                exclusions.add(problem)
            for results in pool.map(lambda one: _garments(one, schema, preparation.out), photographs):
                for result in results:
                    if isinstance(result, Problem):
                        exclusions.add(result)
                    else:
                        exclusions.noted.update(result.pop("noted"))
                        yield result
            done += len(window)
            preparation.progress("cutting garments", done, total)


def _garments(one: Photographed, schema: AttributeSchema, out: Path) -> list[Line | Problem]:
    """The records of one photograph, or for each garment why it has none."""
    results: list[Line | Problem] = []
    cuts: list[tuple[LabelledGarment, Cut]] = []
    for garment in one.label.garments:
        name = f"{one.path.stem}-{garment.part}-{garment.place}"
        if not garment.attributes:
            results.append(Problem(path=one.path, reason="no attributes", detail=name))
        elif garment.box is None:
            results.append(Problem(path=one.path, reason="no polygon and no rectangle", detail=name))
        else:
            path = out / PICTURES / one.partition / one.style / f"{_tame(name)}.jpg"
            cuts.append((garment, Cut(box=garment.box, out=path)))
    stated = (one.label.width, one.label.height)
    try:
        refused = cut_photograph(one.picture, tuple(cut for _, cut in cuts), stated)
    except InvalidImage as error:
        return [*results, Problem(path=one.picture, reason="photograph not readable", detail=str(error))]
    for (garment, cut), reason in zip(cuts, refused, strict=True):
        if reason:
            results.append(Problem(path=one.path, reason=reason, detail=cut.out.stem))
        else:
            results.append(_record(one, garment, cut.out.relative_to(out), schema))
    return results


def _record(
    one: Photographed, garment: LabelledGarment, path: Path, schema: AttributeSchema
) -> Line | Problem:
    try:
        attributes = schema.normalise(dict(garment.attributes), unknown="drop")
    except InvalidAttributes as error:
        return Problem(path=one.path, reason="attributes not readable", detail=str(error))
    lists = {field.name for field in schema.fields if field.multiple}
    noted = [] if garment.from_polygon else ["box of the rectangle: no polygon"]
    return {
        "item_id": "/".join(path.with_suffix("").parts[1:]),
        "path": str(path),
        "attributes": {n: list(w) if n in lists else w[0] for n, w in attributes.items() if w},
        "group": one.label.look,
        "style_folder": one.style,
        "number": numeric_id(one.path.name),
        "noted": noted + (["rectangle disagrees with polygon"] if garment.rect_disagrees else []),
    }


def _copy_all(
    rows: Iterable[CatalogueRow],
    images: Path,
    settings: AttributeSettings,
    preparation: Preparation,
    exclusions: Exclusions,
) -> Iterator[Line]:
    spelling = AttributeSchema(settings.preprocessing()).spelling
    lists = {field.name for field in settings.fields if field.multiple}
    seen: set[str] = set()
    for done, row in enumerate(rows, start=1):
        preparation.progress("reading the catalogue", done, done)
        problem = _row_problem(row, images, seen)
        if problem:
            exclusions.add(Problem(path=Path(f"line {row.line}"), reason=problem, detail=row.image))
            continue
        seen.add(row.item_id)
        words = {
            name: [normalise_text(word, spelling) for word in found] for name, found in row.attributes.items()
        }
        yield {
            "item_id": row.item_id,
            "path": str(_copied(row, images, preparation.out)),
            "attributes": {n: w if n in lists or len(w) > 1 else w[0] for n, w in words.items()},
            "group": row.group,
        }


def _row_problem(row: CatalogueRow, images: Path, seen: set[str]) -> str:
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
    return "" if row.attributes else "no attributes"


def _copied(row: CatalogueRow, images: Path, out: Path) -> Path:
    """The picture under a name of its own in the folder; relative to it."""
    source = images / row.image
    digest = hashlib.sha256(row.item_id.encode()).hexdigest()[:8]
    relative = Path(PICTURES) / f"{_tame(source.stem)}-{digest}{source.suffix.lower()}"
    target = out / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return relative


def _write(
    lines: Iterable[Line],
    preparation: Preparation,
    exclusions: Exclusions,
    about: dict[str, Any],
    builder: VocabularyBuilder | None,
) -> dict[str, Any]:
    """Records, dealt into the split, then the report; records that are not whole are not there."""
    draft, census = RecordDraft(preparation.out / RECORDS), Census()
    try:
        _check(draft.write(lines), exclusions, preparation)
        for line in draft.deal(preparation.seed):
            census.add(line)
            if builder is not None and line["split"] == TRAIN:
                builder.add(line["attributes"])
    except BaseException:
        draft.discard()
        raise
    body = {**about, "seed": preparation.seed, **census.report(), **exclusions.report()}
    return write_report(preparation.out / REPORT, body)


def _check(count: int, exclusions: Exclusions, preparation: Preparation) -> None:
    if not count or (preparation.strict and exclusions.excluded):
        raise InvalidData(str(exclusions) or "no garment found")


def _tame(name: str) -> str:
    """A file name without what a path or a shell reads something into."""
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name).strip(".")


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)

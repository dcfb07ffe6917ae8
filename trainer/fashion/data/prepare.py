"""From label files or a shop's table to a folder to train on: pictures, records, their split, a report.

Everything that was left out is counted by reason and named; strictly, it is an error (F-1, F-2, F-5, F-6). In
memory are groups, words and counts, not records: a million of them pass through.
"""

import hashlib
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.attributes import AttributeSchema, normalise_text
from inference.errors import InvalidImage
from inference.item_table import ItemRow, read_item_table, words_of
from inference.pixels import inspect_image
from model_store.durable import replacing, write_text
from trainer.errors import InvalidData
from trainer.fashion.config import AttributeSettings, FieldSettings
from trainer.fashion.data.data_report import Exclusions, Problem, RecordCounts
from trainer.fashion.data.kfashion import KFashion, Line, cut_garments, file_name
from trainer.fashion.data.prepared_data import RECORDS, TRAIN, VAL, VOCABULARY_FILE, held_out_groups
from trainer.loop.progress import Progress
from trainer.reports.json_report import write_report

REPORT, PICTURES = "data_report.json", "pictures"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOptions:
    """Where to write, how strictly to read, how to split."""

    out: Path
    strict: bool
    seed: int
    progress: Progress


class RecordWriter:
    """A file of JSON lines that is written twice: as a draft, then with each record's part of the split.

    Until `split` ends, `path` is what it was before.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._draft = path, path.with_name(f".{path.name}.draft")
        self._groups: set[str] = set()

    def write(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Write every record to the draft; returns how many there were."""
        count = 0
        self._draft.parent.mkdir(parents=True, exist_ok=True)
        with self._draft.open("w", encoding="utf-8") as stream:
            for record in records:
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
                self._groups.add(str(record["group"]))
                count += 1
        return count

    def split(self, seed: int) -> Iterator[dict[str, Any]]:
        """Write each record with its part, a fifth of the groups to validate on, and yield it.

        Raises InvalidData: when all garments are of one group.
        """
        held = held_out_groups(self._groups, seed)
        with (
            self._draft.open(encoding="utf-8") as lines,
            replacing(self._path) as temporary,
            temporary.open("w", encoding="utf-8") as stream,
        ):
            for line in lines:
                record = json.loads(line)
                record["split"] = VAL if record["group"] in held else TRAIN
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
                yield record
        self._draft.unlink()

    def discard(self) -> None:
        """Remove the draft."""
        self._draft.unlink(missing_ok=True)


class VocabularyBuilder:
    """Collects the words of a shop's records, field by field: of the training part alone (F-4, F-6)."""

    def __init__(self, settings: AttributeSettings) -> None:
        self._known = {field.name: field for field in settings.fields}
        self._words: dict[str, Counter[str]] = defaultdict(Counter)
        self._lists = {field.name for field in settings.fields if field.multiple}

    def add(self, attributes: Mapping[str, Any]) -> None:
        """Count the words of a record of the training part."""
        for name, value in attributes.items():
            self._words[name].update([value] if isinstance(value, str) else value)
            if isinstance(value, list):
                self._lists.add(name)

    def fields(self) -> tuple[FieldSettings, ...]:
        """The fields by name; words by how often they occur, commonest first.

        A field that the settings have keeps its kind; any other is a list when a record has several words
        in it.
        """
        return tuple(
            FieldSettings(
                name=name,
                multiple=name in self._lists,
                core=name in self._known and self._known[name].core,
                words=tuple(sorted(count, key=lambda word: (-count[word], word))),
            )
            for name, count in sorted(self._words.items())
        )

    def save(self, path: Path) -> None:
        """Write the fields as JSON, whole or not at all."""
        fields = [field.model_dump() for field in self.fields()]
        write_text(path, json.dumps({"fields": fields}, ensure_ascii=False, indent=1) + "\n")


def prepare_kfashion(
    dataset: KFashion, settings: AttributeSettings, options: PrepareOptions
) -> dict[str, Any]:
    """Cut every garment out and write its record; returns the report.

    Raises InvalidData: when no garment is usable or, strictly, when anything had to be left out.
    """
    exclusions, schema = Exclusions(), AttributeSchema(settings.preprocessing())
    lines = cut_garments(dataset, schema, options.out / PICTURES, exclusions, options.progress)
    about = {"source": "K-Fashion", "label_files": dataset.count()}
    return _write(lines, options, exclusions, about, VocabularyBuilder(settings))


def prepare_table(
    table: Path, images: Path, settings: AttributeSettings, options: PrepareOptions
) -> dict[str, Any]:
    """Copy every row's picture, write its record, and a vocabulary of the training part; returns the report.

    Raises InvalidData: as `prepare_kfashion`. Raises InvalidTable: as `read_item_table`.
    """
    exclusions, vocabulary = Exclusions(), VocabularyBuilder(settings)
    lines = _copy_all(read_item_table(table), images.resolve(), settings, options, exclusions)
    report = _write(lines, options, exclusions, {"source": table.name}, vocabulary)
    vocabulary.save(options.out / VOCABULARY_FILE)
    return report


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
    relative = Path(PICTURES) / f"{file_name(source.stem)}-{digest}{source.suffix.lower()}"
    with replacing(out / relative, sync=False) as temporary:
        shutil.copyfile(source, temporary)
    return relative


def _write(
    lines: Iterable[Line],
    options: PrepareOptions,
    exclusions: Exclusions,
    about: dict[str, Any],
    vocabulary: VocabularyBuilder,
) -> dict[str, Any]:
    """Records with their part of the split, then the report; there are all records or none."""
    writer, counts = RecordWriter(options.out / RECORDS), RecordCounts()
    try:
        _check(writer.write(lines), options, exclusions)
        for line in writer.split(options.seed):
            counts.add(line)
            if line["split"] == TRAIN:
                vocabulary.add(line["attributes"])
    except BaseException:
        writer.discard()
        raise
    body = {**about, "seed": options.seed, **counts.report(), **exclusions.report()}
    return write_report(options.out / REPORT, body)


def _check(written: int, options: PrepareOptions, exclusions: Exclusions) -> None:
    if not written or (options.strict and exclusions.excluded):
        raise InvalidData(str(exclusions) or "no garment to write")

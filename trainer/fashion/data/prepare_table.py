"""A shop's table to a folder to train on: pictures, records, and the shop's own words (F-4, F-6)."""

import hashlib
import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.attributes import AttributeSchema, normalise_text
from inference.errors import InvalidImage
from inference.item_table import ItemRow, read_item_table, words_of
from inference.pixels import inspect_image
from model_store.durable import replacing
from trainer.errors import InvalidData
from trainer.fashion.config import AttributeSettings, FieldSettings
from trainer.fashion.data.data_report import Exclusions, Problem, RecordCounts
from trainer.fashion.data.prepare import PICTURES, Line, PrepareOptions, Source, write_prepared
from trainer.fashion.data.prepared_data import TRAIN
from trainer.pictures import read_picture

_PLAIN = re.compile(r"[a-z][a-z0-9_]*")


def prepare_table(
    table: Path, images: Path, settings: AttributeSettings, options: PrepareOptions
) -> dict[str, Any]:
    """Copy every row's picture, write its record, and a vocabulary of the training part; returns the report.

    Raises InvalidData: as `write_prepared`, and when two columns are one field, before anything is written.
    Raises InvalidTable: as `read_item_table`.
    """
    names: dict[str, None] = {}
    total = 0
    for row in read_item_table(table):
        total += 1
        names |= dict.fromkeys(row.attributes)
    columns = name_columns(names, settings)
    exclusions = Exclusions()
    copying = _Copying(
        columns=columns, images=images.resolve(), settings=settings, options=options, total=total
    )
    about = {"source": table.name, "columns": columns}
    source = Source(
        about=about,
        schema=lambda counts: settings.model_copy(
            update={"fields": tuple(_vocabulary(settings, counts, columns))}
        ),
        own_words=True,
    )
    return write_prepared(copying.lines(read_item_table(table), exclusions), source, options, exclusions)


def name_columns(columns: Iterable[str], settings: AttributeSettings) -> dict[str, str]:
    """The field of each column, by what `settings.columns` calls it, or its name in small letters.

    `Base Colour` is `colour`, `Brand Name` is `brand_name`; a name without Latin letters gives eight digits
    of its sha256. Raises InvalidData: when two columns are one field, naming both.
    """
    known = {_folded(word): name for word, name in settings.columns.items()}
    fields: dict[str, str] = {}
    for column in dict.fromkeys(columns):
        name = known.get(_folded(column)) or _field_name(column)
        other = next((one for one, taken in fields.items() if taken == name), None)
        if other is not None:
            raise InvalidData(
                f"the columns {other!r} and {column!r} are both the field {name}: leave one out"
            )
        fields[column] = name
    return fields


def _folded(column: str) -> str:
    return " ".join(re.split(r"[\s_\-]+", unicodedata.normalize("NFKC", column).strip().casefold()))


def _field_name(column: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", _folded(column)).strip("_")
    if _PLAIN.fullmatch(plain):
        return plain
    return f"field_{hashlib.sha256(_folded(column).encode()).hexdigest()[:8]}"


def _vocabulary(
    settings: AttributeSettings, counts: RecordCounts, columns: Mapping[str, str]
) -> Iterator[FieldSettings]:
    """The fields of the training part by name; words by how often they occur, commonest first (F-4, F-6).

    A field that the settings have keeps its kind; any other is a list when a record of any part has several
    words in it: a validation row must be readable too.
    """
    known = {field.name: field for field in settings.fields}
    labels = {name: column for column, name in columns.items()}
    for name, words in sorted(counts.words[TRAIN].items()):
        label = labels.get(name, name)
        yield FieldSettings(
            name=name,
            multiple=name in counts.lists["all"] or (name in known and known[name].multiple),
            core=name in known and known[name].core,
            words=tuple(sorted(words, key=lambda word: (-words[word], word))),
            label=label if label != name else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copying:
    """The rows of a table on their way into a folder. columns: the field of each."""

    columns: Mapping[str, str]
    images: Path
    settings: AttributeSettings
    options: PrepareOptions
    total: int

    def lines(self, rows: Iterable[ItemRow], exclusions: Exclusions) -> Iterator[Line]:
        """Copy the picture of each row and yield its record; what cannot be used is counted."""
        spelling = AttributeSchema(self.settings.preprocessing()).spelling
        lists = {field.name for field in self.settings.fields if field.multiple}
        seen: set[str] = set()
        for done, row in enumerate(rows, start=1):
            self.options.progress("reading the table", done, self.total)
            words = {self.columns[name]: words_of(value) for name, value in row.attributes.items()}
            data = self._picture(row, seen) if any(words.values()) else _problem(row, "no attributes")
            if isinstance(data, Problem):
                exclusions.add(data)
                continue
            seen.add(row.item_id)
            spelt = {
                name: [normalise_text(word, spelling) for word in own] for name, own in words.items() if own
            }
            yield {
                "item_id": row.item_id,
                "path": str(self._copied(row)),
                "attributes": {n: w if n in lists or len(w) > 1 else w[0] for n, w in spelt.items()},
                "group": row.group,
                "picture": hashlib.sha256(data).hexdigest(),
            }

    def _picture(self, row: ItemRow, seen: set[str]) -> bytes | Problem:
        """The picture of a row, or why the row has none."""
        path = (self.images / row.image).resolve()
        if row.item_id in seen:
            return _problem(row, "item_id twice")
        if not path.is_relative_to(self.images):
            return _problem(row, "picture outside the folder")
        if not path.is_file():
            return _problem(row, "no picture")
        try:
            data = read_picture(path, self.options.limits)
            inspect_image(data, self.options.limits)
        except InvalidImage as error:
            return _problem(row, "picture not readable", f"{row.image}: {error}")
        return data

    def _copied(self, row: ItemRow) -> Path:
        """The picture under a name of its own in the folder; relative to it."""
        source = self.images / row.image
        digest = hashlib.sha256(row.item_id.encode()).hexdigest()[:8]
        stem = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in source.stem).strip(".")
        relative = Path(PICTURES) / f"{stem}-{digest}{source.suffix.lower()}"
        with replacing(self.options.out / relative, sync=False) as temporary:
            shutil.copyfile(source, temporary)
        return relative


def _problem(row: ItemRow, reason: str, detail: str = "") -> Problem:
    return Problem(path=Path(f"line {row.line}"), reason=reason, detail=detail or row.image)

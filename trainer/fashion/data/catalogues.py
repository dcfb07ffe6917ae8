"""Any shop's catalogue: a table of pictures with attributes (F-6)."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.errors import InvalidData

SEPARATOR = "|"
IMAGE, ITEM, GROUP = "image", "item_id", "group"
# Fields that hold several words in every catalogue.
LISTS = ("style", "material", "detail", "print")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueRow:
    """One garment of a table: where it stands, its picture as written, its attributes as words."""

    line: int
    image: str
    item_id: str
    group: str
    attributes: Mapping[str, tuple[str, ...]]


def read_catalogue(path: Path) -> Iterator[CatalogueRow]:
    """The rows of a CSV or of JSON lines, one after another.

    The column `image` names the picture; `item_id` (by default the name of the picture) and `group` (garments
    that stay together in a split) are optional; every other column is a field of attributes, with lists
    separated by `|` in a CSV and as lists in JSON. Empty is missing. Raises InvalidData: for a file that is
    neither, that has no column `image`, or for a broken line, naming it.
    """
    rows = _json_lines(path) if path.suffix.lower() in (".jsonl", ".ndjson") else _csv(path)
    for line, row in rows:
        image = str(row.get(IMAGE) or "").strip()
        if not image:
            raise InvalidData(f"{path}: line {line}: no {IMAGE}")
        attributes = {name: _words(value) for name, value in row.items() if name not in (IMAGE, ITEM, GROUP)}
        identifier = str(row.get(ITEM) or image)
        yield CatalogueRow(
            line=line,
            image=image,
            item_id=identifier,
            group=str(row.get(GROUP) or identifier),
            attributes={name: words for name, words in attributes.items() if words},
        )


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if IMAGE not in (reader.fieldnames or ()):
                found = ", ".join(reader.fieldnames or ()) or "none"
                raise InvalidData(f"{path}: no column {IMAGE}; the columns are {found}")
            for row in reader:
                if None in row:
                    raise InvalidData(f"{path}: line {reader.line_num}: more cells than columns")
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidData(f"{path}: not readable as CSV ({type(error).__name__})") from error


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise InvalidData(f"{path}: line {number}: not JSON") from error
                if not isinstance(row, dict):
                    raise InvalidData(f"{path}: line {number}: not a JSON object")
                yield number, row
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidData(f"{path}: not readable ({type(error).__name__})") from error


def _words(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else str(value).split(SEPARATOR) if value is not None else []
    return tuple(word for item in listed if (word := str(item).strip()))

"""A shop's table of items, as CSV or JSON lines: a picture, an identifier and attributes a row.

The one reader for training (`atelier fashion prepare`) and the catalog (`atelier catalog import`): an item
has the same identifier and the same attributes in both.
"""

import codecs
import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from inference.errors import InvalidTable

IMAGE, ITEM, GROUP = "image", "item_id", "group"
# A column of JSON lines with the attributes as an object; the columns of the row are attributes beside it.
ATTRIBUTES = "attributes"
LIST_SEPARATOR = "|"
JSON_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
_SHOWN = 20
# Bytes of a file that are looked at at once.
_PIECE = 1 << 20
# What the catalog takes as an identifier, and how much of a long name stays readable in one.
_ITEM_ID = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}", re.ASCII)
_FORBIDDEN = re.compile(r"[^A-Za-z0-9._:-]+", re.ASCII)
_READABLE_LENGTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """One item of a table.

    line: the last line of its row in the file, from 1. image: the path of its picture as the table has it.
    item_id: by default that of `default_item_ids`. group: items of a group stay together in a split; by
    default the item's own identifier. attributes: text or lists of text in a CSV, JSON values in JSON lines;
    empty values are left out. other: values of the columns that the reader was asked to keep apart.
    """

    line: int
    image: str
    item_id: str
    group: str
    attributes: Mapping[str, Any]
    other: Mapping[str, Any] = field(default_factory=dict)


def read_item_table(
    path: Path,
    *,
    other: Collection[str] = (),
    instead_of_image: str = "",
    columns: Mapping[str, str] | None = None,
) -> Iterator[ItemRow]:
    """The rows of a table in order.

    columns: what columns of the table are called here, by their names there; "" leaves a column out.
    other: columns that are no attributes. instead_of_image: that of them which a row with an `item_id` may
    have in place of a picture.

    Suffix .jsonl, .ndjson or .json: a JSON object a line. Any other: CSV with a header, where `|` separates
    the values of a list; in UTF-8, with or without a byte-order mark, or else in CP949, which Korean Excel
    saves. The column `image` is required; `item_id` and `group` are optional; every other column is an
    attribute, as is what an object `attributes` of JSON lines holds, which stays as it is. The file is read
    twice, so that an error comes before the first row.
    Raises InvalidTable: for a file that cannot be read or has no column `image`, and for bad rows, each
    with its line and its fault.
    """
    problems: list[str] = []
    pictures: list[str] = []
    renamed = columns or {}
    for line, row in _rows(path, renamed):
        if isinstance(row, str):
            problems.append(f"line {line}: {row}")
        elif _text(row, IMAGE):
            pictures.append(_picture(row))
        elif not (instead_of_image and row.get(instead_of_image)):
            problems.append(f"line {line}: no {IMAGE}")
        elif not _text(row, ITEM):
            problems.append(f"line {line}: no {ITEM}, which a row without {IMAGE} needs")
    if problems:
        more = f"\n  … and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        listed = "\n  ".join(problems[:_SHOWN])
        raise InvalidTable(f"{path}: bad rows: {len(problems)}\n  {listed}{more}")
    defaults = default_item_ids(pictures)
    return (_item(line, row, defaults, other) for line, row in _rows(path, renamed) if isinstance(row, dict))


def default_item_ids(names: Sequence[str]) -> dict[str, str]:
    """An identifier for each picture by its name: its path below the folder of pictures, with `/`.

    The identifier is the name without its suffix; with it where two names differ in nothing else. A name
    with other characters than an identifier may have keeps the rest and gets eight digits of its sha256: any
    two names differ, and the same names have the same identifiers next time.
    """
    plain = dict.fromkeys(names)
    stems = Counter(_stem(name) for name in plain)
    identifiers: dict[str, str] = {}
    for name in plain:
        identifier = _stem(name) if stems[_stem(name)] == 1 else name
        if not _ITEM_ID.fullmatch(identifier):
            kept = _FORBIDDEN.sub("-", identifier).strip(".-")[:_READABLE_LENGTH]
            identifier = f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")
        identifiers[name] = identifier
    return identifiers


def words_of(value: object) -> tuple[str, ...]:
    """The words of an attribute: those of a list, or the text itself; without space around, none empty."""
    listed = value if isinstance(value, list | tuple) else [] if value is None else [value]
    return tuple(word for item in listed if (word := str(item).strip()))


def _item(line: int, row: Mapping[str, Any], defaults: Mapping[str, str], other: Collection[str]) -> ItemRow:
    image, record = _text(row, IMAGE), row.get(ATTRIBUTES)
    nested = record if isinstance(record, dict) else {}
    apart = {IMAGE, ITEM, GROUP, *other} | ({ATTRIBUTES} if record is nested else set())
    identifier = _text(row, ITEM) or defaults[_picture(row)]
    return ItemRow(
        line=line,
        image=image,
        item_id=identifier,
        group=_text(row, GROUP) or identifier,
        attributes={
            name: value
            for name, value in row.items()
            if name and name not in apart and value not in (None, "", [])
        }
        | nested,
        other={name: row[name] for name in other if row.get(name) not in (None, "", [])},
    )


def _rows(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Line and row, or what is wrong with it."""
    try:
        if path.suffix.lower() in JSON_SUFFIXES:
            for line, row in _json_lines(path):
                yield line, row if isinstance(row, str) else _renamed(row, columns)
        else:
            yield from _csv(path, columns)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidTable(f"{path}: cannot be read as a table ({error})") from error


def _csv(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    with path.open(newline="", encoding=_encoding(path)) as stream:
        reader = csv.DictReader(stream)
        names = [name.strip() for name in reader.fieldnames or ()]
        listed = ", ".join(names) or "none"
        reader.fieldnames = [columns.get(name, name) for name in names]
        for name, here in columns.items():
            if here and here not in reader.fieldnames:
                raise InvalidTable(f"{path}: no column {name} to call {here}; the columns are {listed}")
        if IMAGE not in reader.fieldnames:
            raise InvalidTable(f"{path}: no column {IMAGE}; the columns are {listed}")
        twice = [name for name, count in Counter(filter(None, reader.fieldnames)).items() if count > 1]
        if twice and columns:
            raise InvalidTable(f"{path}: two columns are called {twice[0]}; the columns are {listed}")
        for row in reader:
            if None in row:
                yield reader.line_num, "more cells than columns"
            else:
                yield reader.line_num, {name: _cell(text or "") for name, text in row.items()}


def _renamed(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    return {columns.get(name, name): value for name, value in row.items() if columns.get(name, name)}


def _encoding(path: Path) -> str:
    """UTF-8 where all of the file is; else CP949, whose own errors are then raised by who reads it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as stream:
        try:
            while piece := stream.read(_PIECE):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp949"
    return "utf-8-sig"


def _cell(text: str) -> str | list[str]:
    if LIST_SEPARATOR not in text:
        return text.strip()
    return [word for part in text.split(LIST_SEPARATOR) if (word := part.strip())]


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                yield number, "not JSON"
            else:
                yield number, row if isinstance(row, dict) else "not a JSON object"


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()


def _picture(row: Mapping[str, Any]) -> str:
    """The path of the picture in the spelling that identifiers follow: without `./` and doubled `/`."""
    return PurePosixPath(_text(row, IMAGE)).as_posix()


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name

"""Rows of a table of artworks, CSV or JSON, and the texts in them (A-1)."""

import csv
import io
import json
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.errors import InvalidData

_LONGEST = 80

Row = Mapping[str, Any]


class BadField(Exception):
    """A field is not a text; the message says which and why."""


def read_rows(path: Path, required: Sequence[str]) -> Iterator[tuple[int, Row]]:
    """Each row with its number: of a CSV that of its last line, of a JSON list its place in it, from 1.

    Raises InvalidData: when the file is not readable or not a table with the required columns.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InvalidData(f"{path}: not readable ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InvalidData(f"{path}: line {line}: not UTF-8") from error
    yield from _json_rows(path, text) if path.suffix.lower() == ".json" else _csv_rows(path, text, required)


def text_of(row: Row, name: str) -> str:
    """The text of a field without spaces around it, composed (NFC); empty where there is none.

    Two spellings that look the same are the same: an artist in both would be in two parts of a split.
    Raises BadField: for a list, a mapping, a number that is none, and for signs that no text has.
    """
    value = row.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadField(f"{name} is {shown(value)}, no text")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadField(f"{name} is {value}")
    text = unicodedata.normalize("NFC", str(value).strip())
    # Cc: control characters; Cs: halves of a character, which cannot be written anywhere.
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text):
        raise BadField(f"{name} {shown(text)} holds control characters")
    return text


def shown(value: object) -> str:
    """A value as a message may show it: on one line, not longer than it helps, quoted where it is odd."""
    plain = isinstance(value, str) and value.isprintable() and value == value.strip() != ""
    text = str(value) if plain else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _csv_rows(path: Path, text: str, required: Sequence[str]) -> Iterator[tuple[int, Row]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        _check_columns(path, names, required)
        reader.fieldnames = names
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InvalidData(f"{path}: line {reader.line_num + 1}: not CSV ({error})") from error


def _check_columns(path: Path, names: Sequence[str], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in names]
    if missing:
        raise InvalidData(
            f"{path}: no column {', '.join(missing)}; the first line is {shown(','.join(names))}, and names "
            "of columns are separated by commas"
        )
    double = sorted({name for name in names if name and names.count(name) > 1})
    if double:
        raise InvalidData(f"{path}: more than one column {', '.join(double)}")


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Row]]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"{path}: not JSON: {error}") from error
    if not isinstance(body, list):
        raise InvalidData(f"{path}: not a list of rows")
    for number, row in enumerate(body, start=1):
        yield number, row if isinstance(row, dict) else {}

"""Artworks with their tiers, read from CSV or JSON and checked as a whole (A-1)."""

import csv
import hashlib
import io
import json
import logging
import math
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from inference.errors import InvalidImage
from inference.pixels import DEFAULT_LIMITS, ImageLimits
from trainer.artwork.data.copies import fingerprint
from trainer.errors import InvalidData
from trainer.loop.progress import Progress, silent
from trainer.pictures import read_picture

TIERS = ("S", "A", "B", "C")
RANKS = {tier: len(TIERS) - position for position, tier in enumerate(TIERS)}
REQUIRED = ("image_id", "path", "tier")
OPTIONAL = ("artist", "department")
_COLUMNS = (*REQUIRED, *OPTIONAL, "picture_digest", "fingerprint", "problem")
# Rows, letters of a value and letters of a tier that a message shows at most.
_MOST_ROWS, _MOST_LETTERS, _MOST_TIER = 50, 80, 20

_Row = Mapping[str, Any]
_log = logging.getLogger(__name__)


class _BadField(Exception):
    """A field is not usable; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artwork:
    """One picture: its file, its tier and whose it is.

    fingerprint: what it looks like, by which its copies are known; see `copies`. Empty for none.
    """

    image_id: str
    path: Path
    tier: str
    artist: str
    department: str | None
    picture_digest: str
    fingerprint: bytes = b""

    @property
    def rank(self) -> int:
        """4 for tier S down to 1 for C."""
        return RANKS[self.tier]

    @property
    def picture_key(self) -> int:
        """64 bits of the picture's digest, signed: enough to know it again."""
        return int.from_bytes(bytes.fromhex(self.picture_digest[:16]), "big", signed=True)


def read_metadata(
    path: Path, images: Path, limits: ImageLimits = DEFAULT_LIMITS, progress: Progress = silent
) -> tuple[Artwork, ...]:
    """The artworks that `path` (CSV or JSON) lists; their pictures lie under `images`.

    Every picture is decoded once. Without an artist each image is its own artist, and a warning is logged.
    Raises InvalidData: listing every bad row with its number, or saying why the file is not readable.
    """
    if not images.is_dir():
        raise InvalidData(f"{images}: no folder, so there are no images")
    numbered = list(_read_rows(path))
    table = pd.DataFrame(
        list(_checked([row for _, row in numbered], images.resolve(), limits, progress)),
        index=[number for number, _ in numbered],
        columns=list(_COLUMNS),
        dtype=object,
    )
    _refuse_copies(table)
    bad = table.problem[table.problem != ""]
    if len(bad):
        raise InvalidData(_listed(path, [f"row {number}: {problem}" for number, problem in bad.items()]))
    if table.empty:
        raise InvalidData(f"{path}: no rows")
    nameless = table.artist == ""
    if nameless.any():
        _log.warning(
            "artworks without an artist: each counts as its own", extra={"count": int(nameless.sum())}
        )
    table["artist"] = table.artist.mask(nameless, "image " + table.image_id)
    rows = table.drop(columns="problem").to_dict("records")
    return tuple(Artwork(**{str(name): value for name, value in row.items()}) for row in rows)


def data_version(artworks: tuple[Artwork, ...]) -> str:
    """sha256, hexadecimal, of ids, tiers, artists and picture bytes: what a model was trained on."""
    lines = sorted(f"{a.image_id}\t{a.tier}\t{a.artist}\t{a.picture_digest}" for a in artworks)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _checked(
    rows: Sequence[_Row], images: Path, limits: ImageLimits, progress: Progress
) -> Iterator[dict[str, Any]]:
    """Of each row what `_check` says, by as many threads as there are cores: decoders run side by side."""
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="metadata") as pool:
        checked = pool.map(lambda row: _check(row, images, limits), rows)
        for done, fields in enumerate(checked, start=1):
            progress("reading artworks", done, len(rows))
            yield fields


def _check(row: _Row, images: Path, limits: ImageLimits) -> dict[str, Any]:
    """The fields of an artwork by name, or the problem of its row."""
    try:
        return {**_read_fields(row, images, limits), "problem": ""}
    except _BadField as error:
        return {"problem": str(error)}


def _read_fields(row: _Row, images: Path, limits: ImageLimits) -> dict[str, Any]:
    fields: dict[str, Any] = {name: _text(row, name) for name in (*REQUIRED, *OPTIONAL)}
    missing = [name for name in REQUIRED if not fields[name]]
    if missing:
        raise _BadField(f"no {', '.join(missing)}")
    if row.get(None):  # type: ignore[call-overload]
        raise _BadField("more values than columns; a value with a comma in it stands in double quotes")
    tier, name = fields["tier"], str(row["path"])
    if tier not in TIERS:
        raise _BadField(f"unknown tier {tier[:_MOST_TIER]!r}, expected one of {', '.join(TIERS)}")
    place = _placed(name, images)
    department = fields["department"] or None
    return {**fields, "path": place, "department": department, **_inspect(place, name, limits)}


def _refuse_copies(table: pd.DataFrame) -> None:
    """Name the first good row of an id as the problem of every later one."""
    good = table[table.problem == ""]
    first = good.index.to_series().groupby(good.image_id).transform("first")
    for number in good.index[first != good.index]:
        image_id = _shown(good.image_id[number])
        table.loc[number, "problem"] = f"image_id {image_id} is row {first[number]} already"


def _placed(name: str, images: Path) -> Path:
    """The file that a row names. Raises _BadField: when it is none, or not in the folder."""
    try:
        path = (images / name).resolve()
        inside, there = path.is_relative_to(images), path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        # Too long a name, links in a circle: no file either.
        raise _BadField(f"no file {_shown(name)}") from error
    if not inside:
        raise _BadField(f"path {_shown(name)} leaves the images folder")
    if not there:
        raise _BadField(f"no file {_shown(name)}")
    return path


def _inspect(path: Path, name: str, limits: ImageLimits) -> dict[str, str | bytes]:
    """Digest and fingerprint of a picture that decodes. Raises _BadField: naming the picture."""
    try:
        data = read_picture(path, limits)
        return {"picture_digest": hashlib.sha256(data).hexdigest(), "fingerprint": fingerprint(data, limits)}
    except OSError as error:
        raise _BadField(f"{name}: not readable ({error.strerror})") from error
    except InvalidImage as error:
        raise _BadField(f"{name}: {error}") from error


def _listed(path: Path, problems: list[str]) -> str:
    more = f"\n  … and {len(problems) - _MOST_ROWS} more" if len(problems) > _MOST_ROWS else ""
    count = "1 bad row" if len(problems) == 1 else f"{len(problems)} bad rows"
    return f"{path}: {count}\n  " + "\n  ".join(problems[:_MOST_ROWS]) + more


def _read_rows(path: Path) -> Iterator[tuple[int, _Row]]:
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
    yield from _json_rows(path, text) if path.suffix.lower() == ".json" else _csv_rows(path, text)


def _text(row: _Row, name: str) -> str:
    """The text of a field without spaces around it, composed (NFC); empty where there is none.

    Two spellings that look the same are the same: an artist in both would be in two parts of a split.
    Raises _BadField: for a list, a mapping, a number that is none, and for signs that no text has.
    """
    value = row.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _BadField(f"{name} is {_shown(value)}, no text")
    if isinstance(value, float) and not math.isfinite(value):
        raise _BadField(f"{name} is {value}")
    text = unicodedata.normalize("NFC", str(value).strip())
    # Cc: control characters; Cs: halves of a character, which cannot be written anywhere.
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text):
        raise _BadField(f"{name} {_shown(text)} holds control characters")
    return text


def _shown(value: object) -> str:
    """A value as a message may show it: on one line, not longer than it helps, quoted where it is odd."""
    plain = isinstance(value, str) and value.isprintable() and value == value.strip() != ""
    text = str(value) if plain else repr(value)
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, _Row]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        _check_columns(path, names)
        reader.fieldnames = names
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InvalidData(f"{path}: line {reader.line_num + 1}: not CSV ({error})") from error


def _check_columns(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise InvalidData(
            f"{path}: no column {', '.join(missing)}; the first line is {_shown(','.join(names))}, and names "
            "of columns are separated by commas"
        )
    double = sorted({name for name in names if name and names.count(name) > 1})
    if double:
        raise InvalidData(f"{path}: more than one column {', '.join(double)}")


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, _Row]]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"{path}: not JSON: {error}") from error
    if not isinstance(body, list):
        raise InvalidData(f"{path}: not a list of rows")
    for number, row in enumerate(body, start=1):
        yield number, row if isinstance(row, dict) else {}

"""Artworks with their tiers, read from CSV or JSON and checked as a whole (A-1)."""

import csv
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.errors import InvalidImage
from inference.pixels import inspect_image
from trainer.errors import InvalidData

TIERS = ("S", "A", "B", "C")
RANKS = {tier: len(TIERS) - position for position, tier in enumerate(TIERS)}
REQUIRED = ("image_id", "path", "tier")
_SHOWN = 50

_log = logging.getLogger(__name__)
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artwork:
    """One picture: its file, its tier and whose it is."""

    image_id: str
    path: Path
    tier: str
    artist: str
    department: str | None
    picture_digest: str

    @property
    def rank(self) -> int:
        """4 for tier S down to 1 for C."""
        return RANKS[self.tier]


def read_metadata(path: Path, images: Path) -> tuple[Artwork, ...]:
    """The artworks that `path` (CSV or JSON) lists; their pictures lie under `images`.

    Without an artist each image is its own artist, and a warning is logged.
    Raises InvalidData: listing every bad row with its number, or saying why the file is not readable.
    """
    problems: list[str] = []
    artworks: list[Artwork] = []
    seen: dict[str, int] = {}
    nameless = 0
    for number, row in _rows(path):
        artwork, problem = _check(row, images.resolve())
        if artwork is None:
            problems.append(f"row {number}: {problem}")
        elif artwork.image_id in seen:
            problems.append(
                f"row {number}: image_id {artwork.image_id} is row {seen[artwork.image_id]} already"
            )
        else:
            seen[artwork.image_id] = number
            nameless += not row.get("artist")
            artworks.append(artwork)
    if problems:
        raise InvalidData(_listed(path, problems))
    if not artworks:
        raise InvalidData(f"{path}: no rows")
    if nameless:
        _log.warning("artworks without an artist: each counts as its own", extra={"count": nameless})
    return tuple(artworks)


def data_version(artworks: tuple[Artwork, ...]) -> str:
    """sha256, hexadecimal, of ids, tiers, artists and picture bytes: what a model was trained on."""
    lines = sorted(f"{a.image_id}\t{a.tier}\t{a.artist}\t{a.picture_digest}" for a in artworks)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        if path.suffix.lower() == ".json":
            yield from _json_rows(path)
        else:
            yield from _csv_rows(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidData(f"{path}: not readable ({type(error).__name__})") from error


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
        if missing:
            raise InvalidData(f"{path}: no column {', '.join(missing)}")
        for row in reader:
            yield reader.line_num, row


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidData(f"{path}: not JSON: {error}") from error
    if not isinstance(body, list):
        raise InvalidData(f"{path}: not a list of rows")
    for number, row in enumerate(body, start=1):
        yield number, row if isinstance(row, dict) else {}


def _check(row: Row, images: Path) -> tuple[Artwork | None, str]:
    missing = [name for name in REQUIRED if not row.get(name)]
    if missing:
        return None, f"no {', '.join(missing)}"
    tier = str(row["tier"]).strip()
    if tier not in TIERS:
        return None, f"unknown tier {tier!r}, expected one of {', '.join(TIERS)}"
    path = (images / str(row["path"])).resolve()
    if not path.is_relative_to(images):
        return None, f"path {row['path']} leaves the images folder"
    if not path.is_file():
        return None, f"no file {row['path']}"
    data = path.read_bytes()
    try:
        inspect_image(data)
    except InvalidImage as error:
        return None, f"{row['path']}: {error}"
    identifier = str(row["image_id"])
    return Artwork(
        image_id=identifier,
        path=path,
        tier=tier,
        artist=str(row.get("artist") or f"image {identifier}"),
        department=str(row["department"]) if row.get("department") else None,
        picture_digest=hashlib.sha256(data).hexdigest(),
    ), ""


def _listed(path: Path, problems: list[str]) -> str:
    more = f"\n  … and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return f"{path}: {len(problems)} bad rows\n  " + "\n  ".join(problems[:_SHOWN]) + more

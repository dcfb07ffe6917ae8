"""Artworks with their tiers, read from CSV or JSON and checked as a whole (A-1)."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from inference.errors import InvalidImage
from inference.pixels import DEFAULT_LIMITS, inspect_image
from trainer.artwork.table import BadField, Row, read_rows, shown, text_of
from trainer.errors import InvalidData

TIERS = ("S", "A", "B", "C")
RANKS = {tier: len(TIERS) - position for position, tier in enumerate(TIERS)}
REQUIRED = ("image_id", "path", "tier")
OPTIONAL = ("artist", "department")
_SHOWN = 50
_LONGEST_TIER = 20
_MEBI = 1 << 20

_log = logging.getLogger(__name__)


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

    @property
    def picture_key(self) -> int:
        """64 bits of the picture's digest, signed: enough to know it again."""
        return int.from_bytes(bytes.fromhex(self.picture_digest[:16]), "big", signed=True)


def read_metadata(path: Path, images: Path) -> tuple[Artwork, ...]:
    """The artworks that `path` (CSV or JSON) lists; their pictures lie under `images`.

    Without an artist each image is its own artist, and a warning is logged.
    Raises InvalidData: listing every bad row with its number, or saying why the file is not readable.
    """
    if not images.is_dir():
        raise InvalidData(f"{images}: no folder, so there are no images")
    problems: list[str] = []
    artworks: list[Artwork] = []
    seen: dict[str, int] = {}
    nameless = 0
    for number, row in read_rows(path, REQUIRED):
        artwork, problem = _check(row, images.resolve())
        if artwork is None:
            problems.append(f"row {number}: {problem}")
        elif artwork.image_id in seen:
            problems.append(
                f"row {number}: image_id {shown(artwork.image_id)} is row {seen[artwork.image_id]} already"
            )
        else:
            seen[artwork.image_id] = number
            nameless += artwork.artist == f"image {artwork.image_id}"
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


def _check(row: Row, images: Path) -> tuple[Artwork | None, str]:
    """The artwork of a row, or what is wrong with it."""
    try:
        fields = {name: text_of(row, name) for name in (*REQUIRED, *OPTIONAL)}
        missing = [name for name in REQUIRED if not fields[name]]
        if missing:
            return None, f"no {', '.join(missing)}"
        if row.get(None):  # type: ignore[call-overload]
            return None, "more values than columns; a value with a comma in it stands in double quotes"
        if fields["tier"] not in TIERS:
            return (
                None,
                f"unknown tier {fields['tier'][:_LONGEST_TIER]!r}, expected one of {', '.join(TIERS)}",
            )
        path = _placed(str(row["path"]), images)
        digest = _inspect(path, str(row["path"]))
    except BadField as error:
        return None, str(error)
    return Artwork(
        image_id=fields["image_id"],
        path=path,
        tier=fields["tier"],
        artist=fields["artist"] or f"image {fields['image_id']}",
        department=fields["department"] or None,
        picture_digest=digest,
    ), ""


def _placed(name: str, images: Path) -> Path:
    """The file that a row names. Raises BadField: when it is none, or not in the folder."""
    try:
        path = (images / name).resolve()
        inside, there = path.is_relative_to(images), path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        # Too long a name, links in a circle: no file either.
        raise BadField(f"no file {shown(name)}") from error
    if not inside:
        raise BadField(f"path {shown(name)} leaves the images folder")
    if not there:
        raise BadField(f"no file {shown(name)}")
    return path


def _inspect(path: Path, name: str) -> str:
    """The sha256 of a picture whose header is good. Raises BadField: naming the picture."""
    try:
        size = path.stat().st_size
        if size > DEFAULT_LIMITS.byte_count:
            bound = DEFAULT_LIMITS.byte_count / _MEBI
            raise BadField(f"{name}: {size / _MEBI:.1f} MiB, the bound is {bound:.1f} MiB")
        data = path.read_bytes()
        inspect_image(data)
    except OSError as error:
        raise BadField(f"{name}: not readable ({error.strerror})") from error
    except InvalidImage as error:
        raise BadField(f"{name}: {error}") from error
    return hashlib.sha256(data).hexdigest()


def _listed(path: Path, problems: list[str]) -> str:
    more = f"\n  … and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    count = "1 bad row" if len(problems) == 1 else f"{len(problems)} bad rows"
    return f"{path}: {count}\n  " + "\n  ".join(problems[:_SHOWN]) + more

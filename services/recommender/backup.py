"""Copies of a whole catalog, made while it is served, and put back whole or not at all (R-12).

A backup is a directory: `backup.json`, `catalogue.db`, `feedback.db` if there is one, and the pictures that
items name. The index is not in it: it is made again from the catalog. Everything is checked as it is copied,
and appears under its name by one rename.
"""

import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from model_store.durable import (
    LockHeld,
    acquire,
    checkpoint,
    hash_file,
    rename,
    staging,
    sync_tree,
    write_text,
)
from services.recommender.catalog.database import FILE, HEAD, LOCK, translated
from services.recommender.catalog.rows import check_rows, fetch
from services.recommender.errors import CatalogError, CatalogHeld, DamagedCatalog, NewerSchema
from services.recommender.insight import feedback

DESCRIPTION: Final = "backup.json"
PICTURES: Final = "pictures"
FORMAT: Final = 1
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
# An empty file system has this directory.
_LOST: Final = "lost+found"

Report = Callable[[int, int], None]


def _discard(_done: int, _total: int) -> None:
    """Discard the progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogBackup:
    """What a backup holds. schema: of the catalog. files: sha256 of each database by its name."""

    schema: str
    catalogue_id: str
    item_count: int
    picture_count: int
    files: dict[str, str]


def back_up(root: Path, out: Path, *, report: Report = _discard) -> CatalogBackup:
    """Copy the catalog in `root`, which a service may hold, into the new directory `out`.

    Pictures are hard links where `out` is on the same file system, else copies. report: called with the
    number of pictures done and in all.
    Raises CatalogError: if there is no catalog, its schema is not the present one, or `out` is not empty.
    Raises DamagedCatalog: naming the first damaged item or picture. Raises DiskFull, OSError.
    """
    root, out = root.absolute(), out.absolute()
    if not (root / FILE).is_file():
        raise CatalogError(f"there is no catalog in {root}: it has no {FILE}")
    _check_empty(out)
    with translated(opening=True), staging(out) as staged:
        # In this order: a picture is on disk before its row, and stays for a while after the last row.
        _copy_database(root / FILE, staged / FILE)
        if (root / feedback.FILE).is_file():
            _copy_database(root / feedback.FILE, staged / feedback.FILE)
        with _reading(staged / FILE) as connection:
            made = _describe(connection, staged)
            digests = _pictures_of(connection)
        _place_pictures(root / PICTURES, staged / PICTURES, digests, report)
        write_text(staged / DESCRIPTION, json.dumps({"format": FORMAT, **asdict(made)}, indent=2) + "\n")
        sync_tree(staged)
        checkpoint("before backup")
        rename(staged, out)
    return made


def examine(root: Path) -> CatalogBackup:
    """What a backup of the catalog in `root` would hold, every row and picture checked; it is only read.

    The database is copied aside to be read at rest, as for a backup; pictures are read where they are.
    Raises CatalogError, DamagedCatalog, DiskFull, OSError: as `back_up`.
    """
    root = root.absolute()
    with translated(opening=True), tempfile.TemporaryDirectory(prefix="atelier-") as folder:
        _copy_database(root / FILE, Path(folder, FILE))
        with _reading(Path(folder, FILE)) as connection:
            held, digests = _describe(connection, Path(folder)), _pictures_of(connection)
        for digest in digests:
            _check_picture(root / PICTURES / digest[:2] / digest)
    return held


def restore(backup: Path, root: Path, *, report: Report = _discard) -> CatalogBackup:
    """Put a backup into `root`, which is absent or empty, after all of it was checked.

    Raises CatalogHeld: if a process holds the catalog there, naming the process. Raises CatalogError: if
    `root` is not empty, or `backup` is no backup. Raises DamagedCatalog: naming what differs from what was
    backed up. Raises NewerSchema, DiskFull, OSError. After any of them `root` is as it was.
    """
    root = root.absolute()
    _check_not_held(root)
    _check_empty(root)
    made = _read_description(backup)
    place = root / root.name if root.is_mount() else root
    with translated(opening=True), staging(place) as staged:
        for name, digest in made.files.items():
            _copy_file(backup / name, staged / name, digest)
        with _reading(staged / FILE) as connection:
            digests = _pictures_of(connection)
        _place_pictures(backup / PICTURES, staged / PICTURES, digests, report)
        sync_tree(staged)
        checkpoint("before restore")
        if root.is_mount():
            move_entries(staged, root)
        else:
            rename(staged, root)
    return made


def move_entries(staged: Path, root: Path) -> None:
    """Move a checked catalog into a directory that cannot be replaced, such as a mounted volume.

    The database comes last: until then a recommender refuses to start over the pictures without it.
    Raises CatalogHeld: if a process opened a catalog there meanwhile.
    """
    lock = _acquire(root)
    try:
        if (root / FILE).exists():
            raise CatalogError(f"{root} was filled meanwhile")
        for path in sorted(staged.iterdir(), key=lambda path: (path.name == FILE, path.name != PICTURES)):
            rename(path, root / path.name)
            checkpoint(f"moved {path.name}")
    finally:
        lock.release()


def _acquire(root: Path) -> Any:
    try:
        return acquire(root / LOCK)
    except LockHeld as error:
        raise CatalogHeld(f"the catalog in {root} is held by process {error.holder}") from error


def _check_not_held(root: Path) -> None:
    if (root / LOCK).is_file():
        _acquire(root).release()


def _check_empty(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise CatalogError(f"{directory} is not a directory")
    if directory.is_dir() and any(path.name != _LOST for path in directory.iterdir()):
        raise CatalogError(f"{directory} is not empty: name a new directory, or move its files away")


def _copy_database(source: Path, target: Path) -> None:
    """Copy a database in one step, so that what is written meanwhile does not begin it anew."""
    origin = sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)
    with closing(origin), closing(sqlite3.connect(target)) as copy:
        origin.backup(copy)
        problem = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if problem != "ok":
        raise DamagedCatalog(f"{source.name} is damaged: {problem}")
    for left in ("-wal", "-shm"):
        target.with_name(target.name + left).unlink(missing_ok=True)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a database that nothing writes; it leaves no files beside it."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        yield connection


def _describe(connection: sqlite3.Connection, staged: Path) -> CatalogBackup:
    """What was copied, every row checked."""
    (schema,) = connection.execute("select version_num from alembic_version").fetchone()
    if schema != HEAD:
        raise CatalogError(
            f"the catalog has schema {schema}, not {HEAD}: start the recommender to migrate it"
        )
    (catalogue_id,) = connection.execute("select catalogue_id from catalogue").fetchone()
    return CatalogBackup(
        schema=schema,
        catalogue_id=catalogue_id,
        item_count=check_rows(connection),
        picture_count=len(_pictures_of(connection)),
        files={path.name: hash_file(path) for path in sorted(staged.glob("*.db"))},
    )


def _pictures_of(connection: sqlite3.Connection) -> list[str]:
    rows = fetch(connection, "select distinct picture_digest from items where picture_digest <> ''")
    digests = [digest for (digest,) in rows]
    for digest in digests:
        if not _DIGEST.fullmatch(str(digest)):
            raise DamagedCatalog("the name of a picture is damaged")
    return sorted(digests)


def _place_pictures(source: Path, target: Path, digests: Iterable[str], report: Report) -> None:
    """Link or copy pictures; then check each, while nothing can remove them any more."""
    pairs = [(digest, target / digest[:2] / digest) for digest in digests]
    target.mkdir()
    for digest, path in pairs:
        path.parent.mkdir(exist_ok=True)
        _link_or_copy(source / digest[:2] / digest, path)
    for done, (_, path) in enumerate(pairs, 1):
        _check_picture(path)
        report(done, len(pairs))


def _check_picture(path: Path) -> None:
    """Raises DamagedCatalog: if a picture is missing, or its bytes are not those that its name states."""
    if path.is_symlink() or not path.is_file():
        raise DamagedCatalog(f"picture {path.name[:12]} is missing")
    if hash_file(path) != path.name:
        raise DamagedCatalog(f"picture {path.name[:12]} is not what was stored: its hash differs")


def _link_or_copy(source: Path, target: Path) -> None:
    if source.is_symlink() or not source.is_file():
        raise DamagedCatalog(f"picture {source.name[:12]} is missing")
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _copy_file(source: Path, target: Path, digest: str) -> None:
    """Copy a database, which is later written in place, so that the backup never changes with it."""
    if source.is_symlink() or not source.is_file():
        raise DamagedCatalog(f"the backup lacks its {source.name}")
    shutil.copyfile(source, target)
    if hash_file(target) != digest:
        raise DamagedCatalog(f"{source.name} is not what was backed up: its hash differs")


def _read_description(backup: Path) -> CatalogBackup:
    path = backup / DESCRIPTION
    if not path.is_file():
        raise CatalogError(f"{backup} is not a backup: it has no {DESCRIPTION}")
    try:
        body = json.loads(path.read_text())
        version = body.pop("format")
        made = CatalogBackup(**body) if version == FORMAT else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCatalog(f"{path} is damaged: {error}") from error
    if made is None:
        raise NewerSchema(f"the backup has format {version}, this build reads {FORMAT}")
    if made.schema > HEAD:
        raise NewerSchema(f"the backup has schema {made.schema}, this build reads up to {HEAD}")
    if FILE not in made.files or not set(made.files) <= {FILE, feedback.FILE}:
        raise DamagedCatalog(f"{path} is damaged: it names {', '.join(sorted(made.files)) or 'no file'}")
    return made

"""The catalog's SQLite file: who may open it, its schema, its connections.

One connection writes and checkpoints, since SQLite before 3.51.3 can corrupt a WAL that several
connections write. Others only read. One process at a time: the lock file names the holder.
"""

import errno
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import QueuePool, StaticPool

from model_store.durable import Lock, LockHeld, acquire, replacing
from services.recommender.errors import (
    CatalogError,
    CatalogHeld,
    DamagedCatalog,
    DiskFailed,
    DiskFull,
    NewerSchema,
)

FILE = "catalogue.db"
LOCK = "catalogue.lock"
HEAD = "0002"  # the last schema among the migrations
_MIGRATIONS = Path(__file__).parent / "migrations"
_READERS = 8
_BUSY_S = 5.0
# Larger than SQLite's own page: a row of a vector with 512 components fills more than half of that.
_PAGE_BYTES = 8192
# So much is written before a commit has to checkpoint; `checkpoint` does it earlier, between the writes.
_MOST_WAL_PAGES = (64 << 20) // _PAGE_BYTES

log = logging.getLogger(__name__)

_DISK_CODES = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)


class Database:
    """The open file, migrated and held by this process alone.

    Raises CatalogHeld: if another process holds it, naming that process. Raises NewerSchema: naming both
    schemas. Raises DiskFull. Raises DamagedCatalog: if the file is not a database, or is missing although
    `may_be_new` is false. Raises CatalogError: if it cannot be opened. Raises OSError.
    """

    def __init__(self, root: Path, *, may_be_new: bool = True) -> None:
        root.mkdir(parents=True, exist_ok=True)
        if (root / FILE).is_dir():
            raise DamagedCatalog(f"{FILE} is a directory, not a database: move it away")
        self._lock = _acquire(root / LOCK)
        try:
            self._writer = _writing_engine(root / FILE)
            with translated(opening=True):
                _migrate(self._writer, root, may_be_new=may_be_new)
            self._reader = _reading_engine(root / FILE)
        except BaseException:
            self._lock.release()
            raise

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A write transaction, on disk when the block ends. Raises DiskFull, DiskFailed, DamagedCatalog."""
        with translated(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read transaction: everything in the block sees one state. Raises DamagedCatalog."""
        with translated(), self._reader.begin() as connection:
            yield connection

    def checkpoint(self) -> None:
        """Move what was written from the log of SQLite into the file, on the thread that writes."""
        with translated(), self._writer.connect() as connection:
            driver(connection).execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Close the readers first, so that the writing connection is the one that checkpoints."""
        self._reader.dispose()
        self._writer.dispose()
        self._lock.release()


def driver(connection: Connection) -> sqlite3.Connection:
    """The driver's connection, for the statements that are too many or too large for a layer above it."""
    held = connection.connection.driver_connection
    assert isinstance(held, sqlite3.Connection)
    return held


def _acquire(path: Path) -> Lock:
    try:
        return acquire(path)
    except LockHeld as error:
        raise CatalogHeld(f"the catalog in {path.parent} is held by process {error.holder}") from error


def _writing_engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "timeout": _BUSY_S},
    )
    _prepare(
        engine,
        begin="BEGIN IMMEDIATE",
        pragmas=(
            f"page_size={_PAGE_BYTES}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"wal_autocheckpoint={_MOST_WAL_PAGES}",
        ),
    )
    return engine


def _reading_engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///file:{path.resolve()}?mode=ro&uri=true",
        poolclass=QueuePool,
        pool_size=_READERS,
        connect_args={"check_same_thread": False},
    )
    _prepare(engine, begin="BEGIN", pragmas=("query_only=ON", "wal_autocheckpoint=0", "busy_timeout=5000"))
    return engine


def _prepare(engine: Engine, *, begin: str, pragmas: tuple[str, ...]) -> None:
    def connected(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver's own transactions begin too late to cover the first read.
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    def began(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", began)


def _migrate(engine: Engine, root: Path, *, may_be_new: bool) -> None:
    with engine.begin() as connection:
        current = _schema(connection)
    if current == HEAD:
        return
    if current is None and not may_be_new:
        raise DamagedCatalog(
            f"{FILE} is missing or empty, but pictures of its items exist: restore it, or move them away"
        )
    _upgrade(engine, root, current)
    log.info("catalog migrated", extra={"from_schema": current, "to_schema": HEAD})


def _schema(connection: Connection) -> str | None:
    """The schema of a catalog; None for one without tables."""
    listed = "select 1 from sqlite_master where type = 'table' and name = 'alembic_version'"
    if connection.exec_driver_sql(listed).first() is None:
        return None
    schema: str | None = connection.exec_driver_sql("select version_num from alembic_version").scalar()
    return schema


def _upgrade(engine: Engine, root: Path, current: str | None) -> None:
    # Alembic takes a third of the time that every import of the service takes, and most starts need none.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    if current is not None:
        if current not in {
            script.revision for script in ScriptDirectory.from_config(config).walk_revisions()
        }:
            raise NewerSchema(f"the catalog has schema {current}, this build reads up to {HEAD}")
        _back_up(root, current)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _back_up(root: Path, schema: str) -> None:
    with replacing(root / f"{FILE}.schema-{schema}.backup") as staged:
        source, target = sqlite3.connect(root / FILE), sqlite3.connect(staged)
        try:
            source.backup(target)
        finally:
            target.close()
            source.close()


@contextmanager
def translated(*, opening: bool = False) -> Iterator[None]:
    """Turn what SQLite and the disk raise into the catalog's errors. opening: any damage means no catalog."""
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError) as error:
        raise _translation(error, opening=opening) from error
    except UnicodeDecodeError as error:
        # SQLite words an error with names read from the file; of a damaged file those may not be UTF-8.
        raise DamagedCatalog(f"{FILE} is damaged: it holds names that are not UTF-8") from error
    except OSError as error:
        raise _disk_error(error.errno in (errno.ENOSPC, errno.EDQUOT), error.strerror) from error


def _translation(error: Exception, *, opening: bool) -> Exception:
    origin = getattr(error, "orig", error)
    code = getattr(origin, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code in _DISK_CODES and not opening):
        return _disk_error(code == sqlite3.SQLITE_FULL, str(origin))
    if opening and not isinstance(origin, sqlite3.OperationalError):
        return DamagedCatalog(f"{FILE} is not a catalog: {origin}")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedCatalog(f"{FILE} is damaged: {origin}")
    return CatalogError(f"{FILE} cannot be opened: {origin}") if opening else error


def _disk_error(is_full: bool, reason: str | None) -> Exception:
    log.error("the catalog's disk failed", extra={"full": is_full, "reason": reason})
    return (
        DiskFull("the catalog's disk is full")
        if is_full
        else DiskFailed(f"the catalog's disk failed: {reason}")
    )

"""The file behind the vector cache: rows in SQLite, whose every failure is logged and costs only time.

A broken file is discarded by its writer; a full or busy disk is logged once and tried again with the next
row.
"""

import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

_log = logging.getLogger(__name__)

SCHEMA: Final = 1
# Bytes of an entry beside its numbers: key, checksum, sizes and its place in two trees.
OVERHEAD: Final = 160
_KEPT_AFTER_EVICTION: Final = 0.9
_VARIABLES: Final = 500
_SILENT_S: Final = 60.0  # in which a failure that goes on is not logged again

Row = tuple[object, object, object]
"""Key, numbers and checksum as the file has them: bytes, unless it is damaged."""

_TABLES: Final = """
CREATE TABLE entry (
    key BLOB PRIMARY KEY NOT NULL,
    vector BLOB NOT NULL,
    checksum BLOB NOT NULL,
    byte_count INTEGER NOT NULL,
    used INTEGER NOT NULL
) STRICT;
CREATE INDEX entry_by_use ON entry (used, byte_count);
"""


class VectorFile:
    """Rows of one file. Not thread-safe.

    byte_count: bytes of all entries. connection: None while the file cannot be used.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self._path = path
        self._writable = writable
        self._used = 0
        self._failure = ("", float("-inf"))
        self.byte_count = 0
        self.connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file; a writer creates it if missing and discards it if broken."""
        try:
            self.connection = self._open_writer() if self._writable else self._open_reader()
        except _FAILURES as error:
            self._failed(error)

    def read(self, keys: Iterable[bytes]) -> list[Row]:
        """The rows of some keys, unchecked; those read before a failure."""
        if self.connection is None and not self._writable:
            self.open()
        rows: list[Row] = []
        if self.connection is not None:
            try:
                for some in _pieces(list(keys)):
                    marks = ",".join("?" * len(some))
                    query = f"SELECT key, vector, checksum FROM entry WHERE key IN ({marks})"  # noqa: S608 - question marks
                    rows.extend(self.connection.execute(query, some))
            except _FAILURES as error:
                self._failed(error)
        return rows

    def write(
        self,
        rows: Mapping[bytes, tuple[bytes, bytes]],
        *,
        dropped: Iterable[bytes],
        touched: Iterable[bytes],
        bound: int,
    ) -> None:
        """In a transaction: drop rows, add numbers and checksums by key, record uses, meet the byte bound."""
        if self.connection is None or not self._writable:
            return
        self._used += 1
        try:
            with _transaction(self.connection) as connection:
                freed = _delete(connection, (*dropped, *rows))
                connection.executemany(
                    "INSERT INTO entry (key, vector, checksum, byte_count, used) VALUES (?, ?, ?, ?, ?)",
                    [(k, v, checksum, len(v) + OVERHEAD, self._used) for k, (v, checksum) in rows.items()],
                )
                connection.executemany(
                    "UPDATE entry SET used = ? WHERE key = ?", [(self._used, key) for key in touched]
                )
                total = self.byte_count - freed + sum(len(v) + OVERHEAD for v, _ in rows.values())
                if total > bound:
                    excess = total - int(bound * _KEPT_AFTER_EVICTION)
                    total -= _delete(connection, _oldest(connection, excess))
            self.byte_count = total
        except _FAILURES as error:
            self._failed(error)
        else:
            self._worked()

    def vacuum(self) -> None:
        """Give the space of dropped rows back to the disk."""
        try:
            if self.connection is not None:
                # A script, because `execute` takes one step, which frees one page.
                self.connection.executescript("PRAGMA incremental_vacuum")
        except _FAILURES as error:
            self._failed(error)

    def close(self) -> None:
        """Close the file, if it is open."""
        if self.connection is not None:
            try:
                self.connection.close()
            except _FAILURES as error:
                _log.warning("vector cache did not close", extra={"reason": str(error)})
            self.connection = None

    def _open_writer(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        try:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA journal_size_limit = {16 << 20}")
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
            tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            if tables == 0:
                connection.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {SCHEMA};COMMIT;")
            elif schema != SCHEMA:
                _refuse_schema(schema)
            total, used = connection.execute("SELECT total(byte_count), max(used) FROM entry").fetchone()
        except BaseException:
            connection.close()
            raise
        self.byte_count, self._used = _whole(total), _whole(used or 0) + 1
        return connection

    def _open_reader(self) -> sqlite3.Connection | None:
        if not self._path.is_file():
            return None
        uri = f"{self._path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
        try:
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
        except BaseException:
            connection.close()
            raise
        if schema == SCHEMA:
            return connection
        connection.close()
        return None

    def _failed(self, error: Exception) -> None:
        """After an error of SQLite: replace a broken file; only log a full or busy disk."""
        broken, now = _is_broken(error), time.monotonic()
        if self._failure[0] != str(error) or now - self._failure[1] > _SILENT_S:
            extra = {"reason": str(error), "discarded": broken and self._writable}
            _log.warning("vector cache failed", extra=extra)
            self._failure = (str(error), now)
        if not broken:
            return
        self.close()
        if self._writable:
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            try:
                self.connection = self._open_writer()
            except _FAILURES as again:
                _log.warning("vector cache is off", extra={"reason": str(again)})

    def _worked(self) -> None:
        if self._failure[0]:
            _log.info("vector cache can be written again")
            self._failure = ("", float("-inf"))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _delete(connection: sqlite3.Connection, keys: Iterable[bytes]) -> int:
    """The bytes that deleting `keys` frees."""
    statement = "DELETE FROM entry WHERE key = ? RETURNING byte_count"
    return sum(_whole(n) for key in keys for (n,) in connection.execute(statement, (key,)).fetchall())


def _oldest(connection: sqlite3.Connection, byte_count: int) -> list[bytes]:
    """Keys unused for longest that together take at least `byte_count`."""
    keys: list[bytes] = []
    for key, size in connection.execute("SELECT key, byte_count FROM entry ORDER BY used, rowid"):
        if byte_count <= 0:
            break
        keys.append(key)
        byte_count -= _whole(size)
    return keys


def _pieces(keys: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(keys), _VARIABLES):
        yield keys[start : start + _VARIABLES]


def _whole(value: object) -> int:
    """`value` as a count; a damaged file can hold anything where a count belongs."""
    if isinstance(value, (int, float)) and 0 <= value < _COUNT_BOUND:
        return int(value)
    raise sqlite3.DatabaseError(f"cache holds {value!r:.40} where a count belongs")


def _refuse_schema(schema: int) -> NoReturn:
    raise sqlite3.DatabaseError(f"cache has schema {schema}, this build has {SCHEMA}")


def _is_broken(error: Exception) -> bool:
    """Whether the file itself is bad, rather than the disk, the memory or the moment."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF not in _PASSING


# SQLite's messages quote names from the file; in a damaged file those may not be UTF-8.
_FAILURES: Final = (sqlite3.Error, UnicodeDecodeError)
_COUNT_BOUND: Final = 1 << 62
_PASSING: Final = frozenset(
    (
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    )
)

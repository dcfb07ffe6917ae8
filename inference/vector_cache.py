"""A durable cache of vectors in one SQLite file; losing it costs only time (A-15).

Only the holder of the directory's lock writes; any other opener reads. Entries carry a checksum and are
finite; a bad entry is dropped, a broken file discarded. Every disk failure is logged and counts as a miss.
"""

import hashlib
import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import numpy as np

from inference.errors import InvalidAttributes
from model_store.durable import Lock, LockHeld, acquire

_log = logging.getLogger(__name__)

SCHEMA: Final = 1
_FILE: Final = "vectors.sqlite"
_LOCK: Final = "writer.lock"
# Bytes of an entry beside its numbers: key, checksum, sizes and its place in two trees.
_OVERHEAD: Final = 160
_KEPT_AFTER_EVICTION: Final = 0.9
_TOUCHED: Final = 4096
_VARIABLES: Final = 500

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


def cache_key(content: bytes | Mapping[str, object], space_id: str, view: str = "") -> str:
    """sha256, hexadecimal, of what a vector is made of: the input, the space and the augmented view.

    Raises InvalidAttributes: for a record that is not of texts, lists, numbers and nulls.
    """
    digest = hashlib.sha256()
    if isinstance(content, bytes):
        body = content
    else:
        try:
            body = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidAttributes("the record is not plain fields with texts, lists or nulls") from error
    kind = "picture" if isinstance(content, bytes) else "record"
    for part in (kind.encode(), space_id.encode(), view.encode(), body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


class VectorCache:
    """Vectors by key, within a byte bound: the least recently used are dropped.

    `runtime` (execution provider and runtime version) is part of every stored key. Safe for several threads.
    """

    def __init__(self, directory: Path, byte_count: int, runtime: str, lock: Lock | None) -> None:
        self.directory = directory
        self.byte_count = byte_count
        self._runtime = runtime
        self._lock = lock
        self._guard = threading.RLock()
        self._touched: set[bytes] = set()
        self._used = 0
        self._bytes = 0
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    @classmethod
    def open(cls, directory: Path, byte_count: int, runtime: str) -> "VectorCache":
        """The cache in `directory`, created if missing, of at most `byte_count` bytes of entries.

        The first opener writes; until it closes, others read only.
        Raises OSError: if the directory can be neither created nor opened.
        """
        directory.mkdir(parents=True, exist_ok=True)
        cache = cls(directory, byte_count, runtime, _claim(directory / _LOCK))
        with cache._guard:
            cache._connect()
            cache._shrink()
        return cache

    @property
    def writable(self) -> bool:
        """Whether this opener writes; otherwise `put_many` does nothing."""
        return self._lock is not None

    def get_many(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """The vectors stored for `keys`, float32 (D,) each; keys that are not stored are left out."""
        wanted = {self._inner(key): key for key in keys}
        with self._guard:
            vectors, bad = self._read(wanted)
            self._touched.update(key for key in wanted if wanted[key] in vectors)
            if bad:
                _log.warning("bad cache entries dropped", extra={"count": len(bad)})
            if bad or len(self._touched) > _TOUCHED:
                self._write({}, bad)
        return vectors

    def put_many(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Store float32 vectors (D,) by key; those that are not finite are left out."""
        rows = {
            self._inner(key): np.ascontiguousarray(vector, dtype="<f4").tobytes()
            for key, vector in vectors.items()
            if vector.ndim == 1 and np.isfinite(vector).all()
        }
        if rows:
            with self._guard:
                self._write({k: v for k, v in rows.items() if len(v) + _OVERHEAD <= self.byte_count}, [])

    def close(self) -> None:
        """Record the last uses and release the lock, so that another process can write."""
        with self._guard:
            if self._closed:
                return
            if self._touched:
                self._write({}, [])
            self._closed = True
            self._disconnect()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _inner(self, key: str) -> bytes:
        return hashlib.sha256(f"{self._runtime}\n{key}".encode()).digest()

    # The file

    @property
    def _path(self) -> Path:
        return self.directory / _FILE

    def _connect(self) -> None:
        """Open the file; a writer creates it if missing and discards it if broken."""
        try:
            self._connection = self._open_writer() if self.writable else self._open_reader()
        except _FAILURES as error:
            self._failed(error)

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
        self._bytes, self._used = _whole(total), _whole(used or 0) + 1
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

    def _shrink(self) -> None:
        """Meet a byte bound that is lower than at the last opening, and shrink the file."""
        if self._bytes > self.byte_count:
            self._write({}, [])
            try:
                if self._connection is not None:
                    # A script, because `execute` takes one step, which frees one page.
                    self._connection.executescript("PRAGMA incremental_vacuum")
            except _FAILURES as error:
                self._failed(error)

    def _disconnect(self) -> None:
        if self._connection is not None:
            try:
                self._connection.close()
            except _FAILURES as error:
                _log.warning("vector cache did not close", extra={"reason": str(error)})
            self._connection = None

    def _failed(self, error: Exception) -> None:
        """After an error of SQLite: replace a broken file; only log a full or busy disk."""
        broken = _is_broken(error)
        _log.warning(
            "vector cache failed", extra={"reason": str(error), "discarded": broken and self.writable}
        )
        if not broken:
            return
        self._disconnect()
        if self.writable:
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(_FILE + suffix).unlink(missing_ok=True)
            try:
                self._connection = self._open_writer()
            except _FAILURES as again:
                _log.warning("vector cache is off", extra={"reason": str(again)})

    # Rows

    def _read(self, wanted: Mapping[bytes, str]) -> tuple[dict[str, np.ndarray], list[bytes]]:
        if self._closed:
            return {}, []
        if self._connection is None and not self.writable:
            self._connect()
        if self._connection is None:
            return {}, []
        vectors: dict[str, np.ndarray] = {}
        bad: list[bytes] = []
        try:
            for some in _pieces(list(wanted)):
                marks = ",".join("?" * len(some))
                query = f"SELECT key, vector, checksum FROM entry WHERE key IN ({marks})"  # noqa: S608 - question marks
                for key, data, checksum in self._connection.execute(query, some):
                    vector = _decode(key, data, checksum)
                    if vector is None or key not in wanted:
                        bad.append(key)
                    else:
                        vectors[wanted[key]] = vector
        except _FAILURES as error:
            self._failed(error)
        return vectors, bad

    def _write(self, rows: Mapping[bytes, bytes], dropped: list[bytes]) -> None:
        """In a transaction: drop rows, add rows, record the uses since the last one, meet the byte bound."""
        touched, self._touched = self._touched, set()
        if self._connection is None or not self.writable or self._closed:
            return
        self._used += 1
        try:
            with _transaction(self._connection) as connection:
                freed = _delete(connection, (*dropped, *rows))
                connection.executemany(
                    "INSERT INTO entry (key, vector, checksum, byte_count, used) VALUES (?, ?, ?, ?, ?)",
                    [(k, v, _checksum(k, v), len(v) + _OVERHEAD, self._used) for k, v in rows.items()],
                )
                connection.executemany(
                    "UPDATE entry SET used = ? WHERE key = ?", [(self._used, key) for key in touched]
                )
                total = self._bytes - freed + sum(len(v) + _OVERHEAD for v in rows.values())
                if total > self.byte_count:
                    excess = total - int(self.byte_count * _KEPT_AFTER_EVICTION)
                    total -= _delete(connection, _oldest(connection, excess))
            self._bytes = total
        except _FAILURES as error:
            self._failed(error)


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


def _checksum(key: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16, key=key).digest()


def _decode(key: object, data: object, checksum: object) -> np.ndarray | None:
    """The vector of a row; None if the row is damaged."""
    if not (isinstance(key, bytes) and isinstance(data, bytes)) or _checksum(key, data) != checksum:
        return None
    vector = np.frombuffer(data, dtype="<f4").astype(np.float32)
    return vector if np.isfinite(vector).all() else None


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


def _claim(path: Path) -> Lock | None:
    """The writer's lock; None when another opener holds it."""
    try:
        return acquire(path)
    except LockHeld:
        return None

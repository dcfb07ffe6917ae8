"""A durable cache of vectors in one SQLite file; losing it costs only time (A-15).

Only the holder of the directory's lock writes; any other opener reads. Entries carry a checksum and are
finite; a bad entry is dropped, a broken file discarded. Every disk failure is logged and counts as a miss.
"""

import hashlib
import json
import logging
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from inference.errors import InvalidAttributes
from inference.vectors.file import OVERHEAD, VectorFile
from model_store.durable import Lock, LockHeld, acquire

_log = logging.getLogger(__name__)

_FILE: Final = "vectors.sqlite"
_LOCK: Final = "writer.lock"
_TOUCHED: Final = 4096


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
        self._file = VectorFile(directory / _FILE, writable=lock is not None)
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
            cache._file.open()
            if cache._file.byte_count > byte_count:  # the bound is lower than at the last opening
                cache._write({}, [])
                cache._file.vacuum()
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
                self._write({k: v for k, v in rows.items() if len(v) + OVERHEAD <= self.byte_count}, [])

    def close(self) -> None:
        """Record the last uses and release the lock, so that another process can write."""
        with self._guard:
            if self._closed:
                return
            if self._touched:
                self._write({}, [])
            self._closed = True
            self._file.close()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _inner(self, key: str) -> bytes:
        return hashlib.sha256(f"{self._runtime}\n{key}".encode()).digest()

    def _read(self, wanted: Mapping[bytes, str]) -> tuple[dict[str, np.ndarray], list[bytes]]:
        """The good vectors by the caller's keys, and the inner keys of bad ones."""
        vectors: dict[str, np.ndarray] = {}
        bad: list[bytes] = []
        for key, data, checksum in () if self._closed else self._file.read(wanted):
            vector = _decode(key, data, checksum)
            if not isinstance(key, bytes) or vector is None or key not in wanted:
                bad.append(key)  # type: ignore[arg-type]  # of whatever type, as it is in the file
            else:
                vectors[wanted[key]] = vector
        return vectors, bad

    def _write(self, rows: Mapping[bytes, bytes], dropped: list[bytes]) -> None:
        """Write rows by inner key, drop some, and record the uses since the last time."""
        touched, self._touched = self._touched, set()
        if not self._closed:
            checked = {key: (data, _checksum(key, data)) for key, data in rows.items()}
            self._file.write(checked, dropped=dropped, touched=touched, bound=self.byte_count)


def _checksum(key: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16, key=key).digest()


def _decode(key: object, data: object, checksum: object) -> np.ndarray | None:
    """The vector of a row; None if the row is damaged."""
    if not (isinstance(key, bytes) and isinstance(data, bytes)) or _checksum(key, data) != checksum:
        return None
    vector = np.frombuffer(data, dtype="<f4").astype(np.float32)
    return vector if np.isfinite(vector).all() else None


def _claim(path: Path) -> Lock | None:
    """The writer's lock; None when another opener holds it."""
    try:
        return acquire(path)
    except LockHeld:
        return None

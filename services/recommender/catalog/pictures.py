"""Pictures as they were received, named by their sha256, so that a later model can embed them again.

A picture is on disk before the transaction begins whose rows name it, and stays for a grace time after the
last row that names it is gone: a transaction that is under way may name it again. What a crash leaves
between the two is swept at the next start.
"""

import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from model_store.durable import checkpoint, sync_path, write_bytes
from services.recommender.errors import DamagedCatalog

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)

log = logging.getLogger(__name__)


def picture_digest(data: bytes) -> str:
    """sha256 of the bytes, 64 hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


class PictureStore(Protocol):
    """Where pictures are kept, by the sha256 of their bytes."""

    def store(self, pictures: Mapping[str, bytes]) -> None:
        """Write pictures by their digests; durable on return, and kept for the grace time. Raises OSError."""

    def read(self, digest: str) -> bytes:
        """The bytes of a picture. Raises DamagedCatalog: if they are gone or changed."""

    def remove(self, digests: Iterable[str], *, grace_s: float) -> None:
        """Remove pictures that were not stored again within the grace time."""


class Pictures:
    """A directory of pictures: `<first two characters>/<digest>`. Safe from any thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # Held from the check of a picture's age to its removal, so that no upsert renews it between.
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)

    @property
    def is_empty(self) -> bool:
        """Whether there is not a single file."""
        return not any(path.is_file() for path in self._root.glob("*/*"))

    def store(self, pictures: Mapping[str, bytes]) -> None:
        """Write pictures by their digests; on disk on return, and kept for the grace time. Raises OSError."""
        written: list[Path] = []
        for digest, data in pictures.items():
            path = self._path(digest)
            if not (self._is_whole(digest) and self._touch(path)):
                write_bytes(path, data, sync=False)
                written.append(path)
        # Together and before the rows that name them, so that a folder is flushed once a batch.
        folders = {path.parent for path in written}
        for path in (*written, *folders, *([self._root] if written else [])):
            sync_path(path)
        checkpoint("after pictures")

    def read(self, digest: str) -> bytes:
        """The bytes of a picture. Raises DamagedCatalog: if they are gone or changed."""
        if not _DIGEST.fullmatch(digest):
            raise DamagedCatalog("the name of a picture is damaged")
        try:
            data = self._path(digest).read_bytes()
        except OSError as error:
            raise DamagedCatalog(f"picture {digest[:12]} cannot be read: {error.strerror}") from error
        if picture_digest(data) != digest:
            raise DamagedCatalog(f"picture {digest[:12]} is not what was stored: its hash differs")
        return data

    def remove(self, digests: Iterable[str], *, grace_s: float) -> None:
        """Remove pictures that were not stored again within the grace time; absent ones count as removed."""
        for digest in digests:
            path = self._path(digest)
            with self._lock, suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime >= grace_s:
                    path.unlink()

    def sweep(self, named: Collection[object]) -> int:
        """Remove every file that is not a picture among `named`; how many that were.

        None if one of `named` is missing: its row may be damaged, and its picture one that no row names.
        """
        files = {
            path.name: path for folder in self._root.iterdir() if folder.is_dir() for path in folder.iterdir()
        }
        lost = len(set(named) - {"", *files})
        if lost:
            log.warning("pictures that no item shows are kept: others are missing", extra={"missing": lost})
            return 0
        unnamed = files.keys() - set(named)
        for name in unnamed:
            files[name].unlink(missing_ok=True)
        return len(unnamed)

    def _touch(self, path: Path) -> bool:
        """Begin the grace time of a picture anew; False if it is gone."""
        with self._lock:
            try:
                os.utime(path)
            except FileNotFoundError:
                return False
        return True

    def _is_whole(self, digest: str) -> bool:
        try:
            self.read(digest)
        except DamagedCatalog:
            return False
        return True

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ValueError("not a digest")
        return self._root / digest[:2] / digest

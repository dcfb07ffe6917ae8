"""Pictures as they were received, named by their sha256, so that a later model can embed them again.

A picture is on disk before the row that names it is committed, and removed after the last row that
names it is gone. What a crash leaves between the two is swept at the next start. Only the thread that
writes the catalog calls `kept`, `drop` and `sweep`.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from model_store.durable import sync_path, write_bytes
from services.recommender.errors import DamagedCatalog

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


def picture_digest(data: bytes) -> str:
    """sha256 of the bytes, 64 hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


class Pictures:
    """A directory of pictures: `<first two characters>/<digest>`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    @property
    def is_empty(self) -> bool:
        """Whether there is not a single file."""
        return not any(path.is_file() for path in self._root.glob("*/*"))

    @contextmanager
    def kept(self, pictures: Mapping[str, bytes]) -> Iterator[None]:
        """Write pictures by their digests; on disk when the block begins. Raises OSError.

        New pictures are removed again if writing or the block fails.
        """
        written: list[Path] = []
        try:
            for digest, data in pictures.items():
                path = self._path(digest)
                if not self._is_whole(digest):
                    written.append(path)
                    write_bytes(path, data, sync=False)
            # Together and before the rows that name them, so that a folder is flushed once a batch.
            folders = {path.parent for path in written}
            for path in (*written, *folders, *([self._root] if written else [])):
                sync_path(path)
            yield
        except BaseException:
            for path in written:
                path.unlink(missing_ok=True)
            raise

    def read(self, digest: str) -> bytes:
        """The bytes of a picture. Raises DamagedCatalog: if they are gone or changed."""
        try:
            data = self._path(digest).read_bytes()
        except OSError as error:
            raise DamagedCatalog(f"picture {digest[:12]} cannot be read: {error.strerror}") from error
        if picture_digest(data) != digest:
            raise DamagedCatalog(f"picture {digest[:12]} is not what was stored: its hash differs")
        return data

    def drop(self, digests: Iterable[str]) -> None:
        """Remove pictures; absent pictures count as removed."""
        for digest in digests:
            self._path(digest).unlink(missing_ok=True)

    def sweep(self, named: Collection[str]) -> int:
        """Remove every file that is not a picture among `named`; how many that were."""
        removed = 0
        for folder in self._root.iterdir():
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.name not in named:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

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

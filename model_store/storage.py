"""Where versions and aliases are kept. `LocalStorage` keeps them in a directory.

Layout: `<root>/<name>/<number>/…`, `<root>/<name>/aliases/<alias>.json`, `<root>/<name>/.highest`,
`<root>/.staging/<random>/…`, `<root>/.publishing/<name>`. A version appears by one rename of a complete,
synced directory, so a reader sees all of it or none of it, also after a crash (M-1).
"""

import errno
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from model_store.durable import locked, rename, scratch, sync_path, write_bytes
from model_store.errors import AliasConflict, NoStore, NotInStore, StoreNotWritable, UnsupportedLocation
from model_store.names import check_file, check_name

_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]+):/", re.ASCII)


class Storage(Protocol):
    """Keeps immutable versions and small mutable alias files."""

    def names(self) -> list[str]:
        """Model names, sorted. Raises NoStore: if there is no store at all."""

    def numbers(self, name: str) -> list[int]:
        """Version numbers of a model, ascending; empty when there are none."""

    def fetch(self, name: str, number: int, file: str) -> Path:
        """A local path of a file. Raises NotInStore: if the version or the file does not exist."""

    @property
    def place(self) -> str:
        """Where this storage is, for error messages on this machine."""

    def staging(self) -> AbstractContextManager[Path]:
        """Context manager: an empty local directory, removed afterwards unless committed."""

    def publishing(self, name: str) -> AbstractContextManager[None]:
        """Context manager: no other process is in it for `name`; waits while another is."""

    def commit(self, name: str, staged: Path) -> int:
        """Make a staged directory the next version of `name` and return its number. Atomic."""

    def aliases(self, name: str) -> list[str]:
        """Alias names of a model, sorted."""

    def read_alias(self, name: str, alias: str) -> bytes | None:
        """An alias file, or None if the alias was never set."""

    def swap_alias(self, name: str, alias: str, data: bytes, before: bytes | None, number: int) -> None:
        """Replace an alias file, which held `before`, with `data`, which means version `number`.

        Raises AliasConflict: if it holds something else. Raises NotInStore: if that version is gone.
        """

    def byte_count(self, name: str, number: int) -> int:
        """The size of all files of a version. Raises NotInStore."""

    def published_at(self, name: str, number: int) -> datetime:
        """When a version appeared here. Raises NotInStore."""

    def discard(self, choose: Callable[[], Iterable[tuple[str, int]]]) -> None:
        """Remove the versions that `choose` names, each atomically; their numbers are never used again.

        `choose` is called while no alias can be swapped and no version can appear.
        Raises StoreNotWritable: when nothing can be removed here.
        """


class LocalStorage:
    """`Storage` in a directory; locks and renames keep it safe for many processes."""

    def __init__(self, root: Path) -> None:
        """Raises UnsupportedLocation: for an address such as `s3://bucket`, which is no directory."""
        if scheme := _SCHEME.match(str(root)):  # a Path keeps one of the two slashes
            raise UnsupportedLocation(
                f"{scheme[1]} stores are not built in: {root} is not a directory on this machine"
            )
        self.root = root

    @property
    def place(self) -> str:
        return str(self.root)

    def names(self) -> list[str]:
        if not self.root.is_dir():
            raise NoStore(f"no model store at {self.root}")
        return sorted(p.name for p in self.root.iterdir() if p.is_dir() and not p.name.startswith("."))

    def numbers(self, name: str) -> list[int]:
        folder = self._folder(name)
        if not folder.is_dir():
            return []
        return sorted(int(p.name) for p in folder.iterdir() if p.name.isdecimal() and p.is_dir())

    def fetch(self, name: str, number: int, file: str) -> Path:
        path = self._folder(name) / str(int(number)) / check_file(file)
        if not path.is_file():
            raise NotInStore(
                f"{name}/{number} has no file {file}"
                if path.parent.is_dir()
                else f"no version {name}/{number}"
            )
        return path

    def staging(self) -> AbstractContextManager[Path]:
        return scratch(self.root / ".staging")

    @contextmanager
    def publishing(self, name: str) -> Iterator[None]:
        parent = self.root / ".publishing"
        parent.mkdir(parents=True, exist_ok=True)
        with locked(parent / check_name(name, "model name")):
            yield

    def commit(self, name: str, staged: Path) -> int:
        folder = self._folder(name)
        folder.mkdir(exist_ok=True)
        for path in staged.iterdir():
            sync_path(path)
        with locked(folder / ".lock"):
            number = max([self._highest(folder), *self.numbers(name)]) + 1
            # Written first: a crash here skips a number, and a skipped number is harmless.
            write_bytes(folder / ".highest", f"{number}\n".encode())
            rename(staged, folder / str(number))
        sync_path(self.root)
        return number

    def aliases(self, name: str) -> list[str]:
        return sorted(p.stem for p in (self._folder(name) / "aliases").glob("*.json"))

    def read_alias(self, name: str, alias: str) -> bytes | None:
        try:
            return self._alias(name, alias).read_bytes()
        except FileNotFoundError:
            return None

    def swap_alias(self, name: str, alias: str, data: bytes, before: bytes | None, number: int) -> None:
        path = self._alias(name, alias)
        with locked(path.parent.parent / ".lock"):
            if self.read_alias(name, alias) != before:
                raise AliasConflict(
                    f"another process moved alias {name}@{alias} meanwhile; read it and try again"
                )
            if not (self._folder(name) / str(number)).is_dir():
                raise NotInStore(f"no version {name}/{number}")
            write_bytes(path, data)

    def byte_count(self, name: str, number: int) -> int:
        return sum(path.stat().st_size for path in self._version(name, number).iterdir())

    def published_at(self, name: str, number: int) -> datetime:
        # The manifest is written last, into a directory that is never written to again.
        return datetime.fromtimestamp(self._version(name, number).stat().st_mtime, UTC)

    def discard(self, choose: Callable[[], Iterable[tuple[str, int]]]) -> None:
        names = self.names()
        try:
            with self.staging() as bin_, ExitStack() as locks:
                for name in names:
                    locks.enter_context(locked(self._folder(name) / ".lock"))
                for name, number in choose():
                    self._version(name, number).rename(bin_ / f"{name}-{number}")
                    sync_path(self._folder(name))
                locks.close()  # what is out of sight needs no lock to be deleted
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise StoreNotWritable(f"the model store at {self.root} is not writable") from error
            raise

    def _version(self, name: str, number: int) -> Path:
        path = self._folder(name) / str(int(number))
        if not path.is_dir():
            raise NotInStore(f"no version {name}/{number}")
        return path

    def _folder(self, name: str) -> Path:
        return self.root / check_name(name, "model name")

    def _alias(self, name: str, alias: str) -> Path:
        return self._folder(name) / "aliases" / f"{check_name(alias, 'alias')}.json"

    @staticmethod
    def _highest(folder: Path) -> int:
        try:
            return int((folder / ".highest").read_text())
        except FileNotFoundError:
            return 0

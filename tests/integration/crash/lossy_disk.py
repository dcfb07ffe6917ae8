"""A disk that forgets what was not synced: the double under `model_store.durable`.

Every fsync of this process is recorded: of a file its content, of a directory its names. `fail` writes what a
power failure would leave: below a root, the names that were synced with the content that was synced. Names of
the root itself, and SQLite's own files, whose writes do not pass here, are taken as they are.
"""

import os
from pathlib import Path

import pytest


class LossyDisk:
    """Records what is synced below a root."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        real = os.fsync

        def recorded(descriptor: int) -> None:
            real(descriptor)
            self._record(descriptor)

        monkeypatch.setattr(os, "fsync", recorded)

    def fail(self, target: Path) -> list[Path]:
        """Write what is left into `target`; the files that were lost or emptied, by their old paths."""
        target.mkdir()
        lost: list[Path] = []
        for path in self._root.iterdir():
            if path.is_dir():
                self._keep(path, target / path.name, lost)
            else:
                (target / path.name).write_bytes(path.read_bytes())
        return lost

    def _record(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        number = os.fstat(descriptor).st_ino
        if path.is_dir():
            self._names[number] = {entry.name: entry.inode() for entry in os.scandir(path)}
        else:
            self._contents[number] = path.read_bytes()

    def _keep(self, source: Path, target: Path, lost: list[Path]) -> None:
        target.mkdir()
        names = self._names.get(source.stat().st_ino, {})
        for path in source.iterdir():
            number = path.stat().st_ino
            # A name that leads to another file by now was replaced without a sync.
            if names.get(path.name) != number:
                lost.append(path)
            elif path.is_dir():
                self._keep(path, target / path.name, lost)
            else:
                (target / path.name).write_bytes(self._contents.get(number, b""))
                lost += [] if number in self._contents else [path]

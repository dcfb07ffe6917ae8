"""The results of a run in `models/`: all of a run's files appear at once, or none (I-5).

    models/.runs/<n>/…              the files of run n
    models/current -> .runs/<n>     replaced in one step; everything else stands on it
    models/hnsw_index.bin -> current/hnsw_index.bin, and so for each file

`models` itself may be a mounted volume. A process that has a file of the run before open keeps it.
"""

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_store.durable import hash_file, rename, sync_path
from trainer.errors import InvalidCheckpoint, InvalidData, RunExists
from trainer.loop.run_folder import LOCK_FILE
from trainer.reports.json_report import write_report

METADATA_FILE = "training_metadata.json"
INDEX_FILE = "hnsw_index.bin"
LABELS_FILE, DIGESTS_FILE = "labels.npy", "row_digests.npy"
PROJECTOR_FOLDER = "tb_projector"
_RUNS, _CURRENT, _PARTIAL = ".runs", "current", ".partial-"
SCHEMA_VERSION = 1


class RunOutputs:
    """The results under a folder. One process at a time may write, see `claimed`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A new folder for the files of this run, removed again unless it was published.

        What a killed run left behind is removed first.
        Raises InvalidData: if `folder` holds files of these names that are of something else.
        """
        self._check_free()
        runs = self.folder / _RUNS
        runs.mkdir(parents=True, exist_ok=True)
        for left in runs.glob(f"{_PARTIAL}*"):
            shutil.rmtree(left)
        staged = runs / f"{_PARTIAL}{uuid.uuid4().hex}"
        staged.mkdir()
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def publish(self, staged: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Make the staged files those of `models/`, with `metadata` as `training_metadata.json`.

        Returns the metadata as written: with the sha256 of each file.
        """
        files = sorted(path for path in staged.rglob("*") if path.is_file())
        hashes = {path.relative_to(staged).as_posix(): hash_file(path) for path in files}
        written = write_report(staged / METADATA_FILE, {**metadata, "files": hashes})
        for path in (*files, *(each for each in staged.rglob("*") if each.is_dir())):
            sync_path(path)
        number = 1 + max((int(path.name) for path in self._finished()), default=0)
        finished = self.folder / _RUNS / str(number)
        rename(staged, finished)
        names = {path.name for path in finished.iterdir()}
        for name in names:
            # Until `current` moves, a new name leads nowhere.
            self._point(self.folder / name, Path(_CURRENT) / name)
        self._point(self.folder / _CURRENT, Path(_RUNS) / str(number))
        self._forget_all_but(finished, {*names, _CURRENT})
        return written

    def check_unused(self) -> None:
        """Raises RunExists: if `models/` shows a run."""
        if (self.folder / _CURRENT).exists():
            raise RunExists(
                f"{self.folder} holds a run: --incremental adds to it, --overwrite replaces it, another --out"
                " keeps it"
            )

    def read(self) -> tuple[Path, dict[str, Any]]:
        """The folder of the run that `models/` shows, and its metadata, every file of it hashed.

        Raises InvalidCheckpoint: when there is none, or a file is not what was written, naming it.
        """
        current = (self.folder / _CURRENT).resolve()
        path = current / METADATA_FILE
        try:
            metadata: dict[str, Any] = json.loads(path.read_bytes())
            stated, hashes = metadata["schema_version"], metadata["files"].items()
        except OSError as error:
            raise InvalidCheckpoint(
                f"{self.folder / METADATA_FILE}: not there: without a run to extend, leave out --incremental"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidCheckpoint(f"{path}: not the metadata of a run") from error
        if stated != SCHEMA_VERSION:
            raise InvalidCheckpoint(f"{path} has schema version {stated}, this build reads {SCHEMA_VERSION}")
        for name, expected in hashes:
            file = current / name
            if not file.is_file() or hash_file(file) != expected:
                raise InvalidCheckpoint(
                    f"{file} is missing or is not what the run wrote: leave out --incremental"
                )
        return current, metadata

    def _check_free(self) -> None:
        if not self.folder.is_dir():
            return
        mine = {_RUNS, _CURRENT, LOCK_FILE}
        for path in self.folder.iterdir():
            if path.name not in mine and not path.is_symlink():
                raise InvalidData(f"{path} was not written by a run: give another folder as output.models")

    def _finished(self) -> list[Path]:
        return [path for path in (self.folder / _RUNS).iterdir() if path.name.isdecimal()]

    def _point(self, link: Path, target: Path) -> None:
        if link.is_symlink() and link.readlink() == target:
            return
        temporary = link.with_name(f".{link.name}.{uuid.uuid4().hex}")
        temporary.symlink_to(target)
        temporary.replace(link)
        sync_path(self.folder)

    def _forget_all_but(self, kept: Path, names: set[str]) -> None:
        """Remove the runs before, and links to files that this run does not have."""
        for path in self.folder.iterdir():
            if path.is_symlink() and path.name not in names:
                path.unlink()
        for path in self._finished():
            if path != kept:
                shutil.rmtree(path)

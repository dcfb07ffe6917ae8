"""Checkpoints: written whole or not at all, read without unpickling code (A-14, A-22).

`CheckpointWriter` decides which of a run stay on disk: the last, the best, the few best, every few epochs.
"""

import os
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from model_store.durable import replacing
from trainer.errors import InvalidCheckpoint

SCHEMA_VERSION = 1
BEST, LAST, ENSEMBLE = "best_model.pt", "last.pt", "ensemble.pt"
PATTERNS = (BEST, LAST, ENSEMBLE, "top_*.pt", "epoch_*.pt")

Standing = tuple[float, float]


def save_checkpoint(path: Path, body: Mapping[str, Any]) -> None:
    """Write tensors, numbers, texts, lists and mappings; the file before stays until the new one is whole.

    Raises OSError: when it cannot be written, naming the file.
    """
    with replacing(path) as temporary:
        # In memory first: torch's own writer reports a full disk as an internal error.
        whole = BytesIO()
        torch.save({"schema_version": SCHEMA_VERSION, **body}, whole)
        temporary.write_bytes(whole.getbuffer())


def copy_checkpoint(source: Path, target: Path) -> None:
    """The same checkpoint under a second name. Files are only ever replaced, so the two may share bytes."""
    # Its content is on the disk already, under the first name.
    with replacing(target, sync=False) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            # A file system without links.
            shutil.copyfile(source, temporary)


def load_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """A checkpoint of `kind`, on the CPU.

    Raises InvalidCheckpoint: when it is not there, is damaged, holds more than data, or is of another kind or
    schema.
    """
    try:
        _check_bytes(path)
        with warnings.catch_warnings():
            # torch warns at length of a pickle of another protocol before it refuses it.
            warnings.simplefilter("ignore")
            body = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InvalidCheckpoint(f"{path}: not a checkpoint, there is no such file") from error
    except InvalidCheckpoint:
        raise
    except Exception as error:
        raise InvalidCheckpoint(f"{path}: not a checkpoint ({type(error).__name__})") from error
    if not isinstance(body, dict):
        raise InvalidCheckpoint(f"{path}: not a checkpoint ({type(body).__name__})")
    if body.get("schema_version") != SCHEMA_VERSION:
        raise InvalidCheckpoint(
            f"{path}: has schema version {body.get('schema_version')}, this build reads {SCHEMA_VERSION}"
        )
    if body.get("kind") != kind:
        raise InvalidCheckpoint(f"{path}: of kind {body.get('kind')}, expected {kind}")
    return body


def _check_bytes(path: Path) -> None:
    """Compare every member of the archive with its checksum, which torch writes and does not read.

    A member whose attributes make it a folder torch would leave as the memory happens to be.
    """
    with zipfile.ZipFile(path) as archive:
        folders = (member.filename for member in archive.infolist() if member.external_attr)
        damaged = next(folders, None) or archive.testzip()
    if damaged is not None:
        raise InvalidCheckpoint(f"{path}: damaged, {damaged} is not what was written")


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Turn whatever is missing in a checkpoint, or does not fit, into one line.

    Raises InvalidCheckpoint: naming the file and the first thing that is wrong with it.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error).strip().splitlines()[0]
        raise InvalidCheckpoint(f"{path}: damaged, or not written by this build: {reason[:200]}") from error


class InMemoryCheckpoints:
    """Holds the last epoch in memory and writes nothing: for runs of which only the figures count."""

    def __init__(self) -> None:
        self.last: Mapping[str, Any] = {}

    def clear(self) -> None:
        """Forget the epoch."""
        self.last = {}

    def keep(
        self, _epoch: int, _standing: Standing, body: Mapping[str, Any], _resume: Mapping[str, Any]
    ) -> None:
        """Hold this epoch. On the CPU its tensors are the network's own, which the next step changes."""
        self.last = body

    def restore(self, _resume: Mapping[str, Any]) -> None:
        """Raises InvalidCheckpoint: always."""
        raise InvalidCheckpoint("nothing was written, so there is nothing to go on from")


class CheckpointWriter:
    """Writes the checkpoints of one run into a folder; the greater standing is the better.

    `last.pt` is written last and alone carries what a run needs to go on: after a kill at any moment, the
    epoch that it names is done again and writes the same files again.
    """

    def __init__(self, folder: Path, *, top: int, every: int) -> None:
        self.folder, self._top, self._every = folder, top, every
        self._standings: dict[int, Standing] = {}

    def clear(self) -> None:
        """Delete the checkpoints of an earlier run."""
        for pattern in PATTERNS:
            for path in self.folder.glob(pattern):
                path.unlink()
        self._sweep()

    def keep(
        self, epoch: int, standing: Standing, body: Mapping[str, Any], resume: Mapping[str, Any]
    ) -> None:
        """Write the checkpoints of this epoch and delete those that it displaces."""
        names = [BEST] if all(standing > other for other in self._standings.values()) else []
        names += [f"epoch_{epoch:03d}.pt"] if epoch % self._every == 0 else []
        self._standings[epoch] = standing
        kept = self.top_epochs()
        names += [self._path(epoch).name] if epoch in kept else []
        if names:
            save_checkpoint(self.folder / names[0], body)
            for name in names[1:]:
                copy_checkpoint(self.folder / names[0], self.folder / name)
        self._standings = {number: self._standings[number] for number in kept}
        state = [[number, *standing] for number, standing in self._standings.items()]
        save_checkpoint(self.folder / LAST, {**body, "resume": {**resume, "keeper": state}})
        for path in self.folder.glob("top_*.pt"):
            if path not in {self._path(number) for number in kept}:
                path.unlink()

    def top(self) -> tuple[Path, ...]:
        """The checkpoints with the best standings, best first."""
        return tuple(self._path(epoch) for epoch in self.top_epochs())

    def top_epochs(self) -> tuple[int, ...]:
        """The epochs with the best standings; of equal standings the earlier epoch is better."""
        best_first = sorted(
            self._standings, key=lambda number: (self._standings[number], -number), reverse=True
        )
        return tuple(best_first[: self._top])

    def restore(self, resume: Mapping[str, Any]) -> None:
        """Go on from what `last.pt` carries."""
        self._sweep()
        self._standings = {int(epoch): (float(a), float(b)) for epoch, a, b in resume["keeper"]}

    def _sweep(self) -> None:
        """Delete the temporary files of a killed run."""
        for path in self.folder.glob(".*.pt.*"):
            path.unlink()

    def _path(self, epoch: int) -> Path:
        return self.folder / f"top_{epoch:03d}.pt"


# Whatever takes the epochs of a run.
CheckpointKeeper = InMemoryCheckpoints | CheckpointWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCheckpoint:
    """`last.pt` of a run: its path and its body, which a resumed run goes on from."""

    path: Path
    body: dict[str, Any]

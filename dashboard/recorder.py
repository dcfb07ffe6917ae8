"""Writes what a run shows of itself while it goes on: its document, its header and their pictures (D-1).

Shapes: S series, N epochs, K points that are kept.
"""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from dashboard.document import (
    MOST_POINTS,
    DashboardDocument,
    Headline,
    Hyperparameters,
    ItemCounts,
    KeyFigures,
    LossCurve,
    RunHeader,
    RunKind,
)
from dashboard.run_files import PICTURE_FOLDER, RESULTS, document_path, header_path, lock_path
from dashboard.thinning import thin
from model_store.durable import locked, write_bytes

_HELD: Final = 8_000
_LONGEST_FAILURE: Final = 300
_log = logging.getLogger(__name__)


class Curves:
    """Values of series that grow by a point each epoch; a series may begin late, and then misses the first.

    However long a run is, at most 8,000 points are held: when they are full, they are thinned to half.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._value_SN = np.full((0, _HELD), np.nan)
        self._epoch_N = np.zeros(_HELD, dtype=np.int64)
        self._length = 0

    def append(self, epoch: int, values: Mapping[str, float]) -> None:
        """Add a point. An epoch that is there already, or was passed, is done again: later points go."""
        self._length = int(np.searchsorted(self._epoch_N[: self._length], epoch))
        if self._length == _HELD:
            self._halve()
        new = [name for name in values if name not in self._names]
        if new:
            self._names += new
            self._value_SN = np.concatenate([self._value_SN, np.full((len(new), _HELD), np.nan)])
        self._value_SN[:, self._length] = [values.get(name, np.nan) for name in self._names]
        self._epoch_N[self._length] = epoch
        self._length += 1

    def thinned(self, most: int) -> LossCurve:
        """The curves with at most so many points, extremes kept."""
        epoch_N, value_SN = self._epoch_N[: self._length], self._value_SN[:, : self._length]
        kept_K = thin(epoch_N, value_SN, most)
        rows = value_SN[:, kept_K].tolist()
        return LossCurve(epochs=epoch_N[kept_K].tolist(), series=dict(zip(self._names, rows, strict=True)))

    def _halve(self) -> None:
        kept_K = thin(self._epoch_N, self._value_SN, _HELD // 2)
        self._length = len(kept_K)
        self._value_SN[:, : self._length] = self._value_SN[:, kept_K]
        self._epoch_N[: self._length] = self._epoch_N[kept_K]


class RunRecorder:
    """The document of one run; every change of it is written before the method returns.

    `header` and `kpi` are what was written last.
    """

    def __init__(self, folder: Path, kind: RunKind, hyperparams: Hyperparameters, started: datetime) -> None:
        self._folder = folder
        self._curves = Curves()
        self._parts: dict[str, Any] = {"hyperparams": hyperparams}
        self.header = RunHeader(
            kind=kind, state="running", started_at=started, updated_at=started, epoch=0, max_epochs=0
        )
        self.kpi = KeyFigures(counts=ItemCounts(items=0), epoch=0, max_epochs=0, progress=0)

    def begin(self, stage: str, max_epochs: int, counts: ItemCounts | None = None) -> None:
        """Enter a stage of so many epochs."""
        if counts is not None:
            self.kpi = self.kpi.model_copy(update={"counts": counts})
        self._write(stage=stage, max_epochs=max_epochs)

    def enter(self, stage: str, done: int) -> None:
        """Enter a stage of a run without epochs, after so many others."""
        self._write(stage=stage, epoch=done)

    def restore(self, history: Mapping[int, Mapping[str, float]]) -> None:
        """Put the epochs before a resumed run into the curves; nothing is written yet."""
        for epoch, values in history.items():
            self._curves.append(epoch, values)

    def record(self, epoch: int, values: Mapping[str, float], headline: Headline | None = None) -> None:
        """Add an epoch to the curves, of these series."""
        self._curves.append(epoch, values)
        self._write(epoch=epoch, headline=headline or self.header.headline)

    def show(self, headline: Headline | None = None, **figures: Any) -> None:
        """Replace figures of the cards, fields of `KeyFigures`; written with the next epoch, part or end."""
        self.kpi = self.kpi.model_copy(update=figures)
        if headline is not None:
            self.header = self.header.model_copy(update={"headline": headline})

    def show_part(self, **parts: Any) -> None:
        """Replace parts of the document: `top_k_images`, `augmented_samples`, `hyperparams`."""
        self._parts.update(parts)
        self._write()

    def keep_picture(self, content: bytes, suffix: str) -> str:
        """Keep an encoded picture with the run; returns the path by which the document names it."""
        name = f"{RESULTS}/{PICTURE_FOLDER}/{sha256(content).hexdigest()[:32]}{suffix}"
        if not (self._folder / name).exists():
            write_bytes(self._folder / name, content, sync=False)
        return name

    def end(self, failure: BaseException | None = None) -> None:
        """Write how the run ended: done, failed by an error, or interrupted by the user or a signal."""
        if failure is None:
            self._write(state="done", failure=None, sync=True)
        elif isinstance(failure, Exception):
            reason = f"{type(failure).__name__}: {next(iter(str(failure).splitlines()), '')}"
            self._write(state="failed", failure=reason[:_LONGEST_FAILURE])
        else:
            self._write(state="interrupted")

    def _write(self, *, sync: bool = False, **changes: Any) -> None:
        self.header = self.header.model_copy(update={**changes, "updated_at": datetime.now(UTC)})
        epoch, most = self.header.epoch, self.header.max_epochs
        done = self.header.state == "done"
        progress = 1.0 if done else min(epoch / most, 1.0) if most else 0.0
        self.kpi = self.kpi.model_copy(update={"epoch": epoch, "max_epochs": most, "progress": progress})
        document = DashboardDocument(
            run=self.header, kpi=self.kpi, loss_curve=self._curves.thinned(MOST_POINTS), **self._parts
        )
        write_bytes(document_path(self._folder), _encode(document), sync=sync)
        # Lists go by the header: a run appears in them with its document there.
        write_bytes(header_path(self._folder), _encode(self.header), sync=sync)


@contextmanager
def recording(
    folder: Path, kind: RunKind, settings: Mapping[str, Any], *, resumed: bool = False
) -> Iterator[RunRecorder]:
    """Record a run in `folder` until the block ends; how it ends is recorded too.

    The caller holds the folder: two runs in it would wait for each other here. settings: by dotted name.
    resumed: keep the time at which the run began, and its pictures.
    Raises OSError: if a file cannot be written.
    """
    lock = lock_path(folder)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock):
        pictures = folder / RESULTS / PICTURE_FOLDER
        if not resumed and pictures.is_dir():
            shutil.rmtree(pictures)
        started = (_started(folder) if resumed else None) or datetime.now(UTC)
        recorder = RunRecorder(folder, kind, Hyperparameters(settings=dict(settings)), started)
        recorder.begin("preparing", 0)
        try:
            yield recorder
        except BaseException as failure:
            try:
                recorder.end(failure)
            except OSError as error:
                # The failure of the run itself is what its user has to read.
                _log.warning("end of the run not recorded", extra={"reason": str(error)})
            raise
        recorder.end()


def _started(folder: Path) -> datetime | None:
    """When the run in a folder began; None where it cannot be read."""
    try:
        return RunHeader.model_validate_json(header_path(folder).read_bytes()).started_at
    except (OSError, ValidationError):
        return None


def _encode(part: RunHeader | DashboardDocument) -> bytes:
    return part.model_dump_json().encode()

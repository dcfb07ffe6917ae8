"""Every run is tracked in wandb: online with a key and a network, else offline by itself (A-13, F-10)."""

import atexit
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image
from tensorboardX import SummaryWriter

from model_store.durable import scratch
from trainer.configuration import TrainingSettings
from trainer.errors import InvalidConfig

_log = logging.getLogger(__name__)
_ONLINE_TIMEOUT_S = 20


# Settings that say where a run is tracked; they alter nothing of it.
TRACKING_SETTINGS = ("wandb_enabled", "wandb_project", "wandb_run_name")


class Tracker(Protocol):
    """Takes figures, one mapping an epoch."""

    @property
    def run_id(self) -> str | None:
        """The run's id in wandb; None for an untracked run."""

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Record the figures of one step."""

    def show(self, name: str, picture: Path, step: int) -> None:
        """Record a picture file of one step."""


class Untracked:
    """Tracks nowhere: figures and pictures go to the debug log."""

    run_id: str | None = None

    def log(self, figures: Mapping[str, float], step: int) -> None:
        _log.debug("untracked figures", extra={"step": step, "figures": dict(figures)})

    def show(self, name: str, picture: Path, step: int) -> None:
        _log.debug("untracked picture", extra={"step": step, "figure": name, "file": str(picture)})


class _Events:
    """A tracker whose figures TensorBoard reads too."""

    def __init__(self, tracker: Tracker, writer: SummaryWriter) -> None:
        self._tracker, self._writer = tracker, writer
        self.run_id = tracker.run_id

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._tracker.log(figures, step)
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        # Figures that were logged survive a kill.
        self._writer.flush()

    def show(self, name: str, picture: Path, step: int) -> None:
        self._tracker.show(name, picture, step)
        with Image.open(picture) as opened:
            self._writer.add_image(name, np.asarray(opened.convert("RGB")), step, dataformats="HWC")


class _Wandb:
    def __init__(self, run: Any) -> None:
        self._run = run
        self.run_id: str | None = run.id

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._run.log(dict(figures), step=step)

    def show(self, name: str, picture: Path, step: int) -> None:
        import wandb

        self._run.log({name: wandb.Image(str(picture))}, step=step)


@contextmanager
def tracking(
    training: TrainingSettings, directory: Path, settings: Mapping[str, Any], run_id: str | None = None
) -> Iterator[Tracker]:
    """The tracker of a run in `directory`, finished when the block ends, marked as failed when it raises.

    settings: recorded with the run. run_id: the run in wandb that a resumed run goes on with.
    Raises InvalidConfig: when tracking is switched off anywhere but under tests.
    """
    if not training.wandb_enabled:
        # pytest's own sign of a session, which its subprocesses inherit; to import it is no test.
        if "PYTEST_VERSION" not in os.environ:
            raise InvalidConfig(
                "wandb_enabled is false: only tests may train without tracking; set it to true"
                " (without a wandb key, tracking is offline)"
            )
        yield Untracked()
        return
    directory.mkdir(parents=True, exist_ok=True)
    run = _start(training, directory, settings, run_id)
    try:
        yield _Wandb(run)
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish()


@contextmanager
def writing_events(tracker: Tracker, folder: Path, next_step: int) -> Iterator[Tracker]:
    """The tracker, with its figures and pictures in `folder` for TensorBoard from `next_step` on (F-10)."""
    # Figures that a killed run logged of the step that is done again no longer count.
    with SummaryWriter(str(folder), purge_step=next_step or None) as writer:
        yield _Events(tracker, writer)


def _imported(folder: Path) -> Any:
    """wandb, whose import makes temporary folders that a kill would leave in the system's: here in `folder`.

    They stay until the process ends; the next run of this folder removes what a killed one left.
    """
    if "wandb" not in sys.modules:
        kept = ExitStack()
        atexit.register(kept.close)
        before, tempfile.tempdir = tempfile.tempdir, str(kept.enter_context(scratch(folder / "temporary")))
        try:
            return importlib.import_module("wandb")
        finally:
            tempfile.tempdir = before
    return importlib.import_module("wandb")


def _start(
    training: TrainingSettings, directory: Path, settings: Mapping[str, Any], run_id: str | None
) -> Any:
    wandb = _imported(directory / "wandb")

    def init(mode: Literal["online", "offline"]) -> Any:
        return wandb.init(
            project=training.wandb_project,
            name=training.wandb_run_name,
            dir=str(directory),
            config=dict(settings),
            mode=mode,
            id=run_id,
            resume="allow" if run_id else None,
            settings=wandb.Settings(silent=True, console="off", init_timeout=_ONLINE_TIMEOUT_S),
        )

    if not wandb.login(prompt=False):
        _log.info("tracking offline: no wandb key", extra={"directory": str(directory)})
        return init("offline")
    try:
        return init("online")
    except (wandb.errors.CommError, wandb.errors.AuthenticationError, TimeoutError) as error:
        _log.warning("tracking offline", extra={"reason": type(error).__name__, "directory": str(directory)})
        return init("offline")

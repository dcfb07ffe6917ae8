"""One training run in its folder: claimed, begun or resumed, tracked (A-12, A-14, F-10).

Every kind of training composes it with its own data, module and report.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.document import RunKind
from dashboard.recorder import RunRecorder, recording
from dashboard.run_files import DOCUMENT_FILE, HEADER_FILE
from trainer.configuration import TrainingSettings
from trainer.errors import InvalidCheckpoint, RunExists
from trainer.loop.board import dotted
from trainer.loop.checkpoints import BEST, LAST, LastCheckpoint, load_checkpoint, restoring
from trainer.loop.run_folder import claimed
from trainer.loop.tracking import TRACKING_SETTINGS, Tracker, tracking, writing_events

# Settings that a resumed run may change: they alter when it stops, not what it has done.
FREE_SETTINGS = ("max_epochs", "early_stopping_patience", *TRACKING_SETTINGS)

Config = Mapping[str, Any]
# What a run shows of itself is there from its first moment, and is replaced, not deleted.
_SHOWN = frozenset({DOCUMENT_FILE, HEADER_FILE})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """A run in `folder`, with its checkpoints in `checkpoints`.

    header: what each of its checkpoints states beside weights and figures; `kind` and `config` among it.
    identity: the names of those that a resumed run must share.
    deciding: from a configuration, the settings by dotted name that decide the weights.
    fields: what a checkpoint must state to be resumed.
    results: patterns below `folder` of the files that a finished run leaves beside its checkpoints.
    """

    folder: Path
    checkpoints: Path
    training: TrainingSettings
    header: Mapping[str, Any]
    identity: Sequence[str]
    deciding: Callable[[Config], Mapping[str, Any]]
    fields: Sequence[str] = ()
    results: Sequence[str] = ()

    @contextmanager
    def claim(self, resume: bool, overwrite: bool = False) -> Iterator[LastCheckpoint | None]:
        """Hold the folder; yields the last checkpoint of the run to resume, or None for a new run.

        overwrite: a new run may replace one that the folder holds.
        Raises InvalidCheckpoint: if there is no run to resume, or it is another run. Raises RunExists: if a
        new run would destroy another. The folder is then left as it is. Raises FolderInUse: if another
        process holds it.
        """
        if resume:
            self._last()
        with claimed(self.folder):
            if not resume and not overwrite:
                self._check_free()
            yield self._last() if resume else None

    def clear(self) -> None:
        """Delete the results of an earlier run: the checkpoints beside them will not be theirs."""
        for path in self._existing():
            path.unlink()

    def record(
        self, kind: RunKind, last: LastCheckpoint | None, *, without: Sequence[str] = ()
    ) -> AbstractContextManager[RunRecorder]:
        """The recorder of what this run shows, or of the run that it resumes.

        without: sections of the configuration that are not shown.
        """
        settings = {name: body for name, body in self.header["config"].items() if name not in without}
        return recording(self.folder, kind, dotted(settings), resumed=last is not None)

    @contextmanager
    def track(
        self, last: LastCheckpoint | None, *, next_step: int = 0, events: Path | None = None
    ) -> Iterator[Tracker]:
        """The tracker of this run, or of the run that it resumes."""
        run_id = None if last is None else last.body["wandb_run"]
        with tracking(self.training, self.folder, self.header["config"], run_id) as tracker:
            if events is None:
                yield tracker
            else:
                if last is None:
                    for path in events.glob("events.out.*"):
                        path.unlink()
                with writing_events(tracker, events, next_step) as recorder:
                    yield recorder

    def _existing(self) -> list[Path]:
        paths = (path for pattern in self.results for path in self.folder.glob(pattern))
        return [path for path in paths if path.is_file() and path.name not in _SHOWN]

    def _check_free(self) -> None:
        kept = [self.checkpoints / name for name in (LAST, BEST)]
        present = next((path for path in (*kept, *self._existing()) if path.exists()), None)
        if present is not None:
            raise RunExists(
                f"{present} is of an earlier run: --resume continues it, --overwrite replaces it, another "
                "--out keeps it"
            )

    def _last(self) -> LastCheckpoint:
        path = self.checkpoints / LAST
        if not path.exists():
            raise InvalidCheckpoint(f"{path}: not there, so there is no run to resume: leave out --resume")
        body = load_checkpoint(path, self.header["kind"])
        with restoring(path):
            for name in self.fields:
                body[name]
            known = {name: body[name] for name in self.identity}
            was, asked = self.deciding(body["config"]), self.deciding(self.header["config"])
        for name, value in known.items():
            if value != self.header[name]:
                raise InvalidCheckpoint(f"{path}: the run has {_difference(name, value, self.header[name])}")
        changed = sorted(name for name in was.keys() | asked.keys() if was.get(name) != asked.get(name))
        if changed:
            raise InvalidCheckpoint(f"{path}: the run has other settings of {', '.join(changed)}")
        return LastCheckpoint(path=path, body=body)


def settings_by_name(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of some sections by dotted name, but for those that a resumed run may change."""
    return {
        f"{section}.{name}": value
        for section, settings in sections.items()
        for name, value in settings.items()
        if name not in FREE_SETTINGS
    }


def _difference(name: str, was: object, now: object) -> str:
    if isinstance(was, str) and isinstance(now, str):
        return f"{name} {was[:12]}, this one {now[:12]}"
    return f"another {name}"

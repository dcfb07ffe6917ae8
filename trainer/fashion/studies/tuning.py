"""Tuning of an attribute encoder in phases, each from the best trial so far (F-21)."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dashboard.recorder import recording
from model_store.store import Version
from trainer.configuration import change_settings
from trainer.errors import Diverged, InvalidConfig
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import GarmentRecord, data_version
from trainer.fashion.studies.trial_training import TrialData, deciding_settings, open_trial_data, train_trial
from trainer.fashion.studies.tuning_board import StudyBoard
from trainer.fashion.studies.tuning_optuna import STUDY_FILE, OptunaSearcher, open_searcher
from trainer.fashion.studies.tuning_plan import (
    PHASES,
    Phase,
    Settings,
    Trial,
    TrialOutcome,
    Watch,
    best_of,
    finished,
)
from trainer.fashion.studies.tuning_results import (
    RESULTS_FILE,
    Findings,
    PhaseFindings,
    Sweep,
    read_run_id,
    write_results,
    write_summary,
    write_sweeps,
)
from trainer.loop.board import dotted
from trainer.loop.run_folder import claimed
from trainer.loop.tracking import Tracker, tracking
from trainer.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderObjective:
    """Trains attribute encoders on the same garments; the value is a full-gallery figure of validation."""

    config: FashionConfig
    data: TrialData
    figure: str = "recall@5"

    def __call__(self, settings: Settings, watch: Watch, label: str) -> TrialOutcome:
        config = change_settings(self.config, settings)
        epochs = _Epochs(f"val/{self.figure}", watch)
        try:
            train_trial(config, self.data, label, epochs)
        except (_Pruned, Diverged):
            epochs.ended = False
        return epochs.outcome()


class _Pruned(Exception):
    pass


class _Epochs:
    """A tracker that keeps the figures of the second stage, and ends a training that is pruned."""

    run_id: str | None = None

    def __init__(self, figure: str, watch: Watch) -> None:
        self._figure, self._watch = figure, watch
        self._history: list[Mapping[str, float]] = []
        self.ended = True

    def log(self, figures: Mapping[str, float], step: int) -> None:
        del step
        if self._figure not in figures:
            return
        self._history.append(dict(figures))
        if self._watch(len(self._history), figures[self._figure]):
            raise _Pruned

    def show(self, name: str, picture: Path, step: int) -> None:
        """Trials show no pictures."""

    def outcome(self) -> TrialOutcome:
        """The figures of the epoch that `train_fashion` would keep: by Recall@10, then by loss."""
        if not self._history:
            return TrialOutcome(value=0.0, mrr=0.0, loss=math.inf, best_epoch=0)
        standings = [(row["val/recall@10"], -row["val/loss"]) for row in self._history]
        best = standings.index(max(standings))
        row = self._history[best]
        return TrialOutcome(
            value=row[self._figure],
            mrr=row["val/mrr"],
            loss=row["val/loss"],
            best_epoch=best + 1,
            figures={name: value for name, value in row.items() if name.startswith("val/")},
            curve=tuple(row[self._figure] for row in self._history),
            ended=self.ended,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """A study: its phases, the numbers of those to run now, the figure to raise, the sweep files."""

    phases: tuple[Phase, ...] = PHASES
    wanted: tuple[int, ...] = (1, 2, 3)
    figure: str = "recall@5"
    sweep: Sweep


def tune_fashion(
    config: FashionConfig,
    garments: tuple[GarmentRecord, ...],
    image: Version,
    space: Workspace,
    tuning: Tuning,
) -> dict[str, Any]:
    """Run the wanted phases and return the body of `tuning_results.json`.

    Writes `study.db`, `tuning_results.json` after every trial, then `tuning_results.md`, `tuning.png`,
    `best.yml` and a sweep file a phase under `space.out`. A study that was interrupted continues, on the CPU
    with the very trials of an uninterrupted study. It is a single tracked run with a step a trial: 45 runs
    would take longer to start than to train; the curves of all epochs are in the results.
    Raises FolderInUse: when another process works on the study.
    Raises InvalidConfig: when a phase varies what this kind of encoder does not have, before any trial.
    Raises InvalidStudy: when the study was begun with other data or settings.
    """
    _check_dimensions(config, tuning)
    with claimed(space.out):
        settings, run_id = config.model_dump(mode="json"), read_run_id(space.out)
        identity = study_identity(config, garments, image, tuning.figure)
        with open_searcher(space.out / STUDY_FILE, config.training.seed, identity) as searcher:
            data = open_trial_data(config, garments, image, space)
            shown = dotted({name: body for name, body in settings.items() if name != "attributes"})
            resumed = (space.out / RESULTS_FILE).exists()
            with (
                recording(space.out, "fashion_tuning", shown, resumed=resumed) as recorder,
                tracking(config.training, space.out, settings, run_id) as tracker,
            ):
                board = StudyBoard(recorder, shown, sum(phase.target for phase in tuning.phases))
                return _Study(
                    config=config, data=data, tuning=tuning, searcher=searcher, tracker=tracker, board=board
                ).run()


def study_identity(
    config: FashionConfig, garments: tuple[GarmentRecord, ...], image: Version, figure: str
) -> dict[str, Any]:
    """What decides every trial: a study continues only where all of it is the same."""
    body = deciding_settings(config)
    return {
        "objective": figure,
        "data_version": data_version(garments),
        "space_id": image.space_id,
        **{f"config.{part}": value for part, value in body.items() if part != "training"},
        **{f"config.training.{name}": value for name, value in body["training"].items()},
    }


def _check_dimensions(config: FashionConfig, tuning: Tuning) -> None:
    for phase in tuning.phases:
        for dimension in phase.dimensions if phase.number in tuning.wanted else ():
            try:
                change_settings(config, {dimension.setting: dimension.values[0]})
            except InvalidConfig as error:
                raise InvalidConfig(
                    f"phase {phase.number} varies {dimension.setting}, which an encoder of the kind "
                    f"{config.encoder.kind!r} does not have: leave the phase out with --phases"
                ) from error


@dataclass(frozen=True, kw_only=True)
class _Study:
    config: FashionConfig
    data: TrialData
    tuning: Tuning
    searcher: OptunaSearcher
    tracker: Tracker
    board: StudyBoard
    started: float = field(default_factory=time.monotonic)

    def run(self) -> dict[str, Any]:
        """Run each wanted phase; any other passes on its earlier trials."""
        self._write()
        objective = EncoderObjective(config=self.config, data=self.data, figure=self.tuning.figure)
        for phase in self.tuning.phases:
            if phase.number in self.tuning.wanted:
                base = next(part.base for part in self._phases() if part.phase == phase)
                self.searcher.search(phase, base, objective, self._record)
        body = self._write()
        write_summary(self.data.space.out, self.config, self._findings(), body)
        write_sweeps(self.data.space.out, self.tuning.sweep, self._findings().phases)
        return body

    def _record(self, trial: Trial) -> None:
        self._write()
        if trial.outcome is None:
            return
        step = len(finished(self._findings().trials))
        figures = {
            "tuning/phase": trial.phase,
            "tuning/value": trial.outcome.value,
            "tuning/seconds": trial.seconds,
            "tuning/pruned": float(trial.state == "pruned"),
            **trial.outcome.figures,
        }
        tried = {name: value for name, value in trial.tried.items() if not isinstance(value, str)}
        self.tracker.log(figures | tried, step)

    def _write(self) -> dict[str, Any]:
        findings = self._findings()
        self.board.show(findings)
        return write_results(self.data.space.out, findings)

    def _findings(self) -> Findings:
        return Findings(
            figure=self.tuning.figure,
            phases=tuple(self._phases()),
            queries=len(self.data.val),
            trained_on=len(self.data.train),
            seed=self.config.training.seed,
            seconds=time.monotonic() - self.started,
            wandb_run=self.tracker.run_id,
        )

    def _phases(self) -> Iterator[PhaseFindings]:
        base: Mapping[str, Any] = {}
        best: Trial | None = None
        for phase in self.tuning.phases:
            trials = self.searcher.trials(phase, base)
            best = best_of([*([best] if best else []), *trials])
            yield PhaseFindings(
                phase=phase,
                base=base,
                trials=trials,
                best_so_far=best,
                importance=self.searcher.importance(phase, base),
            )
            base = best.settings if best else base

"""Tuning of an attribute encoder in phases, each from the best trial so far (F-21)."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from model_store.store import Version
from trainer.configuration import change_settings
from trainer.errors import InvalidConfig
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import GarmentRecord, data_version
from trainer.fashion.studies.trial_training import Collection, open_collection
from trainer.fashion.studies.tuning_objective import EncoderObjective
from trainer.fashion.studies.tuning_optuna import STUDY_FILE, open_searcher
from trainer.fashion.studies.tuning_plan import Searcher, Trial, best_of, finished
from trainer.fashion.studies.tuning_results import (
    Findings,
    PhaseFindings,
    read_run_id,
    write_results,
    write_summary,
)
from trainer.fashion.studies.tuning_spaces import PHASES, Phase
from trainer.fashion.studies.tuning_sweeps import Sweep, write_sweeps
from trainer.loop.run_folder import claimed
from trainer.loop.tracking import TrackedRun, Tracker, tracking
from trainer.workspace import Workspace

# What a study may be resumed with otherwise: none of it alters a trial.
_FREE = ("wandb_enabled", "wandb_project", "wandb_run_name", "save_every_n_epochs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What to tune: phases, the numbers of those to run now, the figure to raise, the sweep files."""

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
    """Run the phases that are wanted and return the body of `tuning_results.json`.

    Writes `study.db`, `tuning_results.json` after every trial, then `tuning_results.md`, `tuning.png`,
    `best.yml` and a sweep file a phase under `space.out`. A study that was broken off goes on, and makes on
    the CPU the very trials of one that was not. All of it is one tracked run with a step a trial: 45 runs of
    their own would take longer to start than a trial of theirs, and none is to be looked at alone; the
    curves of all epochs are in the results. Raises FolderInUse: when another process works on the study.
    Raises InvalidConfig: when a phase varies what this kind of encoder does not have, before any trial.
    Raises InvalidStudy: when it was begun with other data or settings.
    """
    _check_dimensions(config, tuning)
    with claimed(space.out):
        run_id = read_run_id(space.out)
        tracked = TrackedRun(
            directory=space.out,
            project=config.training.wandb_project,
            name=config.training.wandb_run_name,
            enabled=config.training.wandb_enabled,
            settings=config.model_dump(mode="json"),
            run_id=run_id,
        )
        identity = study_identity(config, garments, image, tuning.figure)
        with open_searcher(space.out / STUDY_FILE, config.training.seed, identity) as searcher:
            collection = open_collection(config, garments, image, space)
            with tracking(tracked) as tracker:
                return _Study(config, collection, tuning, searcher, tracker).run()


def study_identity(
    config: FashionConfig, garments: tuple[GarmentRecord, ...], image: Version, figure: str
) -> dict[str, Any]:
    """What decides every trial: a study goes on only where all of it is the same."""
    body = config.model_dump(mode="json", exclude={"checkpoint", "image"})
    body["training"] = {name: value for name, value in body["training"].items() if name not in _FREE}
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


class _Study:
    def __init__(
        self,
        config: FashionConfig,
        collection: Collection,
        tuning: Tuning,
        searcher: Searcher,
        tracker: Tracker,
    ) -> None:
        self.config, self.collection, self.tuning = config, collection, tuning
        self.searcher, self.tracker = searcher, tracker
        self.objective = EncoderObjective(config=config, collection=collection, figure=tuning.figure)
        self.started = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Each phase in turn; one that is not wanted hands on what it found before."""
        self._write()
        for phase in self.tuning.phases:
            if phase.number in self.tuning.wanted:
                base = next(part.base for part in self._phases() if part.phase == phase)
                self.searcher.search(phase, base, self.objective, self._told)
        body = self._write()
        write_summary(self.collection.space.out, self.config, self._findings(), body)
        write_sweeps(self.collection.space.out, self.tuning.sweep, self._findings().phases)
        return body

    def _told(self, trial: Trial) -> None:
        self._write()
        if trial.outcome is None:
            return
        step = sum(len(finished(part.trials)) for part in self._findings().phases)
        figures = {
            "tuning/phase": trial.phase,
            "tuning/value": trial.outcome.value,
            "tuning/seconds": trial.seconds,
            "tuning/pruned": float(trial.state == "pruned"),
            **trial.outcome.figures,
        }
        self.tracker.log(
            figures | {name: v for name, v in trial.tried.items() if not isinstance(v, str)}, step
        )

    def _write(self) -> dict[str, Any]:
        return write_results(self.collection.space.out, self._findings())

    def _findings(self) -> Findings:
        return Findings(
            figure=self.tuning.figure,
            phases=tuple(self._phases()),
            queries=len(self.collection.val),
            trained_on=len(self.collection.train),
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

"""Trials chosen by Optuna and kept in `study.db` (F-21)."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.pruners import MedianPruner
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from trainer.errors import InvalidStudy
from trainer.fashion.studies.tuning_plan import Objective, Outcome, Settings, State, Trial, finished
from trainer.fashion.studies.tuning_sampling import STARTUP_TRIALS, UntriedSampler
from trainer.fashion.studies.tuning_spaces import Phase

STUDY_FILE = "study.db"
# Every rate has left its first, steep epochs by then, and the schedules still run close to each other.
WARMUP_EPOCHS = 10
_BUSY_S = 30
_STATES: Mapping[TrialState, State] = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}


class OptunaSearcher:
    """TPE, with the median pruner: a trial is given up when its best epoch so far is below the median of the
    finished trials at the same epoch.

    The median, and not successive halving: a phase has ten to twenty trials, which halving would deal out
    to brackets of two or three, and it would judge a small learning rate by its first epochs. Each phase
    from each start is a study of its own within the file.
    """

    def __init__(self, storage: RDBStorage, seed: int, identity: Mapping[str, Any]) -> None:
        self._storage, self._seed, self._identity = storage, seed, identity

    def search(
        self, phase: Phase, base: Settings, objective: Objective, after_trial: Callable[[Trial], None]
    ) -> None:
        """Bring trials to an end until `phase.target` are; what a dead process left running is done anew."""
        study = self._study(phase, base)
        for dead in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(dead.number, state=TrialState.FAIL)
        while len(done := finished(self.trials(phase, base))) < phase.target:
            space = _space(phase)
            study.sampler = UntriedSampler(space, (self._seed, phase.number, len(done)))
            told = f"{phase.name}, trial {len(done) + 1} of {phase.target}"
            number = _try(study, study.ask({**space}), base, objective, told)
            after_trial(_trial(phase, base, study.trials[number]))

    def trials(self, phase: Phase, base: Settings) -> tuple[Trial, ...]:
        """Every trial of the phase from that start, oldest first."""
        name = _name(phase, base)
        if name not in optuna.get_all_study_names(self._storage):
            return ()
        return tuple(_trial(phase, base, trial) for trial in self._study(phase, base).trials)

    def importance(self, phase: Phase, base: Settings) -> dict[str, float]:
        """By PED-ANOVA; empty with fewer trials than it can say anything by, or when all came to the same."""
        done = [trial for trial in self.trials(phase, base) if trial.state == "complete"]
        if len(done) < STARTUP_TRIALS or len({trial.standing[0] for trial in done}) < 2:
            return {}
        found = optuna.importance.get_param_importances(self._study(phase, base))
        return {name: float(value) for name, value in found.items()}

    def check(self, path: Path) -> None:
        """Raises InvalidStudy: when the file is of other data or settings, naming the first that differs."""
        for study in optuna.get_all_study_summaries(self._storage):
            kept = study.user_attrs.get("identity", {})
            changed = sorted(name for name, value in self._identity.items() if kept.get(name) != value)
            if changed:
                raise InvalidStudy(f"{path}: the study was begun with another {', '.join(changed)}")

    def _study(self, phase: Phase, base: Settings) -> optuna.Study:
        study = optuna.create_study(
            storage=self._storage,
            study_name=_name(phase, base),
            direction="maximize",
            pruner=MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=WARMUP_EPOCHS),
            load_if_exists=True,
        )
        if "identity" not in study.user_attrs:
            study.set_user_attr("base", dict(base))
            study.set_user_attr("identity", dict(self._identity))
        return study


@contextmanager
def open_searcher(path: Path, seed: int, identity: Mapping[str, Any]) -> Iterator[OptunaSearcher]:
    """The searcher over a file, made when it is not there.

    Raises InvalidStudy: when the file is of other data or settings, or is not a study.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": _BUSY_S}})
    except Exception as error:
        raise InvalidStudy(f"{path}: not a study ({type(error).__name__})") from error
    try:
        searcher = OptunaSearcher(storage, seed, identity)
        searcher.check(path)
        yield searcher
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _try(study: optuna.Study, trial: optuna.Trial, base: Settings, objective: Objective, told: str) -> int:
    started = time.monotonic()

    def watch(epoch: int, value: float) -> bool:
        trial.report(value, epoch)
        # The pruner would read every trial from the file to say the same.
        return epoch >= WARMUP_EPOCHS and trial.should_prune()

    outcome = objective({**base, **trial.params}, watch, told)
    trial.set_user_attr("outcome", asdict(outcome))
    trial.set_user_attr("seconds", round(time.monotonic() - started, 2))
    if outcome.ended:
        study.tell(trial, outcome.value)
    else:
        study.tell(trial, state=TrialState.PRUNED)
    return trial.number


def _trial(phase: Phase, base: Settings, found: FrozenTrial) -> Trial:
    attributes = found.user_attrs
    outcome = attributes.get("outcome")
    return Trial(
        phase=phase.number,
        number=found.number,
        tried=dict(found.params),
        settings={**base, **found.params},
        state=_STATES.get(found.state, "failed"),
        seconds=float(attributes.get("seconds", 0.0)),
        outcome=None if outcome is None else Outcome(**{**outcome, "curve": tuple(outcome["curve"])}),
    )


def _space(phase: Phase) -> dict[str, CategoricalDistribution]:
    return {dimension.setting: CategoricalDistribution(dimension.values) for dimension in phase.dimensions}


def _name(phase: Phase, base: Settings) -> str:
    """Another start, or other values, are another study."""
    body = [sorted(base.items()), [[d.setting, d.values] for d in phase.dimensions]]
    digest = hashlib.sha256(json.dumps(body).encode()).hexdigest()
    return f"{phase.name}-{digest[:12]}"

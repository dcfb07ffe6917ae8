"""Trials chosen by Optuna, none tried twice, and kept in `study.db` (F-21)."""

import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.pruners import MedianPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from trainer.errors import InvalidStudy
from trainer.fashion.studies.tuning_plan import (
    Objective,
    Phase,
    Settings,
    State,
    Trial,
    TrialOutcome,
    finished,
)

# Random trials before the estimator proposes: half of Optuna's ten, as a phase has ten to twenty.
STARTUP_TRIALS = 5
_DRAWS = 50
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class UntriedSampler(BaseSampler):
    """Proposes what TPE does, unless a finished trial was just that: the same settings give the same bits.

    It is made anew for each trial from the seed and the number of finished trials, and reads finished trials
    alone. So a study that was killed continues with the very trials of an uninterrupted study.
    """

    def __init__(self, space: Mapping[str, CategoricalDistribution], seed: tuple[int, ...]) -> None:
        self._space = dict(space)
        self._rng = np.random.default_rng(seed)
        self._tpe = TPESampler(
            seed=int(self._rng.integers(2**32)),
            n_startup_trials=STARTUP_TRIALS,
            multivariate=True,
            constant_liar=False,
        )

    def infer_relative_search_space(self, _study: Study, _trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every dimension of the phase."""
        return dict(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A combination that no finished trial had; any, once all were tried."""
        tried = {self._key(done.params) for done in study.get_trials(deepcopy=False, states=_FINISHED)}
        for _ in range(_DRAWS):
            proposed = self._tpe.sample_relative(study, trial, search_space)
            if proposed and self._key(proposed) not in tried:
                return proposed
        combinations = list(itertools.product(*(space.choices for space in self._space.values())))
        left = [values for values in combinations if values not in tried] or combinations
        return dict(zip(self._space, left[int(self._rng.integers(len(left)))], strict=True))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never called: every dimension is sampled with the others."""
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    def _key(self, params: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(params[name] for name in self._space)


STUDY_FILE = "study.db"
# Every rate has left its first, steep epochs by then, and the schedules still run close to each other.
WARMUP_EPOCHS = 10
_BUSY_S = 30
_STATES: Mapping[TrialState, State] = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}


class OptunaSearcher:
    """TPE, with the median pruner: a trial is pruned when its best epoch so far is below the median of the
    finished trials at the same epoch.

    The median, not successive halving: halving would put the ten to twenty trials of a phase into brackets
    of two or three, and judge a small learning rate by its first epochs. Each phase
    from each start is a study of its own within the file.
    """

    def __init__(self, storage: RDBStorage, seed: int, identity: Mapping[str, Any]) -> None:
        self._storage, self._seed, self._identity = storage, seed, identity

    def search(
        self, phase: Phase, base: Settings, objective: Objective, after_trial: Callable[[Trial], None]
    ) -> None:
        """Finish trials until `phase.target` are; a trial that a dead process left running is repeated."""
        study = self._study(phase, base)
        for dead in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(dead.number, state=TrialState.FAIL)
        while len(done := finished(self.trials(phase, base))) < phase.target:
            space = _space(phase)
            study.sampler = UntriedSampler(space, (self._seed, phase.number, len(done)))
            label = f"{phase.name}, trial {len(done) + 1} of {phase.target}"
            number = _try(study, study.ask({**space}), base, objective, label)
            after_trial(_trial(phase, base, study.trials[number]))

    def trials(self, phase: Phase, base: Settings) -> tuple[Trial, ...]:
        """Every trial of the phase from that start, oldest first."""
        name = _name(phase, base)
        if name not in optuna.get_all_study_names(self._storage):
            return ()
        return tuple(_trial(phase, base, trial) for trial in self._study(phase, base).trials)

    def importance(self, phase: Phase, base: Settings) -> dict[str, float]:
        """By PED-ANOVA; empty with too few trials, or when all have the same value."""
        done = [trial for trial in self.trials(phase, base) if trial.state == "complete"]
        if len(done) < STARTUP_TRIALS or len({trial.standing[0] for trial in done}) < 2:
            return {}
        shares = optuna.importance.get_param_importances(self._study(phase, base))
        return {name: float(share) for name, share in shares.items()}

    def check(self, path: Path) -> None:
        """Raises InvalidStudy: when the file is of other data or settings, naming those that differ."""
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
    """The searcher over a file, which is created when it is missing.

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


def _try(study: optuna.Study, trial: optuna.Trial, base: Settings, objective: Objective, label: str) -> int:
    started = time.monotonic()

    def watch(epoch: int, value: float) -> bool:
        trial.report(value, epoch)
        # The pruner would read every trial from the file for the same answer.
        return epoch >= WARMUP_EPOCHS and trial.should_prune()

    outcome = objective({**base, **trial.params}, watch, label)
    trial.set_user_attr("outcome", asdict(outcome))
    trial.set_user_attr("seconds", round(time.monotonic() - started, 2))
    value, state = (outcome.value, TrialState.COMPLETE) if outcome.ended else (None, TrialState.PRUNED)
    study.tell(trial, value, state)
    return trial.number


def _trial(phase: Phase, base: Settings, frozen: FrozenTrial) -> Trial:
    attributes = frozen.user_attrs
    outcome = attributes.get("outcome")
    return Trial(
        phase=phase.number,
        number=frozen.number,
        tried=dict(frozen.params),
        settings={**base, **frozen.params},
        state=_STATES.get(frozen.state, "failed"),
        seconds=float(attributes.get("seconds", 0.0)),
        outcome=None if outcome is None else TrialOutcome(**{**outcome, "curve": tuple(outcome["curve"])}),
    )


def _space(phase: Phase) -> dict[str, CategoricalDistribution]:
    return {dimension.setting: CategoricalDistribution(dimension.values) for dimension in phase.dimensions}


def _name(phase: Phase, base: Settings) -> str:
    """The name of the study within the file: another start, or other values, are another study."""
    body = [sorted(base.items()), [[d.setting, d.values] for d in phase.dimensions]]
    digest = hashlib.sha256(json.dumps(body).encode()).hexdigest()
    return f"{phase.name}-{digest[:12]}"

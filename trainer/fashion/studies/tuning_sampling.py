"""TPE over a finite list of trials, none tried twice (F-21)."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

# Trials at random before the estimator has a say: half of Optuna's ten, as a phase is ten to twenty.
STARTUP_TRIALS = 5
_DRAWS = 50
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class UntriedSampler(BaseSampler):
    """Proposes what TPE does, unless a finished trial was just that: the same settings give the same bits.

    It is made anew for each trial from the seed and the number of finished trials, and looks at finished
    trials alone. So what it proposes follows from these, and a study that was killed goes on with the very
    trials of one that was not.
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
        """All of the phase."""
        return dict(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A combination that no finished trial had; any, once all were had."""
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
        """Never asked: every dimension is sampled with the others."""
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    def _key(self, params: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(params[name] for name in self._space)

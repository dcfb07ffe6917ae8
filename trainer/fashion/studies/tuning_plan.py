"""A trial and what came of it; what searches and what trains meet here and nowhere else (F-21)."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from trainer.fashion.studies.tuning_spaces import Phase

State = Literal["complete", "pruned", "failed"]
Settings = Mapping[str, Any]
# Takes an epoch and its figure; whether the trial is to be given up.
Watch = Callable[[int, float], bool]

_LAST_EPOCHS = 5
_NEARLY = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a training came to.

    value, mrr, loss: of the epoch that training would keep, a greater value being better. curve: the value
    of every epoch. ended: whether it came to its own end and was not given up.
    """

    value: float
    mrr: float
    loss: float
    best_epoch: int
    figures: Mapping[str, float]
    curve: tuple[float, ...]
    ended: bool

    @property
    def stability(self) -> float:
        """The spread (standard deviation) of the value over the last five epochs."""
        return statistics.pstdev(self.curve[-_LAST_EPOCHS:]) if self.curve else 0.0

    @property
    def convergence(self) -> int:
        """The first epoch, from 1, with 95 % of the best value; 0 where there was none."""
        goal = _NEARLY * max(self.curve, default=0.0)
        return next((epoch for epoch, value in enumerate(self.curve, 1) if value >= goal), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial. tried: its own settings, by path; settings: those and all that it started from."""

    phase: int
    number: int
    tried: Settings
    settings: Settings
    state: State
    seconds: float
    outcome: Outcome | None

    @property
    def standing(self) -> tuple[float, float]:
        """Greater is better: the value, then, of equal values, MRR.

        Not the loss: temperature and batch, which are tried, are what it is measured in.
        """
        return (self.outcome.value, self.outcome.mrr) if self.outcome else (float("-inf"), 0.0)


class Objective(Protocol):
    """Trains once."""

    def __call__(self, settings: Settings, watch: Watch, told: str) -> Outcome:
        """What training with `settings` over the usual ones comes to; `told` names it to who waits."""


class Searcher(Protocol):
    """Chooses what to try next. Optuna is one; one that spreads trials over machines would be another."""

    def search(
        self, phase: Phase, base: Settings, objective: Objective, after_trial: Callable[[Trial], None]
    ) -> None:
        """Bring trials to an end until the phase has as many as it is to have, those of earlier calls too."""

    def trials(self, phase: Phase, base: Settings) -> tuple[Trial, ...]:
        """Every trial of the phase from that start, oldest first."""

    def importance(self, phase: Phase, base: Settings) -> dict[str, float]:
        """How much each setting of the phase decides, adding up to 1; empty where that cannot be told."""


def finished(trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """Trials that were brought to an end: complete or given up, not broken off."""
    return tuple(trial for trial in trials if trial.state != "failed")


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The best complete trial; of equal ones the earlier. None where none is complete."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return max(complete, key=lambda trial: trial.standing, default=None)

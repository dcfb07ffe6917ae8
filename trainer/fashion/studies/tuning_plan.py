"""The phases of tuning, their trials, and the outcome of a trial (F-21)."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from trainer.loop.schedules import SCHEDULERS

Value = int | float | str


@dataclass(frozen=True, slots=True)
class Dimension:
    """A setting to vary: its name in reports, the setting (as `--set` takes it), its values."""

    name: str
    setting: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Trials over some dimensions; any other setting is that of the best trial so far."""

    number: int
    trials: int
    dimensions: tuple[Dimension, ...]

    @property
    def name(self) -> str:
        """The dimension's name in files and tables."""
        return f"phase{self.number}"

    @property
    def size(self) -> int:
        """The number of different trials."""
        return math.prod(len(dimension.values) for dimension in self.dimensions)

    @property
    def target(self) -> int:
        """The number of trials to finish: those planned, at most all that differ."""
        return min(self.trials, self.size)


PHASES = (
    Phase(
        number=1,
        trials=20,
        dimensions=(
            Dimension("epochs", "training.max_epochs", (50, 75, 100)),
            Dimension("batch", "training.batch_size", (64, 96, 128)),
            Dimension("learning rate", "training.learning_rate", (1e-4, 3e-4, 5e-4, 1e-3)),
            Dimension("temperature", "training.temperature", (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15)),
        ),
    ),
    Phase(
        number=2,
        trials=15,
        dimensions=(
            Dimension("field width", "encoder.field_dim", (128, 256, 512, 768)),
            Dimension("hidden", "encoder.hidden_dim", (256, 512, 1024)),
            Dimension("dropout", "encoder.dropout", (0.1, 0.2, 0.3)),
        ),
    ),
    Phase(
        number=3,
        trials=10,
        dimensions=(
            Dimension("weight decay", "training.weight_decay", (1e-5, 1e-4, 1e-3)),
            Dimension("scheduler", "training.schedule", tuple(SCHEDULERS)),
            Dimension("clip", "training.gradient_clip_norm", (0.5, 1.0, 2.0)),
        ),
    ),
)


def capped(phases: tuple[Phase, ...], trials: int) -> tuple[Phase, ...]:
    """The phases with at most `trials` trials each."""
    return tuple(replace(phase, trials=min(phase.trials, trials)) for phase in phases)


def shortened(phases: tuple[Phase, ...], epochs: int) -> tuple[Phase, ...]:
    """The phases with at most `epochs` epochs a trial."""
    return tuple(
        replace(phase, dimensions=tuple(_shortened(dimension, epochs) for dimension in phase.dimensions))
        for phase in phases
    )


def named(tried: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under the names of their dimensions; schedules as torch calls them."""
    names = {dimension.setting: dimension.name for phase in PHASES for dimension in phase.dimensions}
    return {
        names.get(setting, setting): SCHEDULERS.get(value, value) if isinstance(value, str) else value
        for setting, value in tried.items()
    }


def _shortened(dimension: Dimension, epochs: int) -> Dimension:
    if dimension.setting != "training.max_epochs":
        return dimension
    values = sorted({min(int(value), epochs) for value in dimension.values})
    return replace(dimension, values=tuple(values))


State = Literal["complete", "pruned", "failed"]
Settings = Mapping[str, Any]
# Takes an epoch and its figure; returns whether to prune the trial.
Watch = Callable[[int, float], bool]
# Trains with some settings over those of the study, under a name in progress.
Objective = Callable[[Settings, Watch, str], "TrialOutcome"]

_LAST_EPOCHS = 5
_NEARLY = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOutcome:
    """The outcome of a training.

    value, mrr, loss: of the epoch that training would keep, a greater value being better. curve: the value
    of every epoch. ended: False for a training that was pruned or diverged.
    """

    value: float
    mrr: float
    loss: float
    best_epoch: int
    figures: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[float, ...] = ()
    ended: bool = False

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
    """A trial. tried: its own settings, by path; settings: those and all that it started from."""

    phase: int
    number: int
    tried: Settings
    settings: Settings
    state: State
    seconds: float
    outcome: TrialOutcome | None

    @property
    def standing(self) -> tuple[float, float]:
        """Greater is better: the value, and MRR among equal values.

        Not the loss: its scale depends on temperature and batch, which are tried.
        """
        return (self.outcome.value, self.outcome.mrr) if self.outcome else (float("-inf"), 0.0)


def finished(trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """Trials that were finished: complete or pruned, not interrupted."""
    return tuple(trial for trial in trials if trial.state != "failed")


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The best complete trial, the earlier of equals. None where none is complete."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return max(complete, key=lambda trial: trial.standing, default=None)

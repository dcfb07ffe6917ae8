"""What each phase of tuning tries (F-21). Nothing here knows who searches."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from trainer.loop.schedules import SCHEDULERS

Value = int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One thing to vary: what it is called, the setting that it is (as `--set` takes it), its values."""

    name: str
    setting: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Trials over some dimensions; every other setting is that of the best trial so far."""

    number: int
    trials: int
    dimensions: tuple[Dimension, ...]

    @property
    def name(self) -> str:
        """As files and tables call it."""
        return f"phase{self.number}"

    @property
    def size(self) -> int:
        """How many different trials there are."""
        return math.prod(len(dimension.values) for dimension in self.dimensions)

    @property
    def target(self) -> int:
        """How many trials to bring to an end: those planned, or all that there are."""
        return min(self.trials, self.size)


PHASES = (
    Phase(
        number=1,
        trials=20,
        dimensions=(
            Dimension(name="epochs", setting="training.max_epochs", values=(50, 75, 100)),
            Dimension(name="batch", setting="training.batch_size", values=(64, 96, 128)),
            Dimension(
                name="learning rate", setting="training.learning_rate", values=(1e-4, 3e-4, 5e-4, 1e-3)
            ),
            Dimension(name="temperature", setting="training.temperature", values=(0.05, 0.07, 0.1)),
        ),
    ),
    Phase(
        number=2,
        trials=15,
        dimensions=(
            Dimension(name="field width", setting="encoder.field_dim", values=(128, 256, 512, 768)),
            Dimension(name="hidden", setting="encoder.hidden_dim", values=(256, 512, 1024)),
            Dimension(name="dropout", setting="encoder.dropout", values=(0.1, 0.2, 0.3)),
        ),
    ),
    Phase(
        number=3,
        trials=10,
        dimensions=(
            Dimension(name="weight decay", setting="training.weight_decay", values=(1e-5, 1e-4, 1e-3)),
            Dimension(name="scheduler", setting="training.schedule", values=tuple(SCHEDULERS)),
            Dimension(name="clip", setting="training.gradient_clip_norm", values=(0.5, 1.0, 2.0)),
        ),
    ),
)


def capped(phases: tuple[Phase, ...], trials: int) -> tuple[Phase, ...]:
    """The phases with at most so many trials each."""
    return tuple(replace(phase, trials=min(phase.trials, trials)) for phase in phases)


def shortened(phases: tuple[Phase, ...], epochs: int) -> tuple[Phase, ...]:
    """The phases with at most so many epochs a trial."""
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

"""One training as a trial (F-21). Nothing here knows who searches."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.configuration import change_settings
from trainer.errors import Diverged
from trainer.fashion.config import FashionConfig
from trainer.fashion.studies.trial_training import Collection, rehearse_fashion
from trainer.fashion.studies.tuning_plan import Outcome, Settings, Watch

FIGURES = ("recall@1", "recall@5", "recall@10", "mrr")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderObjective:
    """Trains attribute encoders on one collection; the value is a full-gallery figure of validation."""

    config: FashionConfig
    collection: Collection
    figure: str = "recall@5"

    def __call__(self, settings: Settings, watch: Watch, told: str) -> Outcome:
        config = change_settings(self.config, settings)
        epochs = _Epochs(f"val/{self.figure}", watch)
        try:
            rehearse_fashion(config, self.collection, told, epochs)
        except (_GivenUp, Diverged):
            epochs.ended = False
        return epochs.outcome()


class _GivenUp(Exception):
    pass


class _Epochs:
    """A tracker that keeps the figures of the second stage and ends a training that is given up."""

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
            raise _GivenUp

    def show(self, name: str, picture: Path, step: int) -> None:
        """Trials show no pictures."""

    def outcome(self) -> Outcome:
        """Figures of the epoch that `train_fashion` would keep: by Recall@10, then by loss."""
        if not self._history:
            return Outcome(value=0.0, mrr=0.0, loss=math.inf, best_epoch=0, figures={}, curve=(), ended=False)
        standings = [(row["val/recall@10"], -row["val/loss"]) for row in self._history]
        best = standings.index(max(standings))
        row = self._history[best]
        return Outcome(
            value=row[self._figure],
            mrr=row["val/mrr"],
            loss=row["val/loss"],
            best_epoch=best + 1,
            figures={name: value for name, value in row.items() if name.startswith("val/")},
            curve=tuple(row[self._figure] for row in self._history),
            ended=self.ended,
        )

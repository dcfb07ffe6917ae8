"""The epochs of a run in its dashboard: curves, cards and the best epoch so far (D-1).

Shapes: N rows whose embedding has a length.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from dashboard.document import Headline, NormFigures, SimilarityFigures
from dashboard.recorder import RunRecorder
from trainer.loop.checkpoints import Standing
from trainer.loop.module import Figures

# Curves whose name is not simply that of the figure.
_CURVES: Final = {"train/lr": "learning_rate"}
_NORM: Final = "val/norm_"
# Lengths that are called 1 are so far from it at most.
_UNIT_WITHIN: Final = 1e-3


@dataclass
class EpochBoard:
    """Shows each epoch of a run; `cards` are the figures of the best epoch by the names of their cards.

    standing: how good an epoch is, as for its checkpoints. headline: the card that lists show.
    """

    recorder: RunRecorder
    standing: Callable[[Figures], Standing]
    cards: Mapping[str, str]
    headline: str
    _best: Standing | None = field(default=None, init=False)

    def restore(self, history: Sequence[Mapping[str, float]]) -> None:
        """Show the epochs before a resumed run."""
        self.recorder.restore({int(row["epoch"]): curves_of(row) for row in history})
        for row in history:
            self._show_if_best(row)

    def show(self, row: Mapping[str, float]) -> None:
        """Show an epoch, a row of the run's history; written when this returns."""
        self._show_if_best(row)
        if (norm := norm_of(row)) is not None:
            self.recorder.show(norm=norm)
        value = self.recorder.kpi.metrics.get(self.headline)
        self.recorder.record(int(row["epoch"]), curves_of(row), Headline(name=self.headline, value=value))

    def _show_if_best(self, row: Mapping[str, float]) -> None:
        standing = self.standing(row)
        if self._best is not None and standing <= self._best:
            return
        self._best = standing
        similarity = None
        if "val/positive_similarity" in row:
            similarity = SimilarityFigures(
                positive=row["val/positive_similarity"], negative=row["val/negative_similarity"]
            )
        metrics = {card: row[figure] for card, figure in self.cards.items() if figure in row}
        self.recorder.show(metrics=metrics, similarity=similarity)


def curves_of(row: Mapping[str, float]) -> dict[str, float]:
    """The figures of an epoch by the names of their curves: `train_loss`, `learning_rate`, `norm_mean`, …"""
    return {_curve(name): value for name, value in row.items() if name != "epoch"}


def measure_norms(norm_N: np.ndarray) -> dict[str, float]:
    """How long the embeddings of the validation part are: figures of an epoch."""
    summary = {"mean": norm_N.mean(), "std": norm_N.std(), "min": norm_N.min(), "max": norm_N.max()}
    return {f"{_NORM}{name}": float(value) for name, value in summary.items()}


def norm_of(row: Mapping[str, float]) -> NormFigures | None:
    """The card of the lengths that `measure_norms` found in an epoch; None where it was not asked."""
    if f"{_NORM}mean" not in row:
        return None
    figures = {name: row[f"{_NORM}{name}"] for name in ("mean", "std", "min", "max")}
    is_unit = all(abs(figures[name] - 1) <= _UNIT_WITHIN for name in ("min", "max"))
    return NormFigures(**figures, state="unit" if is_unit else "free")


def dotted(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name; lists stay values."""
    return dict(_dotted(settings, prefix))


def _dotted(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _curve(figure: str) -> str:
    if figure.startswith(_NORM):
        return figure.removeprefix("val/")
    return _CURVES.get(figure, figure.replace("/", "_").replace("@", "_"))

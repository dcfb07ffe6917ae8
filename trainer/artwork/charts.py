"""A report as pictures: scores by tier, accuracy by gap, confusion, stated against found probability (A-17).

Shapes: N artworks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from trainer.artwork.metadata import RANKS, TIERS
from trainer.reports.charts import new_figure, save_figure

CHART_FILE = "report.png"
_TARGET = 0.6


def draw_report(path: Path, test: Mapping[str, Any], score_N: np.ndarray, rank_N: np.ndarray) -> None:
    """Write the four charts of a report's `test` part side by side as one PNG."""
    figure = new_figure(17, 4)
    scores, gaps, confusion, calibration = figure.subplots(1, 4)
    _draw_scores(scores, score_N, rank_N)
    _draw_gaps(gaps, test["accuracy_by_gap"])
    _draw_confusion(confusion, np.array(test["confusion"]))
    _draw_calibration(calibration, test["calibration"])
    save_figure(figure, path)


def _draw_scores(axes: Axes, score_N: np.ndarray, rank_N: np.ndarray) -> None:
    present = [tier for tier in TIERS if (rank_N == RANKS[tier]).any()]
    axes.violinplot([score_N[rank_N == RANKS[tier]] for tier in present], showmedians=True)
    axes.set_xticks(range(1, len(present) + 1), present)
    axes.set(title="scores by tier", xlabel="tier", ylabel="score")


def _draw_gaps(axes: Axes, accuracies: Mapping[str, float]) -> None:
    bars = axes.bar(list(accuracies), list(accuracies.values()))
    axes.bar_label(bars, fmt="%.2f")
    axes.axhline(0.5, color="grey", linewidth=0.8)
    axes.axhline(_TARGET, color="grey", linewidth=0.8, linestyle="--")
    axes.set(title="pairwise accuracy by tiers", ylim=(0, 1.05))


def _draw_confusion(axes: Axes, confusion_TT: np.ndarray) -> None:
    share_TT = confusion_TT / np.maximum(1, confusion_TT.sum(axis=1, keepdims=True))
    axes.imshow(share_TT, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(TIERS)):
        for column in range(len(TIERS)):
            shade = "white" if share_TT[row, column] > 0.5 else "black"
            axes.text(column, row, str(confusion_TT[row, column]), ha="center", va="center", color=shade)
    axes.set_xticks(range(len(TIERS)), TIERS)
    axes.set_yticks(range(len(TIERS)), TIERS)
    axes.set(title="works of a tier by their scores", xlabel="put into", ylabel="tier")


def _draw_calibration(axes: Axes, calibration: Mapping[str, Any]) -> None:
    axes.plot((0.5, 1), (0.5, 1), color="grey", linewidth=0.8)
    axes.plot(calibration["stated_K"], calibration["found_K"], marker="o")
    error = calibration["error"]
    told = "no pairs" if error is None or np.isnan(error) else f"ECE {error:.3f}"
    axes.set(title=f"calibration, {told}", xlabel="stated probability", ylabel="found", ylim=(0, 1.05))

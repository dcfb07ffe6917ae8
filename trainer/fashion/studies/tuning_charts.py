"""What tuning found, as a picture: the value of each trial, and what decides it (F-21)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from trainer.fashion.studies.tuning_spaces import named
from trainer.reports.charts import new_figure, save_figure

CHART_FILE = "tuning.png"


def draw_tuning(out: Path, body: Mapping[str, Any]) -> Path:
    """Write `tuning.png`: values in the order of the trials, and importances within each phase."""
    figure = new_figure(13, 4.2)
    values, importances = figure.subplots(1, 2)
    _draw_values(values, body)
    _draw_importances(importances, body)
    return save_figure(figure, out / CHART_FILE)


def _draw_values(axes: Axes, body: Mapping[str, Any]) -> None:
    best: list[tuple[int, float]] = []
    place = 0
    for phase in body["phases"]:
        colour = f"C{phase['phase'] - 1}"
        told = f"phase {phase['phase']}"
        for trial in phase["trials"]:
            if trial["value"] is None:
                continue
            place += 1
            whole = trial["state"] == "complete"
            axes.scatter(place, trial["value"], marker="o" if whole else "x", color=colour, label=told)
            told = ""
            if whole:
                best.append((place, max([trial["value"], *(value for _, value in best[-1:])])))
    if best:
        axes.step(*np.array(best).T, where="post", color="grey", linewidth=0.8, label="best so far")
        axes.legend(fontsize=8)
    axes.set(title=f"{body['objective']} by trial (x: given up)", xlabel="trial", ylabel=body["objective"])


def _draw_importances(axes: Axes, body: Mapping[str, Any]) -> None:
    rows = [
        (f"{name} (phase {phase['phase']})", share, phase["phase"])
        for phase in body["phases"]
        for name, share in named(phase["importance"]).items()
    ]
    if rows:
        names, shares, phases = zip(*reversed(rows), strict=True)
        axes.barh(names, shares, color=[f"C{phase - 1}" for phase in phases])
    else:
        axes.text(0.5, 0.5, "too few trials to tell", ha="center", va="center", transform=axes.transAxes)
    axes.set(title="what decides the value, within its phase", xlabel="importance (PED-ANOVA)")

"""The results of tuning for people: `tuning_results.md` and `tuning.png` (F-21)."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from trainer.fashion.studies.tuning_plan import named
from trainer.reports.charts import new_figure, save_figure
from trainer.reports.markdown import decimals, join_blocks, pairs_table, table

CHART_FILE = "tuning.png"
_FIGURES = ("value", "MRR", "stability", "converged", "best epoch", "seconds")


def markdown_of(body: Mapping[str, Any]) -> str:
    """The results as Markdown: the best, how sure that is, each phase with its trials, the chart."""
    return join_blocks(
        "# Tuning of the attribute encoder",
        *_best(body),
        *(block for phase in body["phases"] for block in _phase(phase)),
        f"![value by trial, and what decides it]({CHART_FILE})",
    )


def advice_of(body: Mapping[str, Any]) -> str:
    """A line on how far the best trial is from the others."""
    noise = body["noise"]
    if noise is None:
        return "no trial is complete"
    others = noise["trials_within"] - 1
    if others <= 0:
        return f"no other trial comes within {noise['width']:.3f} of it, which chance alone may make"
    return (
        f"{others} of {noise['complete_trials'] - 1} other trials are within {noise['width']:.3f} of it, "
        f"which {body['split']['val']} garments cannot tell apart"
    )


def _best(body: Mapping[str, Any]) -> Iterable[str]:
    best = body["best"]
    if best is None:
        return ("No trial is complete.",)
    value = (
        f"Best {body['objective']} **{best['value']:.4f}** on {body['split']['val']} garments: "
        f"phase {best['phase']}, trial {best['number']}; {advice_of(body)}."
    )
    warning = (
        "> It is the best of many on the very garments that it was chosen by, so its value is too high;\n"
        "> its worth is what `best.yml` reaches on others."
    )
    return value, warning, pairs_table(("setting", "value"), named(best["settings"]))


def _phase(phase: Mapping[str, Any]) -> Iterable[str]:
    counts = (
        f"{phase['finished']} of {phase['planned']} trials finished: {phase['complete']} complete, "
        f"{phase['pruned']} pruned; {phase['failed']} interrupted and repeated."
    )
    heading = f"## Phase {phase['phase']}"
    if not phase["trials"]:
        return heading, counts
    names = list(named(phase["space"]))
    rows = (_row(trial, names) for trial in phase["trials"])
    return heading, counts, table(("trial", *names, *_FIGURES, "state"), rows)


def _row(trial: Mapping[str, Any], names: list[str]) -> tuple[object, ...]:
    tried = [trial["parameters"].get(name, "") for name in names]
    figures: tuple[object, ...] = ("",) * len(_FIGURES)
    if trial["value"] is not None:
        figures = (
            *(decimals(trial[name], 4) for name in ("value", "mrr", "stability")),
            trial["convergence_epoch"],
            trial["best_epoch"],
            decimals(trial["seconds"], 1),
        )
    return (trial["number"], *tried, *figures, trial["state"])


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
        label = f"phase {phase['phase']}"
        for trial in phase["trials"]:
            if trial["value"] is None:
                continue
            place += 1
            complete = trial["state"] == "complete"
            axes.scatter(place, trial["value"], marker="o" if complete else "x", color=colour, label=label)
            label = ""
            if complete:
                best.append((place, max([trial["value"], *(value for _, value in best[-1:])])))
    if best:
        axes.step(*np.array(best).T, where="post", color="grey", linewidth=0.8, label="best so far")
        axes.legend(fontsize=8)
    axes.set(title=f"{body['objective']} by trial (x: pruned)", xlabel="trial", ylabel=body["objective"])


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
    axes.set(title="importance for the value, within each phase", xlabel="importance (PED-ANOVA)")

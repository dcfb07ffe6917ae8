"""The results of tuning as files: JSON, Markdown, chart, settings, the phases for `wandb sweep` (F-21)."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from matplotlib.axes import Axes

from model_store.durable import write_text
from trainer.configuration import change_settings
from trainer.fashion.config import FashionConfig
from trainer.fashion.studies.tuning_plan import Phase, Settings, Trial, best_of, finished, named
from trainer.reports.charts import new_figure, save_figure
from trainer.reports.json_report import write_report
from trainer.reports.markdown import decimals, join_blocks, pairs_table, table

RESULTS_FILE, SUMMARY_FILE = "tuning_results.json", "tuning_results.md"
BEST_FILE, BASE_FILE, CHART_FILE = "best.yml", "base.yml", "tuning.png"
# Of a normal distribution: 95 % lie within so many standard deviations.
_WIDTH = 1.96
Method = Literal["grid", "random", "bayes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """How agents search, in which project, for what figure, and the command of a trial.

    command: its words, to which `NAME=VALUE` of each setting is appended.
    """

    method: Method = "bayes"
    project: str
    metric: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFindings:
    """A phase, the settings that it started from, its trials and the best trial of it and all before it."""

    phase: Phase
    base: Settings
    trials: tuple[Trial, ...]
    best_so_far: Trial | None
    importance: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All phases; queries: garments that the value is measured on; seconds: of this process."""

    figure: str
    phases: tuple[PhaseFindings, ...]
    queries: int
    trained_on: int
    seed: int
    seconds: float
    wandb_run: str | None

    @property
    def best(self) -> Trial | None:
        """The best trial of all."""
        return self.phases[-1].best_so_far

    @property
    def trials(self) -> list[Trial]:
        """The trials of all phases."""
        return [trial for part in self.phases for trial in part.trials]


def write_results(out: Path, findings: Findings) -> dict[str, Any]:
    """Write `tuning_results.json` and return its body."""
    best = findings.best
    body = {
        "objective": f"val/{findings.figure}",
        "split": {"train": findings.trained_on, "val": findings.queries, "seed": findings.seed},
        "best": _body(best),
        "noise": None if best is None else noise_of(best, findings),
        "phases": [_phase(part) for part in findings.phases],
        "trial_seconds": round(sum(trial.seconds for trial in findings.trials), 2),
        "seconds": round(findings.seconds, 2),
        "wandb_run": findings.wandb_run,
    }
    return write_report(out / RESULTS_FILE, body)


def write_summary(out: Path, config: FashionConfig, findings: Findings, body: Mapping[str, Any]) -> None:
    """Write Markdown, chart, the settings that all began with and, where a trial is complete, the best."""
    draw_tuning(out, body)
    _write_yaml(out / BASE_FILE, config, "The settings that tuning began with; sweep files need them.")
    write_text(out / SUMMARY_FILE, markdown_of(body))
    if findings.best is not None:
        comment = (
            f"The best of tuning: {body['objective']} {findings.best.standing[0]:.4f}. To train it: atelier\n"
            "# fashion train --config best.yml --data DIR --out RUN"
        )
        _write_yaml(out / BEST_FILE, change_settings(config, findings.best.settings), comment)


def read_run_id(out: Path) -> str | None:
    """The run in wandb that a study is tracked in; None for a new study."""
    try:
        run = json.loads((out / RESULTS_FILE).read_bytes()).get("wandb_run")
    except (OSError, ValueError, AttributeError):
        return None
    return run if isinstance(run, str) else None


def noise_of(best: Trial, findings: Findings) -> dict[str, Any]:
    """How far two equally good encoders may stand apart on these garments, and how many trials are so near.

    The value is a share of queries, each answered rightly or not: the width is that of the difference of
    two shares that are measured on different garments. It is rather too wide than too narrow, and leaves the
    luck of a seed out.
    """
    value = best.standing[0]
    # Agresti and Coull (1998): with two more right and two more wrong answers, so that a share of 1 is not
    # certain.
    share = (value * findings.queries + 2) / (findings.queries + 4)
    width = _WIDTH * math.sqrt(2 * share * (1 - share) / (findings.queries + 4))
    complete = [trial for trial in findings.trials if trial.state == "complete"]
    near = sum(trial.standing[0] >= value - width for trial in complete)
    return {"width": width, "trials_within": near, "complete_trials": len(complete)}


def _phase(part: PhaseFindings) -> dict[str, Any]:
    states = [trial.state for trial in part.trials]
    return {
        "phase": part.phase.number,
        "planned": part.phase.target,
        "finished": len(finished(part.trials)),
        **{state: states.count(state) for state in ("complete", "pruned", "failed")},
        "space": {dimension.setting: list(dimension.values) for dimension in part.phase.dimensions},
        "starts_from": dict(part.base),
        "best": _body(best_of(part.trials)),
        "best_so_far": _body(part.best_so_far),
        "importance": dict(part.importance),
        "trials": [_body(trial) for trial in part.trials],
    }


def _body(trial: Trial | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    outcome = trial.outcome
    body = {
        "phase": trial.phase,
        "number": trial.number,
        "state": trial.state,
        "parameters": named(trial.tried),
        "settings": dict(trial.settings),
        "seconds": trial.seconds,
    }
    if outcome is None:
        return body | {"value": None}
    return body | {
        "value": outcome.value,
        "mrr": outcome.mrr,
        "val_loss": outcome.loss,
        "figures": dict(outcome.figures),
        "best_epoch": outcome.best_epoch,
        "stability": outcome.stability,
        "convergence_epoch": outcome.convergence,
        "epochs": list(outcome.curve),
    }


def _write_yaml(path: Path, body: FashionConfig | dict[str, Any], comment: str) -> None:
    values = body if isinstance(body, dict) else body.model_dump(mode="json")
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    write_text(path, f"# {comment}\n{text}")


def write_sweeps(out: Path, sweep: Sweep, phases: Iterable[PhaseFindings]) -> tuple[Path, ...]:
    """Write `sweep_phase1.yml` and on; each holds its start, the best trial so far, as fixed values."""
    paths = []
    for part in phases:
        path = out / f"sweep_{part.phase.name}.yml"
        fixed = {name: {"value": value} for name, value in part.base.items()}
        varied = {d.setting: {"values": list(d.values)} for d in part.phase.dimensions}
        body = {
            "name": f"atelier fashion, {part.phase.name}",
            "project": sweep.project,
            "method": sweep.method,
            "metric": {"name": sweep.metric, "goal": "maximize"},
            "run_cap": part.phase.target,
            "parameters": {**fixed, **varied},
            "command": ["${env}", *sweep.command, "${args_no_hyphens}"],
        }
        comment = f"wandb sweep {path.name}, then wandb agent SWEEP on any number of machines"
        _write_yaml(path, body, comment)
        paths.append(path)
    return tuple(paths)


_FIGURES = ("value", "MRR", "stability", "converged", "best epoch", "seconds")


def markdown_of(body: Mapping[str, Any]) -> str:
    """The results as Markdown: the best, how sure that is, each phase with its trials, the chart."""
    return join_blocks(
        "# Tuning of the attribute encoder",
        *_best(body),
        *(block for phase in body["phases"] for block in _phase_blocks(phase)),
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


def _phase_blocks(phase: Mapping[str, Any]) -> Iterable[str]:
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
    if trial["value"] is None:
        return (trial["number"], *tried, *("" for _ in _FIGURES), trial["state"])
    shares = (decimals(trial[name], 4) for name in ("value", "mrr", "stability"))
    epochs, seconds = (trial["convergence_epoch"], trial["best_epoch"]), decimals(trial["seconds"], 1)
    return (trial["number"], *tried, *shares, *epochs, seconds, trial["state"])


def draw_tuning(out: Path, body: Mapping[str, Any]) -> Path:
    """Write `tuning.png`: values in the order of the trials, and importances within each phase."""
    figure = new_figure(13, 4.2)
    values, importances = figure.subplots(1, 2)
    _draw_values(values, body)
    _draw_importances(importances, body)
    return save_figure(figure, out / CHART_FILE)


def _draw_values(axes: Axes, body: Mapping[str, Any]) -> None:
    trials = [trial for phase in body["phases"] for trial in phase["trials"] if trial["value"] is not None]
    complete = [place for place, trial in enumerate(trials) if trial["state"] == "complete"]
    labelled = set()
    for place, trial in enumerate(trials, start=1):
        phase, marker = trial["phase"], "o" if trial["state"] == "complete" else "x"
        label = "" if phase in labelled else f"phase {phase}"
        labelled.add(phase)
        axes.scatter(place, trial["value"], marker=marker, color=f"C{phase - 1}", label=label)
    if complete:
        best = np.maximum.accumulate([trials[place]["value"] for place in complete])
        places = np.add(complete, 1)
        axes.step(places, best, where="post", color="grey", linewidth=0.8, label="best so far")
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

"""The results of tuning as files: report, chart, settings, and the phases for `wandb sweep` (F-21)."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from model_store.durable import write_text
from trainer.configuration import change_settings
from trainer.fashion.config import FashionConfig
from trainer.fashion.studies.tuning_plan import Phase, Settings, Trial, best_of, finished, named
from trainer.fashion.studies.tuning_report import draw_tuning, markdown_of
from trainer.reports.json_report import write_report

RESULTS_FILE, SUMMARY_FILE = "tuning_results.json", "tuning_results.md"
BEST_FILE, BASE_FILE = "best.yml", "base.yml"
# Of a normal distribution: 95 % lie within so many standard deviations.
_WIDTH = 1.96


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


def write_results(out: Path, findings: Findings) -> dict[str, Any]:
    """Write `tuning_results.json` and return its body."""
    best = findings.best
    trials = [trial for part in findings.phases for trial in part.trials]
    body = {
        "objective": f"val/{findings.figure}",
        "split": {"train": findings.trained_on, "val": findings.queries, "seed": findings.seed},
        "best": None if best is None else _body(best),
        "noise": None if best is None else noise_of(best, findings),
        "phases": [_phase(part) for part in findings.phases],
        "trial_seconds": round(sum(trial.seconds for trial in trials), 2),
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
    complete = [t for part in findings.phases for t in part.trials if t.state == "complete"]
    near = sum(trial.standing[0] >= value - width for trial in complete)
    return {"width": width, "trials_within": near, "complete_trials": len(complete)}


def _phase(part: PhaseFindings) -> dict[str, Any]:
    states = [trial.state for trial in part.trials]
    best = best_of(part.trials)
    return {
        "phase": part.phase.number,
        "planned": part.phase.target,
        "finished": len(finished(part.trials)),
        **{state: states.count(state) for state in ("complete", "pruned", "failed")},
        "space": {dimension.setting: list(dimension.values) for dimension in part.phase.dimensions},
        "starts_from": dict(part.base),
        "best": None if best is None else _body(best),
        "best_so_far": None if part.best_so_far is None else _body(part.best_so_far),
        "importance": dict(part.importance),
        "trials": [_body(trial) for trial in part.trials],
    }


def _body(trial: Trial) -> dict[str, Any]:
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


def write_sweeps(out: Path, sweep: Sweep, phases: Iterable[PhaseFindings]) -> tuple[Path, ...]:
    """Write `sweep_phase1.yml` and on; each holds its start, the best trial so far, as fixed values."""
    paths = []
    for part in phases:
        path = out / f"sweep_{part.phase.name}.yml"
        comment = f"wandb sweep {path.name}, then wandb agent SWEEP on any number of machines"
        _write_yaml(path, sweep_body(sweep, part), comment)
        paths.append(path)
    return tuple(paths)


def sweep_body(sweep: Sweep, part: PhaseFindings) -> dict[str, Any]:
    """One phase as the configuration of a sweep."""
    fixed = {name: {"value": value} for name, value in part.base.items()}
    varied = {d.setting: {"values": list(d.values)} for d in part.phase.dimensions}
    return {
        "name": f"atelier fashion, {part.phase.name}",
        "project": sweep.project,
        "method": sweep.method,
        "metric": {"name": sweep.metric, "goal": "maximize"},
        "run_cap": part.phase.target,
        "parameters": {**fixed, **varied},
        "command": ["${env}", *sweep.command, "${args_no_hyphens}"],
    }

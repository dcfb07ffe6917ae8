"""What tuning found, as files: `tuning_results.json`, `.md`, `tuning.png` and `best.yml` (F-21)."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainer.configuration import change_settings
from trainer.fashion.config import FashionConfig
from trainer.fashion.studies.tuning_charts import draw_tuning
from trainer.fashion.studies.tuning_markdown import markdown_of
from trainer.fashion.studies.tuning_plan import Settings, Trial, finished
from trainer.fashion.studies.tuning_spaces import Phase, named
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
    _write(out / BASE_FILE, _yaml(config, "What tuning began with; sweep files stand on it."))
    _write(out / SUMMARY_FILE, markdown_of(body))
    if findings.best is not None:
        told = (
            f"The best of tuning: {body['objective']} {findings.best.standing[0]:.4f}. To train it: atelier\n"
        )
        told += "# fashion train --config best.yml --data DIR --out RUN"
        _write(out / BEST_FILE, _yaml(change_settings(config, findings.best.settings), told))


def read_run_id(out: Path) -> str | None:
    """The run in wandb that a study is tracked in; None for a new study."""
    try:
        found = json.loads((out / RESULTS_FILE).read_bytes()).get("wandb_run")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def noise_of(best: Trial, findings: Findings) -> dict[str, Any]:
    """How far two equally good encoders may stand apart on these garments, and how many trials are so near.

    The value is a share of queries, each answered rightly or not: the width is that of the difference of
    two such shares, taken as if they were measured on other garments. It says rather too much than too
    little, and nothing of the luck of a seed.
    """
    value = best.standing[0]
    # Agresti and Coull (1998): as if two queries more had been answered rightly and two wrongly, so that
    # a share of all is not taken for certain.
    share = (value * findings.queries + 2) / (findings.queries + 4)
    width = _WIDTH * math.sqrt(2 * share * (1 - share) / (findings.queries + 4))
    complete = [t for part in findings.phases for t in part.trials if t.state == "complete"]
    near = sum(trial.standing[0] >= value - width for trial in complete)
    return {"width": width, "trials_within": near, "complete_trials": len(complete)}


def _phase(part: PhaseFindings) -> dict[str, Any]:
    states = [trial.state for trial in part.trials]
    best = max(
        (trial for trial in part.trials if trial.state == "complete"),
        key=lambda trial: trial.standing,
        default=None,
    )
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


def _yaml(config: FashionConfig, told: str) -> str:
    body = yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True, sort_keys=False)
    return f"# {told}\n{body}"


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)

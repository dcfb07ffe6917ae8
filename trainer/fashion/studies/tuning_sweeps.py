"""The phases as files for `wandb sweep` (F-21)."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from trainer.fashion.studies.tuning_results import PhaseFindings

Method = Literal["grid", "random", "bayes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """How agents search, in which project, for what figure, and what an agent runs a trial with.

    command: words that `NAME=VALUE` of each setting can be put after.
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
        head = f"# wandb sweep {path.name}, then wandb agent SWEEP on as many machines as there are\n"
        body = yaml.safe_dump(sweep_body(sweep, part), allow_unicode=True, sort_keys=False)
        path.write_text(head + body, encoding="utf-8")
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

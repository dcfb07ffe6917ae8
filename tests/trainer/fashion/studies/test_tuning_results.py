import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from trainer.configuration import change_settings, parse_settings
from trainer.fashion.config import read_fashion_config
from trainer.fashion.studies.tuning_plan import PHASES
from trainer.fashion.studies.tuning_results import PhaseFindings, Sweep, write_sweeps

_SWEEP = Sweep(method="grid", project="p", metric="val/recall@10", command=("atelier", "fashion", "trial"))
_BASE = {"training.learning_rate": 1e-4, "training.schedule": "cosine"}


@pytest.fixture
def sweeps(tmp_path):
    parts = [
        PhaseFindings(phase=phase, base=_BASE, trials=(), best_so_far=None, importance={}) for phase in PHASES
    ]
    return [yaml.safe_load(path.read_text()) for path in write_sweeps(tmp_path, _SWEEP, parts)]


def test_sweeps_are_what_wandb_reads(sweeps):
    """Method, metric, run cap, and each parameter with a value or values (F-21)."""
    for phase, sweep in zip(PHASES, sweeps, strict=True):
        assert sweep["method"] == "grid"
        assert sweep["metric"] == {"name": "val/recall@10", "goal": "maximize"}
        assert sweep["run_cap"] == phase.trials
        for dimension in phase.dimensions:
            assert sweep["parameters"][dimension.setting] == {"values": list(dimension.values)}


def test_what_an_agent_runs_sets_every_parameter(sweeps):
    """The words that wandb itself makes of a choice are settings that `trial` takes (F-21)."""
    for sweep in sweeps:
        chosen = {
            name: {"value": given.get("value", given.get("values", [None])[-1])}
            for name, given in sweep["parameters"].items()
        }
        words = create_sweep_command_args({"args": chosen})["args_no_hyphens"]
        command = create_sweep_command(list(sweep["command"]))

        changed = change_settings(read_fashion_config(), parse_settings(words))

        assert command == ["${env}", "atelier", "fashion", "trial", "${args_no_hyphens}"]
        for name, given in chosen.items():
            part, _, setting = name.partition(".")
            assert getattr(getattr(changed, part), setting) == given["value"]

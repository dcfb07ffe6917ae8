import json
import math
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import yaml
from PIL import Image

from dashboard.runs import RunCatalogue
from trainer.configuration import change_settings
from trainer.errors import FolderInUse, InvalidConfig, InvalidStudy
from trainer.fashion.config import read_fashion_config
from trainer.fashion.module import EncoderModule
from trainer.fashion.studies.trial_training import open_trial_data
from trainer.fashion.studies.tuning import EncoderObjective, Tuning, tune_fashion
from trainer.fashion.studies.tuning_plan import PHASES, capped, shortened
from trainer.fashion.studies.tuning_results import Sweep
from trainer.fashion.train import train_fashion
from trainer.loop.run_folder import claimed

pytestmark = pytest.mark.slow

_SWEEP = Sweep(project="p", metric="val/recall@10", command=("atelier", "fashion", "trial"))
_TUNING = Tuning(phases=capped(shortened(PHASES, 2), 2), sweep=_SWEEP)


def _told(body):
    """All that must be the same in two studies; seconds and broken-off trials are not."""
    return [
        [
            (trial["settings"], trial["value"], trial["epochs"])
            for trial in phase["trials"]
            if trial["state"] != "failed"
        ]
        for phase in body["phases"]
    ]


def test_each_phase_starts_from_the_best_so_far(gallery, fashion_config, garments, space):
    """Its base is the best complete trial of all before; files say so, and the best can be trained again."""
    # proves F-21
    body = tune_fashion(fashion_config, garments, gallery.image.version, space, _TUNING)

    first, second, third = body["phases"]
    assert [phase["finished"] for phase in body["phases"]] == [2, 2, 2]
    assert first["starts_from"] == {}
    assert second["starts_from"] == first["best"]["settings"]
    assert third["starts_from"] == second["best_so_far"]["settings"]
    values = [trial["value"] for phase in body["phases"] for trial in phase["trials"]]
    assert body["best"]["value"] == third["best_so_far"]["value"] == max(values)
    assert json.loads((space.out / "tuning_results.json").read_text()) == body
    assert {"created_at", "schema_version"} <= body.keys()
    shown = RunCatalogue(space.out.parent).read(space.out.name)
    assert (shown.run.kind, shown.run.state, shown.run.epoch) == ("fashion_tuning", "done", 6)
    assert [trial.value for trial in shown.hyperparams.tuning.trials] == values
    assert shown.hyperparams.tuning.best.value == shown.loss_curve.series["best_value"][-1] == max(values)
    assert "## Phase 3" in (space.out / "tuning_results.md").read_text()
    with Image.open(space.out / "tuning.png") as chart:
        assert chart.info["Creation Time"]
    best = read_fashion_config(space.out / "best.yml")
    assert best.encoder.field_dim == body["best"]["settings"].get("encoder.field_dim", 128)
    report = train_fashion(best, garments, gallery.image.version, replace(space, out=space.out / "best"))
    assert report.body["val"]["recall"]["5"] == body["best"]["value"]


def test_what_a_kind_does_not_have_is_reported_before_any_trial(gallery, fashion_config, garments, space):
    """Attention has no `field_dim`: the phase that varies it is refused by name, and nothing is written."""
    attentive = change_settings(fashion_config, {"encoder.kind": "attention"})

    with pytest.raises(InvalidConfig, match=r"phase 2 varies encoder\.field_dim.*'attention'.*--phases"):
        tune_fashion(attentive, garments, gallery.image.version, space, _TUNING)

    assert not (space.out / "study.db").exists()


def test_a_killed_study_goes_on_with_the_same_trials(gallery, fashion_config, garments, space, tmp_path):
    """SIGKILL within a trial: that one is failed and done anew, the others are kept (F-21)."""
    image = gallery.image.version
    whole, killed = replace(space, out=tmp_path / "whole"), replace(space, out=tmp_path / "killed")
    expected = tune_fashion(fashion_config, garments, image, whole, _TUNING)
    arguments = tmp_path / "arguments"
    arguments.write_bytes(pickle.dumps((fashion_config, garments, image, killed, _TUNING)))

    died = subprocess.run(
        [sys.executable, "-m", "tests.trainer.fashion.studies.dying_study", str(arguments), "4"],
        capture_output=True,
        timeout=240,
        env=os.environ,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    kept = json.loads((killed.out / "tuning_results.json").read_text())
    body = tune_fashion(fashion_config, garments, image, killed, _TUNING)

    assert [phase["finished"] for phase in kept["phases"]] == [2, 1, 0]
    assert [phase["finished"] for phase in body["phases"]] == [2, 2, 2]
    assert [phase["failed"] for phase in body["phases"]] == [0, 1, 0]
    assert _told(body) == _told(expected)
    assert kept["phases"][0]["trials"] == body["phases"][0]["trials"]


def test_phases_can_be_run_one_at_a_time(gallery, fashion_config, garments, space, tmp_path):
    """A phase alone begins with what those before it left in the folder; finished ones are not run again."""
    # proves F-21
    image = gallery.image.version
    apart, at_once = replace(space, out=tmp_path / "apart"), replace(space, out=tmp_path / "at-once")
    one, two = (replace(_TUNING, wanted=(number,), phases=_TUNING.phases[:2]) for number in (1, 2))
    tune_fashion(fashion_config, garments, image, apart, one)
    body = tune_fashion(fashion_config, garments, image, apart, two)

    both = replace(two, wanted=(1, 2))
    assert _told(tune_fashion(fashion_config, garments, image, at_once, both)) == _told(body)
    assert (
        tune_fashion(fashion_config, garments, image, apart, both)["trial_seconds"] == body["trial_seconds"]
    )


def test_a_study_of_something_else_is_refused(gallery, fashion_config, garments, space):
    """Other garments, another figure, another process: one line, nothing is trained (F-21)."""
    image = gallery.image.version
    small = replace(_TUNING, wanted=(1,), phases=capped(_TUNING.phases[:1], 1))
    before = tune_fashion(fashion_config, garments, image, space, small)

    with pytest.raises(InvalidStudy, match="another data_version"):
        tune_fashion(fashion_config, garments[:-3], image, space, small)
    with pytest.raises(InvalidStudy, match="another objective"):
        tune_fashion(fashion_config, garments, image, space, replace(small, figure="mrr"))
    with claimed(space.out), pytest.raises(FolderInUse, match=f"process {os.getpid()}"):
        tune_fashion(fashion_config, garments, image, space, small)
    assert json.loads((space.out / "tuning_results.json").read_text()) == before


def test_sweeps_of_later_phases_hold_the_best(gallery, fashion_config, garments, space):
    """Their fixed values are where the phase starts from (F-21)."""
    body = tune_fashion(fashion_config, garments, gallery.image.version, space, _TUNING)

    for phase in body["phases"]:
        sweep = yaml.safe_load((space.out / f"sweep_phase{phase['phase']}.yml").read_text())
        fixed = {name: given["value"] for name, given in sweep["parameters"].items() if "value" in given}
        assert fixed == phase["starts_from"]


@pytest.fixture
def objective(gallery, fashion_config, garments, space):
    config = change_settings(fashion_config, {"training.max_epochs": 3, "training.standalone_epochs": 1})
    data = open_trial_data(config, garments, gallery.image.version, space)
    return EncoderObjective(config=config, data=data)


def test_a_trial_is_the_training_without_its_files(objective, space, tmp_path):
    """Its figures are those of `train_fashion` to the last bit, and it leaves no file (F-21)."""
    data = objective.data
    settings = {"training.learning_rate": 5e-4, "training.schedule": "step", "training.step_epochs": 1}

    outcome = objective(settings, lambda _epoch, _value: False, "trial")

    assert not space.out.exists()
    config = change_settings(objective.config, settings)
    report = train_fashion(config, data.garments, data.image, replace(space, out=tmp_path / "train"))
    assert outcome.value == report.body["val"]["recall"]["5"]
    assert outcome.best_epoch == report.body["best_epoch"]
    assert list(outcome.curve) == [row["val/recall@5"] for row in report.body["epochs"]]
    assert outcome.ended


def test_a_trial_ends_when_it_is_given_up(objective):
    """No epoch is trained after that one (F-21)."""
    asked = []

    outcome = objective({}, lambda epoch, _value: asked.append(epoch) or epoch == 2, "trial")

    assert asked == [1, 2]
    assert len(outcome.curve) == 2
    assert not outcome.ended


def test_a_training_that_diverges_is_given_up(objective, monkeypatch):
    """A loss that is no number ends the trial; it is never the best."""
    real = EncoderModule.measure
    monkeypatch.setattr(EncoderModule, "measure", lambda self: {**real(self), "val/loss": math.nan})

    outcome = objective({}, lambda _epoch, _value: False, "trial")

    assert not outcome.ended
    assert outcome.value == 0.0

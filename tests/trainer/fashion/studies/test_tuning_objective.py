import math
from dataclasses import replace

import pytest

from trainer.configuration import change_settings
from trainer.fashion.module import EncoderModule
from trainer.fashion.studies.trial_training import open_collection
from trainer.fashion.studies.tuning_objective import EncoderObjective
from trainer.fashion.train import train_fashion

pytestmark = pytest.mark.slow


@pytest.fixture
def objective(gallery, fashion_config, garments, space):
    config = change_settings(fashion_config, {"training.max_epochs": 3, "training.standalone_epochs": 1})
    collection = open_collection(config, garments, gallery.image.version, space)
    return EncoderObjective(config=config, collection=collection)


def test_a_trial_is_the_training_without_its_files(objective, space, tmp_path):
    """Its figures are those of `train_fashion` to the last bit, and it leaves no file."""  # proves F-21
    collection = objective.collection
    settings = {"training.learning_rate": 5e-4, "training.schedule": "step", "training.step_epochs": 1}

    outcome = objective(settings, lambda _epoch, _value: False, "trial")

    assert not space.out.exists()
    config = change_settings(objective.config, settings)
    report = train_fashion(
        config, collection.garments, collection.image, replace(space, out=tmp_path / "train")
    )
    assert outcome.value == report.body["val"]["recall"]["5"]
    assert outcome.best_epoch == report.body["best_epoch"]
    assert list(outcome.curve) == [row["val/recall@5"] for row in report.body["epochs"]]
    assert outcome.ended


def test_a_trial_ends_when_it_is_given_up(objective):
    """No epoch is trained after that one."""  # proves F-21
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

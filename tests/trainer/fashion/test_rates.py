from dataclasses import replace

import pytest
import torch

from tests.trainer.artwork.test_resume import _alike
from trainer.configuration import change_settings
from trainer.errors import InvalidCheckpoint
from trainer.fashion.config import FashionTraining
from trainer.fashion.module import EncoderModule
from trainer.fashion.rates import rate_of
from trainer.fashion.train import KIND, train_fashion
from trainer.loop.checkpoints import load_checkpoint
from trainer.loop.schedules import SCHEDULERS

_TORCH = {
    "cosine": {"T_max": 12},
    "step": {"step_size": 5, "gamma": 0.3},
    "exponential": {"gamma": 0.9},
}


@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_rates_are_those_of_torch(schedule):
    """Epoch by epoch the rate is that of torch's scheduler of the same name."""  # proves F-21
    settings = FashionTraining(
        schedule=schedule, max_epochs=12, step_epochs=5, step_factor=0.3, exponential_factor=0.9
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=settings.learning_rate)
    scheduler = getattr(torch.optim.lr_scheduler, SCHEDULERS[schedule])(optimizer, **_TORCH[schedule])

    for epoch in range(1, 13):
        assert rate_of(settings, epoch) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        scheduler.step()


def test_the_rate_stays_when_no_schedule_is_asked_for():
    """The default is one rate for all epochs."""  # proves F-9
    settings = FashionTraining()

    assert {rate_of(settings, epoch) for epoch in range(1, 200)} == {settings.learning_rate}


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_a_broken_off_run_goes_on_at_the_right_rate(
    gallery, fashion_config, garments, space, tmp_path, monkeypatch, schedule
):
    """Resumed in the third of four epochs, rates and weights are those of an unbroken run."""
    # proves F-10, F-21
    config = change_settings(
        fashion_config,
        {
            "training.schedule": schedule,
            "training.max_epochs": 4,
            "training.step_epochs": 2,
            "training.standalone_epochs": 1,
        },
    )
    whole, broken = replace(space, out=tmp_path / "whole"), replace(space, out=tmp_path / "broken")
    expected = train_fashion(config, garments, gallery.image.version, whole)
    with monkeypatch.context() as patched:
        patched.setattr(EncoderModule, "training_step", _dying(EncoderModule.training_step, 3))
        with pytest.raises(KeyError, match="broken off"):
            train_fashion(config, garments, gallery.image.version, broken)

    report = train_fashion(config, garments, gallery.image.version, broken, resume=True)

    rates = [row["train/lr"] for row in report.body["epochs"]]
    assert rates == [rate_of(config.training, epoch) for epoch in range(1, 5)]
    assert rates[3] < rates[0]
    assert report.body["val"] == expected.body["val"]
    one, other = (load_checkpoint(run.out / "checkpoints" / "last.pt", KIND) for run in (whole, broken))
    assert _alike(one, other)


@pytest.mark.slow
def test_a_cosine_is_not_stretched(gallery, fashion_config, garments, space):
    """With a cosine the number of epochs decides every rate, so a resumed run keeps it."""
    config = change_settings(
        fashion_config,
        {"training.schedule": "cosine", "training.max_epochs": 1, "training.standalone_epochs": 0},
    )
    train_fashion(config, garments, gallery.image.version, space)
    longer = change_settings(config, {"training.max_epochs": 2})

    with pytest.raises(InvalidCheckpoint, match=r"training\.max_epochs"):
        train_fashion(longer, garments, gallery.image.version, space, resume=True)


def _dying(real, epoch):
    def step(self, batch):
        if (self.stage, self.epoch) == ("contrastive", epoch):
            raise KeyError("broken off")
        return real(self, batch)

    return step

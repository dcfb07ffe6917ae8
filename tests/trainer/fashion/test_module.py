import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trainer.artwork.test_resume import _alike
from tests.trainer.fashion.encoder_kinds import RECORDS, SCHEMA, SETTINGS, make_encoder
from trainer.configuration import change_settings
from trainer.errors import InvalidCheckpoint
from trainer.fashion.config import FashionTraining
from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.fashion.dataset import GarmentTensors, make_tensors
from trainer.fashion.module import EncoderModule, rate_of
from trainer.fashion.train import KIND, train_fashion
from trainer.loop.checkpointing import CheckpointWriter
from trainer.loop.checkpoints import load_checkpoint
from trainer.loop.fitting import FitSettings, Fitting
from trainer.loop.progress import silent
from trainer.loop.schedules import SCHEDULERS
from trainer.loop.tracking import TrackedRun, tracking


def _garments(count: int, tmp_path) -> GarmentTensors:
    """So many garments with pictures drawn at random."""
    vector_ND = np.random.default_rng(0).normal(size=(count, 512)).astype(np.float32)
    garments = [
        GarmentRecord(
            item_id=str(number),
            path=tmp_path,
            attributes=RECORDS[number % len(RECORDS)],
            group=str(number),
            picture_digest=str(number),
        )
        for number in range(count)
    ]
    return make_tensors(garments, vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True), SCHEMA)


@pytest.mark.parametrize("stage", ["standalone", "contrastive"])
@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("count", [2, 5])
def test_every_kind_is_trained_on_the_smallest_batches(kind, stage, count, tmp_path):
    """Two garments are a batch; a fifth one alone is left out, and one alone can be validated on."""
    # proves F-9, F-23
    encoder = make_encoder(kind)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    settings = FashionTraining(batch_size=2, device="cpu")
    module = EncoderModule(
        encoder, settings, _garments(count, tmp_path), _garments(1, tmp_path), torch.Generator(), stage
    )
    fitting = Fitting(
        module,
        CheckpointWriter(tmp_path / "checkpoints", top=1, every=1),
        {},
        FitSettings(max_epochs=1, patience=1, clip_norm=1.0),
        standing=lambda figures: (0.0, -figures["val/loss"]),
    )

    with tracking(
        TrackedRun(directory=tmp_path, project="", name=None, enabled=False, settings={})
    ) as tracker:
        (row,) = fitting.run(torch.device("cpu"), tracker, silent, stage)

    assert math.isfinite(row["train/loss"])
    assert math.isfinite(row["val/loss"])
    after = encoder.state_dict()
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    seen = {name: int(count) for name, count in after.items() if name.endswith("num_batches_tracked")}
    # Two views a batch where records are to find each other; none where batches are validated on.
    assert set(seen.values()) <= {(count // 2) * (2 if stage == "standalone" else 1)}
    assert bool(seen) == (kind == "residual, batch")
    assert any(not torch.equal(before[name], after[name]) for name in before)


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

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.trainer.artwork.test_train_resume import _alike
from tests.trainer.fashion.encoder_kinds import RECORDS, SCHEMA, SETTINGS, make_encoder
from trainer.configuration import change_settings
from trainer.errors import InvalidCheckpoint
from trainer.fashion.config import FashionTraining
from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.fashion.module import (
    EncoderModule,
    GarmentTensors,
    info_nce,
    make_tensors,
    rate_of,
    shared_info_nce,
)
from trainer.fashion.train import KIND, train_fashion
from trainer.loop.checkpoints import CheckpointWriter, LastCheckpoint, load_checkpoint
from trainer.loop.fitting import FitSettings, Fitting
from trainer.loop.progress import silent
from trainer.loop.schedules import SCHEDULERS
from trainer.loop.tracking import Untracked


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

    (row,) = fitting.run(torch.device("cpu"), Untracked(), silent, stage)

    assert math.isfinite(row["train/loss"])
    assert math.isfinite(row["val/loss"])
    after = encoder.state_dict()
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    seen = {name: int(count) for name, count in after.items() if name.endswith("num_batches_tracked")}
    # Two views a batch where records are to find each other; none where batches are validated on.
    assert set(seen.values()) <= {(count // 2) * (2 if stage == "standalone" else 1)}
    assert bool(seen) == (kind == "residual, batch")
    assert any(not torch.equal(before[name], after[name]) for name in before)


def _learning(settings: FashionTraining, tmp_path) -> EncoderModule:
    parts = (_garments(8, tmp_path), _garments(4, tmp_path))
    return EncoderModule(make_encoder("pooled"), settings, *parts, torch.Generator().manual_seed(0))


def _fit(module: EncoderModule, folder, epochs: int, last: LastCheckpoint | None = None):
    fitting = Fitting(
        module,
        CheckpointWriter(folder, top=1, every=9),
        {"kind": KIND},
        FitSettings(max_epochs=epochs, patience=99, clip_norm=1.0),
        standing=lambda figures: (0.0, -figures["val/loss"]),
    )
    torch.manual_seed(0)
    fitting.begin(last)
    return fitting.run(torch.device("cpu"), Untracked(), silent, "learning")


@pytest.mark.parametrize("start", [0.1, 0.011])
def test_a_learned_temperature_moves_and_keeps_its_bound(start: float, tmp_path):
    """It starts as set, follows the gradient and is never below 0.01, as in CLIP (F-9)."""
    settings = FashionTraining(
        batch_size=4, device="cpu", temperature=start, learn_temperature=True, learning_rate=0.01
    )

    history = _fit(_learning(settings, tmp_path), tmp_path / "run", 6)

    values = [row["train/temperature"] for row in history]
    assert len(set(values)) > 1
    assert all(0.01 - 1e-6 <= value <= 1 for value in values)


def test_a_learned_temperature_goes_on_where_it_was(tmp_path):
    """Broken off and resumed, it has the values of an unbroken run; unlearned it is as set (F-9, F-10)."""
    settings = FashionTraining(
        batch_size=4, device="cpu", temperature=0.1, learn_temperature=True, schedule="constant"
    )
    whole = _fit(_learning(settings, tmp_path), tmp_path / "whole", 4)
    _fit(_learning(settings, tmp_path), tmp_path / "broken", 2)
    path = tmp_path / "broken" / "last.pt"
    last = LastCheckpoint(path=path, body=load_checkpoint(path, KIND))

    rest = _fit(_learning(settings, tmp_path), tmp_path / "broken", 4, last)

    temperatures = [[row["train/temperature"] for row in history] for history in (whole, rest)]
    assert temperatures[0] == temperatures[1]
    fixed = _learning(settings.model_copy(update={"learn_temperature": False}), tmp_path)
    assert (fixed.temperature, fixed.scale) == (0.1, None)


_TORCH = {
    "cosine": {"T_max": 12},
    "step": {"step_size": 5, "gamma": 0.3},
    "exponential": {"gamma": 0.9},
}


@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_rates_are_those_of_torch(schedule):
    """Epoch by epoch the rate is that of torch's scheduler of the same name (F-21)."""
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
    """`constant` is one rate for all epochs (F-9)."""
    settings = FashionTraining(schedule="constant")

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


def _vectors(seed: int, count: int = 6) -> torch.Tensor:
    return functional.normalize(
        torch.randn(count, 512, generator=torch.Generator().manual_seed(seed)), dim=-1
    )


def test_loss_is_that_of_the_definition():
    """Without ties it is the mean of both directions of cross-entropy (F-9)."""
    record_BD, picture_BD = _vectors(0), _vectors(1)
    logit_BB = record_BD @ picture_BD.T / 0.1

    expected = -(logit_BB.log_softmax(1).diag().mean() + logit_BB.log_softmax(0).diag().mean()) / 2

    assert info_nce(record_BD, picture_BD, 0.1).item() == pytest.approx(expected.item(), rel=1e-5)


def test_ties_are_no_negatives():
    """Equal records do not push each other's pictures away (F-9)."""
    picture_BD = _vectors(1)
    record_BD = _vectors(0)[[0, 0, 2, 3, 4, 5]].requires_grad_()
    key_B = torch.tensor([0, 0, 2, 3, 4, 5])

    loose = info_nce(record_BD, picture_BD, 0.1, key_B)
    strict = info_nce(record_BD, picture_BD, 0.1)

    assert loose < strict
    assert torch.equal(info_nce(record_BD, picture_BD, 0.1, torch.arange(6)), strict)
    loose.backward()
    assert torch.isfinite(record_BD.grad).all()


def test_loss_is_symmetric():
    """Pictures and records may change places."""
    one, other = _vectors(0), _vectors(1)

    assert info_nce(one, other, 0.1).item() == pytest.approx(info_nce(other, one, 0.1).item(), rel=1e-6)


def test_shares_of_one_record_each_are_the_plain_loss():
    """Pictures that show one garment give `info_nce`, with ties and without, whatever the records' order."""
    # proves F-9, F-22
    picture_BD, order = _vectors(1), torch.tensor([3, 0, 5, 1, 4, 2])
    record_BD, key_B = _vectors(0)[[0, 0, 2, 3, 4, 5]], torch.tensor([0, 0, 2, 3, 4, 5])
    share_BM = torch.eye(6)[:, order]

    for key in (None, key_B):
        found = shared_info_nce(
            record_BD[order], picture_BD, share_BM, 0.1, None if key is None else key[order]
        )
        assert found.item() == pytest.approx(info_nce(record_BD, picture_BD, 0.1, key).item(), rel=1e-5)


def test_a_mixed_picture_is_best_between_its_garments():
    """The loss falls towards the shares: it pulls at both records, harder at the one that is shown more."""
    # proves F-22
    record_MD = _vectors(0, 4)
    share_BM = torch.tensor([[0.7, 0.3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    picture_BD = record_MD[[2, 2, 3]].clone().requires_grad_()

    shared_info_nce(record_MD, picture_BD, share_BM, 0.5).backward()

    pull_M = -(picture_BD.grad @ record_MD.T)[0]
    assert pull_M[0] > pull_M[1] > 0
    assert pull_M[2] < 0


def test_ties_of_both_garments_are_no_negatives():
    """A record that says what either garment of a picture says does not push it away."""
    # proves F-9, F-22
    record_MD = _vectors(0, 4).requires_grad_()
    picture_BD = _vectors(1, 2)
    share_BM = torch.tensor([[0.6, 0.4, 0, 0], [0, 0, 0, 1.0]])

    loss = shared_info_nce(record_MD, picture_BD, share_BM, 0.1, torch.tensor([0, 1, 1, 2]))
    loss.backward()

    assert torch.isfinite(loss)
    assert torch.isfinite(record_MD.grad).all()
    # Record 2 ties with what picture 0 shows; all that is left is to be told from picture 1.
    untied = shared_info_nce(record_MD[[0, 1, 3]], picture_BD[:1], share_BM[:1, [0, 1, 3]], 0.1)
    tied = shared_info_nce(record_MD, picture_BD[:1], share_BM[:1], 0.1, torch.tensor([0, 1, 1, 2]))
    assert tied.item() == pytest.approx(untied.item(), rel=1e-5)

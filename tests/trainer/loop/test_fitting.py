import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from trainer.loop.checkpoints import CheckpointWriter, InMemoryCheckpoints, LastCheckpoint, load_checkpoint
from trainer.loop.fitting import FitSettings, Fitting
from trainer.loop.module import EpochBatches, EpochModule
from trainer.loop.progress import silent
from trainer.loop.schedules import cosine_rate
from trainer.loop.tracking import Untracked

CPU = torch.device("cpu")
UNCLIPPED = 1e9


class Scripted(EpochModule):
    """Two weights that go down each batch's row with plain steps; validation losses are given."""

    def __init__(
        self, losses: Sequence[float], rows: Sequence[tuple[float, float]] = ((1.0, 0.0),), **rate: float
    ) -> None:
        super().__init__(torch.nn.Linear(2, 1, bias=False), (), weight_decay=0.0)
        torch.nn.init.zeros_(self.network.weight)
        self.script, self.rows = losses, rows
        self.rate_settings = {"highest": 1.0, "lowest": 1.0, "period": 1, "warmup": 0, **rate}
        self.steps: list[list[float]] = []

    @property
    def rate(self) -> float:
        return cosine_rate(self.epoch, **self.rate_settings)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.network.parameters(), lr=self.rate)

    def train_dataloader(self):
        return EpochBatches(lambda: [torch.tensor([row]) for row in self.rows])

    def training_step(self, row_BD: torch.Tensor) -> torch.Tensor:
        loss = self.network(row_BD).sum()
        self.losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, *_arguments: object) -> None:
        self.steps.append(self.network.weight[0].tolist())

    def measure(self) -> dict[str, float]:
        return {"val/loss": self.script[self.epoch - 1]}


def _fitting(module: Scripted, keeper=None, **settings) -> Fitting:
    return Fitting(
        module,
        keeper or InMemoryCheckpoints(),
        {"kind": "test"},
        FitSettings(**{"max_epochs": len(module.script), "patience": 3, "clip_norm": UNCLIPPED, **settings}),
        standing=lambda figures: (-figures["val/loss"], 0.0),
    )


def _fit(module: Scripted, keeper=None, last: LastCheckpoint | None = None, **settings) -> list[int]:
    """The numbers of the epochs that a run consists of."""
    fitting = _fitting(module, keeper, **settings)
    fitting.begin(last)
    return [int(epoch["epoch"]) for epoch in fitting.run(CPU, Untracked(), silent, "test")]


@pytest.mark.slow
def test_a_run_ends_when_its_loss_was_not_lowered_for_so_many_epochs(tmp_path: Path):
    """Lowest in epoch 3, patience 3: epoch 6 is the last, and the best checkpoint is of epoch 3 (A-9)."""
    keeper = CheckpointWriter(tmp_path, top=1, every=100)

    epochs = _fit(Scripted([3.0, 2.0, 1.0, 1.5, 1.0, 1.2, 0.1, 0.1]), keeper)

    assert epochs == [1, 2, 3, 4, 5, 6]
    assert load_checkpoint(tmp_path / "best_model.pt", "test")["epoch"] == 3


@pytest.mark.slow
def test_more_patience_takes_a_stopped_run_further(tmp_path: Path):
    """It goes on where it stopped, and as the run with that patience would have gone (A-14)."""
    script = [3.0, 1.0, 2.0, 2.0, 0.5, 2.0, 2.0, 2.0]
    keeper = CheckpointWriter(tmp_path, top=1, every=100)
    assert _fit(Scripted(script), keeper, patience=2) == [1, 2, 3, 4]

    def resumed(patience: int) -> list[int]:
        last = LastCheckpoint(path=tmp_path / "last.pt", body=load_checkpoint(tmp_path / "last.pt", "test"))
        return _fit(Scripted(script), CheckpointWriter(tmp_path, top=1, every=100), last, patience=patience)

    assert resumed(2) == [1, 2, 3, 4]
    assert resumed(3) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.slow
def test_a_run_ends_when_its_rate_is_at_the_minimum():
    """A cosine over four epochs is at its lowest in the fifth (A-9)."""
    module = Scripted([float(-epoch) for epoch in range(10)], lowest=0.1, period=4)

    assert _fit(module, lowest_rate=0.1) == [1, 2, 3, 4, 5]
    assert module.rate == pytest.approx(0.1)


@pytest.mark.slow
def test_a_rate_that_rises_from_the_minimum_ends_nothing():
    """Warm-up from below the minimum is no end: that comes once the rate has fallen (A-9)."""
    module = Scripted([float(-epoch) for epoch in range(12)], lowest=0.3, period=4, warmup=4)

    assert _fit(module, lowest_rate=0.3, warmup_epochs=4) == list(range(1, 10))


@pytest.mark.slow
@pytest.mark.parametrize(("clip_norm", "length"), [(1.0, 1.0), (100.0, 5.0)])
def test_a_gradient_is_no_longer_than_its_bound(clip_norm: float, length: float):
    """A step of rate 1 along a gradient of length 5 is cut to the bound, in the same direction (A-9)."""
    module = Scripted([1.0], rows=((3.0, 4.0),))

    _fit(module, clip_norm=clip_norm)

    assert module.steps == [pytest.approx([-0.6 * length, -0.8 * length])]


@pytest.mark.slow
def test_accumulation_steps_once_for_several_batches():
    """Two batches make one step along the mean of their gradients; one left over steps alone (A-9)."""
    module = Scripted([1.0], rows=((2.0, 0.0), (0.0, 4.0), (6.0, 0.0)))

    _fit(module, accumulation=2)

    assert module.steps == [[0.0, 0.0], [-1.0, -2.0], [-4.0, -2.0]]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_run_that_was_told_to_stop_does_not_claim_to_be_done(name: str, status: int):
    """Whoever waits for it sees the signal in its status, as of any other program."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.trainer.loop.interrupted_training", name],
        capture_output=True,
        timeout=100,
    )

    assert done.returncode == status, done.stderr.decode()[-2000:]
    assert b"an epoch ended" not in done.stdout
    assert b"Traceback" not in done.stderr

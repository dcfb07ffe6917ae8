"""What a run trains: a network with its rate, its batches and the figures of each epoch (A-13)."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import nn

from trainer.loop.device import gpu_memory

Figures = Mapping[str, float]


class EpochModule(lightning.LightningModule):
    """A network in training and the figures of each epoch; epochs count from 1 and over resumed runs.

    A subclass gives `rate` and `measure`, and batches from `generators` alone, so that their states and those
    of torch decide everything that is to come.
    """

    def __init__(
        self, network: nn.Module, generators: Sequence[torch.Generator], *, weight_decay: float
    ) -> None:
        super().__init__()
        self.network, self.generators, self.weight_decay = network, tuple(generators), weight_decay
        self.epochs_before = 0
        self.figures: dict[str, float] = {}
        self.losses: list[torch.Tensor] = []
        self._started = 0.0

    @property
    def epoch(self) -> int:
        """The number of the epoch that is under way or was just ended."""
        return self.epochs_before + int(self.current_epoch) + 1

    @property
    def rate(self) -> float:
        """The learning rate of that epoch."""
        raise NotImplementedError

    def measure(self) -> Figures:
        """Figures of the network as it is, `train/…` and `val/…`, with `val/loss` among them."""
        raise NotImplementedError

    def configure_optimizers(self) -> torch.optim.Optimizer:
        # AdamW: Loshchilov and Hutter 2019. Each epoch sets its own rate.
        return torch.optim.AdamW(
            self.network.parameters(), lr=self.rate, weight_decay=self.weight_decay, fused=True
        )

    def val_dataloader(self) -> Any:
        # One step: the whole split at once. (Lightning would iterate over a list or a tensor.)
        return range(1)

    def on_train_epoch_start(self) -> None:
        self._started, self.losses = time.monotonic(), []
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        for group in optimizer.param_groups:
            group["lr"] = self.rate

    def validation_step(self, _batch: int) -> None:
        """The figures of the epoch: the names of A-13."""
        self.figures = {
            "train/loss": float(torch.stack(self.losses).mean()) if self.losses else 0.0,
            "train/lr": self.rate,
            **self.measure(),
            "system/epoch_time": time.monotonic() - self._started,
            "system/gpu_memory": gpu_memory(self.device),
        }

    def state(self) -> dict[str, Any]:
        """What beside weights and optimiser decides how the run goes on, and nothing else does."""
        cuda = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        return {
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": cuda,
            "generators": [generator.get_state() for generator in self.generators],
        }

    def restore(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Go on after `epoch`."""
        self.epochs_before = epoch
        torch.set_rng_state(state["torch_rng"])
        for rng in state["cuda_rng"]:
            torch.cuda.set_rng_state(rng)
        for generator, kept in zip(self.generators, state["generators"], strict=True):
            generator.set_state(kept)


class EpochBatches:
    """Batches as Lightning takes them: made anew each epoch, of unknown number."""

    def __init__(self, make: Callable[[], Iterable[Any]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        return iter(self._make())

"""A run of epochs that can be killed and resumed: Lightning's loop, our files (A-12, A-14, F-10)."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import nn

from trainer.errors import Diverged, OutOfMemory
from trainer.loop.checkpointing import Keeping, Standing
from trainer.loop.lightning_trainer import run_training
from trainer.loop.runs import Patience, gpu_memory
from trainer.loop.tracking import Tracker
from trainer.progress import Progress

_log = logging.getLogger(__name__)

Figures = Mapping[str, float]


class EpochModule(lightning.LightningModule):
    """A network in training that tells the figures of each epoch; epochs count from 1 and over resumed runs.

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
    """Batches as Lightning takes them: made anew each epoch, of a number that is not told."""

    def __init__(self, make: Callable[[], Iterable[Any]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        return iter(self._make())


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """When a run ends, and how it steps. It ends early once the rate is at `lowest_rate`."""

    max_epochs: int
    patience: int
    clip_norm: float
    accumulation: int = 1
    lowest_rate: float = 0.0


class Fitting:
    """One run of a module; the checkpoints that it leaves are the keeper's.

    standing: how good an epoch is, by its figures. headline: the figure that progress tells. extras: what
    else goes into its checkpoint.
    """

    def __init__(
        self,
        module: EpochModule,
        keeper: Keeping,
        header: Mapping[str, Any],
        settings: FitSettings,
        *,
        standing: Callable[[Figures], Standing],
        headline: str = "val/loss",
        extras: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.module, self.keeper, self.settings = module, keeper, settings
        self._header, self._standing, self._extras = header, standing, extras
        self._headline = headline
        self._patience = Patience(settings.patience)
        self._optimiser: Mapping[str, Any] | None = None
        self._stopped = False
        self.history: list[dict[str, float]] = []

    def restore(self, last: Mapping[str, Any]) -> None:
        """Go on from the body of `last.pt` as if the run had never stopped.

        Raises KeyError, ValueError, TypeError or RuntimeError: for a damaged one; see `restoring`.
        """
        resume = last["resume"]
        if not self._fits(last["optimizer_state_dict"]):
            raise ValueError("its optimiser is of other weights")
        self.module.network.load_state_dict(last["model_state_dict"])
        self.module.restore(int(last["epoch"]), resume["module"])
        self._optimiser = last["optimizer_state_dict"]
        self._patience.state = resume["patience"]
        self.history = list(resume["history"])
        self._stopped = bool(resume["stopped"])
        self.keeper.restore(resume)

    def run(
        self,
        device: torch.device,
        tracker: Tracker,
        progress: Progress,
        stage: str,
        after_epoch: Callable[[int], None] = lambda _epoch: None,
    ) -> list[dict[str, float]]:
        """Figures of each epoch, those before a resumed one with them.

        Raises OutOfMemory: when the smallest piece of a batch does not fit the device.
        """
        left = self.settings.max_epochs - self.module.epochs_before
        if left > 0 and not self._stopped:

            def told(epoch: int, figures: Figures) -> None:
                tracker.log(figures, epoch)
                after_epoch(epoch)
                note = f"{self._headline} {figures[self._headline]:.3f}"
                progress(stage, epoch, self.settings.max_epochs, note)

            try:
                run_training(
                    self.module,
                    device,
                    epochs=left,
                    callback=_Recording(self, self._optimiser, told),
                    clip_norm=self.settings.clip_norm,
                    accumulation=self.settings.accumulation,
                )
            except torch.OutOfMemoryError as error:
                raise OutOfMemory(f"{stage}: the memory of {device} does not suffice for one row") from error
        return self.history

    def record(self) -> bool:
        """Keep the epoch that was just validated; whether the run ends with it.

        Raises Diverged: when a loss is not finite; what was kept before stays.
        """
        module, figures = self.module, dict(self.module.figures)
        for name in ("train/loss", "val/loss"):
            if not math.isfinite(figures[name]):
                raise Diverged(
                    f"{name} of epoch {module.epoch} is {figures[name]}, at learning rate {module.rate:g}: a "
                    "lower learning_rate or a smaller gradient_clip_norm may help"
                )
        self.history.append({"epoch": module.epoch, **figures})
        tired = self._patience.exhausted(figures["val/loss"])
        stopped = tired or module.rate <= self.settings.lowest_rate
        resume = {
            "module": module.state(),
            "patience": list(self._patience.state),
            "history": self.history,
            "stopped": stopped,
        }
        self.keeper.keep(module.epoch, self._standing(figures), self._checkpoint(), resume)
        return stopped

    def _fits(self, state: Mapping[str, Any]) -> bool:
        """Whether the state of an optimiser is of as many weights as the module trains."""
        kept = sum(len(group["params"]) for group in state["param_groups"])
        return kept == sum(1 for _ in self.module.network.parameters())

    def _checkpoint(self) -> dict[str, Any]:
        """Weights, optimiser and figures (A-22)."""
        module = self.module
        optimiser = module.optimizers()
        assert isinstance(optimiser, LightningOptimizer)
        return {
            **self._header,
            "epoch": module.epoch,
            "model_state_dict": {name: tensor.cpu() for name, tensor in module.network.state_dict().items()},
            "optimizer_state_dict": optimiser.state_dict(),
            "metrics": {name: value for name, value in module.figures.items() if name.startswith("val/")},
            **self._extras(),
        }


class _Recording(lightning.Callback):
    """After each validation: keep the epoch, tell its figures, stop when nothing more is to be gained."""

    def __init__(
        self, fitting: Fitting, optimiser: Mapping[str, Any] | None, told: Callable[[int, Figures], None]
    ) -> None:
        self.fitting, self.optimiser, self.told = fitting, optimiser, told

    def on_fit_start(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        if self.optimiser is not None:
            trainer.optimizers[0].load_state_dict(dict(self.optimiser))

    def on_validation_end(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        module = self.fitting.module
        stopped = self.fitting.record()
        self.told(module.epoch, module.figures)
        if stopped:
            _log.info("training stopped early", extra={"epoch": module.epoch, "lr": module.rate})
            trainer.should_stop = True

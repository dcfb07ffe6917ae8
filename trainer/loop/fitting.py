"""A run of epochs that can be killed and resumed: Lightning's loop, our files (A-12, A-14, F-10)."""

import logging
import math
import signal
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from trainer.errors import Diverged, OutOfMemory
from trainer.loop.checkpoints import CheckpointKeeper, LastCheckpoint, Standing, restoring
from trainer.loop.device import choose_precision, one_thread
from trainer.loop.module import EpochModule, Figures
from trainer.loop.progress import Progress
from trainer.loop.tracking import Tracker

_log = logging.getLogger(__name__)
# Lightning's loggers that announce devices.
_LOUD = ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """When a run ends, and how it steps.

    It ends early once the validation loss was not lowered for `patience` epochs, or once the rate is at
    `lowest_rate`; not by the rate of its first `warmup_epochs`, which rises.
    steps_before: steps of its tracker that come before the first epoch.
    """

    max_epochs: int
    patience: int
    clip_norm: float
    accumulation: int = 1
    lowest_rate: float = 0.0
    warmup_epochs: int = 0
    steps_before: int = 0


class Fitting:
    """The epochs of a module; `keeper` takes its checkpoints.

    standing: how good an epoch is, by its figures. headline: the figure that progress shows. extras: what
    else goes into its checkpoint.
    """

    def __init__(
        self,
        module: EpochModule,
        keeper: CheckpointKeeper,
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
        self._optimiser: dict[str, Any] | None = None
        self._stopped = False
        self.history: list[dict[str, float]] = []

    def begin(self, last: LastCheckpoint | None = None) -> None:
        """Go on from a last checkpoint as if the run had never stopped; without it, clear the keeper.

        Raises InvalidCheckpoint: if the checkpoint is damaged.
        """
        if last is None:
            self.keeper.clear()
            return
        with restoring(last.path):
            self._restore(last.body)

    def _restore(self, last: Mapping[str, Any]) -> None:
        resume = last["resume"]
        self._optimiser = last["optimizer_state_dict"]
        optimised = sum(len(group["params"]) for group in self._optimiser["param_groups"])
        if optimised != len(list(self.module.parameters())):
            raise ValueError("its optimiser is of other weights")
        self.module.network.load_state_dict(last["model_state_dict"])
        self.module.restore(int(last["epoch"]), resume["module"])
        self.history = list(resume["history"])
        # A run that stopped early goes on with more patience; one that ended by its rate does not.
        self._stopped = self._has_ended()
        self.keeper.restore(resume)

    def run(
        self,
        device: torch.device,
        tracker: Tracker,
        progress: Progress,
        stage: str,
        after_epoch: Callable[[int], None] = lambda _epoch: None,
    ) -> list[dict[str, float]]:
        """The figures of each epoch, including those before a resumed run.

        Raises OutOfMemory: when the smallest piece of a batch does not fit the device.
        """

        def end_epoch(trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
            self._keep_epoch()
            epoch, figures = self.module.epoch, self.module.figures
            tracker.log(figures, self.settings.steps_before + epoch)
            after_epoch(epoch)
            note = f"{self._headline} {figures[self._headline]:.3f}"
            progress(stage, epoch, self.settings.max_epochs, note)
            if self._stopped:
                _log.info("training stopped early", extra={"epoch": epoch, "lr": self.module.rate})
                trainer.should_stop = True

        left = self.settings.max_epochs - self.module.epochs_before
        if left <= 0 or self._stopped:
            return self.history
        callback = LambdaCallback(on_fit_start=self._restore_optimiser, on_validation_end=end_epoch)
        try:
            with one_thread():
                run_training(self.module, device, self.settings, epochs=left, callback=callback)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(f"{stage}: the memory of {device} does not suffice for one row") from error
        return self.history

    def _restore_optimiser(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        if self._optimiser is not None:
            trainer.optimizers[0].load_state_dict(self._optimiser)

    def _keep_epoch(self) -> None:
        """Keep the epoch that was just validated, and decide whether the run ends with it.

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
        self._stopped = self._has_ended()
        resume = {
            "module": module.state(),
            # Follows from the history; stays in the format for earlier builds.
            "patience": [min(epoch["val/loss"] for epoch in self.history), self._waited()],
            "history": self.history,
            "stopped": self._stopped,
        }
        self.keeper.keep(module.epoch, self._standing(figures), self._checkpoint(), resume)

    def _waited(self) -> int:
        """Epochs since the lowest validation loss."""
        losses = [epoch["val/loss"] for epoch in self.history]
        return len(losses) - 1 - losses.index(min(losses))

    def _has_ended(self) -> bool:
        """Whether the last epoch ends the run early."""
        last, settings = self.history[-1], self.settings
        is_warm = last["epoch"] > settings.warmup_epochs
        by_rate = is_warm and last["train/lr"] <= settings.lowest_rate
        return by_rate or self._waited() >= settings.patience

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


def run_training(
    module: lightning.LightningModule,
    device: torch.device,
    settings: FitSettings,
    *,
    epochs: int,
    callback: lightning.Callback,
) -> None:
    """Train so many epochs, each with its validation; Lightning itself writes and prints nothing.

    Raises KeyboardInterrupt, SystemExit: with the status of the signal, when one ended the run.
    """
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    gpu = device.type == "cuda"
    with warnings.catch_warnings():
        # That no logger, no checkpoint callback and no worker processes are there is meant.
        warnings.filterwarnings("ignore", category=UserWarning, module=r"lightning\.")
        # Lightning 2.6 asks torch for a name that torch is about to drop.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        trainer = lightning.Trainer(
            accelerator="gpu" if gpu else "cpu",
            devices=1,
            precision=choose_precision(device),
            max_epochs=epochs,
            gradient_clip_val=settings.clip_norm,
            accumulate_grad_batches=settings.accumulation,
            callbacks=[callback],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        try:
            trainer.fit(module)
        except SIGTERMException as ended:
            # Lightning would leave with 0, as if the run were done.
            raise SystemExit(128 + signal.SIGTERM) from ended
        except SystemExit as ended:
            # And with 1 for Ctrl-C, as if it had failed.
            raise KeyboardInterrupt from ended

"""One run of the optimiser by Lightning: epochs, validation, checkpoints, early stopping (A-9 … A-14)."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import lightning
import torch

from trainer.artwork.batches import open_batches
from trainer.artwork.calibration import fit_temperature
from trainer.artwork.config import ArtworkConfig
from trainer.artwork.model import PairwiseRankingModel
from trainer.artwork.module import Graded, RankingFit, scores_of
from trainer.keeping import Keeper
from trainer.lightning_trainer import run_training
from trainer.progress import Progress
from trainer.runs import Patience
from trainer.tracking import Tracker

_log = logging.getLogger(__name__)

Sampled = Callable[[PairwiseRankingModel, int], None]


class ArtworkFit:
    """A run over two parts of a split; the checkpoints that it leaves are the keeper's."""

    def __init__(
        self,
        config: ArtworkConfig,
        train: Graded,
        val: Graded,
        keeper: Keeper,
        header: Mapping[str, Any],
        device: torch.device,
    ) -> None:
        settings = config.training
        torch.manual_seed(settings.seed)
        model = PairwiseRankingModel.build(train.feature_NVD.shape[-1], config.head)
        batches = open_batches(
            settings.loader, train.rank_N, settings.batch_size, settings.seed, settings.pairs_per_epoch
        )
        self.config, self.keeper, self.header, self.device = config, keeper, header, device
        self.module = RankingFit(model, settings, train, val, batches)
        self.patience = Patience(settings.early_stopping_patience)
        self.history: list[dict[str, float]] = []
        self._optimiser: Mapping[str, Any] | None = None
        self._stopped = False

    def restore(self, last: Mapping[str, Any]) -> None:
        """Go on from the body of `last.pt` as if the run had never stopped."""
        resume = last["resume"]
        self.module.model.load_state_dict(last["model_state_dict"])
        self.module.restore(int(last["epoch"]), resume["module"])
        self._optimiser = last["optimizer_state_dict"]
        self.patience.state = resume["patience"]
        self.history = list(resume["history"])
        self._stopped = bool(resume["stopped"])
        self.keeper.restore(resume)

    def run(self, tracker: Tracker, progress: Progress, sampled: Sampled) -> list[dict[str, float]]:
        """Figures of each epoch, those before a resumed one with them."""
        settings = self.config.training
        left = settings.max_epochs - self.module.epochs_before
        if left <= 0 or self._stopped:
            return self.history
        recording = _Recording(self, tracker, progress, sampled, self._optimiser)
        run_training(
            self.module,
            self.device,
            epochs=left,
            callback=recording,
            clip_norm=settings.gradient_clip_norm,
            accumulation=settings.gradient_accumulation,
        )
        return self.history

    def checkpoint(self) -> dict[str, Any]:
        """Weights, optimiser and figures of the epoch that was just validated (A-22)."""
        module = self.module
        optimiser = module.optimizers()
        assert isinstance(optimiser, lightning.pytorch.core.optimizer.LightningOptimizer)
        state = {name: tensor.cpu() for name, tensor in module.model.state_dict().items()}
        val = module.val_part
        return {
            **self.header,
            "epoch": module.epoch,
            "model_state_dict": state,
            "optimizer_state_dict": optimiser.state_dict(),
            "metrics": {name: value for name, value in module.figures.items() if name.startswith("val/")},
            "temperature": fit_temperature(scores_of(module.model, val), val.rank_N.cpu().numpy()),
        }

    def resumable(self, stopped: bool) -> dict[str, Any]:
        """What `restore` takes, beside the checkpoint."""
        return {
            "module": self.module.state(),
            "patience": list(self.patience.state),
            "history": self.history,
            "stopped": stopped,
        }


class _Recording(lightning.Callback):
    """After each validation: tell the figures, keep checkpoints, stop when nothing more is to be gained."""

    def __init__(
        self,
        fit: ArtworkFit,
        tracker: Tracker,
        progress: Progress,
        sampled: Sampled,
        optimiser: Mapping[str, Any] | None,
    ) -> None:
        self.fit, self.tracker, self.progress, self.sampled = fit, tracker, progress, sampled
        self.optimiser = optimiser

    def on_fit_start(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        if self.optimiser is not None:
            trainer.optimizers[0].load_state_dict(dict(self.optimiser))

    def on_validation_end(self, trainer: lightning.Trainer, _module: lightning.LightningModule) -> None:
        fit, settings, module = self.fit, self.fit.config.training, self.fit.module
        epoch, figures = module.epoch, dict(module.figures)
        fit.history.append({"epoch": epoch, **figures})
        self.tracker.log(figures, epoch)
        tired = fit.patience.exhausted(figures["val/loss"])
        stopped = tired or module.rate <= settings.scheduler_eta_min
        standing = (figures["val/accuracy"], -figures["val/loss"])
        fit.keeper.keep(epoch, standing, fit.checkpoint(), fit.resumable(stopped))
        if epoch % settings.save_every_n_epochs == 0:
            self.sampled(module.model, epoch)
        self.progress("artwork training", epoch, settings.max_epochs)
        if stopped:
            _log.info("training stopped early", extra={"epoch": epoch, "lr": module.rate})
            trainer.should_stop = True

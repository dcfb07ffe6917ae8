"""An artwork head as a Lightning module: steps over pairs, figures of each epoch (A-9 … A-14).

Shapes: N pictures of a split, V views, B pictures of a batch, D feature, P pairs.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import lightning
import numpy as np
import torch

from trainer.artwork.batches import Batches, PairBatch
from trainer.artwork.config import TrainingConfig
from trainer.artwork.evaluate import compute_pairwise_accuracy
from trainer.artwork.losses import mean_margin_loss, pair_loss
from trainer.artwork.model import PairwiseRankingModel
from trainer.chunks import ChunkedScores
from trainer.runs import gpu_memory
from trainer.schedules import cosine_rate

_ROWS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One part of the split on the device of the run: float32 feature_NVD, int64 rank_N.

    View 0 is the picture itself; others are augmented.
    """

    feature_NVD: torch.Tensor
    rank_N: torch.Tensor

    def __len__(self) -> int:
        return len(self.rank_N)


class RankingFit(lightning.LightningModule):
    """The model in training. Epochs count from 1 and go on from those of the run that it resumes."""

    def __init__(
        self,
        model: PairwiseRankingModel,
        settings: TrainingConfig,
        train: Graded,
        val: Graded,
        batches: Batches,
    ) -> None:
        super().__init__()
        self.model, self.settings, self.batches = model, settings, batches
        self.train_part, self.val_part = train, val
        self.chunks = ChunkedScores(model, self._score, max(len(train), 1))
        self.epochs_before = 0
        self.figures: dict[str, float] = {}
        self._losses: list[torch.Tensor] = []
        self._started = 0.0

    @property
    def epoch(self) -> int:
        """The number of the epoch that is under way or was just ended."""
        return self.epochs_before + int(self.current_epoch) + 1

    @property
    def rate(self) -> float:
        """The learning rate of that epoch."""
        settings = self.settings
        return cosine_rate(
            self.epoch,
            highest=settings.learning_rate,
            lowest=settings.scheduler_eta_min,
            period=settings.scheduler_t_max,
            warmup=settings.warmup_epochs,
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.model.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )

    def train_dataloader(self) -> Any:
        return _Epochs(self.batches)

    def val_dataloader(self) -> Any:
        # One step: the whole split at once. (Lightning would iterate over a list or a tensor.)
        return range(1)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, _loader: int) -> Any:
        if not isinstance(batch, PairBatch):
            return batch
        return replace(
            batch,
            picture_B=batch.picture_B.to(device),
            better_P=batch.better_P.to(device),
            worse_P=batch.worse_P.to(device),
        )

    def on_train_epoch_start(self) -> None:
        self._started, self._losses = time.monotonic(), []
        optimizer = self.optimizers()
        assert isinstance(optimizer, lightning.pytorch.core.optimizer.LightningOptimizer)
        for group in optimizer.param_groups:
            group["lr"] = self.rate

    def training_step(self, batch: PairBatch) -> torch.Tensor:
        score_B = self.chunks.scores(self._features(batch.picture_B))
        loss = pair_loss(
            score_B, batch.better_P, batch.worse_P, self.settings.margin, self.settings.hardest_pairs
        )
        self._losses.append(loss.detach())
        return loss

    def backward(self, loss: torch.Tensor, *_args: Any, **_kwargs: Any) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        self.chunks.backward()

    def validation_step(self, _batch: int) -> None:
        """The figures of the epoch: the names of A-13."""
        val_score_N, val_rank_N = scores_of(self.model, self.val_part), self.val_part.rank_N.cpu().numpy()
        train_score_N = scores_of(self.model, self.train_part)
        self.figures = {
            "train/loss": float(torch.stack(self._losses).mean()) if self._losses else 0.0,
            "train/accuracy": compute_pairwise_accuracy(train_score_N, self.train_part.rank_N.cpu().numpy()),
            "train/lr": self.rate,
            "val/loss": mean_margin_loss(val_score_N, val_rank_N, self.settings.margin),
            "val/accuracy": compute_pairwise_accuracy(val_score_N, val_rank_N),
            "system/epoch_time": time.monotonic() - self._started,
            "system/gpu_memory": gpu_memory(self.device),
        }

    def state(self) -> dict[str, Any]:
        """What beside weights and optimiser decides how the run goes on, and nothing else does."""
        cuda = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        return {
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": cuda,
            "batches_rng": self.batches.rng.get_state(),
            "rows_at_once": self.chunks.size,
        }

    def restore(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Go on after `epoch`."""
        self.epochs_before = epoch
        torch.set_rng_state(state["torch_rng"])
        for rng in state["cuda_rng"]:
            torch.cuda.set_rng_state(rng)
        self.batches.rng.set_state(state["batches_rng"])
        self.chunks.size = int(state["rows_at_once"])

    def _features(self, picture_B: torch.Tensor) -> torch.Tensor:
        feature_NVD = self.train_part.feature_NVD
        if feature_NVD.shape[1] == 1:
            return feature_NVD[picture_B, 0]
        view_B = torch.randint(feature_NVD.shape[1], picture_B.shape, device=picture_B.device)
        return feature_NVD[picture_B, view_B]

    def _score(self, feature_BD: torch.Tensor) -> torch.Tensor:
        with self.trainer.precision_plugin.forward_context():
            return self.model.forward_single(feature_BD)[1].float()


@torch.inference_mode()
def scores_of(model: PairwiseRankingModel, part: Graded) -> np.ndarray:
    """float32 score_N of the pictures themselves; the model is left in the mode that it was in."""
    training = model.training
    model.eval()
    try:
        parts = [model.forward_single(rows_CVD[:, 0])[1] for rows_CVD in torch.split(part.feature_NVD, _ROWS)]
    finally:
        model.train(training)
    return torch.cat(parts).float().cpu().numpy()


class _Epochs:
    """The batches as Lightning takes them: iterated once an epoch, of a length that is not told."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[PairBatch]:
        return iter(self._batches)

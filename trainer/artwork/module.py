"""An artwork head in training: steps over pairs, figures of each epoch (A-9 … A-14).

Shapes: N pictures of a split, V views, B pictures of a batch, D feature, P pairs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trainer.artwork.batches import Batches, PairBatch, mean_margin_loss, open_batches, pair_loss
from trainer.artwork.calibration import fit_temperature
from trainer.artwork.config import ArtworkConfig, TrainingConfig
from trainer.artwork.evaluate import compute_pairwise_accuracy
from trainer.artwork.model import ROWS_AT_ONCE, PairwiseRankingModel, evaluating
from trainer.loop.board import measure_norms
from trainer.loop.checkpoints import CheckpointKeeper, Standing
from trainer.loop.fitting import FitSettings, Fitting
from trainer.loop.gradient_cache import GradientCache
from trainer.loop.module import EpochModule, Figures
from trainer.loop.schedules import cosine_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One part of the split on the device of the run: float32 feature_NVD, int64 rank_N.

    View 0 is the picture itself; others are augmented.
    """

    feature_NVD: torch.Tensor
    rank_N: torch.Tensor

    def __len__(self) -> int:
        return len(self.rank_N)


class RankingModule(EpochModule):
    """Trains a head on one part of a split and measures it on both."""

    network: PairwiseRankingModel

    def __init__(
        self,
        model: PairwiseRankingModel,
        settings: TrainingConfig,
        train: Graded,
        val: Graded,
        batches: Batches,
    ) -> None:
        super().__init__(model, (batches.rng,), weight_decay=settings.weight_decay)
        self.settings, self.batches = settings, batches
        self.train_part, self.val_part = train, val
        self.chunks = GradientCache(model, self._score, max(len(train), 1))

    @property
    def rate(self) -> float:
        settings = self.settings
        return cosine_rate(
            self.epoch,
            highest=settings.learning_rate,
            lowest=settings.scheduler_eta_min,
            period=settings.scheduler_t_max,
            warmup=settings.warmup_epochs,
        )

    def train_dataloader(self) -> Any:
        return self.batches

    def training_step(self, batch: PairBatch) -> torch.Tensor:
        score_B = self.chunks.scores(self._features(batch.picture_B))
        loss = pair_loss(
            score_B, batch.better_P, batch.worse_P, self.settings.margin, self.settings.hardest_pairs
        )
        self.losses.append(loss.detach())
        return loss

    def backward(self, loss: torch.Tensor, *_args: Any, **_kwargs: Any) -> None:
        loss.backward()  # type: ignore[no-untyped-call]
        self.chunks.backward()

    def measure(self) -> dict[str, float]:
        train_score_N, (val_score_N, norm_N) = (
            scores_of(self.network, self.train_part),
            judge_part(self.network, self.val_part),
        )
        train_rank_N, val_rank_N = (p.rank_N.cpu().numpy() for p in (self.train_part, self.val_part))
        return {
            "train/accuracy": compute_pairwise_accuracy(train_score_N, train_rank_N),
            "val/loss": mean_margin_loss(val_score_N, val_rank_N, self.settings.margin),
            "val/accuracy": compute_pairwise_accuracy(val_score_N, val_rank_N),
            **measure_norms(norm_N),
        }

    def state(self) -> dict[str, Any]:
        return {**super().state(), "rows_at_once": self.chunks.size}

    def restore(self, epoch: int, state: Mapping[str, Any]) -> None:
        super().restore(epoch, state)
        self.chunks.size = int(state["rows_at_once"])

    def _features(self, picture_B: torch.Tensor) -> torch.Tensor:
        feature_NVD = self.train_part.feature_NVD
        if feature_NVD.shape[1] == 1:
            return feature_NVD[picture_B, 0]
        view_B = torch.randint(feature_NVD.shape[1], picture_B.shape, device=picture_B.device)
        return feature_NVD[picture_B, view_B]

    def _score(self, feature_BD: torch.Tensor) -> torch.Tensor:
        with self.trainer.precision_plugin.forward_context():
            return self.network.forward_single(feature_BD)[1].float()


def open_fitting(
    config: ArtworkConfig, train: Graded, val: Graded, keeper: CheckpointKeeper, header: Mapping[str, Any]
) -> Fitting:
    """The epochs of a run, seeded; its best epoch is the one of the highest validation accuracy."""
    settings = config.training
    torch.manual_seed(settings.seed)
    model = _fresh_model(config, train)
    batches = open_batches(
        settings.loader, train.rank_N, settings.batch_size, settings.seed, settings.pairs_per_epoch
    )

    def extras() -> dict[str, Any]:
        return {"temperature": fit_temperature(scores_of(model, val), val.rank_N.cpu().numpy())}

    return Fitting(
        RankingModule(model, settings, train, val, batches),
        keeper,
        header,
        FitSettings(
            max_epochs=settings.max_epochs,
            patience=settings.early_stopping_patience,
            clip_norm=settings.gradient_clip_norm,
            accumulation=settings.gradient_accumulation,
            lowest_rate=settings.scheduler_eta_min,
            warmup_epochs=settings.warmup_epochs,
        ),
        standing=standing_of,
        extras=extras,
    )


def standing_of(figures: Figures) -> Standing:
    """How good an epoch is: by its accuracy, then by its loss."""
    return figures["val/accuracy"], -figures["val/loss"]


def _fresh_model(config: ArtworkConfig, train: Graded) -> PairwiseRankingModel:
    model = PairwiseRankingModel.build(train.feature_NVD.shape[-1], config.head)
    if config.head.standardise:
        model.scale.fit(train.feature_NVD[:, 0].cpu())
    return model


def scores_of(model: PairwiseRankingModel, part: Graded) -> np.ndarray:
    """float32 score_N of the pictures themselves; the model is left in the mode that it was in."""
    return judge_part(model, part)[0]


@torch.inference_mode()
def judge_part(model: PairwiseRankingModel, part: Graded) -> tuple[np.ndarray, np.ndarray]:
    """float32 score_N and norm_N, the length of each embedding; see `scores_of`."""
    with evaluating(model):
        parts = [
            model.forward_single(rows_CD) for rows_CD in torch.split(part.feature_NVD[:, 0], ROWS_AT_ONCE)
        ]
    embedding_NE, score_N = (torch.cat(column).float() for column in zip(*parts, strict=True))
    return score_N.cpu().numpy(), torch.linalg.vector_norm(embedding_NE, dim=-1).cpu().numpy()

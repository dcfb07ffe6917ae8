"""The run of an artwork head: its model, its batches, how good an epoch is."""

from collections.abc import Mapping
from typing import Any

import torch

from trainer.artwork.batches import open_batches
from trainer.artwork.calibration import fit_temperature
from trainer.artwork.config import ArtworkConfig
from trainer.artwork.model import PairwiseRankingModel
from trainer.artwork.module import Graded, RankingFit, scores_of
from trainer.loop.checkpointing import Keeper
from trainer.loop.fitting import FitSettings, Fitting


def open_fit(
    config: ArtworkConfig, train: Graded, val: Graded, keeper: Keeper, header: Mapping[str, Any]
) -> Fitting:
    """A run from the start, seeded; `restore` makes it go on with another."""
    settings = config.training
    torch.manual_seed(settings.seed)
    model = PairwiseRankingModel.build(train.feature_NVD.shape[-1], config.head)
    batches = open_batches(
        settings.loader, train.rank_N, settings.batch_size, settings.seed, settings.pairs_per_epoch
    )

    def extras() -> dict[str, Any]:
        return {"temperature": fit_temperature(scores_of(model, val), val.rank_N.cpu().numpy())}

    return Fitting(
        RankingFit(model, settings, train, val, batches),
        keeper,
        header,
        FitSettings(
            max_epochs=settings.max_epochs,
            patience=settings.early_stopping_patience,
            clip_norm=settings.gradient_clip_norm,
            accumulation=settings.gradient_accumulation,
            lowest_rate=settings.scheduler_eta_min,
        ),
        standing=lambda figures: (figures["val/accuracy"], -figures["val/loss"]),
        extras=extras,
    )

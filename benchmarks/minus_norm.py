"""Why is a score not minus the norm of an embedding? (A-8)

    python -m benchmarks.minus_norm [--quick] [--json FILE]

The same projector learns the same tiers from the same features with either score. Measures the spread of a
fresh network's scores, the gradient that reaches the projector, and the accuracy on held-out pairs, by epoch.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import torch

from benchmarks.report import run
from trainer.artwork.batches import InBatchPairs, cross_tier_pairs, pair_loss
from trainer.artwork.config import HeadSettings, TrainingConfig
from trainer.artwork.evaluate import compute_pairwise_accuracy
from trainer.artwork.model import PairwiseRankingModel

DIMENSION, TRAIN, TEST = 384, 1600, 400
EPOCHS = (1, 5, 20)

Score = Callable[[PairwiseRankingModel, torch.Tensor], torch.Tensor]
SCORES: dict[str, Score] = {
    "score_head": lambda model, feature_BD: model.forward_single(feature_BD)[1],
    "minus_norm": lambda model, feature_BD: -model.projector(feature_BD).norm(dim=-1),
}


def measure_scores(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The figures of both scores."""
    epochs = EPOCHS[:2] if options.quick else EPOCHS
    return {name: measure(score, epochs) for name, score in SCORES.items()}


def measure(score: Score, epochs: Sequence[int]) -> dict[str, float]:
    """The figures of one score, from the same start."""
    torch.manual_seed(42)
    feature_ND, rank_N = _graded()
    model = PairwiseRankingModel.build(DIMENSION, HeadSettings())
    model.eval()
    with torch.inference_mode():
        fresh_N = score(model, feature_ND)
    loss = pair_loss(score(model, feature_ND[:32]), *cross_tier_pairs(rank_N[:32]), 1.0)
    gradients = torch.autograd.grad(loss, list(model.projector.parameters()))
    # The last two are the scale and shift of the LayerNorm that the projector ends in.
    before, last = gradients[:-2], gradients[-2:]
    fresh = {
        "fresh_mean": float(fresh_N.mean()),
        "fresh_spread": float(fresh_N.std()),
        "fresh_gradient_before_last_layer_norm": _length(before),
        "fresh_gradient_of_last_layer_norm": _length(last),
    }
    return fresh | _accuracies(model, score, epochs)


def _length(gradients: Sequence[torch.Tensor]) -> float:
    return float(torch.stack([gradient.norm() for gradient in gradients]).norm())


def _accuracies(model: PairwiseRankingModel, score: Score, epochs: Sequence[int]) -> dict[str, float]:
    feature_ND, rank_N = _graded()
    settings = TrainingConfig()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    batches = InBatchPairs(rank_N[:TRAIN], settings.batch_size, settings.seed)
    accuracies = {}
    for epoch in range(1, max(epochs) + 1):
        model.train()
        for batch in batches:
            optimizer.zero_grad()
            score_B = score(model, feature_ND[batch.picture_B])
            loss = pair_loss(score_B, batch.better_P, batch.worse_P, settings.margin)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip_norm)
            optimizer.step()
        if epoch in epochs:
            model.eval()
            with torch.inference_mode():
                test_N = score(model, feature_ND[TRAIN:]).numpy()
            accuracies[f"accuracy_{epoch}"] = compute_pairwise_accuracy(test_N, rank_N[TRAIN:].numpy())
    return accuracies


def _graded() -> tuple[torch.Tensor, torch.Tensor]:
    """Features of which one direction, with noise, is the quality that tiers are cut from."""
    rng = np.random.default_rng(0)
    feature_ND = rng.standard_normal((TRAIN + TEST, DIMENSION)).astype(np.float32)
    quality_N = feature_ND @ rng.standard_normal(DIMENSION) / np.sqrt(DIMENSION) + rng.normal(
        0, 0.5, TRAIN + TEST
    )
    rank_N = np.digitize(quality_N, np.quantile(quality_N, (0.25, 0.5, 0.75)))
    return torch.from_numpy(feature_ND), torch.from_numpy(rank_N)


if __name__ == "__main__":
    run("minus_norm", __doc__, measure_scores)

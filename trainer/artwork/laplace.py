"""How unsure a head is of each score: a Laplace approximation of its last layer (Daxberger et al. 2021).

The weights of the last layer are taken as normally distributed around what training found, with the curvature
of the loss of the training pairs as precision; a picture whose features lie where no pair told anything has a
wide score. One matrix, no second network, nothing to train.

Shapes: N pictures, H features of the last layer, P pairs, B batch.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from trainer.artwork.pairs import sample_pairs

PAIRS = 50_000
PRIOR_PRECISION = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """float32 centre_H of the features, and factor_HH with factor × factorᵀ = covariance of the weights."""

    centre_H: torch.Tensor
    factor_HH: torch.Tensor


class ScoreUncertainty(nn.Module):
    """feature_BH → uncertainty_B: the standard deviation of a score against that of an average picture."""

    centre_H: torch.Tensor
    factor_HH: torch.Tensor

    def __init__(self, posterior: Posterior) -> None:
        super().__init__()
        self.register_buffer("centre_H", posterior.centre_H)
        self.register_buffer("factor_HH", posterior.factor_HH)

    def forward(self, feature_BH: torch.Tensor) -> torch.Tensor:
        spread_BH = (feature_BH - self.centre_H) @ self.factor_HH
        return spread_BH.square().sum(-1).sqrt()


def fit_posterior(
    feature_NH: np.ndarray, score_N: np.ndarray, rank_N: np.ndarray, temperature: float
) -> Posterior:
    """The posterior over the last layer after the pairs of these pictures, as many as there are pictures.

    Pairs of a few pictures say the same thing again and again; N pictures give N independent comparisons at
    most. P(a better than b) = sigmoid((a − b) / temperature). Without a pair it is the prior.
    """
    exact_NH = feature_NH.astype(np.float64)
    pairs = sample_pairs(rank_N, PAIRS)
    precision_HH = PRIOR_PRECISION * np.eye(exact_NH.shape[1])
    if len(pairs):
        gap_PH = exact_NH[pairs.first] - exact_NH[pairs.second]
        gap_P = (score_N[pairs.first].astype(np.float64) - score_N[pairs.second]) / temperature
        curvature_P = 0.25 * (1 - np.tanh(gap_P / 2) ** 2) / temperature**2
        precision_HH += len(exact_NH) / len(pairs) * (gap_PH * curvature_P[:, None]).T @ gap_PH
    factor_HH = np.linalg.inv(np.linalg.cholesky(precision_HH)).T
    return Posterior(
        centre_H=torch.from_numpy(exact_NH.mean(0)).float(),
        factor_HH=torch.from_numpy(factor_HH.copy()).float(),
    )


def unknown_posterior(width: int) -> Posterior:
    """That of a head nobody fitted: every uncertainty is 0."""
    return Posterior(centre_H=torch.zeros(width), factor_HH=torch.zeros(width, width))

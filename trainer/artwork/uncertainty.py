"""How sure a figure and a probability are: intervals over artists, calibration of comparisons (A-17).

Shapes: N artworks, P pairs, G artists, R resamples, K bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.probability import probability
from model_store.manifest import Calibration
from trainer.artwork.pairs import sample_pairs

PAIRS = 1_000_000
RESAMPLES = 1000
BINS = 15
_BLOCK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How far stated probabilities are from what happened, bin by bin.

    `error`: expected calibration error (Naeini et al. 2015), in [0, 1]; NaN without pairs. `stated_K`,
    `found_K` and `count_K`: mean stated probability of the better-looking side, how often it was better, and
    of how many pairs, of each bin that has any.
    """

    error: float
    stated_K: tuple[float, ...]
    found_K: tuple[float, ...]
    count_K: tuple[int, ...]


def accuracy_interval(
    score_N: np.ndarray, rank_N: np.ndarray, artists: Sequence[str], seed: int = 0
) -> tuple[float, float]:
    """The 95 % bootstrap interval of the pairwise accuracy, drawing whole artists; NaN without pairs.

    Works of one artist rise and fall together, so artists are drawn, not works.
    """
    names, artist_N = np.unique(np.asarray(artists), return_inverse=True)
    drawn_RG = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), RESAMPLES
    )
    weight_RN = drawn_RG[:, artist_N].astype(np.float32)
    right_R, total_R = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for start in range(0, len(score_N), _BLOCK):
        rows = slice(start, start + _BLOCK)
        better = rank_N[rows, None] > rank_N[None, :]
        agreement = np.sign(score_N[rows, None] - score_N[None, :]) / 2 + 0.5
        right_R += (weight_RN[:, rows] @ (better * agreement).astype(np.float32) * weight_RN).sum(1)
        total_R += (weight_RN[:, rows] @ better.astype(np.float32) * weight_RN).sum(1)
    drawn = total_R > 0
    if not drawn.any():
        return float("nan"), float("nan")
    low, high = np.percentile(right_R[drawn] / total_R[drawn], (2.5, 97.5))
    return float(low), float(high)


def measure_reliability(
    score_N: np.ndarray,
    rank_N: np.ndarray,
    calibration: Calibration,
    uncertainty_N: np.ndarray | None = None,
) -> Reliability:
    """How reliable the stated probabilities are over the cross-tier pairs, at most a million of them."""
    pairs = sample_pairs(rank_N, PAIRS)
    if not len(pairs):
        return Reliability(error=float("nan"), stated_K=(), found_K=(), count_K=())
    wide_N = np.zeros(len(score_N)) if uncertainty_N is None else uncertainty_N.astype(np.float64) ** 2
    difference_P = (score_N[pairs.first].astype(np.float64) - score_N[pairs.second]) * pairs.label
    stated_P = probability(np.abs(difference_P), wide_N[pairs.first] + wide_N[pairs.second], calibration)
    found_P = np.sign(difference_P) / 2 + 0.5
    bin_P = np.minimum(((stated_P - 0.5) * 2 * BINS).astype(np.int64), BINS - 1)
    count_K = np.bincount(bin_P, minlength=BINS)
    used_K = count_K > 0
    stated_K = np.bincount(bin_P, stated_P, BINS)[used_K] / count_K[used_K]
    found_K = np.bincount(bin_P, found_P, BINS)[used_K] / count_K[used_K]
    error = float(np.abs(stated_K - found_K) @ count_K[used_K] / len(pairs))
    return Reliability(
        error=error,
        stated_K=tuple(stated_K.tolist()),
        found_K=tuple(found_K.tolist()),
        count_K=tuple(count_K[used_K].tolist()),
    )

"""Shares of right answers with intervals, from drawing whole groups again and again.

Shapes: N answers, S groups, R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
# 95 % of a normal distribution lie within so many standard deviations.
_DEVIATIONS = 1.96
# Indices drawn at once: memory grows with the groups, not with groups times resamples.
_DRAWN = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """A share of right answers with its 95 % interval and how many answers it is of."""

    value: float
    low: float
    high: float
    count: int


def proportion_right(right_N: np.ndarray, groups: Sequence[str] | np.ndarray, seed: int = 0) -> Proportion:
    """The share of True with an interval from drawing whole groups again and again.

    Answers about one sender's pictures stand or fall together, so senders are drawn, not pictures. Where all
    answers are the same, every draw is the same too: then the interval is Wilson's, of as many answers as
    there are groups.
    """
    share_R = _shares_of_draws(right_N, groups, seed)
    value, (low, high) = float(np.mean(right_N)), np.percentile(share_R, (2.5, 97.5))
    if value in (0.0, 1.0) and low == high:
        low, high = wilson_interval(value, len(np.unique(np.asarray(groups))))
    return Proportion(value=value, low=float(low), high=float(high), count=len(right_N))


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % score interval of a share of so many answers (Wilson 1927); never of no width."""
    square = _DEVIATIONS**2
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = np.sqrt(share * (1 - share) / count + square / (4 * count**2)) * _DEVIATIONS / (1 + square / count)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def difference_interval(
    one_N: np.ndarray, other_N: np.ndarray, groups: Sequence[str] | np.ndarray, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of mean(one) − mean(other), of two ways to answer the same questions."""
    low, high = np.percentile(_shares_of_draws(one_N - other_N, groups, seed), (2.5, 97.5))
    return float(low), float(high)


def _shares_of_draws(right_N: np.ndarray, groups: Sequence[str] | np.ndarray, seed: int) -> np.ndarray:
    names, group_N = np.unique(np.asarray(groups), return_inverse=True)
    right_S = np.bincount(group_N, weights=right_N, minlength=len(names))
    count_S = np.bincount(group_N, minlength=len(names))
    return _drawn_shares(right_S, count_S, np.random.default_rng(seed))


def _drawn_shares(right_S: np.ndarray, count_S: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    groups = len(count_S)
    rows = max(1, _DRAWN // groups)
    share_R = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, rows):
        part = slice(start, min(start + rows, RESAMPLES))
        drawn_RS = rng.integers(0, groups, (part.stop - start, groups))
        share_R[part] = right_S[drawn_RS].sum(1) / count_S[drawn_RS].sum(1)
    return share_R

"""The margin ranking loss over cross-tier pairs: of a batch to learn from, of a split to judge by (A-9).

Shapes: B pictures of a batch, N pictures of a split, P pairs.
"""

from itertools import combinations

import numpy as np
import torch
from torch import nn


def cross_tier_pairs(rank_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions better_P and worse_P, int64, of every two pictures of different tiers."""
    better_P, worse_P = torch.where(rank_B[:, None] > rank_B[None, :])
    return better_P, worse_P


def pair_loss(
    score_B: torch.Tensor, better_P: torch.Tensor, worse_P: torch.Tensor, margin: float, hardest: float = 1.0
) -> torch.Tensor:
    """The mean of max(0, margin − (better − worse)) over the pairs.

    hardest: the share of the pairs, hardest first, that counts; 1 is all of them (online hard example
    mining, Shrivastava et al. 2016). There must be at least one pair.
    """
    if hardest < 1:
        kept = max(1, round(hardest * len(better_P)))
        gap_P = (score_B[better_P] - score_B[worse_P]).detach()
        hardest_P = torch.topk(gap_P, kept, largest=False).indices
        better_P, worse_P = better_P[hardest_P], worse_P[hardest_P]
    ones_P = torch.ones(len(better_P), device=score_B.device, dtype=score_B.dtype)
    loss: torch.Tensor = nn.functional.margin_ranking_loss(
        score_B[better_P], score_B[worse_P], ones_P, margin=margin
    )
    return loss


def mean_margin_loss(score_N: np.ndarray, rank_N: np.ndarray, margin: float) -> float:
    """`pair_loss` over every cross-tier pair of a split, in O(N log N) time and O(N) memory.

    0 when there is no such pair. A pair costs something while worse + margin > better: with the better scores
    sorted, those that do are a prefix, of which the sum is known.
    """
    total, count = 0.0, 0
    exact_N = score_N.astype(np.float64)
    for low, high in combinations(np.unique(rank_N), 2):
        better, worse = np.sort(exact_N[rank_N == high]), exact_N[rank_N == low] + margin
        sums = np.concatenate(([0.0], np.cumsum(better)))
        costly = np.searchsorted(better, worse)
        total += float((costly * worse - sums[costly]).sum())
        count += len(better) * len(worse)
    return total / count if count else 0.0

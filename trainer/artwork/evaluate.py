"""How often a score agrees with the tiers (A-17).

Shapes: N artworks.
"""

from typing import Any

import numpy as np

from trainer.artwork.metadata import RANKS, TIERS
from trainer.artwork.pairs import generate_pairs


def compute_pairwise_accuracy(score_N: np.ndarray, rank_N: np.ndarray) -> float:
    """The share of cross-tier pairs that the scores order as the tiers do; equal scores count half.

    NaN when there is no cross-tier pair.
    """
    correct, tied, total = _counted(score_N, rank_N)
    return (correct + tied / 2) / total if total else float("nan")


def evaluate_scores(score_N: np.ndarray, rank_N: np.ndarray) -> dict[str, Any]:
    """Pairwise accuracy over all pairs and for each two tiers, pair count and share of equal scores."""
    _, tied, total = _counted(score_N, rank_N)
    gaps = {}
    for position, better in enumerate(TIERS):
        for worse in TIERS[position + 1 :]:
            chosen = np.isin(rank_N, (RANKS[better], RANKS[worse]))
            if len(np.unique(rank_N[chosen])) == 2:
                gaps[f"{better}-{worse}"] = compute_pairwise_accuracy(score_N[chosen], rank_N[chosen])
    return {
        "pairwise_accuracy": compute_pairwise_accuracy(score_N, rank_N),
        "accuracy_by_gap": gaps,
        "pair_count": total,
        "tie_share": tied / total if total else 0.0,
    }


def _counted(score_N: np.ndarray, rank_N: np.ndarray) -> tuple[int, int, int]:
    """Pairs ordered rightly, pairs of equal scores, all pairs."""
    pairs = generate_pairs(rank_N)
    agreement_P = np.sign(score_N[pairs.first] - score_N[pairs.second]) * pairs.label
    return int((agreement_P > 0).sum()), int((agreement_P == 0).sum()), len(pairs)

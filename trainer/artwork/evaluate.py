"""How often a score agrees with the tiers (A-17).

Shapes: N artworks.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from model_store.manifest import Calibration
from trainer.artwork.metadata import RANKS, TIERS, Artwork
from trainer.artwork.uncertainty import accuracy_interval, measure_reliability

NEIGHBOURS = ("S-A", "A-B", "B-C")


def compute_pairwise_accuracy(score_N: np.ndarray, rank_N: np.ndarray) -> float:
    """The share of cross-tier pairs that the scores order as the tiers do; equal scores count half.

    NaN when there is no cross-tier pair.
    """
    correct, tied, total = _counted(score_N, rank_N)
    return (correct + tied / 2) / total if total else float("nan")


def evaluate_scores(
    score_N: np.ndarray,
    artworks: Sequence[Artwork],
    calibration: Calibration | None = None,
    uncertainty_N: np.ndarray | None = None,
) -> dict[str, Any]:
    """Everything that scores say against tiers: the `test` part of a report.

    Pairwise accuracy with its interval over artists, for each two tiers, for tiers that are neighbours and
    for each department; rank correlations with the tier; reliability of the probabilities that `calibration`
    reads off scores and uncertainties.
    """
    rank_N = np.array([artwork.rank for artwork in artworks])
    artists = [artwork.artist for artwork in artworks]
    _, tied, total = _counted(score_N, rank_N)
    gaps = _by_gap(score_N, rank_N)
    reliability = measure_reliability(score_N, rank_N, calibration or Calibration(), uncertainty_N)
    return {
        "pairwise_accuracy": compute_pairwise_accuracy(score_N, rank_N),
        "interval": accuracy_interval(score_N, rank_N, artists),
        "accuracy_by_gap": gaps,
        "accuracy_of_neighbours": _mean([gaps[name] for name in NEIGHBOURS if name in gaps]),
        "accuracy_by_department": _by_department(score_N, rank_N, artworks),
        "confusion": tier_confusion(score_N, rank_N).tolist(),
        **_correlations(score_N, rank_N),
        "calibration": asdict(reliability),
        "pair_count": total,
        "tie_share": tied / total if total else 0.0,
    }


def tier_confusion(score_N: np.ndarray, rank_N: np.ndarray) -> np.ndarray:
    """int64 confusion_TT: works of the tier of each row that their scores put into the tier of each column.

    The best scores are put into the best tier, as many as it has works, and so on down: a score has no tier
    of its own. Tiers in the order S, A, B, C. Of equal scores the work that comes first gets the better tier.
    """
    found_N = np.empty(len(rank_N), dtype=np.int64)
    found_N[np.argsort(-score_N, kind="stable")] = np.sort(rank_N)[::-1]
    order = {RANKS[tier]: place for place, tier in enumerate(TIERS)}
    confusion_TT = np.zeros((len(TIERS), len(TIERS)), dtype=np.int64)
    for true, found in zip(rank_N.tolist(), found_N.tolist(), strict=True):
        confusion_TT[order[true], order[found]] += 1
    return confusion_TT


def _by_gap(score_N: np.ndarray, rank_N: np.ndarray) -> dict[str, float]:
    gaps = {}
    for better, worse in combinations(TIERS, 2):
        chosen_N = np.isin(rank_N, (RANKS[better], RANKS[worse]))
        if len(np.unique(rank_N[chosen_N])) == 2:
            gaps[f"{better}-{worse}"] = compute_pairwise_accuracy(score_N[chosen_N], rank_N[chosen_N])
    return gaps


def _by_department(score_N: np.ndarray, rank_N: np.ndarray, artworks: Sequence[Artwork]) -> dict[str, float]:
    """The accuracy within each department that has two tiers."""
    department_N = np.array([artwork.department or "" for artwork in artworks])
    found = {}
    for department in sorted(set(department_N.tolist()) - {""}):
        chosen_N = department_N == department
        if len(np.unique(rank_N[chosen_N])) > 1:
            found[department] = compute_pairwise_accuracy(score_N[chosen_N], rank_N[chosen_N])
    return found


def _correlations(score_N: np.ndarray, rank_N: np.ndarray) -> dict[str, float | None]:
    """Kendall's tau-b and Spearman's rho with the tier; None where scores or tiers are all the same."""
    if len(np.unique(score_N)) < 2 or len(np.unique(rank_N)) < 2:
        return {"kendall_tau": None, "spearman": None}
    return {
        "kendall_tau": float(kendalltau(score_N, rank_N).statistic),
        "spearman": float(spearmanr(score_N, rank_N).statistic),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _counted(score_N: np.ndarray, rank_N: np.ndarray) -> tuple[int, int, int]:
    """Pairs ordered rightly, pairs of equal scores, all pairs; in O(N log N) for each two tiers."""
    right = tied = total = 0
    for low, high in combinations(np.unique(rank_N), 2):
        better, worse = np.sort(score_N[rank_N == high]), score_N[rank_N == low]
        below, reached = np.searchsorted(better, worse, "left"), np.searchsorted(better, worse, "right")
        right += int((len(better) - reached).sum())
        tied += int((reached - below).sum())
        total += len(better) * len(worse)
    return right, tied, total

"""How often scores agree with the tiers, of given scores and of a trained head (A-3, A-17, A-22).

Shapes: N artworks, G artists, R resamples, T tiers.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import confusion_matrix

from model_store.manifest import Calibration
from trainer.artwork.calibration import measure_reliability
from trainer.artwork.data.metadata import RANKS, TIERS, Artwork
from trainer.artwork.data.seen import Unseen
from trainer.artwork.scoring import HeadScorer
from trainer.errors import InvalidCheckpoint, InvalidData
from trainer.reports.bootstrap import wilson_interval
from trainer.workspace import Workspace

NEIGHBOURS = ("S-A", "A-B", "B-C")
RESAMPLES = 1000
# Weights that are held at once.
_DRAWN = 1 << 22

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """float32 score_N and uncertainty_N of artworks, and what the scores say against their tiers."""

    score_N: np.ndarray
    uncertainty_N: np.ndarray
    figures: dict[str, Any]


class Evaluator:
    """Judges the head of a checkpoint on works with tiers.

    bounds: as in `HeadScorer`.
    Raises InvalidCheckpoint: when it is no artwork head, or the store lost its backbone.
    """

    def __init__(self, checkpoint: Path, space: Workspace, bounds: Mapping[str, float] | None = None) -> None:
        self.scorer = HeadScorer(checkpoint, space, bounds)
        self._checkpoint = checkpoint

    def evaluate(self, artworks: Sequence[Artwork]) -> Evaluation:
        """Scores and figures of these artworks.

        Raises InvalidData: when pictures cannot be read, or there is no pair among them.
        """
        tiers = {artwork.tier for artwork in artworks}
        if len(tiers) < 2:
            raise InvalidData(
                f"{len(artworks)} artworks of {len(tiers)} tiers hold no pair to judge: two tiers are needed"
            )
        score_N, uncertainty_N = self.scorer.judge([a.path for a in artworks], "artwork test")
        figures = evaluate_scores(score_N, artworks, self.scorer.calibration, uncertainty_N)
        return Evaluation(score_N=score_N, uncertainty_N=uncertainty_N, figures=figures)

    def unseen(self, artworks: Sequence[Artwork]) -> Unseen:
        """The works that the head was neither trained nor validated with, by what its checkpoint states.

        A work counts as seen by its id, its picture, a copy of that, or its artist; so of the data of the
        training the test split is left.
        Raises InvalidCheckpoint: when the checkpoint does not state what it has seen. Raises InvalidData:
        when it has seen them all.
        """
        seen = self.scorer.body["seen"]
        if seen is None:
            raise InvalidCheckpoint(
                f"{self._checkpoint} was written by an earlier build and does not state which works it has "
                "seen: train again to have it judged"
            )
        unseen: Unseen = seen.select(artworks)
        if unseen.left_out:
            left_out = len(artworks) - len(unseen.artworks)
            _log.warning(
                "works that the head has seen are left out: %d of %d (%s)",
                left_out,
                len(artworks),
                unseen.reasons,
            )
        if not unseen.artworks:
            raise InvalidData(
                f"the head has seen all {len(artworks)} artworks ({unseen.reasons}): give works of other "
                "ids, pictures and artists"
            )
        return unseen


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
    gaps = _accuracies(score_N, rank_N, _tier_pairs(rank_N))
    near = [gaps[name] for name in NEIGHBOURS if name in gaps]
    reliability = measure_reliability(score_N, rank_N, calibration or Calibration(), uncertainty_N)
    return {
        "pairwise_accuracy": compute_pairwise_accuracy(score_N, rank_N),
        "interval": accuracy_interval(score_N, rank_N, artists),
        "accuracy_by_gap": gaps,
        "accuracy_of_neighbours": float(np.mean(near)) if near else None,
        "accuracy_by_department": _accuracies(score_N, rank_N, _departments(artworks)),
        "confusion": tier_confusion(score_N, rank_N).tolist(),
        **_correlations(score_N, rank_N),
        "calibration": asdict(reliability),
        "pair_count": total,
        "tie_share": tied / total if total else 0.0,
    }


def accuracy_interval(
    score_N: np.ndarray, rank_N: np.ndarray, artists: Sequence[str], seed: int = 0
) -> tuple[float, float]:
    """The 95 % bootstrap interval of the pairwise accuracy, drawing whole artists; NaN without pairs.

    Works of one artist rise and fall together, so artists are drawn, not works. Where every draw is right, or
    none, the interval is Wilson's, of as many answers as there are artists.
    """
    names, artist_N = np.unique(np.asarray(artists), return_inverse=True)
    drawn_RG = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), RESAMPLES
    )
    right_R, total_R = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    rows = max(1, _DRAWN // max(1, len(score_N)))
    for start in range(0, RESAMPLES, rows):
        part = slice(start, start + rows)
        right_R[part], total_R[part] = _weighted(score_N, rank_N, drawn_RG[part][:, artist_N])
    drawn = total_R > 0
    if not drawn.any():
        return float("nan"), float("nan")
    low, high = (float(end) for end in np.percentile(right_R[drawn] / total_R[drawn], (2.5, 97.5)))
    return wilson_interval(low, len(names)) if low == high and low in (0.0, 1.0) else (low, high)


def _weighted(
    score_N: np.ndarray, rank_N: np.ndarray, weight_RN: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs ordered rightly, equal ones half, and all pairs, where a work counts as often as its weight."""
    right_R, total_R = np.zeros(len(weight_RN)), np.zeros(len(weight_RN))
    for low, high in combinations(np.unique(rank_N), 2):
        better_N, worse_N = np.flatnonzero(rank_N == high), np.flatnonzero(rank_N == low)
        worse_N = worse_N[np.argsort(score_N[worse_N], kind="stable")]
        better_RN, worse_RN = weight_RN[:, better_N], weight_RN[:, worse_N]
        # The weight of the worse works that lie below each score; those of the same score count half.
        below_RN = np.pad(np.cumsum(worse_RN, axis=1), ((0, 0), (1, 0)))
        first_N = np.searchsorted(score_N[worse_N], score_N[better_N], "left")
        last_N = np.searchsorted(score_N[worse_N], score_N[better_N], "right")
        right_R += (better_RN * (below_RN[:, first_N] + below_RN[:, last_N])).sum(1) / 2
        total_R += better_RN.sum(1) * worse_RN.sum(1)
    return right_R, total_R


def tier_confusion(score_N: np.ndarray, rank_N: np.ndarray) -> np.ndarray:
    """int64 confusion_TT: works of the tier of each row that their scores put into the tier of each column.

    The best scores are put into the best tier, as many as it has works, and so on down: a score has no tier
    of its own. Tiers in the order S, A, B, C. Of equal scores the work that comes first gets the better tier.
    """
    placed_N = np.empty(len(rank_N), dtype=np.int64)
    placed_N[np.argsort(-score_N, kind="stable")] = np.sort(rank_N)[::-1]
    order = [RANKS[tier] for tier in TIERS]
    confusion_TT: np.ndarray = confusion_matrix(rank_N, placed_N, labels=order)
    return confusion_TT


def _tier_pairs(rank_N: np.ndarray) -> dict[str, np.ndarray]:
    """Which works are of each two tiers."""
    return {
        f"{better}-{worse}": np.isin(rank_N, (RANKS[better], RANKS[worse]))
        for better, worse in combinations(TIERS, 2)
    }


def _departments(artworks: Sequence[Artwork]) -> dict[str, np.ndarray]:
    """Which works are of each department."""
    department_N = np.array([artwork.department or "" for artwork in artworks])
    return {name: department_N == name for name in sorted(set(department_N.tolist()) - {""})}


def _accuracies(score_N: np.ndarray, rank_N: np.ndarray, parts: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The accuracy within each part that has two tiers."""
    return {
        name: compute_pairwise_accuracy(score_N[part_N], rank_N[part_N])
        for name, part_N in parts.items()
        if len(np.unique(rank_N[part_N])) > 1
    }


def _correlations(score_N: np.ndarray, rank_N: np.ndarray) -> dict[str, float | None]:
    """Kendall's tau-b and Spearman's rho with the tier; None where scores or tiers are all the same."""
    if len(np.unique(score_N)) < 2 or len(np.unique(rank_N)) < 2:
        return {"kendall_tau": None, "spearman": None}
    return {
        "kendall_tau": float(kendalltau(score_N, rank_N).statistic),
        "spearman": float(spearmanr(score_N, rank_N).statistic),
    }


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

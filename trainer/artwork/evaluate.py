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
from trainer.artwork.backbone import BACKBONE
from trainer.artwork.calibration import measure_reliability
from trainer.artwork.head_checkpoint import judge_features, open_head
from trainer.artwork.metadata import RANKS, TIERS, Artwork, data_version
from trainer.artwork.splits import split_artworks
from trainer.errors import InvalidData
from trainer.features import vectors_of_files
from trainer.publication.stored_versions import trained_against
from trainer.workspace import Workspace

NEIGHBOURS = ("S-A", "A-B", "B-C")
RESAMPLES = 1000
_BLOCK = 512

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """float32 score_N and uncertainty_N of artworks, and what the scores say against their tiers."""

    score_N: np.ndarray
    uncertainty_N: np.ndarray
    figures: dict[str, Any]


class Evaluator:
    """The head of a checkpoint on the backbone that it was trained on.

    Raises InvalidCheckpoint: when it is no artwork head, or the store lost its backbone.
    """

    def __init__(self, checkpoint: Path, space: Workspace) -> None:
        self._trained, self._space = open_head(checkpoint), space
        self._body = self._trained.body
        self._backbone = trained_against(space.store, BACKBONE, str(self._body["space_id"]), checkpoint)

    def evaluate(self, artworks: Sequence[Artwork]) -> Evaluation:
        """Scores and figures of these artworks.

        Raises InvalidData: when pictures cannot be read, or there is no pair among them.
        """
        tiers = {artwork.tier for artwork in artworks}
        if len(tiers) < 2:
            raise InvalidData(
                f"{len(artworks)} artworks of {len(tiers)} tiers hold no pair to judge: two tiers are needed"
            )
        feature_ND = vectors_of_files([a.path for a in artworks], self._backbone, self._space, "artwork test")
        score_N, uncertainty_N = judge_features(self._trained.judge, feature_ND)
        figures = evaluate_scores(score_N, artworks, self._trained.calibration, uncertainty_N)
        return Evaluation(score_N=score_N, uncertainty_N=uncertainty_N, figures=figures)

    def unseen(self, artworks: tuple[Artwork, ...]) -> tuple[Artwork, ...]:
        """Those that the head was not trained on: the test split of its own data; of any other, all but
        the pictures that were trained on or validated with, which are counted in the log.

        Raises InvalidData: when the artworks cannot be split.
        """
        if data_version(artworks) == self._body["data_version"]:
            return split_artworks(artworks, int(self._body["seed"])).test
        seen = set(self._body["seen"].tolist())
        unseen = tuple(a for a in artworks if a.picture_key not in seen)
        if len(unseen) < len(artworks):
            _log.warning(
                "pictures that the head was trained on are left out: %d of %d",
                len(artworks) - len(unseen),
                len(artworks),
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

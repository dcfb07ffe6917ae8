"""Order from scores: places, tie groups, probabilities. Legend: N candidates.

Being tied is not transitive: with a margin of 1, 2.0 ties with 1.2 and 1.2 with 0.4, yet 2.0 and 0.4
do not tie. Groups are therefore made by an anchor, not by a chain: the best candidate that has no
group yet opens one, and takes in all within the margin of *itself*. So any two of a group are within
the margin, however many candidates lie between; two neighbours of different groups may be too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.head import probability
from model_store.manifest import Calibration


class InvalidScores(Exception):
    """A score or the tie margin is not a number to order by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where one candidate stands.

    position: of its score in the input. place: 1 for the best; tied candidates share a place and the
    next place is skipped over them. probability_over_next: in [0.5, 1], None for the last.
    """

    position: int
    place: int
    tie_group: int
    score: float
    probability_over_next: float | None


def rank(
    score_N: np.ndarray,
    keys: Sequence[str],
    *,
    tie_margin: float,
    calibration: Calibration,
    uncertainty_N: np.ndarray | None = None,
) -> list[Placement]:
    """Candidates from best to worst, the same whatever their order in the input.

    score_N: float32, shape (N,), higher is better.
    keys: one a candidate; equal scores stand in the order of their keys.
    tie_margin: 0 or greater, in place of the calibration's. uncertainty_N: of each score, where it is known.
    Raises InvalidScores: for a score that is not finite, naming its position, or a margin out of range.
    """
    _check(score_N, tie_margin)
    exact_N = score_N.astype(np.float64)
    order = sorted(range(len(exact_N)), key=lambda i: (-exact_N[i], keys[i]))
    ordered_N = exact_N[order]
    variance_N = _variances(score_N, uncertainty_N)[order]
    over_next = probability(ordered_N[:-1] - ordered_N[1:], variance_N[:-1] + variance_N[1:], calibration)
    placements: list[Placement] = []
    anchor, place, group = np.inf, 0, 0
    for standing, position in enumerate(order):
        if group == 0 or anchor - ordered_N[standing] > tie_margin:
            anchor, place, group = ordered_N[standing], standing + 1, group + 1
        placements.append(
            Placement(
                position=position,
                place=place,
                tie_group=group,
                score=float(score_N[position]),
                probability_over_next=float(over_next[standing]) if standing < len(over_next) else None,
            )
        )
    return placements


def pairwise(
    score_N: np.ndarray, calibration: Calibration, uncertainty_N: np.ndarray | None = None
) -> np.ndarray:
    """P(row better than column), float64, shape (N, N), 0.5 on the diagonal."""
    exact_N, variance_N = score_N.astype(np.float64), _variances(score_N, uncertainty_N)
    variance_NN = variance_N[:, None] + variance_N[None, :]
    return probability(exact_N[:, None] - exact_N[None, :], variance_NN, calibration)


def _variances(score_N: np.ndarray, uncertainty_N: np.ndarray | None) -> np.ndarray:
    """float64 (N,); 0 where nothing is known of a score."""
    if uncertainty_N is None:
        return np.zeros(len(score_N))
    squared_N: np.ndarray = uncertainty_N.astype(np.float64) ** 2
    return squared_N


def _check(score_N: np.ndarray, tie_margin: float) -> None:
    bad = np.flatnonzero(~np.isfinite(score_N))
    if bad.size:
        raise InvalidScores(f"the score at position {bad[0]} is not finite")
    if not (np.isfinite(tie_margin) and tie_margin >= 0):
        raise InvalidScores(f"tie_margin is {tie_margin:g}, it must be 0 or greater and finite")

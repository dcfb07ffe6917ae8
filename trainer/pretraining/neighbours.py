"""How good a space is: labels of nearest neighbours, with intervals over senders.

Shapes: N gallery, Q queries, D vector, S senders, R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 5
RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of right answers with its 95 % bootstrap interval and how many answers it is of."""

    value: float
    low: float
    high: float
    count: int


def vote(
    gallery_ND: np.ndarray, label_N: np.ndarray, query_QD: np.ndarray, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """int64 label_Q: the commonest label of the nearest by inner product; of equals, the nearer ones'.

    Raises ValueError: when the gallery is smaller than the number of neighbours.
    """
    if len(gallery_ND) < neighbours:
        raise ValueError(f"gallery holds {len(gallery_ND)} pictures, asked for {neighbours} neighbours")
    similarity_QN = query_QD @ gallery_ND.T
    near_QK = np.argpartition(-similarity_QN, neighbours - 1, axis=1)[:, :neighbours]
    votes_QL = np.zeros((len(query_QD), int(label_N.max()) + 1))
    for column in range(neighbours):
        near_Q = near_QK[:, column]
        rows = np.arange(len(query_QD))
        # Similarity breaks ties and never outweighs a vote.
        votes_QL[rows, label_N[near_Q]] += 1 + 1e-3 * np.clip(similarity_QN[rows, near_Q], -1, 1)
    label_Q: np.ndarray = votes_QL.argmax(axis=1)
    return label_Q


def vote_across(vector_ND: np.ndarray, label_N: np.ndarray, sender_N: np.ndarray) -> np.ndarray:
    """int64 label_N: as `vote`, each sender's pictures asked of everybody else's."""
    found_N = np.empty(len(label_N), np.int64)
    for sender in np.unique(sender_N):
        own_N = sender_N == sender
        found_N[own_N] = vote(vector_ND[~own_N], label_N[~own_N], vector_ND[own_N])
    return found_N


def share_right(right_N: np.ndarray, groups: Sequence[str] | np.ndarray, seed: int = 0) -> Share:
    """The share of True with an interval from drawing whole groups again and again.

    Answers about one sender's pictures stand or fall together, so senders are drawn, not pictures.
    """
    names, group_N = np.unique(np.asarray(groups), return_inverse=True)
    right_S = np.bincount(group_N, weights=right_N, minlength=len(names))
    count_S = np.bincount(group_N, minlength=len(names))
    drawn_RS = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
    share_R = right_S[drawn_RS].sum(1) / count_S[drawn_RS].sum(1)
    low, high = np.percentile(share_R, (2.5, 97.5))
    return Share(value=float(np.mean(right_N)), low=float(low), high=float(high), count=len(right_N))

"""How good a space is: labels of nearest neighbours.

Shapes: N gallery, Q queries, D vector.
"""

import numpy as np

NEIGHBOURS = 5


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

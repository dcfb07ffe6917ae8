"""Diversity: fewer results that look like each other (R-3). Legend: N candidates, D dimensions."""

import numpy as np

from vector_index.rows import Neighbours


def diversify(candidates: Neighbours, vector_ND: np.ndarray, count: int, strength: float) -> Neighbours:
    """`count` candidates, each the best of those left by (1 − s) · similarity − s · likeness to one picked.

    Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998). Likeness is the greatest cosine to a
    candidate that was picked before; among equals the one nearer to the query comes first. candidates:
    nearest first. vector_ND: float32, norm 1, of the candidates. strength: s, 0 to 1; at 0 nothing changes.
    """
    if strength == 0 or len(candidates.labels) <= 1:
        return _only(candidates, np.arange(min(count, len(candidates.labels))))
    relevance_N = (1 - strength) * candidates.similarities.astype(np.float64)
    penalty_NN = strength * (vector_ND @ vector_ND.T).astype(np.float64)
    penalty_N = penalty_NN[0].copy()
    relevance_N[0] = -np.inf  # picked
    picked = [0]
    for _ in range(min(count, len(relevance_N)) - 1):
        best = int((relevance_N - penalty_N).argmax())
        np.maximum(penalty_N, penalty_NN[best], out=penalty_N)
        relevance_N[best] = -np.inf
        picked.append(best)
    return _only(candidates, np.array(picked))


def _only(neighbours: Neighbours, places: np.ndarray) -> Neighbours:
    return Neighbours(labels=neighbours.labels[places], similarities=neighbours.similarities[places])

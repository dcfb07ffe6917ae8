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
    likeness_N = np.full(len(relevance_N), -1.0)
    picked = [0]
    for _ in range(min(count, len(relevance_N)) - 1):
        # A row at a time: the product of all takes OpenBLAS a hundred times as long where it wakes threads.
        np.maximum(likeness_N, vector_ND @ vector_ND[picked[-1]], out=likeness_N)
        relevance_N[picked[-1]] = -np.inf
        picked.append(int((relevance_N - strength * likeness_N).argmax()))
    return _only(candidates, np.array(picked))


def _only(neighbours: Neighbours, places: np.ndarray) -> Neighbours:
    return Neighbours(labels=neighbours.labels[places], similarities=neighbours.similarities[places])

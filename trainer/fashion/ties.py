"""Ties: garments with equal records are the same query, which bounds the recall of any encoder (F-13).

Shapes: N garments.
"""

from collections.abc import Sequence

import numpy as np


def number_ties(keys: Sequence[object]) -> np.ndarray:
    """int64 tie_N: equal numbers for equal keys, counted from 0 in the order of their first occurrence."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], np.int64)


def tie_ceilings(keys: Sequence[object], k: int) -> np.ndarray:
    """float (N,): the best recall@k that any encoder can reach for each query, among its ties."""
    tie_N = number_ties(keys)
    ceiling_N: np.ndarray = np.minimum(1.0, k / np.bincount(tie_N)[tie_N])
    return ceiling_N


def tie_ceiling(keys: Sequence[object], k: int) -> float:
    """The best recall@k that any encoder can reach over all queries."""
    return float(tie_ceilings(keys, k).mean())

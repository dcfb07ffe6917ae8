"""Full-gallery retrieval with chance and the tie ceiling beside it (F-12, F-13).

Shapes: N garments, D vector.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

# Queries at once: memory grows with the gallery, not with its square.
_ROWS = 1024


def rank_own(query_ND: np.ndarray, gallery_ND: np.ndarray) -> np.ndarray:
    """float (N,): how many gallery items stand before each query's own item; equals count half.

    Both inputs have length 1; item i of the gallery belongs to query i.
    """
    before_N, equal_N = np.empty(len(query_ND)), np.empty(len(query_ND))
    for start in range(0, len(query_ND), _ROWS):
        row_B = np.arange(start, min(start + _ROWS, len(query_ND)))
        similarity_BN = query_ND[row_B] @ gallery_ND.T
        own_B1 = similarity_BN[np.arange(len(row_B)), row_B][:, None]
        before_N[row_B] = (similarity_BN > own_B1).sum(axis=1)
        equal_N[row_B] = (similarity_BN == own_B1).sum(axis=1) - 1
    return before_N + equal_N / 2


def tie_ceiling(keys: Sequence[str], k: int) -> float:
    """The best recall@k that any encoder can reach when equal records are the same query."""
    count = Counter(keys)
    return float(np.mean([min(1.0, k / count[key]) for key in keys]))


def evaluate_retrieval(
    record_ND: np.ndarray, picture_ND: np.ndarray, keys: Sequence[str], ks: Sequence[int] = (1, 5, 10)
) -> dict[str, Any]:
    """Recall@k and MRR of records finding their pictures in the whole gallery, beside chance and ceiling."""
    rank_N = rank_own(record_ND, picture_ND)
    size = len(keys)
    return {
        "gallery_size": size,
        "recall": {str(k): float((rank_N < k).mean()) for k in ks},
        "chance": {str(k): min(1.0, k / size) for k in ks},
        "tie_ceiling": {str(k): tie_ceiling(keys, k) for k in ks},
        "mrr": float((1 / (rank_N + 1)).mean()),
    }

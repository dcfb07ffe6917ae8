"""Retrieval over the whole gallery with chance and the tie ceiling beside it (F-12, F-13, F-14).

Shapes: N garments, B queries at once, D vector.

A query finds its own garment or does not. Of gallery items that are equally near, a draw decides: every
figure is what that draw gives on average.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

KS = (1, 3, 5, 10, 20)
# Similarities in memory at once (float32): it grows with the gallery, not with its square.
_HELD = 1 << 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """How many gallery items stand before each query's own one, and how many beside it; int64 (N,) each."""

    before_N: np.ndarray
    beside_N: np.ndarray

    def hits(self, k: int) -> np.ndarray:
        """float (N,): the chance that the own item is among the first k."""
        found: np.ndarray = np.clip((k - self.before_N) / (self.beside_N + 1), 0.0, 1.0)
        return found

    def reciprocals(self) -> np.ndarray:
        """float (N,): the mean of 1/place over the places that a draw can give."""
        places = int((self.before_N + self.beside_N).max(initial=0)) + 1
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, places + 1))])
        last_N = self.before_N + self.beside_N + 1
        found: np.ndarray = (harmonic[last_N] - harmonic[self.before_N]) / (self.beside_N + 1)
        return found

    def part(self, rows: np.ndarray) -> "Standings":
        """Those of some queries."""
        return Standings(before_N=self.before_N[rows], beside_N=self.beside_N[rows])


def rank_own(query_ND: np.ndarray, gallery_ND: np.ndarray) -> Standings:
    """Where each query's own item stands. Both inputs have length 1; item i belongs to query i."""
    before_N, beside_N = np.empty(len(query_ND), np.int64), np.empty(len(query_ND), np.int64)
    for row_B, similarity_BN in similarities(query_ND, gallery_ND):
        own_B1 = similarity_BN[np.arange(len(row_B)), row_B][:, None]
        before_N[row_B] = (similarity_BN > own_B1).sum(axis=1)
        beside_N[row_B] = (similarity_BN == own_B1).sum(axis=1) - 1
    return Standings(before_N=before_N, beside_N=beside_N)


def nearest(query_ND: np.ndarray, gallery_ND: np.ndarray, k: int) -> np.ndarray:
    """int64 (N, k): rows of the gallery, nearest first."""
    found_NK = np.empty((len(query_ND), min(k, len(gallery_ND))), np.int64)
    for row_B, similarity_BN in similarities(query_ND, gallery_ND):
        found_NK[row_B] = best_columns(similarity_BN, k)
    return found_NK


def best_columns(score_BN: np.ndarray, k: int) -> np.ndarray:
    """int64 (B, k): columns of the greatest scores, greatest first."""
    k = min(k, score_BN.shape[1])
    column_BK = np.argpartition(-score_BN, k - 1, axis=1)[:, :k]
    order_BK = np.argsort(-np.take_along_axis(score_BN, column_BK, axis=1), axis=1, kind="stable")
    found: np.ndarray = np.take_along_axis(column_BK, order_BK, axis=1)
    return found


def similarities(query_ND: np.ndarray, gallery_ND: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of queries with their similarity_BN to the whole gallery, so many at once as memory allows."""
    rows = max(1, _HELD // max(1, len(gallery_ND)))
    for start in range(0, len(query_ND), rows):
        row_B = np.arange(start, min(start + rows, len(query_ND)))
        yield row_B, query_ND[row_B] @ gallery_ND.T


def tie_ceiling(keys: Sequence[str], k: int) -> float:
    """The best recall@k that any encoder can reach when equal records are the same query."""
    count = Counter(keys)
    return float(np.mean([min(1.0, k / count[key]) for key in keys]))


def evaluate_retrieval(
    query_ND: np.ndarray, gallery_ND: np.ndarray, keys: Sequence[str], ks: Sequence[int] = KS
) -> dict[str, Any]:
    """Queries finding their own items in the whole gallery: recall@k, precision@k and MRR.

    Beside them what chance gives and what ties allow, and how near own and other items are on average. There
    is one own item, so top-k accuracy is recall@k and precision@k at most 1/k.
    """
    standings = rank_own(query_ND, gallery_ND)
    return {
        "gallery_size": len(keys),
        **recall_figures(standings, ks),
        "chance": {str(k): min(1.0, k / len(keys)) for k in ks},
        "tie_ceiling": {str(k): tie_ceiling(keys, k) for k in ks},
        **mean_similarities(query_ND, gallery_ND),
    }


def recall_figures(standings: Standings, ks: Sequence[int] = KS) -> dict[str, Any]:
    """Recall@k, precision@k and MRR of standings."""
    recall = {str(k): float(standings.hits(k).mean()) for k in ks}
    return {
        "recall": recall,
        "precision": {k: value / int(k) for k, value in recall.items()},
        "mrr": float(standings.reciprocals().mean()),
    }


def recall_by(standings: Standings, rows: Mapping[str, np.ndarray], ks: Sequence[int]) -> dict[str, Any]:
    """Recall@k in the whole gallery of the queries of each word, with how many they are."""
    return {
        word: {"queries": len(row), **recall_figures(standings.part(row), ks)} for word, row in rows.items()
    }


def mean_similarities(query_ND: np.ndarray, gallery_ND: np.ndarray) -> dict[str, float]:
    """The mean similarity of queries to their own items and to all the others; linear in the gallery."""
    own_N = np.einsum("nd,nd->n", query_ND, gallery_ND, dtype=np.float64)
    total = float(query_ND.sum(axis=0, dtype=np.float64) @ gallery_ND.sum(axis=0, dtype=np.float64))
    others = len(query_ND) * (len(query_ND) - 1)
    return {
        "positive_similarity": float(own_N.mean()),
        "negative_similarity": (total - float(own_N.sum())) / others if others else 0.0,
    }

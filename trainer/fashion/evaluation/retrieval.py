"""Retrieval in the whole gallery and within batches, beside chance and what is possible (F-12 to F-14).

A query finds its own garment or does not. Of gallery items that are equally near, a draw decides: every
figure is what that draw gives on average. Garments with equal keys have equal records, so they are the same
query: a tie. Recall asks for a single picture; the agreement of attributes (precision and nDCG) counts every
picture that has what the query asks for.

Shapes: N garments, B queries at once or batch, Q chosen queries, T ties, M rows of ties, K results, V words,
D vector.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.preprocessing import MultiLabelBinarizer

from inference.attributes import Normalised
from trainer.fashion.data.prepared_data import number_ties, tie_ceiling, tie_ceilings
from trainer.loop.progress import Progress, silent

KS = (1, 3, 5, 10, 20)
BATCH_SIZE = 32
# Similarities in memory at once (float32): it grows with the gallery, not with its square.
_HELD = 1 << 25
# Agreements in memory at once (float32).
_HELD_AGREEMENTS = 1 << 24
# Queries whose agreement is measured: the ideal order needs every garment's agreement with every query.
MOST_QUERIES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standings:
    """How many gallery items rank before each query's own item, and how many beside it; int64 (N,) each."""

    before_N: np.ndarray
    beside_N: np.ndarray

    def hits(self, k: int) -> np.ndarray:
        """float (N,): the chance that the own item is among the first k."""
        chance_N: np.ndarray = np.clip((k - self.before_N) / (self.beside_N + 1), 0.0, 1.0)
        return chance_N

    def reciprocals(self) -> np.ndarray:
        """float (N,): the mean of 1/place over the places that a draw can give."""
        places = int((self.before_N + self.beside_N).max(initial=0)) + 1
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, places + 1))])
        last_N = self.before_N + self.beside_N + 1
        mean_N: np.ndarray = (harmonic[last_N] - harmonic[self.before_N]) / (self.beside_N + 1)
        return mean_N

    def part(self, rows: np.ndarray) -> "Standings":
        """The standings of some queries."""
        return Standings(before_N=self.before_N[rows], beside_N=self.beside_N[rows])


def rank_own(query_ND: np.ndarray, gallery_ND: np.ndarray) -> Standings:
    """Where each query's own item ranks. Both inputs have length 1; item i belongs to query i."""
    return join_standings(
        [rank_columns(similarity_BN, row_B) for row_B, similarity_BN in similarities(query_ND, gallery_ND)]
    )


def rank_columns(score_BN: np.ndarray, own_B: np.ndarray) -> Standings:
    """Where the own column of each row ranks among its scores, higher first."""
    own_B1 = score_BN[np.arange(len(own_B)), own_B][:, None]
    return Standings(before_N=(score_BN > own_B1).sum(axis=1), beside_N=(score_BN == own_B1).sum(axis=1) - 1)


def join_standings(parts: Sequence[Standings]) -> Standings:
    """The standings of several sets of queries, one set after another."""
    return Standings(
        before_N=np.concatenate([part.before_N for part in parts]),
        beside_N=np.concatenate([part.beside_N for part in parts]),
    )


def nearest(query_ND: np.ndarray, gallery_ND: np.ndarray, k: int) -> np.ndarray:
    """int64 (N, k): rows of the gallery, nearest first."""
    result_NK = np.empty((len(query_ND), min(k, len(gallery_ND))), np.int64)
    for row_B, similarity_BN in similarities(query_ND, gallery_ND):
        result_NK[row_B] = best_columns(similarity_BN, k)
    return result_NK


def best_columns(score_BN: np.ndarray, k: int) -> np.ndarray:
    """int64 (B, k): columns of the greatest scores, greatest first."""
    k = min(k, score_BN.shape[1])
    column_BK = np.argpartition(-score_BN, k - 1, axis=1)[:, :k]
    order_BK = np.argsort(-np.take_along_axis(score_BN, column_BK, axis=1), axis=1, kind="stable")
    best_BK: np.ndarray = np.take_along_axis(column_BK, order_BK, axis=1)
    return best_BK


def similarities(query_ND: np.ndarray, gallery_ND: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of queries with their similarity_BN to the whole gallery, as many at once as memory allows."""
    rows = max(1, _HELD // max(1, len(gallery_ND)))
    for start in range(0, len(query_ND), rows):
        row_B = np.arange(start, min(start + rows, len(query_ND)))
        yield row_B, query_ND[row_B] @ gallery_ND.T


def evaluate_retrieval(query_ND: np.ndarray, gallery_ND: np.ndarray, keys: Sequence[str]) -> dict[str, Any]:
    """Queries finding their own items in the whole gallery: recall@k, precision@k and MRR.

    Beside them what chance gives and ties allow, and the similarity of own and other items. A query has a
    single own item, so top-k accuracy is recall@k, and precision@k is at most 1/k.
    """
    return {
        "gallery_size": len(keys),
        **recall_figures(rank_own(query_ND, gallery_ND)),
        "chance": {str(k): min(1.0, k / len(keys)) for k in KS},
        "tie_ceiling": {str(k): tie_ceiling(keys, k) for k in KS},
        **mean_similarities(query_ND, gallery_ND, keys),
    }


def recall_figures(standings: Standings, ks: Sequence[int] = KS) -> dict[str, Any]:
    """Recall@k, precision@k and MRR of standings."""
    recall = {str(k): float(standings.hits(k).mean()) for k in ks}
    return {
        "recall": recall,
        "precision": {k: value / int(k) for k, value in recall.items()},
        "mrr": float(standings.reciprocals().mean()),
    }


def recall_by(standings: Standings, rows: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Recall@k in the whole gallery of the queries of each word, with their number."""
    return {word: {"queries": len(row), **recall_figures(standings.part(row))} for word, row in rows.items()}


def mean_similarities(query_ND: np.ndarray, gallery_ND: np.ndarray, keys: Sequence[str]) -> dict[str, float]:
    """The mean cosine of queries to their own items, and to the items that are neither own nor tied.

    A tie is the same query, so its items are no negatives, in the figures as in the loss. Without a
    negative the second is 0. Linear in the gallery: a sum over pairs is a product of sums.
    """
    tie_N = number_ties(keys)
    count_T = np.bincount(tie_N)
    own_N = np.einsum("nd,nd->n", query_ND, gallery_ND, dtype=np.float64)
    # Pairs within a tie: the own pair of a garment without a tie, all pairs of the others.
    row_M = np.flatnonzero(count_T[tie_N] > 1)
    row_M = row_M[np.argsort(tie_N[row_M], kind="stable")]
    within = float(own_N[count_T[tie_N] == 1].sum())
    if len(row_M):
        first_T = np.flatnonzero(np.diff(tie_N[row_M], prepend=-1))
        query_TD, gallery_TD = (
            np.add.reduceat(part_ND[row_M], first_T, axis=0, dtype=np.float64)
            for part_ND in (query_ND, gallery_ND)
        )
        within += float((query_TD * gallery_TD).sum())
    total = float(query_ND.sum(axis=0, dtype=np.float64) @ gallery_ND.sum(axis=0, dtype=np.float64))
    negatives = len(tie_N) ** 2 - int((count_T**2).sum())
    return {
        "positive_similarity": float(own_N.mean()),
        "negative_similarity": (total - within) / negatives if negatives else 0.0,
    }


def evaluate_in_batch(
    query_ND: np.ndarray,
    gallery_ND: np.ndarray,
    keys: Sequence[str],
    *,
    asked_N: np.ndarray | None = None,
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
) -> dict[str, Any]:
    """Recall@k within shuffled batches, beside chance and the tie ceiling of just these batches.

    Easy, and reported because others report it. asked_N: bool, which garments are queries (None: all).
    Garments that fill no whole batch are left out: a smaller batch is easier. Fewer garments than a batch
    takes are one batch.
    """
    size = min(batch_size, len(keys))
    order_N = np.random.default_rng(seed).permutation(len(keys))
    order_N = order_N[: len(order_N) // size * size]
    asked = np.arange(len(order_N)) if asked_N is None else np.flatnonzero(asked_N[order_N])
    batches = np.split(order_N, len(order_N) // size)
    batch_keys = [[keys[row] for row in row_B] for row_B in batches]
    parts = [rank_own(query_ND[row_B], gallery_ND[row_B]) for row_B in batches]
    standings = join_standings(parts).part(asked)
    ks = [k for k in KS if k <= size]
    ceilings = {k: np.concatenate([tie_ceilings(own, k) for own in batch_keys])[asked] for k in ks}
    return {
        "batch_size": size,
        "queries": len(asked),
        **(recall_figures(standings, ks) if len(asked) else {}),
        "chance": {str(k): k / size for k in ks},
        "tie_ceiling": {
            str(k): float(ceiling_N.mean()) if len(asked) else None for k, ceiling_N in ceilings.items()
        },
    }


class Agreement:
    """How far the garments of a gallery have the attributes that a query asks for.

    For each field that the query fills, the share of words in common (Jaccard; 1 or 0 for a single word),
    averaged over those fields. So another garment with the very same attributes is no failure, as it is to
    recall. Fields that no garment fills count for nothing.
    """

    def __init__(self, records: Sequence[Normalised]) -> None:
        names = sorted({name for record in records for name, words in record.items() if words})
        self._fields = [
            MultiLabelBinarizer()
            .fit_transform([record.get(name, ()) for record in records])
            .astype(np.float32)
            for name in names
        ]

    def of(self, row_Q: np.ndarray) -> np.ndarray:
        """float32 (Q, N) in [0, 1]: each garment's agreement with the records of some rows as queries.

        0 throughout for a query that fills no field.
        """
        total: np.ndarray | None = None
        asked_Q1 = np.zeros((len(row_Q), 1), np.float32)
        for word_NV in self._fields:
            query_QV, size_N = word_NV[row_Q], word_NV.sum(axis=1)
            common_QN = query_QV @ word_NV.T
            union_QN = query_QV.sum(axis=1)[:, None] + size_N[None, :] - common_QN
            share_QN = common_QN / np.maximum(union_QN, 1)
            total = share_QN if total is None else total + share_QN
            asked_Q1 += (size_N[row_Q] > 0)[:, None]
        if total is None:
            return np.zeros((len(row_Q), 0), np.float32)
        return np.asarray(total / np.maximum(asked_Q1, 1), np.float32)


def choose_queries(count: int, seed: int = 0) -> np.ndarray:
    """int64 rows of at most 2,000 queries, drawn by `seed`."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:MOST_QUERIES])


def evaluate_agreement(
    chosen_Q: np.ndarray,
    result_QK: np.ndarray,
    records: Sequence[Normalised],
    ks: Sequence[int] = KS,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Mean agreement of the first k results (`precision`) and nDCG@k, beside chance and the best possible.

    chosen_Q: rows of the queries; result_QK: rows of their results, nearest first. Chance is the agreement of
    any garment; the ceiling that of the k garments that agree most.
    """
    agreement, rows = Agreement(records), max(1, _HELD_AGREEMENTS // len(records))
    got, best, chance = [], [], []
    for start in range(0, len(chosen_Q), rows):
        agree_QN = agreement.of(chosen_Q[start : start + rows])
        got.append(np.take_along_axis(agree_QN, result_QK[start : start + rows], axis=1))
        best.append(-np.sort(-agree_QN, axis=1)[:, : max(ks)])
        chance.append(agree_QN.mean(axis=1))
        progress("agreement", min(start + rows, len(chosen_Q)), len(chosen_Q))
    got_QK, best_QK = np.concatenate(got), np.concatenate(best)
    firsts = {str(k): (got_QK[:, :k], best_QK[:, :k]) for k in ks if k <= got_QK.shape[1]}
    return {
        "queries": len(got_QK),
        "precision": {k: float(own.mean()) for k, (own, _) in firsts.items()},
        "chance": float(np.concatenate(chance).mean()),
        "ceiling": {k: float(ideal.mean()) for k, (_, ideal) in firsts.items()},
        "ndcg": {k: _ndcg(own, ideal) for k, (own, ideal) in firsts.items()},
    }


def _ndcg(got_QK: np.ndarray, best_QK: np.ndarray) -> float:
    """Discounted gain over the ideal gain; a query that no garment agrees with counts 1."""
    discount_K = 1 / np.log2(np.arange(2, got_QK.shape[1] + 2))
    ideal_Q = best_QK @ discount_K
    gained_Q = got_QK @ discount_K
    return float(np.where(ideal_Q > 0, gained_Q / np.where(ideal_Q > 0, ideal_Q, 1), 1.0).mean())

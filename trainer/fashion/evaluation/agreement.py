"""How far what is found is what was asked for: attribute-match precision and nDCG (F-13).

Shapes: N garments, Q queries, V words of all fields, K found.

A garment agrees with a query as far as it has the query's values: for each field that the query fills, the
share of words in common (Jaccard; 1 or 0 for a single word), averaged over those fields. So a garment with
another id and the very same attributes is no failure, as it is to recall.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from inference.attributes import Normalised
from trainer.fashion.evaluation.retrieval import KS

# Queries that are asked: the ideal order needs every garment's agreement with every query.
MOST_QUERIES = 2_000
# Agreements in memory at once (float32).
_HELD = 1 << 24


class Agreement:
    """The attributes of a gallery, to be held against queries. Fields that nobody fills say nothing."""

    def __init__(self, records: Sequence[Normalised]) -> None:
        names = sorted({name for record in records for name, words in record.items() if words})
        self._fields = [_many_hot([record.get(name, ()) for record in records]) for name in names]

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
    chosen_Q: np.ndarray, found_QK: np.ndarray, records: Sequence[Normalised], ks: Sequence[int] = KS
) -> dict[str, Any]:
    """Mean agreement of the first k found (`precision`) and nDCG@k, beside chance and the best possible.

    chosen_Q: rows of the queries; found_QK: rows found for each, nearest first. Chance is the agreement of
    any garment; the ceiling that of the k garments that agree most.
    """
    agreement, rows = Agreement(records), max(1, _HELD // len(records))
    got, best, chance = [], [], []
    for start in range(0, len(chosen_Q), rows):
        agree_QN = agreement.of(chosen_Q[start : start + rows])
        got.append(np.take_along_axis(agree_QN, found_QK[start : start + rows], axis=1))
        best.append(-np.sort(-agree_QN, axis=1)[:, : max(ks)])
        chance.append(agree_QN.mean(axis=1))
    return _figures(np.concatenate(got), np.concatenate(best), np.concatenate(chance), ks)


def _figures(
    got_QK: np.ndarray, best_QK: np.ndarray, chance_Q: np.ndarray, ks: Sequence[int]
) -> dict[str, Any]:
    ks = [k for k in ks if k <= got_QK.shape[1]]
    return {
        "queries": len(got_QK),
        "precision": {str(k): float(got_QK[:, :k].mean()) for k in ks},
        "chance": float(chance_Q.mean()),
        "ceiling": {str(k): float(best_QK[:, :k].mean()) for k in ks},
        "ndcg": {str(k): _ndcg(got_QK[:, :k], best_QK[:, :k]) for k in ks},
    }


def _ndcg(got_QK: np.ndarray, best_QK: np.ndarray) -> float:
    """Discounted gain over the ideal one; a query that nothing agrees with counts 1."""
    discount_K = 1 / np.log2(np.arange(2, got_QK.shape[1] + 2))
    ideal_Q = best_QK @ discount_K
    gained_Q = got_QK @ discount_K
    return float(np.where(ideal_Q > 0, gained_Q / np.where(ideal_Q > 0, ideal_Q, 1), 1.0).mean())


def _many_hot(values: Sequence[Sequence[str]]) -> np.ndarray:
    words = {word: column for column, word in enumerate(sorted({word for value in values for word in value}))}
    word_NV = np.zeros((len(values), len(words)), np.float32)
    for row, value in enumerate(values):
        word_NV[row, [words[word] for word in value]] = 1
    return word_NV

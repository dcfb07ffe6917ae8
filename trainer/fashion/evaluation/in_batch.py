"""Retrieval among the members of a batch: an easy question, asked only because others report it (F-13).

Shapes: N garments, B batch, D vector.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.fashion.evaluation.retrieval import KS, Standings, rank_own, recall_figures

BATCH_SIZE = 32


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

    asked_N: bool, which garments ask (None: all). Garments that fill no whole batch are left out: in a
    smaller one they would have it easier. Fewer garments than a batch takes are one batch.
    """
    size = min(batch_size, len(keys))
    order_N = np.random.default_rng(seed).permutation(len(keys))
    order_N = order_N[: len(order_N) // size * size]
    batches = np.split(order_N, len(order_N) // size)
    found = [rank_own(query_ND[row_B], gallery_ND[row_B]) for row_B in batches]
    asked = np.arange(len(order_N)) if asked_N is None else np.flatnonzero(asked_N[order_N])
    standings = Standings(
        before_N=np.concatenate([one.before_N for one in found])[asked],
        beside_N=np.concatenate([one.beside_N for one in found])[asked],
    )
    ks = [k for k in KS if k <= size]
    tied_N = np.concatenate([_tied([keys[row] for row in row_B]) for row_B in batches])[asked]
    return {
        "batch_size": size,
        "queries": len(asked),
        **(recall_figures(standings, ks) if len(asked) else {}),
        "chance": {str(k): k / size for k in ks},
        "tie_ceiling": {
            str(k): float(np.minimum(1.0, k / tied_N).mean()) if len(asked) else None for k in ks
        },
    }


def _tied(keys: Sequence[str]) -> np.ndarray:
    """int (B,): how many of a batch say the same as each."""
    _, number_B, count = np.unique(np.asarray(keys), return_inverse=True, return_counts=True)
    found: np.ndarray = count[number_B]
    return found

"""How central each picture is, and the anchors: the most central tenth, a stand-in for bestsellers (F-15).

Shapes: N garments, D vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.fashion.evaluation.encoded import rows_by_word

# Share of the garments that are anchors.
ANCHOR_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Centrality:
    """float64 value_N, each garment's cosine to the mean of all; bool anchor_N, the most central tenth."""

    value_N: np.ndarray
    anchor_N: np.ndarray
    threshold: float


def measure_centrality(picture_ND: np.ndarray) -> Centrality:
    """Of every garment by its picture's vector. At least one is an anchor, and all at the threshold.

    Vectors whose mean has no direction (they cancel out) are equally central: 0.
    """
    mean_D = picture_ND.mean(axis=0, dtype=np.float64)
    norm = float(np.linalg.norm(mean_D))
    value_N = picture_ND @ (mean_D / norm) if norm > 1e-12 else np.zeros(len(picture_ND))
    count = max(1, round(len(value_N) * ANCHOR_SHARE))
    threshold = float(np.partition(value_N, -count)[-count])
    return Centrality(value_N=value_N, anchor_N=value_N >= threshold, threshold=threshold)


def centrality_report(
    centrality: Centrality, styles: Sequence[str], categories: Sequence[str], items: Sequence[str]
) -> dict[str, Any]:
    """Mean, spread, bounds, the anchors and how they are dealt over styles and categories."""
    value_N, anchor_N = centrality.value_N, centrality.anchor_N
    anchor_mean, whole = float(value_N[anchor_N].mean()), _spread(value_N, anchor_N)
    return {
        **whole,
        "threshold": centrality.threshold,
        "anchor_mean": anchor_mean,
        "anchor_mean_above_mean": anchor_mean > whole["mean"],
        "by_style": _by_word(centrality, styles),
        "by_category": _by_word(centrality, categories),
        "anchor_items": [item for item, anchor in zip(items, anchor_N, strict=True) if anchor],
    }


def _by_word(centrality: Centrality, words: Sequence[str]) -> dict[str, Any]:
    return {
        word: _spread(centrality.value_N[rows], centrality.anchor_N[rows])
        for word, rows in rows_by_word(words).items()
    }


def _spread(value_N: np.ndarray, anchor_N: np.ndarray) -> dict[str, Any]:
    return {
        "count": len(value_N),
        "mean": float(value_N.mean()),
        "std": float(value_N.std()),
        "min": float(value_N.min()),
        "max": float(value_N.max()),
        "anchors": int(anchor_N.sum()),
    }

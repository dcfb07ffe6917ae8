"""What the vectors themselves look like: length, spread, similarity of own and other pairs (F-12).

Shapes: N garments, D vector, H bins.
"""

from typing import Any

import numpy as np

DIMENSION, NORM_TOLERANCE = 512, 1e-5
_BINS, _OTHERS = 40, 20_000


def check_vectors(vector_ND: np.ndarray) -> dict[str, Any]:
    """Dimension, norms and variance per dimension; `ok` when 512 numbers of length 1 ± 1e-5, all finite."""
    norm_N = np.linalg.norm(vector_ND.astype(np.float64), axis=1)
    variance_D = vector_ND.var(axis=0, dtype=np.float64)
    finite = bool(np.isfinite(vector_ND).all())
    return {
        "dimension": int(vector_ND.shape[1]),
        "norm": {"min": float(norm_N.min()), "mean": float(norm_N.mean()), "max": float(norm_N.max())},
        "variance": {
            "mean": float(variance_D.mean()),
            "min": float(variance_D.min()),
            "max": float(variance_D.max()),
            # Dimensions that say the same of everything are lost: a sign of collapse.
            "dead": int((variance_D < 1e-8).sum()),
            "per_dimension": [float(value) for value in variance_D],
        },
        "ok": finite
        and vector_ND.shape[1] == DIMENSION
        and bool((np.abs(norm_N - 1) <= NORM_TOLERANCE).all()),
    }


def similarity_histogram(record_ND: np.ndarray, picture_ND: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Counts of similarity, of own pairs and of as many as 20,000 other pairs drawn by `seed`."""
    own_N = np.einsum("nd,nd->n", record_ND, picture_ND)
    rng, count = np.random.default_rng(seed), len(record_ND)
    one_N = rng.integers(0, count, _OTHERS)
    # Never its own: 1 to count − 1 further on.
    other_N = (one_N + rng.integers(1, max(2, count), _OTHERS)) % count
    others_N = np.einsum("nd,nd->n", record_ND[one_N], picture_ND[other_N])
    edge_H = np.linspace(-1, 1, _BINS + 1)
    return {
        "edges": [float(edge) for edge in edge_H],
        "own": np.histogram(np.clip(own_N, -1, 1), edge_H)[0].tolist(),
        "other": np.histogram(np.clip(others_N, -1, 1), edge_H)[0].tolist() if count > 1 else [0] * _BINS,
    }

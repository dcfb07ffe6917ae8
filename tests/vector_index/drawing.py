"""Indexes with small bounds, so that short tests seal and merge, and vectors to fill them."""

import sys
import tempfile
from pathlib import Path

import numpy as np

from vector_index.files import IndexIdentity, SegmentDirectory
from vector_index.segmented import IndexSettings, SegmentedIndex

DIMENSION = 16
IDENTITY = IndexIdentity(catalogue_id="c" * 32, space="s" * 64)
NEVER_S = 3600.0
# Every graph is asked, however few rows it has.
GRAPHS = {"exact_below": 0, "candidate_rows": 0}
KINDS = {
    "exact": IndexSettings(delta_rows=sys.maxsize),  # nothing leaves the delta
    "compact": IndexSettings(delta_rows=8, rest_s=0, **GRAPHS),
    "tiers": IndexSettings(delta_rows=8, rest_s=NEVER_S, **GRAPHS),
    "few": IndexSettings(delta_rows=8, rest_s=NEVER_S),
}


def directory(path, **changes):
    """The files of an index under `path`."""
    return SegmentDirectory(path, **{"identity": IDENTITY, "dimension": DIMENSION} | changes)


def make_index(kind, dimension=DIMENSION):
    path = Path(tempfile.mkdtemp(prefix="index-"))
    return SegmentedIndex(directory(path, dimension=dimension), KINDS[kind])


def sealed(index):
    """Wait until nothing waits to be sealed or merged; segments are not compacted."""
    with index._changed:
        assert index._changed.wait_for(lambda: not index._must_seal() and not index._must_merge(), 60)


def mask(*labels):
    """By label, 1 for these."""
    allowed = np.zeros(max(labels, default=0) + 1, np.uint8)
    allowed[list(labels)] = 1
    return allowed


def draw(count, dimension=DIMENSION, seed=42):
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def clustered(count, dimension, seed=42, spread=0.35):
    """Vectors around count / 50 centres, as garments of a kind are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, count // 50), dimension))
    rows = centres[rng.integers(len(centres), size=count)]
    return (rows + spread * rng.normal(size=rows.shape)).astype(np.float32)


def brute(rows, query, count):
    """Labels nearest first by float64 cosine; rows: label → vector."""
    labels = np.array(sorted(rows), dtype=np.int64)
    if not len(labels):
        return labels, np.empty(0)
    matrix = np.array([rows[label] for label in labels], dtype=np.float64)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    similarity = matrix @ (np.asarray(query, np.float64) / np.linalg.norm(np.asarray(query, np.float64)))
    order = np.lexsort((labels, -similarity))[:count]
    return labels[order], similarity[order]

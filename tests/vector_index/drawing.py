"""Indexes with small bounds, so that short tests seal and merge, and vectors to fill them."""

import sys

import numpy as np

from vector_index.segment import GraphSettings
from vector_index.segmented import IndexSettings, SegmentedIndex

DIMENSION = 16
GRAPH = GraphSettings(threads=1)
KINDS = {
    "exact": IndexSettings(delta_rows=sys.maxsize, graph=GRAPH),  # nothing leaves the delta
    "one": IndexSettings(delta_rows=8, segments=1, exact_below=0, graph=GRAPH),
    "four": IndexSettings(delta_rows=8, segments=4, exact_below=0, graph=GRAPH),
    "few": IndexSettings(delta_rows=8, segments=4, graph=GRAPH),
}


def make_index(kind, dimension=DIMENSION):
    return SegmentedIndex(dimension, KINDS[kind])


def settle(index):
    """Wait until nothing is being sealed: the one thread that seals reaches a job that does nothing."""
    index._sealer.submit(bool).result(60)


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

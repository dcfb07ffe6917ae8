"""The graph of nearest neighbours that a run leaves behind (I-3, I-4); no service reads it.

Shapes: N rows, D dimensions, Q queries, K neighbours.
"""

import errno
import os
from pathlib import Path

import hnswlib
import numpy as np

from model_store.durable import replacing
from trainer.configuration import Settings
from trainer.errors import InvalidCheckpoint, InvalidData
from trainer.items.config import HnswSettings
from trainer.loop.progress import Progress, silent

_PIECE = 20_000
_STAGE = "index"
RECALL_QUERIES, NEIGHBOURS = 200, 10


class RecallFigure(Settings):
    """The share of the exact nearest neighbours that the index finds."""

    queries: int
    neighbours: int
    recall: float


def train_hnsw_index(
    vectors: np.ndarray,
    params: HnswSettings,
    *,
    labels: np.ndarray | None = None,
    seed: int = 42,
    progress: Progress = silent,
) -> hnswlib.Index:
    """An HNSW index over cosine of float32 vectors, (N, D), with `params.M` and `params.ef_construction`.

    labels: int64 (N,), 0 to N − 1 by default. With `params.threads` of 1 the same vectors give the same
    graph. Raises InvalidData: for vectors that are not finite or of another shape, naming the row.
    """
    _check(vectors)
    index = hnswlib.Index("cosine", vectors.shape[1])
    index.init_index(len(vectors), M=params.M, ef_construction=params.ef_construction, random_seed=seed)
    _add(index, vectors, np.arange(len(vectors)) if labels is None else labels, params, progress)
    return index


def extend_hnsw_index(
    index: hnswlib.Index,
    vectors: np.ndarray,
    labels: np.ndarray,
    removed: np.ndarray,
    params: HnswSettings,
    progress: Progress = silent,
) -> None:
    """Add vectors under new labels to an index, and mark the labels `removed` as deleted."""
    _check(vectors)
    for label in removed:
        index.mark_deleted(int(label))
    if len(vectors):
        index.resize_index(index.get_current_count() + len(vectors))
        _add(index, vectors, labels, params, progress)


def save_hnsw_index(index: hnswlib.Index, path: Path) -> None:
    """Write an index, whole or not at all. Raises OSError: if it cannot be written, naming `path`."""
    with replacing(path) as temporary:
        try:
            index.save_index(str(temporary))
        except RuntimeError as error:
            raise OSError(errno.EIO, str(error), str(path)) from error
        # hnswlib does not notice a full disk.
        written, expected = temporary.stat().st_size if temporary.exists() else 0, index.index_file_size()
        if written != expected:
            raise OSError(errno.ENOSPC, f"{written} of {expected} bytes were written", str(path))


def load_hnsw_index(path: Path, dimension: int, count: int) -> hnswlib.Index:
    """The index in a file that was hashed before: hnswlib checks nothing of what it loads.

    Raises InvalidCheckpoint: if it does not hold `count` vectors.
    """
    index = hnswlib.Index("cosine", dimension)
    index.load_index(os.fspath(path))
    if index.get_current_count() != count:
        raise InvalidCheckpoint(f"{path} holds {index.get_current_count()} vectors, expected {count}")
    return index


def measure_recall(
    index: hnswlib.Index, vectors: np.ndarray, labels: np.ndarray, params: HnswSettings, seed: int
) -> RecallFigure:
    """The index beside exact search, for rows drawn with the seed, each without itself."""
    rng = np.random.default_rng(seed)
    queries = min(RECALL_QUERIES, len(vectors))
    row_Q = np.sort(rng.choice(len(vectors), queries, replace=False))
    neighbours = min(NEIGHBOURS, len(vectors) - 1)
    query_QD = np.asarray(vectors[row_Q])
    index.set_ef(max(params.ef, neighbours + 1))
    label_QK, _ = index.knn_query(query_QD, k=neighbours + 1)
    exact_QK = exact_neighbours(vectors, query_QD, neighbours + 1)
    hits = sum(
        len(set(map(int, labels[exact_QK[q]])) & set(map(int, label_QK[q])) - {int(labels[row])})
        for q, row in enumerate(row_Q)
    )
    total = queries * neighbours
    return RecallFigure(queries=queries, neighbours=neighbours, recall=hits / total if total else 1.0)


def exact_neighbours(vectors: np.ndarray, query_QD: np.ndarray, count: int) -> np.ndarray:
    """int64 row_QK of the `count` rows of unit vectors with the largest cosine, nearest first."""
    best_QK: np.ndarray = np.zeros((len(query_QD), 0), dtype=np.int64)
    score_QK: np.ndarray = np.zeros((len(query_QD), 0), dtype=np.float32)
    for start in range(0, len(vectors), _PIECE):
        piece_QN = query_QD @ np.asarray(vectors[start : start + _PIECE]).T
        row_QN = np.broadcast_to(np.arange(start, start + piece_QN.shape[1]), piece_QN.shape)
        score_QK, best_QK = np.hstack([score_QK, piece_QN]), np.hstack([best_QK, row_QN])
        kept_QK = np.argsort(-score_QK, axis=1, kind="stable")[:, :count]
        score_QK, best_QK = (np.take_along_axis(each, kept_QK, axis=1) for each in (score_QK, best_QK))
    return best_QK


def _check(vectors: np.ndarray) -> None:
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise InvalidData(f"vectors are {vectors.dtype} {vectors.shape}, expected float32 (N, D)")
    for start in range(0, len(vectors), _PIECE):
        finite_N = np.isfinite(vectors[start : start + _PIECE]).all(axis=1)
        if not finite_N.all():
            raise InvalidData(f"row {start + int(np.argmin(finite_N))} of the vectors is not finite")


def _add(
    index: hnswlib.Index, vectors: np.ndarray, labels: np.ndarray, params: HnswSettings, progress: Progress
) -> None:
    index.set_num_threads(params.threads or os.cpu_count() or 1)
    for start in range(0, len(vectors), _PIECE):
        piece_ND = np.asarray(vectors[start : start + _PIECE])
        index.add_items(piece_ND, labels[start : start + _PIECE])
        progress(_STAGE, start + len(piece_ND), len(vectors))

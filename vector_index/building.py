"""Builds the file of a graph with hnswlib: here, or for more than a few rows in a child process.

`save_index` holds the interpreter's lock, 0.2 ms a megabyte, and a thread of a lower priority may lose its
processor while it holds that lock. So graphs are built and written by a child with a lower priority:
`python -m vector_index.building DIRECTORY ROWS DIMENSION M EF_CONSTRUCTION`.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import hnswlib
import numpy as np

from vector_index.segment import GraphSettings, Part

GRAPH_FILE: Final = "graph.hnsw"
LARGE_BYTES: Final = 1 << 20
_LABELS, _ROWS = "labels", "rows"
_SEED: Final = 42
_NICE: Final = 10
# Rows are normalised once, by us; hnswlib's own "cosine" would do it again and change the last bits.
_SPACE: Final = "ip"
# Gathered at once, with the interpreter's lock held.
_CHUNK_BYTES: Final = 256 << 10


class Stopped(Exception):
    """The build was abandoned because the index closes."""


class LiveRows:
    """The live rows of some parts in the order of their labels, gathered piece by piece.

    labels: int64 (N,), ascending. contents: uint64 (N,).
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._matrices = [part.segment.rows.vector_ND for part in parts]
        live = [np.flatnonzero(part.live_N) for part in parts]
        labels = np.concatenate([part.segment.rows.labels[at] for part, at in zip(parts, live, strict=True)])
        order = np.argsort(labels, kind="stable")
        contents = [part.segment.rows.contents[at] for part, at in zip(parts, live, strict=True)]
        self.labels, self.contents = labels[order], np.concatenate(contents)[order]
        self._part_N = np.repeat(np.arange(len(parts)), [len(at) for at in live])[order]
        self._position_N = np.concatenate(live)[order]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and dimensions."""
        return len(self), self._matrices[0].shape[1]

    def vectors(self, start: int, stop: int) -> np.ndarray:
        """float32, shape (stop - start, D)."""
        part_N, position_N = self._part_N[start:stop], self._position_N[start:stop]
        vector_ND = np.empty((len(part_N), self.shape[1]), np.float32)
        for number, matrix in enumerate(self._matrices):
            here = part_N == number
            vector_ND[here] = matrix[position_N[here]]
        return vector_ND

    def pieces(self) -> Iterator[np.ndarray]:
        """Every row once, a few at a time."""
        size = max(1, _CHUNK_BYTES // (self.shape[1] * 4))
        for start in range(0, len(self), size):
            yield self.vectors(start, start + size)


def build_graph(rows: LiveRows, staging: Path, settings: GraphSettings, stopped: threading.Event) -> Path:
    """Write the graph over some rows into a directory; the file, whole but not synced.

    Raises Stopped. Raises OSError: if it cannot be written.
    """
    if rows.shape[0] * rows.shape[1] * 4 > LARGE_BYTES:
        _build_in_child(rows, staging, settings, stopped)
    else:
        _write(_graph(rows.labels, rows.vectors(0, len(rows)), settings), staging / GRAPH_FILE)
    return staging / GRAPH_FILE


def _graph(labels: np.ndarray, vector_ND: np.ndarray, settings: GraphSettings) -> Any:
    graph = hnswlib.Index(space=_SPACE, dim=vector_ND.shape[1])
    graph.init_index(
        max_elements=max(len(labels), 1),
        M=settings.M,
        ef_construction=settings.ef_construction,
        random_seed=_SEED,
    )
    graph.add_items(vector_ND, labels, num_threads=1)
    return graph


def _write(graph: Any, path: Path) -> None:
    graph.save_index(str(path))
    written, expected = path.stat().st_size, graph.index_file_size()
    if written != expected:
        # save_index ignores a full disk.
        raise OSError(0, f"{path.name} has {written} bytes, expected {expected}")


def _build_in_child(rows: LiveRows, staging: Path, settings: GraphSettings, stopped: threading.Event) -> None:
    rows.labels.tofile(staging / _LABELS)
    with (staging / _ROWS).open("wb", buffering=0) as stream:
        for vector_ND in rows.pieces():
            vector_ND.tofile(stream)
    command = [sys.executable, "-m", "vector_index.building", str(staging)]
    command += map(str, (*rows.shape, settings.M, settings.ef_construction))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        while child.poll() is None:
            if stopped.wait(0.05):
                child.kill()
    if stopped.is_set():
        raise Stopped
    if child.returncode:
        raise OSError(0, f"the child that builds a graph ended with {child.returncode}")


def _child(staging: Path, shape: tuple[int, int], settings: GraphSettings) -> None:
    os.nice(_NICE)
    vector_ND = np.memmap(staging / _ROWS, np.float32, "r", shape=shape)
    labels = np.fromfile(staging / _LABELS, np.int64)
    _write(_graph(labels, vector_ND, settings), staging / GRAPH_FILE)


if __name__ == "__main__":
    _count, _dimension, _m, _ef_construction = map(int, sys.argv[2:])
    _child(Path(sys.argv[1]), (_count, _dimension), GraphSettings(M=_m, ef_construction=_ef_construction))

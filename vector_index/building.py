"""Builds the file of a graph with hnswlib: here, or for more than a few rows in a child process.

`save_index` holds the interpreter's lock, 0.2 ms a megabyte, and a thread of a lower priority may lose its
processor while it holds that lock. So graphs are built and written by a child with a lower priority:
`python -m vector_index.building DIRECTORY ROWS DIMENSION M EF_CONSTRUCTION`.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import hnswlib
import numpy as np

from vector_index.rows import Rows
from vector_index.segment import GraphSettings, Part

GRAPH_FILE: Final = "graph.hnsw"
LARGE_BYTES: Final = 1 << 20
_LABELS, _ROWS = "labels", "rows"
_SEED: Final = 42
_NICE: Final = 10
_PR_SET_PDEATHSIG: Final = 1
# Rows are normalised once, by us; hnswlib's own "cosine" would do it again and change the last bits.
_SPACE: Final = "ip"
# Gathered at once, with the interpreter's lock held.
_PIECE_BYTES: Final = 256 << 10


class Stopped(Exception):
    """The build was abandoned because the index closes."""


def live_rows(parts: Sequence[Part]) -> Iterator[Rows]:
    """The live rows of some parts in the order of their labels, a few at a time."""
    rows = [part.segment.rows for part in parts]
    live = [np.flatnonzero(part.live_N) for part in parts]
    order = np.argsort(
        np.concatenate([each.labels[at] for each, at in zip(rows, live, strict=True)]), kind="stable"
    )
    part_N = np.repeat(np.arange(len(parts)), [len(at) for at in live])[order]
    position_N = np.concatenate(live)[order]
    dimension = rows[0].vector_ND.shape[1]
    size = max(1, _PIECE_BYTES // (dimension * 4))
    for start in range(0, len(order), size):
        places = slice(start, start + size)
        yield _gathered(rows, part_N[places], position_N[places], dimension)


def _gathered(rows: Sequence[Rows], part_N: np.ndarray, position_N: np.ndarray, dimension: int) -> Rows:
    """The rows at these positions of these parts."""
    count = len(part_N)
    labels, contents = np.empty(count, np.int64), np.empty(count, np.uint64)
    vector_ND = np.empty((count, dimension), np.float32)
    for number, each in enumerate(rows):
        here = part_N == number
        at = position_N[here]
        labels[here], contents[here], vector_ND[here] = each.labels[at], each.contents[at], each.vector_ND[at]
    return Rows(labels=labels, vector_ND=vector_ND, contents=contents)


def build_graph(
    pieces: Iterable[Rows], staging: Path, settings: GraphSettings, stopped: threading.Event
) -> tuple[Path, np.ndarray]:
    """Write the graph over some rows, of which there is at least one, into a directory.

    Returns its file, whole but not synced, and the contents of its rows. pieces: in the order of labels.
    Raises Stopped. Raises OSError: if it cannot be written.
    """
    shape, contents = _write_rows(pieces, staging)
    if shape[0] * shape[1] * 4 > LARGE_BYTES:
        _build_in_child(shape, staging, settings, stopped)
    else:
        _build(staging, shape, settings)
    return staging / GRAPH_FILE, contents


def _write_rows(pieces: Iterable[Rows], staging: Path) -> tuple[tuple[int, int], np.ndarray]:
    """Write labels and vectors to files; rows and dimensions, and the contents."""
    contents, dimension = [], 0
    with (
        (staging / _LABELS).open("wb", buffering=0) as labels,
        (staging / _ROWS).open("wb", buffering=0) as vectors,
    ):
        for piece in pieces:
            piece.labels.tofile(labels)
            piece.vector_ND.tofile(vectors)
            contents.append(piece.contents)
            dimension = piece.vector_ND.shape[1]
    return (sum(map(len, contents)), dimension), np.concatenate(contents)


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


def _build(staging: Path, shape: tuple[int, int], settings: GraphSettings) -> None:
    vector_ND = np.memmap(staging / _ROWS, np.float32, "r", shape=shape)
    labels = np.fromfile(staging / _LABELS, np.int64)
    _write(_graph(labels, vector_ND, settings), staging / GRAPH_FILE)


def _build_in_child(
    shape: tuple[int, int], staging: Path, settings: GraphSettings, stopped: threading.Event
) -> None:
    command = [sys.executable, "-m", "vector_index.building", str(staging)]
    command += map(str, (*shape, settings.M, settings.ef_construction))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        while child.poll() is None:
            if stopped.wait(0.05):
                child.kill()
    if stopped.is_set():
        raise Stopped
    if child.returncode:
        raise OSError(0, f"the child that builds a graph ended with {child.returncode}")


def die_with_parent() -> None:
    """Let the system kill this process when its parent ends, so that no graph is built for nobody."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    die_with_parent()
    os.nice(_NICE)
    _count, _dimension, _m, _ef_construction = map(int, sys.argv[2:])
    _settings = GraphSettings(M=_m, ef_construction=_ef_construction)
    _build(Path(sys.argv[1]), (_count, _dimension), _settings)

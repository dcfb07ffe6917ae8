"""`native.cpp` through ctypes: searches that run on raw rows without the interpreter's lock.

Legend: B queries, K neighbours asked for, N rows, D dimensions.
"""

import ctypes
import weakref
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Final

import numpy as np

from vector_index.errors import DamagedFile

_POINTER, _COUNT, _SIZE = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
_MASKS: Final[list[Any]] = [_POINTER, _POINTER, _SIZE]
_FOUND: Final[list[Any]] = [_POINTER, _POINTER, _POINTER]

UNLIMITED: Final = 2**63


def _load() -> ctypes.CDLL:
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_native{suffix}")
        if path.exists():
            return ctypes.CDLL(str(path))
    raise ImportError("vector_index is not compiled: install the project with a C++ compiler (make install)")


_library: Final = _load()
_library.atelier_graph_open.restype = _POINTER
_library.atelier_graph_open.argtypes = [_POINTER, _SIZE, _COUNT, ctypes.POINTER(ctypes.c_char_p)]
_library.atelier_graph_close.argtypes = [_POINTER]
_library.atelier_graph_shape.argtypes = [_POINTER, _POINTER]
_library.atelier_graph_labels.argtypes = [_POINTER, _POINTER]
_library.atelier_graph_search.restype = None
_library.atelier_graph_search.argtypes = [
    *(_POINTER, _POINTER, _COUNT, _COUNT, _COUNT, _SIZE),
    *_MASKS,
    *_FOUND,
]
_library.atelier_rows_search.restype = None
_library.atelier_rows_search.argtypes = [
    *(_POINTER, _SIZE, _SIZE, _COUNT, _POINTER),
    *(_POINTER, _COUNT, _COUNT),
    *_MASKS,
    *_FOUND,
]


@dataclass(frozen=True, slots=True)
class Mask:
    """Which rows may be returned; None stands for all. live: bool, by position. allowed: uint8, by label."""

    live: np.ndarray | None = None
    allowed: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Matches:
    """What a search returns; a row is valid up to its count.

    labels: int64 (B, K). similarities: float32 (B, K). counts: int64 (B,).
    """

    labels: np.ndarray
    similarities: np.ndarray
    counts: np.ndarray


class MappedGraph:
    """An hnswlib index in a read-only buffer, whose links were checked when it was opened.

    data: uint8; it must not change. Raises DamagedFile: saying what is wrong with it.
    """

    def __init__(self, data: np.ndarray, dimension: int) -> None:
        error = ctypes.c_char_p()
        handle = _library.atelier_graph_open(_address(data), data.nbytes, dimension, ctypes.byref(error))
        if not handle:
            raise DamagedFile((error.value or b"").decode())
        self._handle: int = handle
        self._data = data
        weakref.finalize(self, _library.atelier_graph_close, handle)
        self.labels, self.vector_ND = self._rows(dimension)

    def search(
        self, query_BD: np.ndarray, count: int, ef: int, mask: Mask, budget: int = UNLIMITED
    ) -> Matches:
        """The nearest rows that the walk over the graph reaches; fewer than `count` where it reaches no more.

        query_BD: float64, norm 1, contiguous. budget: rows to compare with; a walk that needs more gives
        none.
        """
        matches = _matches(len(query_BD), count)
        _library.atelier_graph_search(
            *(self._handle, _address(query_BD), len(query_BD), count, ef, budget),
            *_masks(mask),
            *_found(matches),
        )
        return matches

    def _rows(self, dimension: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels by position, int64 (N,), and the vectors, float32 (N, D), in the buffer."""
        shape = np.zeros(3, np.uint64)
        _library.atelier_graph_shape(self._handle, _address(shape))
        rows, offset, stride = map(int, shape)
        labels = np.empty(rows, np.int64)
        _library.atelier_graph_labels(self._handle, _address(labels))
        vector_ND: np.ndarray = np.ndarray(
            (rows, dimension), np.float32, self._data.data, offset, (stride, 4)
        )
        return labels, vector_ND


def search_rows(
    labels: np.ndarray, vector_ND: np.ndarray, query_BD: np.ndarray, count: int, mask: Mask
) -> Matches:
    """The nearest rows of all that the mask accepts.

    labels: int64 (N,), contiguous. vector_ND: float32, norm 1. query_BD: float64, norm 1, contiguous.
    """
    matches = _matches(len(query_BD), count)
    _library.atelier_rows_search(
        *(_address(vector_ND), vector_ND.strides[0], len(vector_ND), vector_ND.shape[1], _address(labels)),
        *(_address(query_BD), len(query_BD), count),
        *_masks(mask),
        *_found(matches),
    )
    return matches


def _matches(queries: int, count: int) -> Matches:
    return Matches(
        np.empty((queries, count), np.int64),
        np.empty((queries, count), np.float32),
        np.empty(queries, np.int64),
    )


def _found(matches: Matches) -> tuple[int, int, int]:
    return _address(matches.labels), _address(matches.similarities), _address(matches.counts)


def _masks(mask: Mask) -> tuple[Any, Any, int]:
    live, allowed = mask.live, mask.allowed
    size = 0 if allowed is None else len(allowed)
    return None if live is None else _address(live), None if allowed is None else _address(allowed), size


def _address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address

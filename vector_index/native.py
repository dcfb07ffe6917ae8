"""`native.cpp` through ctypes: searches of raw rows; all but brief ones run without the interpreter's lock.

Legend: B queries, K neighbours asked for, N rows, D dimensions, C bytes of a code.
"""

import ctypes
import struct
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Final

import numpy as np

from vector_index.errors import DamagedFile

_POINTER, _COUNT, _SIZE = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
_PART: Final = struct.Struct("=9Q")
_ASK: Final = struct.Struct("=6Id3Q")
_SEARCH: Final[list[Any]] = [
    *(ctypes.c_char_p, _COUNT, _COUNT),
    *(_POINTER, _COUNT, ctypes.c_char_p),
    *(_POINTER, _POINTER, _POINTER, _POINTER),
]


def _load(kind: type[ctypes.CDLL]) -> ctypes.CDLL:
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_native{suffix}")
        if path.exists():
            return kind(str(path))
    raise ImportError("vector_index is not compiled: install the project with a C++ compiler (make install)")


_library: Final = _load(ctypes.CDLL)
_library.atelier_graph_open.restype = _POINTER
_library.atelier_graph_open.argtypes = [_POINTER, _SIZE, _COUNT, ctypes.POINTER(ctypes.c_char_p)]
_library.atelier_graph_close.argtypes = [_POINTER]
_library.atelier_graph_shape.argtypes = [_POINTER, _POINTER]
_library.atelier_graph_labels.argtypes = [_POINTER, _POINTER]
_library.atelier_encode.restype = None
_library.atelier_encode.argtypes = [_POINTER, _SIZE, _COUNT, _POINTER, _POINTER]
_library.atelier_unit_rows.restype = _SIZE
_library.atelier_unit_rows.argtypes = [_POINTER, _COUNT, _POINTER, _SIZE, _COUNT, _POINTER]
_library.atelier_search.restype = None
_library.atelier_search.argtypes = _SEARCH
# The same library, called with the interpreter's lock held: to get it back from a thread that computes in
# Python takes longer than a short search.
_held: Final = _load(ctypes.PyDLL)
_held.atelier_search.restype = None
_held.atelier_search.argtypes = _SEARCH


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """A byte a component of each row, which a search compares before it reads the row.

    bytes_NC: uint8. scale_N2: float32, the size of a step and how far the row lies from its code.
    """

    bytes_NC: np.ndarray
    scale_N2: np.ndarray

    @classmethod
    def of(cls, vector_ND: np.ndarray) -> "Codes":
        """The codes of unit rows, float32, contiguous."""
        count, dimension = vector_ND.shape
        codes = cls(
            np.empty((count, _library.atelier_code_size(dimension)), np.uint8),
            np.empty((count, 2), np.float32),
        )
        _library.atelier_encode(
            *(_address(vector_ND), count, dimension, _address(codes.bytes_NC), _address(codes.scale_N2))
        )
        return codes

    @classmethod
    def joined(cls, parts: "Sequence[Codes]") -> "Codes":
        """The codes of all parts."""
        return cls(
            np.concatenate([part.bytes_NC for part in parts]),
            np.concatenate([part.scale_N2 for part in parts]),
        )

    def at(self, places: np.ndarray | slice) -> "Codes":
        """The codes at some places, or those that a mask keeps."""
        return Codes(self.bytes_NC[places], self.scale_N2[places])


def unit_rows(vector_ND: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, int | None]:
    """The vectors in an order, int64, as rows of norm 1, float32; and the first of them that has no direction
    or a component that is not finite, None without any."""
    exact = np.float32 if vector_ND.dtype == np.float32 else np.float64
    vectors, order = np.ascontiguousarray(vector_ND, exact), np.ascontiguousarray(order, np.int64)
    row_ND = np.empty((len(order), vectors.shape[1]), np.float32)
    place: int = _library.atelier_unit_rows(
        *(_address(vectors), exact is np.float64, _address(order), *row_ND.shape, _address(row_ND))
    )
    return row_ND, None if place == len(order) else int(order[place])


@dataclass(frozen=True, slots=True)
class Matches:
    """What a search returns; a row is valid up to its count.

    labels: int64 (B, K). similarities: float32 (B, K). counts: int64 (B,), -1 for a query without a
    direction. walks: int64 (B,), how many graphs were walked.
    """

    labels: np.ndarray
    similarities: np.ndarray
    counts: np.ndarray
    walks: np.ndarray


class MappedGraph:
    """An hnswlib index in a read-only buffer, whose links were checked when it was opened.

    data: uint8; it must not change. Raises DamagedFile: saying what is wrong with it.
    """

    def __init__(self, data: np.ndarray, dimension: int) -> None:
        error = ctypes.c_char_p()
        handle = _library.atelier_graph_open(_address(data), data.nbytes, dimension, ctypes.byref(error))
        if not handle:
            raise DamagedFile((error.value or b"").decode())
        self.handle: int = handle
        self._data = data
        weakref.finalize(self, _library.atelier_graph_close, handle)
        self.labels, self.vector_ND = self._rows(dimension)

    def _rows(self, dimension: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels by position, int64 (N,), and the vectors, float32 (N, D), in the buffer."""
        shape = np.zeros(3, np.uint64)
        _library.atelier_graph_shape(self.handle, _address(shape))
        rows, offset, stride = map(int, shape)
        labels = np.empty(rows, np.int64)
        _library.atelier_graph_labels(self.handle, _address(labels))
        vector_ND: np.ndarray = np.ndarray(
            (rows, dimension), np.float32, self._data.data, offset, (stride, 4)
        )
        return labels, vector_ND


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a search wants.

    ef: candidates that a graph keeps. share: about the share of the rows that may be returned. allowed: uint8
    or bool, by label; None allows all. excluded: int64, a few labels. exact: compare with every row.
    candidate_rows: rows that are compared in the time in which a graph finds one candidate. threads: that a
    search of several queries takes. is_brief: whether it takes less time than the interpreter's lock is
    worth.
    """

    count: int
    ef: int
    share: float = 1.0
    allowed: np.ndarray | None = None
    excluded: np.ndarray | None = None
    exact: bool = False
    candidate_rows: int = 30
    threads: int = 1
    is_brief: bool = False

    def packed(self) -> bytes:
        """As native code reads it; the arrays must outlive the bytes."""
        allowed, excluded = self.allowed, self.excluded
        return _ASK.pack(
            *(self.count, self.ef, self.candidate_rows, self.threads, self.exact),
            *(0 if excluded is None else len(excluded), self.share),
            *((0, 0) if allowed is None else (_address(allowed), len(allowed))),
            0 if excluded is None else _address(excluded),
        )


def packed_graph(graph: MappedGraph, live_N: np.ndarray | None, live_count: int) -> bytes:
    """A part with a graph, as native code reads it. live_N: bool, None if every row lives."""
    live = 0 if live_N is None else _address(live_N)
    return _PART.pack(graph.handle, 0, 0, 0, 0, 0, 0, live, live_count)


def packed_rows(
    labels: np.ndarray, vector_ND: np.ndarray, codes: Codes, live_N: np.ndarray | None, live_count: int
) -> bytes:
    """A part without a graph, as native code reads it; the arrays must outlive the bytes."""
    return _PART.pack(
        *(0, _address(vector_ND), vector_ND.strides[0], len(vector_ND), _address(labels)),
        *(_address(codes.bytes_NC), _address(codes.scale_N2)),
        *(0 if live_N is None else _address(live_N), live_count),
    )


def search_packed(parts: Sequence[bytes], query_BD: np.ndarray, ask: Ask) -> Matches:
    """The rows of all parts nearest to each query.

    query_BD: float64, contiguous, of any length above zero.
    """
    queries, dimension = query_BD.shape
    matches = Matches(
        np.empty((queries, ask.count), np.int64),
        np.empty((queries, ask.count), np.float32),
        np.empty(queries, np.int64),
        np.empty(queries, np.int64),
    )
    (_held if ask.is_brief else _library).atelier_search(
        *(b"".join(parts), len(parts), dimension),
        *(_address(query_BD), queries, ask.packed()),
        *(_address(matches.labels), _address(matches.similarities)),
        *(_address(matches.counts), _address(matches.walks)),
    )
    return matches


def _address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address

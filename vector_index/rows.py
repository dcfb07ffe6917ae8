"""Unit rows with their labels, searched exactly. Legend: B queries, N rows, D dimensions.

A label is a positive int64 that the caller never uses for two rows. A row's content is a digest of what it
was made from; files keep it, so that a row of another history is never taken for one of this. Similarity is
the cosine, computed in the same way for every row, so that equal rows tie exactly.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from vector_index.errors import DimensionMismatch, InvalidCount, InvalidLabels, InvalidVector
from vector_index.native import Codes, unit_rows

_PIECE: Final = 4096
# Rows that a write may add beyond those at which a buffer is put aside.
_ROOM: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Rows nearest first; equal similarities in the order of their labels.

    labels: int64, shape (N,). similarities: float32, shape (N,), in [-1, 1].
    """

    labels: np.ndarray
    similarities: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows in the order of their labels.

    labels: int64 (N,), ascending. vector_ND: float32 (N, D), norm 1. contents: uint64 (N,). encoded: their
    codes, None until a search needs them.
    """

    labels: np.ndarray
    vector_ND: np.ndarray
    contents: np.ndarray
    encoded: Codes | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def empty(cls, dimension: int) -> "Rows":
        """No rows."""
        return cls(
            labels=np.empty(0, np.int64),
            vector_ND=np.empty((0, dimension), np.float32),
            contents=np.empty(0, np.uint64),
        )

    @classmethod
    def joined(cls, parts: "list[Rows]") -> "Rows":
        """The rows of all parts."""
        labels = np.concatenate([part.labels for part in parts])
        vector_ND = np.concatenate([part.vector_ND for part in parts])
        contents = np.concatenate([part.contents for part in parts])
        codes = Codes.joined([part.codes for part in parts])
        rows = cls(labels=labels, vector_ND=vector_ND, contents=contents, encoded=codes)
        if (labels[1:] > labels[:-1]).all():
            return rows
        return rows._at(np.argsort(labels, kind="stable"))

    def only(self, mask_N: np.ndarray) -> "Rows":
        """The rows that the mask keeps."""
        return self if mask_N.all() else self._at(mask_N)

    @cached_property
    def codes(self) -> Codes:
        """What stands for the rows in a search."""
        return self.encoded or Codes.of(np.ascontiguousarray(self.vector_ND))

    def _at(self, places: np.ndarray) -> "Rows":
        """The rows at some places, or those that a mask keeps."""
        return Rows(
            labels=self.labels[places],
            vector_ND=self.vector_ND[places],
            contents=self.contents[places],
            encoded=self.encoded and self.encoded.at(places),
        )

    def holds(self, labels: np.ndarray) -> np.ndarray:
        """bool, one for each of `labels`: whether a row has it."""
        return contains(self.labels, labels)

    def positions(self, labels: np.ndarray) -> np.ndarray:
        """Where the rows of these labels are; labels that no row has are left out."""
        position_N: np.ndarray = np.searchsorted(self.labels, labels[self.holds(labels)])
        return position_N

    def total(self, mask_N: np.ndarray | None = None) -> np.ndarray:
        """The sum of the rows that a mask keeps, float64, shape (D,); without a mask, of all."""
        total_D = np.zeros(self.vector_ND.shape[1])
        for start in range(0, len(self), _PIECE):
            rows = self.vector_ND[start : start + _PIECE]
            kept = rows if mask_N is None else rows[mask_N[start : start + _PIECE]]
            total_D += kept.sum(axis=0, dtype=np.float64)
        return total_D


class RowBuffer:
    """Rows that grow in place: a writer appends behind those that readers hold.

    most_rows: rows at which what grew is put aside. One thread writes.
    """

    def __init__(self, most_rows: int) -> None:
        self._most_rows = most_rows
        self._rows = self._last = Rows.empty(1)

    def joined(self, rows: Rows, added: Rows) -> Rows:
        """The rows of both, without a copy of `rows` where they are what this returned last."""
        if len(rows) and not rows.labels[-1] < added.labels[0]:
            # They do not lie in the buffer, so the next call begins another.
            return Rows.joined([rows, added])
        stop = len(rows) + len(added)
        if rows is not self._last or stop > len(self._rows):
            self._rows = self._with_room(rows, stop)
        _write(self._rows, len(rows), added)
        self._last = _first(self._rows, stop)
        return self._last

    def _with_room(self, rows: Rows, stop: int) -> Rows:
        capacity = max(stop, min(2 * stop, self._most_rows) + _ROOM)
        codes = rows.codes
        larger = Rows(
            labels=np.empty(capacity, np.int64),
            vector_ND=np.empty((capacity, rows.vector_ND.shape[1]), np.float32),
            contents=np.empty(capacity, np.uint64),
            encoded=Codes(
                np.empty((capacity, codes.bytes_NC.shape[1]), np.uint8), np.empty((capacity, 2), np.float32)
            ),
        )
        _write(larger, 0, rows)
        return larger


def _write(rows: Rows, start: int, added: Rows) -> None:
    places = slice(start, start + len(added))
    rows.labels[places], rows.vector_ND[places] = added.labels, added.vector_ND
    rows.contents[places] = added.contents
    rows.codes.bytes_NC[places], rows.codes.scale_N2[places] = added.codes.bytes_NC, added.codes.scale_N2


def _first(rows: Rows, count: int) -> Rows:
    places = slice(count)
    return Rows(
        labels=rows.labels[places],
        vector_ND=rows.vector_ND[places],
        contents=rows.contents[places],
        encoded=rows.codes.at(places),
    )


def new_rows(
    labels: np.ndarray, vector_ND: np.ndarray, dimension: int, contents: np.ndarray | None = None
) -> Rows:
    """Rows of norm 1 from vectors of any length above zero. contents: zeros if None.

    Raises DimensionMismatch, InvalidVector, InvalidLabels.
    """
    labels = np.asarray(labels, dtype=np.int64)
    vectors = np.asarray(vector_ND)
    if vectors.size == 0 and labels.size == 0:
        return Rows.empty(dimension)
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        given = vectors.shape[-1] if vectors.ndim else 0
        raise DimensionMismatch("vector", held=dimension, given=given)
    if labels.shape != (len(vectors),):
        raise InvalidLabels(f"{len(vectors)} vectors have {labels.size} labels")
    contents = np.zeros(len(labels), np.uint64) if contents is None else np.asarray(contents, np.uint64)
    order = np.argsort(labels, kind="stable")
    labels = labels[order]
    if labels[0] < 1:
        raise InvalidLabels(f"label {labels[0]} is not positive")
    repeated = np.flatnonzero(labels[1:] == labels[:-1])
    if repeated.size:
        raise InvalidLabels(f"label {labels[repeated[0]]} is given twice")
    row_ND, bad = unit_rows(vectors, order)
    if bad is not None:
        raise _without_direction(vectors[bad], f"vector {bad}")
    return Rows(labels=labels, vector_ND=row_ND, contents=contents[order])


def float_queries(query_BD: np.ndarray, dimension: int, count: int) -> np.ndarray:
    """The queries in float64, contiguous. Raises DimensionMismatch, InvalidCount."""
    queries = np.ascontiguousarray(query_BD, dtype=np.float64)
    if queries.ndim != 2 or queries.shape[1] != dimension:
        given = queries.shape[-1] if queries.ndim else 0
        raise DimensionMismatch("query", held=dimension, given=given)
    if count < 1:
        raise InvalidCount(f"count is {count}, at least 1 neighbour is needed")
    return queries


def refuse_query(query_D: np.ndarray, number: int) -> None:
    """Raises InvalidVector: for a query that has no direction or a component that is not finite."""
    raise _without_direction(query_D, f"query {number}")


def _without_direction(vector_D: np.ndarray, name: str) -> InvalidVector:
    if not np.isfinite(vector_D).all():
        return InvalidVector(f"{name} has a component that is not finite")
    return InvalidVector(f"{name} has no direction: its length is {np.linalg.norm(vector_D):.3g}")


def contains(sorted_N: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """bool, one for each of `labels`: whether it is among the sorted labels."""
    if not len(sorted_N):
        return np.zeros(len(labels), dtype=bool)
    place = np.minimum(np.searchsorted(sorted_N, labels), len(sorted_N) - 1)
    held: np.ndarray = sorted_N[place] == labels
    return held

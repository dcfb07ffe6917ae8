"""Unit rows with their labels, searched exactly. Legend: N rows, D dimensions, C candidates.

A label is a positive int64 that the caller never uses for two rows. Similarity is the cosine, computed in
the same way for every row, so that equal rows tie exactly.
"""

from dataclasses import dataclass

import numpy as np

from vector_index.errors import DimensionMismatch, InvalidCount, InvalidLabels, InvalidVector

# Above the error of a float32 dot product of unit vectors, so that no row that ties is cut off unseen.
_MARGIN = 1e-5
_CHUNK = 4096
_GATHER_BELOW = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Rows nearest first; equal similarities in the order of their labels.

    labels: int64, shape (N,). similarities: float32, shape (N,), in [-1, 1].
    """

    labels: np.ndarray
    similarities: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which labels may be returned; both arrays are sorted."""

    allowed: np.ndarray | None
    excluded: np.ndarray | None

    def accepts(self, labels: np.ndarray) -> np.ndarray:
        """bool, shape (N,): whether each label may be returned."""
        accepted = np.ones(len(labels), dtype=bool)
        if self.allowed is not None:
            accepted &= contains(self.allowed, labels)
        if self.excluded is not None:
            accepted &= ~contains(self.excluded, labels)
        return accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows in the order of their labels. labels: int64 (N,), ascending. vector_ND: float32, norm 1."""

    labels: np.ndarray
    vector_ND: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def empty(cls, dimension: int) -> "Rows":
        """No rows."""
        return cls(labels=np.empty(0, np.int64), vector_ND=np.empty((0, dimension), np.float32))

    @classmethod
    def joined(cls, parts: "list[Rows]") -> "Rows":
        """The rows of all parts."""
        labels = np.concatenate([part.labels for part in parts])
        order = np.argsort(labels, kind="stable")
        return cls(labels=labels[order], vector_ND=np.concatenate([part.vector_ND for part in parts])[order])

    def only(self, mask_N: np.ndarray) -> "Rows":
        """The rows that the mask keeps."""
        return self if mask_N.all() else Rows(labels=self.labels[mask_N], vector_ND=self.vector_ND[mask_N])

    def holds(self, labels: np.ndarray) -> np.ndarray:
        """bool, one for each of `labels`: whether a row has it."""
        return contains(self.labels, labels)

    def positions(self, labels: np.ndarray) -> np.ndarray:
        """Where the rows of these labels are; labels that no row has are left out."""
        position_N: np.ndarray = np.searchsorted(self.labels, labels[self.holds(labels)])
        return position_N

    def nearest(self, query_D: np.ndarray, count: int, mask_N: np.ndarray) -> Neighbours:
        """The `count` rows nearest to a unit query (float64), among those that the mask keeps."""
        positions = np.flatnonzero(mask_N)
        if len(positions) > count:
            positions = positions[self._front(query_D, count, positions)]
        return self.ranked(query_D, count, positions)

    def ranked(self, query_D: np.ndarray, count: int, position_C: np.ndarray) -> Neighbours:
        """The first `count` of some rows, by similarity, then label."""
        similarity_C = np.empty(len(position_C), np.float32)
        for start in range(0, len(position_C), _CHUNK):
            chunk = self.vector_ND[position_C[start : start + _CHUNK]].astype(np.float64)
            # Summed row by row, not by BLAS, whose result depends on where in the matrix a row lies.
            similarity_C[start : start + _CHUNK] = (chunk * query_D).sum(axis=1)
        label_C = self.labels[position_C]
        return first(label_C, np.clip(similarity_C, -1, 1), count)

    def _front(self, query_D: np.ndarray, count: int, position_C: np.ndarray) -> np.ndarray:
        query = query_D.astype(np.float32)
        if len(position_C) < len(self) * _GATHER_BELOW:
            rough_C = self.vector_ND[position_C] @ query
        else:
            rough_C = (self.vector_ND @ query)[position_C]
        cut = np.partition(rough_C, len(rough_C) - count)[len(rough_C) - count] - _MARGIN
        return np.flatnonzero(rough_C >= cut)


def first(labels: np.ndarray, similarities: np.ndarray, count: int) -> Neighbours:
    """The first `count` neighbours by similarity, then label."""
    order = np.lexsort((labels, -similarities))[:count]
    return Neighbours(labels=labels[order], similarities=similarities[order])


def new_rows(labels: np.ndarray, vector_ND: np.ndarray, dimension: int) -> Rows:
    """Rows of norm 1 from vectors of any length above zero.

    Raises DimensionMismatch, InvalidVector, InvalidLabels.
    """
    labels = np.asarray(labels, dtype=np.int64)
    vectors = np.asarray(vector_ND, dtype=np.float64)
    if vectors.size == 0 and labels.size == 0:
        return Rows.empty(dimension)
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        given = vectors.shape[-1] if vectors.ndim else 0
        raise DimensionMismatch("vector", held=dimension, given=given)
    if labels.shape != (len(vectors),):
        raise InvalidLabels(f"{len(vectors)} vectors have {labels.size} labels")
    order = np.argsort(labels, kind="stable")
    labels = labels[order]
    if labels[0] < 1:
        raise InvalidLabels(f"label {labels[0]} is not positive")
    repeated = np.flatnonzero(labels[1:] == labels[:-1])
    if repeated.size:
        raise InvalidLabels(f"label {labels[repeated[0]]} is given twice")
    return Rows(labels=labels, vector_ND=_unit(vectors, "vector")[order].astype(np.float32))


def unit_query(query_D: np.ndarray, dimension: int, count: int) -> np.ndarray:
    """The query with norm 1, float64. Raises DimensionMismatch, InvalidVector, InvalidCount."""
    query = np.asarray(query_D, dtype=np.float64)
    if query.shape != (dimension,):
        raise DimensionMismatch("query", held=dimension, given=query.size)
    if count < 1:
        raise InvalidCount(f"count is {count}, at least 1 neighbour is needed")
    unit: np.ndarray = _unit(query[None], "query")[0]
    return unit


def sorted_labels(labels: np.ndarray | None) -> np.ndarray | None:
    """The labels as sorted int64; None stays None."""
    return None if labels is None else np.sort(np.asarray(labels, dtype=np.int64))


def _unit(vectors: np.ndarray, what: str) -> np.ndarray:
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise InvalidVector(f"{what} {int(np.argmin(finite))} has a component that is not finite")
    norms = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    usable = (norms[:, 0] > 1e-12) & np.isfinite(norms[:, 0])
    if not usable.all():
        place = int(np.argmin(usable))
        raise InvalidVector(f"{what} {place} has no direction: its length is {norms[place, 0]:.3g}")
    unit: np.ndarray = vectors / norms
    return unit


def contains(sorted_N: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """bool, one for each of `labels`: whether it is among the sorted labels."""
    if not len(sorted_N):
        return np.zeros(len(labels), dtype=bool)
    place = np.minimum(np.searchsorted(sorted_N, labels), len(sorted_N) - 1)
    held: np.ndarray = sorted_N[place] == labels
    return held

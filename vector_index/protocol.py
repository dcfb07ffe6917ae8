"""What every vector index does.

Legend: N rows, D dimensions. A label is a positive int64 that the caller never uses for two rows.
Similarity is the cosine, computed in the same way for every row, so that equal rows tie exactly.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Rows nearest first; equal similarities in the order of their labels.

    labels: int64, shape (N,). similarities: float32, shape (N,), in [-1, 1].
    """

    labels: np.ndarray
    similarities: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Rows by where they are stored; `segment` includes the `dead` rows."""

    live: int
    segment: int = 0
    delta: int = 0
    dead: int = 0


class View(Protocol):
    """An index at one moment: frozen, searched by any number of threads without a lock."""

    @property
    def dimension(self) -> int:
        """Length of every vector."""

    @property
    def revision(self) -> int:
        """The revision of the last update that this view reflects."""

    @property
    def counts(self) -> Counts:
        """How many rows are stored where."""

    def search(
        self,
        query_D: np.ndarray,
        count: int,
        *,
        allowed: np.ndarray | None = None,
        excluded: np.ndarray | None = None,
    ) -> Neighbours:
        """The `count` rows nearest to a query, or every row that may be returned when there are fewer.

        query_D: shape (D,), of any length above zero. allowed: int64 labels that may be returned
        (None: all). excluded: int64 labels that may not.
        Raises DimensionMismatch, InvalidVector, InvalidCount.
        """


class VectorIndex(Protocol):
    """Rows that are added and removed. One thread writes at a time; readers take a view and never wait."""

    @property
    def dimension(self) -> int:
        """Length of every vector."""

    def view(self) -> View:
        """The present state of the index."""

    def update(
        self, labels: np.ndarray, vector_ND: np.ndarray, *, removed: np.ndarray | None = None, revision: int
    ) -> int:
        """Add and remove rows in one visible step; return how many of the `removed` labels existed.

        labels: int64, shape (N,), never used before. vector_ND: float32, shape (N, D), of any length
        above zero. revision: the revision of later views.
        Raises DimensionMismatch, InvalidVector, InvalidLabels: the index is then unchanged.
        """

    def close(self) -> None:
        """Stop work in the background; the last view can still be searched."""

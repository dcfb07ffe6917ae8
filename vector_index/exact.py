"""The exact index: every row is compared with the query. The oracle of every other index."""

import threading
from dataclasses import dataclass

import numpy as np

from vector_index.errors import InvalidLabels
from vector_index.protocol import Counts, Neighbours
from vector_index.rows import Rows, Selection, new_rows, sorted_labels, unit_query


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactView:
    """Rows at one moment."""

    revision: int
    rows: Rows

    @property
    def dimension(self) -> int:
        return int(self.rows.vector_ND.shape[1])

    @property
    def counts(self) -> Counts:
        return Counts(live=len(self.rows), delta=len(self.rows))

    def search(
        self,
        query_D: np.ndarray,
        count: int,
        *,
        allowed: np.ndarray | None = None,
        excluded: np.ndarray | None = None,
    ) -> Neighbours:
        """The nearest rows; see `protocol.View.search`."""
        query = unit_query(query_D, self.dimension, count)
        selection = Selection(allowed=sorted_labels(allowed), excluded=sorted_labels(excluded))
        return self.rows.nearest(query, count, selection.accepts(self.rows.labels))


class ExactIndex:
    """Keeps one block of rows; each update copies it."""

    def __init__(self, dimension: int) -> None:
        self._writing = threading.Lock()
        self._view = ExactView(revision=0, rows=Rows.empty(dimension))

    @property
    def dimension(self) -> int:
        return self._view.dimension

    def view(self) -> ExactView:
        """The present state of the index."""
        return self._view

    def update(
        self, labels: np.ndarray, vector_ND: np.ndarray, *, removed: np.ndarray | None = None, revision: int
    ) -> int:
        """Add and remove rows; see `protocol.VectorIndex.update`."""
        added = new_rows(labels, vector_ND, self.dimension)
        with self._writing:
            rows = self._view.rows
            used = rows.holds(added.labels)
            if used.any():
                raise InvalidLabels(f"label {added.labels[used][0]} is used already")
            kept = rows.only(Selection(allowed=None, excluded=sorted_labels(removed)).accepts(rows.labels))
            self._view = ExactView(revision=revision, rows=Rows.joined([kept, added]))
        return len(rows) - len(kept)

    def close(self) -> None:
        """Nothing works in the background."""

"""One immutable HNSW graph over unit rows, mapped from its file. Searches need no lock.

Legend: B queries, N rows, D dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vector_index.native import Ask, MappedGraph, Matches, packed_graph, packed_rows, search_packed
from vector_index.rows import Rows, contains


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSettings:
    """How a graph is built: links a node, candidates looked at when a node is linked.

    One thread builds a graph, so that equal rows give an equal graph (Q-5).
    """

    M: int = 32
    ef_construction: int = 200


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Segment:
    """Rows, with a graph over them once they are sealed. name: of its files, '' without."""

    rows: Rows
    graph: MappedGraph | None = None
    name: str = ""

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """A segment and which of its rows live, as one view sees it. live_N: bool, shape (N,)."""

    segment: Segment
    live_N: np.ndarray
    live_count: int

    @classmethod
    def of(cls, segment: Segment, live_N: np.ndarray) -> "Part":
        """The part in which these rows live."""
        return cls(segment=segment, live_N=live_N, live_count=int(live_N.sum()))

    @classmethod
    def whole(cls, segment: Segment) -> "Part":
        """The part in which every row lives."""
        return cls.of(segment, np.ones(len(segment), dtype=bool))

    @property
    def dead_count(self) -> int:
        """Rows that were removed since the segment was built."""
        return len(self.segment) - self.live_count

    def live_rows(self) -> Rows:
        """The rows that live."""
        return self.segment.rows.only(self.live_N)

    def holds(self, labels: np.ndarray) -> np.ndarray:
        """bool, one for each of `labels`: whether a live row has it."""
        held = self.segment.rows.holds(labels)
        held[held] = self.live_N[self.segment.rows.positions(labels)]
        return held

    def keeping(self, alive: np.ndarray) -> "Part":
        """The part in which only rows of these sorted labels live."""
        return Part.of(self.segment, contains(alive, self.segment.rows.labels))

    def without(self, labels: np.ndarray) -> "Part":
        """The part after these labels were removed; itself if it holds none of them alive."""
        positions = self.segment.rows.positions(labels)
        if not self.live_N[positions].any():
            return self
        live_N = self.live_N.copy()
        live_N[positions] = False
        return Part.of(self.segment, live_N)

    @cached_property
    def packed(self) -> bytes:
        """The part as native code reads it, as long as the part lives."""
        rows, graph = self.segment.rows, self.segment.graph
        live_N = self.live_N if self.dead_count else None
        if graph is not None:
            return packed_graph(graph, live_N, self.live_count)
        return packed_rows(rows.labels, rows.vector_ND, rows.codes, live_N, self.live_count)


def search_parts(parts: Sequence[Part], query_BD: np.ndarray, ask: Ask) -> Matches:
    """The live rows nearest to each query that may be returned: by the graph of a part, or by comparing where
    that is cheaper. query_BD: float64, contiguous."""
    return search_packed([part.packed for part in parts], query_BD, ask)

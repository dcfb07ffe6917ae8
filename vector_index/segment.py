"""One immutable HNSW graph over unit rows, mapped from its file. Searches need no lock.

Legend: B queries, N rows, D dimensions.
"""

from dataclasses import dataclass

import numpy as np

from vector_index.native import UNLIMITED, MappedGraph, Mask, Matches
from vector_index.rows import Rows, contains


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSettings:
    """How a graph is built: links a node, candidates looked at when a node is linked.

    One thread builds a graph, so that equal rows give an equal graph (Q-5).
    """

    M: int = 32
    ef_construction: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a search wants of each part.

    ef: candidates that a graph keeps. share: about the share of the rows that may be returned. allowed: by
    label. candidate_rows: rows that are compared in the time in which a graph finds one candidate.
    """

    count: int
    ef: int
    share: float = 1.0
    allowed: np.ndarray | None = None
    exact: bool = False
    candidate_rows: int = 10


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Segment:
    """Rows, with a graph over them once they are sealed. name: of its files, '' without."""

    rows: Rows
    graph: MappedGraph | None = None
    name: str = ""

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
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

    def nearest(self, query_BD: np.ndarray, ask: Ask) -> Matches:
        """The nearest live rows that may be returned: by the graph, or by comparing where that is cheaper."""
        mask = Mask(live=self.live_N if self.dead_count else None, allowed=ask.allowed)
        graph = self.segment.graph
        if graph is None or self._is_exact(ask):
            return self.segment.rows.nearest(query_BD, ask.count, mask)
        # Where the rows near the query may not be returned, a walk passes more rows than comparing would.
        budget = UNLIMITED if ask.share == 1 else int(ask.share * self.live_count) // 2
        matches = graph.search(query_BD, ask.count, ask.ef, mask, budget)
        short_B = matches.counts < min(ask.count, self.live_count)
        if short_B.any():
            compared = self.segment.rows.nearest(np.ascontiguousarray(query_BD[short_B]), ask.count, mask)
            matches.labels[short_B] = compared.labels
            matches.similarities[short_B] = compared.similarities
            matches.counts[short_B] = compared.counts
        return matches

    def _is_exact(self, ask: Ask) -> bool:
        """Whether comparing is cheaper: a walk passes 1 / share rows for each candidate that it may keep."""
        rows, ef = self.live_count, max(ask.ef, ask.count)
        return ask.exact or ask.count * 4 > rows or ask.share**2 * rows < ask.candidate_rows * ef

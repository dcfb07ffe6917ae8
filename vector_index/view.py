"""An index at one moment: frozen, searched by any number of threads without a lock.

Legend: B queries, N rows, D dimensions.
"""

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from vector_index.errors import UnknownLabel
from vector_index.native import Ask
from vector_index.rows import Neighbours, Rows, float_queries, refuse_query
from vector_index.segment import Part, Segment, search_parts

DEFAULT_EF: Final = 64
# More than a few excluded rows are cheaper to leave out of the search than to fetch and drop.
_FEW_EXCLUDED: Final = 64
# Rows that are compared in the time in which a walk finds a candidate, and in the longest search that keeps
# the interpreter's lock.
_CANDIDATE_ROWS: Final = 75
_BRIEF_ROWS: Final = 12_000
# That a search of several queries takes: one a core, unless there are many.
_MOST_THREADS: Final = 8
THREADS: Final = min(
    len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, _MOST_THREADS
)
# Below it the mean of unit rows is what rounding left.
_LEAST_CENTRE: Final = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Rows by where they are; `segment` includes the `dead` rows, `delta` those that wait to be sealed."""

    live: int
    segment: int
    delta: int
    dead: int


@dataclass(frozen=True, kw_only=True)
class SegmentedView:
    """Segments, rows that wait to be sealed, and the delta.

    revision: that of the last update that this view reflects. attached: what the writer swapped with it.
    total_D: float64, the sum of the live unit rows, kept current with each update.
    """

    revision: int
    parts: tuple[Part, ...]
    delta: Rows
    exact_below: int
    candidate_rows: int
    total_D: np.ndarray
    attached: Any = None

    @property
    def dimension(self) -> int:
        return int(self.delta.vector_ND.shape[1])

    @cached_property
    def counts(self) -> Counts:
        sealed = [part for part in self.parts if part.segment.graph is not None]
        segment = sum(len(part.segment) for part in sealed)
        dead = sum(part.dead_count for part in sealed)
        live = self.live_count
        return Counts(live=live, segment=segment, delta=live - segment + dead, dead=dead)

    @cached_property
    def live_count(self) -> int:
        """Rows that can be found."""
        return sum(part.live_count for part in self.parts) + len(self.delta)

    @property
    def centre(self) -> np.ndarray | None:
        """The mean of the live rows, float64, shape (D,), whose cosine to a row is its centrality (F-15,
        R-8).

        None without a direction: no row lives, or they cancel out.
        """
        mean_D: np.ndarray = self.total_D / max(self.live_count, 1)
        return mean_D if np.linalg.norm(mean_D) > _LEAST_CENTRE else None

    def search(
        self,
        query_D: np.ndarray,
        count: int,
        *,
        allowed: np.ndarray | None = None,
        allowed_count: int | None = None,
        excluded: np.ndarray | None = None,
        ef: int = DEFAULT_EF,
        exact: bool = False,
    ) -> Neighbours:
        """The `count` rows nearest to a query, or every row that may be returned when there are fewer.

        query_D: shape (D,), of any length above zero. allowed: uint8 or bool, by label, 0 for rows that may
        not be returned, as labels beyond its end may not; None allows all. allowed_count: how many labels it
        allows, if that is known. excluded: int64, labels that may not be returned. ef: candidates that a
        graph keeps; more find more of the true neighbours and take longer. exact: compare with every row.
        Raises DimensionMismatch, InvalidVector, InvalidCount.
        """
        query_BD = np.asarray(query_D)[None]
        return self.search_batch(
            query_BD,
            count,
            allowed=allowed,
            allowed_count=allowed_count,
            excluded=excluded,
            ef=ef,
            exact=exact,
        )[0]

    def search_batch(
        self,
        query_BD: np.ndarray,
        count: int,
        *,
        allowed: np.ndarray | None = None,
        allowed_count: int | None = None,
        excluded: np.ndarray | None = None,
        ef: int = DEFAULT_EF,
        exact: bool = False,
    ) -> list[Neighbours]:
        """As `search`, for several queries at once; query_BD: shape (B, D)."""
        queries = float_queries(query_BD, self.dimension, count)
        excluded = None if excluded is None else np.ascontiguousarray(excluded, np.int64)
        if excluded is not None and len(excluded) > _FEW_EXCLUDED:
            allowed, allowed_count, excluded = self._without(allowed, excluded), None, None
        usable = self._usable(allowed, allowed_count)
        exact = exact or usable < self.exact_below
        ask = Ask(
            count=count,
            ef=ef,
            share=usable / max(self.live_count, 1),
            allowed=None if allowed is None else np.ascontiguousarray(allowed),
            excluded=excluded,
            exact=exact,
            candidate_rows=self.candidate_rows,
            threads=THREADS,
            is_brief=len(queries) == 1 and allowed is None and self._is_brief(max(ef, count), exact=exact),
        )
        matches = search_parts(self._searched, queries, ask)
        counts = matches.counts.tolist()
        if -1 in counts:
            refuse_query(queries[counts.index(-1)], counts.index(-1))
        return [
            Neighbours(labels=labels[:found], similarities=similarities[:found])
            for labels, similarities, found in zip(matches.labels, matches.similarities, counts, strict=True)
        ]

    def vector(self, label: int) -> np.ndarray | None:
        """The unit row, float32 (D,), of a live label; None without one. A tenth of the time of `vectors`."""
        for part in self._searched:
            rows = part.segment.rows
            place = int(rows.labels.searchsorted(label))
            if place < len(rows) and rows.labels.item(place) == label and part.live_N.item(place):
                row: np.ndarray = rows.vector_ND[place]
                return row
        return None

    def vectors(self, labels: np.ndarray) -> np.ndarray:
        """The unit rows, float32 (N, D), of live labels, int64 (N,). Raises UnknownLabel: naming it."""
        labels = np.asarray(labels, dtype=np.int64)
        vector_ND = np.empty((len(labels), self.dimension), np.float32)
        missing = np.ones(len(labels), dtype=bool)
        for part in (*self.parts, None):
            rows = self.delta if part is None else part.segment.rows
            here = missing & (rows.holds(labels) if part is None else part.holds(labels))
            if here.any():
                vector_ND[here] = rows.vector_ND[rows.positions(labels[here])]
                missing &= ~here
            if not missing.any():
                return vector_ND
        raise UnknownLabel(f"no live row has the label {labels[missing][0]}")

    def holds(self, labels: np.ndarray) -> np.ndarray:
        """bool, one for each of `labels`: whether a live row has it."""
        held = self.delta.holds(labels)
        for part in self.parts:
            held |= part.holds(labels)
        return held

    def live_labels(self) -> np.ndarray:
        """Labels of every live row, ascending."""
        return np.sort(
            np.concatenate([self.delta.labels, *(p.segment.rows.labels[p.live_N] for p in self.parts)])
        )

    @cached_property
    def _searched(self) -> tuple[Part, ...]:
        """The parts, and the delta as one of them."""
        return (*self.parts, Part.whole(Segment(rows=self.delta))) if len(self.delta) else self.parts

    @cached_property
    def _graph_count(self) -> int:
        return sum(part.segment.graph is not None for part in self.parts)

    def _is_brief(self, ef: int, *, exact: bool) -> bool:
        """Whether one query takes less time than the interpreter's lock is worth."""
        counts = self.counts
        compared = counts.delta + (counts.segment if exact else self._graph_count * ef * _CANDIDATE_ROWS)
        return compared <= _BRIEF_ROWS

    def _usable(self, allowed: np.ndarray | None, allowed_count: int | None) -> int:
        """About how many live rows may be returned; labels that are allowed may be dead."""
        if allowed is None:
            return self.live_count
        count = int(np.count_nonzero(allowed)) if allowed_count is None else allowed_count
        return min(self.live_count, count)

    def _without(self, allowed: np.ndarray | None, excluded: np.ndarray) -> np.ndarray:
        if allowed is None:
            last = max((int(rows.labels[-1]) for rows in self._all_rows() if len(rows)), default=0)
            allowed = np.ones(last + 1, np.uint8)
        else:
            allowed = allowed.copy()
        allowed[excluded[excluded < len(allowed)]] = 0
        return allowed

    def _all_rows(self) -> list[Rows]:
        return [self.delta, *(part.segment.rows for part in self.parts)]

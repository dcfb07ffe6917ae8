"""The index: at most a few immutable HNSW segments, an exact delta, tombstones. Legend: as in `rows`.

A write copies what it changes and swaps one frozen view; readers take the view and no lock. When the
delta is full, a thread in the background seals it into a segment. When that would be a segment too
many, the smallest are merged into it and their dead rows dropped. Rows of the delta stay searchable
until the moment the segment replaces them, so a row is never missing and never returned twice.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from vector_index.errors import InvalidLabels
from vector_index.rows import (
    Neighbours,
    Rows,
    Selection,
    contains,
    first,
    new_rows,
    sorted_labels,
    unit_query,
)
from vector_index.segment import GraphSettings, Part, Segment

_NO_LABELS = np.empty(0, np.int64)

Keep = Callable[[Sequence[Segment], int], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """The shape of an index: rows that the delta holds until it is sealed, segments, graph, exact bound."""

    delta_rows: int = 1024
    segments: int = 4
    exact_below: int = 2000
    graph: GraphSettings = field(default_factory=GraphSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Rows by where they are stored; `segment` includes the `dead` rows."""

    live: int
    segment: int
    delta: int
    dead: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentedView:
    """Segments and delta at one moment: frozen, searched by any number of threads without a lock.

    revision: that of the last update that this view reflects.
    """

    revision: int
    parts: tuple[Part, ...]
    delta: Rows
    exact_below: int

    @property
    def dimension(self) -> int:
        return int(self.delta.vector_ND.shape[1])

    @property
    def counts(self) -> Counts:
        segment = sum(len(part.segment) for part in self.parts)
        dead = sum(part.dead_count for part in self.parts)
        delta = len(self.delta)
        return Counts(live=segment - dead + delta, segment=segment, delta=delta, dead=dead)

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
        (None: all). excluded: int64 labels that may not. Where a graph falls short, its rows are compared.
        Raises DimensionMismatch, InvalidVector, InvalidCount.
        """
        query = unit_query(query_D, self.dimension, count)
        selection = Selection(allowed=sorted_labels(allowed), excluded=sorted_labels(excluded))
        few = self.counts.live if allowed is None else min(self.counts.live, len(allowed))
        exact = few < self.exact_below
        nearest = [self.delta.nearest(query, count, selection.accepts(self.delta.labels))]
        nearest += [part.nearest(query, count, selection, exact=exact) for part in self.parts]
        return first(
            np.concatenate([neighbours.labels for neighbours in nearest]),
            np.concatenate([neighbours.similarities for neighbours in nearest]),
            count,
        )

    def holds(self, labels: np.ndarray) -> np.ndarray:
        """bool, one for each of `labels`: whether a live row has it."""
        held = self.delta.holds(labels)
        for part in self.parts:
            there = part.segment.rows.holds(labels)
            held[there] |= part.live_N[part.segment.rows.positions(labels)]
        return held

    def live_labels(self) -> np.ndarray:
        """Labels of every live row, ascending."""
        return np.sort(
            np.concatenate([self.delta.labels, *(p.segment.rows.labels[p.live_N] for p in self.parts)])
        )


class SegmentedIndex:
    """An index of any size. One thread writes at a time; readers take a view and never wait.

    `keep` is called in the background with each new set of segments.
    """

    def __init__(
        self, dimension: int, settings: IndexSettings | None = None, *, keep: Keep | None = None
    ) -> None:
        self._settings = settings or IndexSettings()
        self._keep = keep
        self._writing = threading.Lock()
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="seal")
        self._sealing: Future[None] | None = None
        self._closed = False
        self._view = SegmentedView(
            revision=0, parts=(), delta=Rows.empty(dimension), exact_below=self._settings.exact_below
        )

    @property
    def dimension(self) -> int:
        return self._view.dimension

    def view(self) -> SegmentedView:
        """The present state of the index."""
        return self._view

    def update(
        self, labels: np.ndarray, vector_ND: np.ndarray, *, removed: np.ndarray | None = None, revision: int
    ) -> int:
        """Add and remove rows in one visible step; return how many of the `removed` labels existed.

        labels: int64, shape (N,), never used before. vector_ND: float32, shape (N, D), of any length
        above zero. revision: the revision of later views.
        Raises DimensionMismatch, InvalidVector, InvalidLabels: the index is then unchanged.
        """
        added = new_rows(labels, vector_ND, self.dimension)
        gone = np.unique(_NO_LABELS if removed is None else np.asarray(removed, dtype=np.int64))
        with self._writing:
            before = self._view
            self._check_new(added.labels)
            parts = tuple(part.without(gone) for part in before.parts)
            kept = before.delta.only(~contains(gone, before.delta.labels))
            delta = Rows.joined([kept, added]) if len(added) else kept
            after = self._view = replace(before, revision=revision, parts=parts, delta=delta)
            self._seal_when_due()
        return before.counts.live + len(added) - after.counts.live

    def restore(self, segments: Sequence[Segment], live: np.ndarray, *, revision: int) -> np.ndarray:
        """Start from kept segments; return the labels among `live` that none of them has, to be added.

        Rows that are not in `live` are dead. Where two segments hold a label, the row of the first lives.
        """
        wanted = np.unique(np.asarray(live, dtype=np.int64))
        parts = []
        for segment in segments:
            live_N = contains(wanted, segment.rows.labels)
            wanted = wanted[~segment.rows.holds(wanted)]
            if live_N.any():
                parts.append(Part.of(segment, live_N))
        empty = Rows.empty(self.dimension)
        with self._writing:
            self._view = replace(self._view, revision=revision, parts=tuple(parts), delta=empty)
        return wanted

    def build(self, labels: np.ndarray, vector_ND: np.ndarray, *, revision: int) -> None:
        """Replace everything by these rows: one segment, or the delta alone if they fit into it."""
        delta, parts = new_rows(labels, vector_ND, self.dimension), list[Part]()
        if len(delta) >= self._settings.delta_rows:
            segment = Segment.build(delta, self._settings.graph)
            parts.append(Part.of(segment, np.ones(len(delta), dtype=bool)))
            delta = Rows.empty(self.dimension)
        with self._writing:
            self._view = replace(self._view, revision=revision, parts=tuple(parts), delta=delta)
        self.write_down()

    def write_down(self) -> None:
        """Pass the present segments to `keep`, which writes those that have no file yet."""
        if self._keep is None:
            return
        view = self._view
        try:
            self._keep([part.segment for part in view.parts], view.revision)
        except OSError as error:
            # Files only save time at the next start.
            log.warning("segment files were not written", extra={"error": error.strerror})

    def close(self) -> None:
        """Stop sealing; the last view can still be searched."""
        with self._writing:
            self._closed = True
        self._sealer.shutdown(wait=True, cancel_futures=True)

    def _check_new(self, labels: np.ndarray) -> None:
        for rows in (self._view.delta, *(part.segment.rows for part in self._view.parts)):
            used = rows.holds(labels)
            if used.any():
                raise InvalidLabels(f"label {labels[used][0]} is used already")

    def _seal_when_due(self) -> None:
        busy = self._sealing is not None and not self._sealing.done()
        if not self._closed and not busy and self._due(self._view):
            self._sealing = self._sealer.submit(self._seal)

    def _due(self, view: SegmentedView) -> bool:
        return len(view.delta) >= self._settings.delta_rows or any(map(self._wasteful, view.parts))

    def _wasteful(self, part: Part) -> bool:
        return part.dead_count >= self._settings.delta_rows and part.dead_count > part.live_count

    def _seal(self) -> None:
        try:
            while not self._closed and self._due(self._view):
                before = self._view
                merged = self._merged(before.parts)
                rows = Rows.joined([before.delta, *(part.live_rows() for part in merged)])
                segment = Segment.build(rows, self._settings.graph) if len(rows) else None
                self._install(segment, merged)
                self.write_down()
        except Exception:
            # The delta goes on growing and is searched exactly; the next write tries again.
            log.exception("sealing failed")

    def _merged(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        """The parts that the next segment absorbs: wasteful ones, and the smallest if there are too many."""
        by_size = sorted(parts, key=lambda part: (not self._wasteful(part), part.live_count))
        wasteful = sum(map(self._wasteful, parts))
        return tuple(by_size[: max(wasteful, len(parts) + 1 - self._settings.segments)])

    def _install(self, segment: Segment | None, merged: tuple[Part, ...]) -> None:
        """Swap the sealed rows for their segment, with the removals that came while it was built."""
        taken = {part.segment for part in merged}
        with self._writing:
            now = self._view
            parts = [part for part in now.parts if part.segment not in taken]
            delta = now.delta
            if segment is not None:
                sources = [now.delta.labels]
                sources += [p.segment.rows.labels[p.live_N] for p in now.parts if p.segment in taken]
                alive = np.sort(np.concatenate(sources))
                part = Part.of(segment, contains(alive, segment.rows.labels))
                parts += [part] if part.live_count else []
                delta = delta.only(~segment.rows.holds(delta.labels))
            self._view = replace(now, parts=tuple(parts), delta=delta)

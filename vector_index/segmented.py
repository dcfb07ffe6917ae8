"""The index: immutable HNSW segments by tiers, an exact delta, tombstones. Legend: as in `view`.

A write copies what it changes and swaps one frozen view; readers take the view and no lock. A full delta
waits to be sealed, searched exactly; a thread in the background seals what waits into a segment, another
merges segments by tiers and compacts them once writes rest. Rows stay searchable until the moment the segment
replaces them, so a row is never missing and never returned twice. Where sealing falls behind, writers wait;
readers never do.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from vector_index.building import Stopped
from vector_index.errors import InvalidLabels
from vector_index.files import SegmentDirectory
from vector_index.rows import RowBuffer, Rows, contains, new_rows
from vector_index.segment import Part, Segment
from vector_index.tiers import MOST_ROWS, compact_next, merge_next
from vector_index.view import SegmentedView

_NO_LABELS: Final = np.empty(0, np.int64)
# More at once cost fewer writes a row, and a longer wait of the writers.
_SEALED_AT_ONCE: Final = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """The shape of an index.

    delta_rows: rows that the delta holds until it is sealed. most_waiting, most_segments: full deltas and
    segments at which writers wait. exact_below: live rows under which every search compares with all.
    candidate_rows: as in `Ask`. rest_s: seconds without a write after which segments are compacted.
    """

    delta_rows: int = 1024
    most_waiting: int = 16
    most_segments: int = 16
    exact_below: int = 2000
    candidate_rows: int = 30
    rest_s: float = 5.0


@dataclass(slots=True)
class _Request:
    """Work that a caller waits for, done by the thread that seals."""

    work: Callable[[], None]
    done: Future[None] = field(default_factory=Future)


class SegmentedIndex:
    """An index of any size. One thread writes at a time; readers take a view and never wait."""

    def __init__(self, files: SegmentDirectory, settings: IndexSettings | None = None) -> None:
        self._files = files
        self._settings = settings or IndexSettings()
        self._buffer = RowBuffer(self._settings.delta_rows)
        self._changed = threading.Condition()
        self._keeping = threading.Lock()
        self._requests: list[_Request] = []
        self._closed = False
        self._failed = False
        self._written_at = time.monotonic()
        self._view = SegmentedView(
            revision=0,
            parts=(),
            delta=Rows.empty(files.dimension),
            exact_below=self._settings.exact_below,
            candidate_rows=self._settings.candidate_rows,
            total_D=np.zeros(files.dimension),
        )
        # Apart, so that a merge of minutes holds up no full delta, and with it no writer.
        self._threads = (
            threading.Thread(
                target=self._work, args=(self._must_seal, self._seal, lambda: None), name="seal"
            ),
            threading.Thread(
                target=self._work, args=(self._must_merge, self._merge, self._rest_left), name="merge"
            ),
        )
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    @property
    def dimension(self) -> int:
        return self._view.dimension

    @property
    def manifest_digest(self) -> str:
        """sha256 of the manifest of the files; '' without one."""
        return self._files.manifest_digest

    def view(self) -> SegmentedView:
        """The present state of the index."""
        return self._view

    def update(
        self,
        labels: np.ndarray,
        vector_ND: np.ndarray,
        *,
        removed: np.ndarray | None = None,
        revision: int,
        contents: np.ndarray | None = None,
        attached: Any = None,
    ) -> int:
        """Add and remove rows in one visible step; return how many of the `removed` labels existed.

        labels: int64, shape (N,), never used before. vector_ND: float32, shape (N, D), of any length above
        zero. contents: uint64, shape (N,), digests of what the rows were made from. revision, attached: of
        later views; an `attached` of None keeps what is attached. Waits while sealing is far behind.
        Raises DimensionMismatch, InvalidVector, InvalidLabels: the index is then unchanged.
        """
        added = new_rows(labels, vector_ND, self.dimension, contents)
        gone = np.unique(_NO_LABELS if removed is None else np.asarray(removed, dtype=np.int64))
        with self._changed:
            self._changed.wait_for(self._has_room)
            before = self._view
            self._check_new(added.labels)
            parts = tuple(part.without(gone) for part in before.parts)
            kept = before.delta.only(~contains(gone, before.delta.labels))
            delta = self._buffer.joined(kept, added) if len(added) else kept
            lost_ND = before.vectors(gone[before.holds(gone)])
            total_D = before.total_D + added.total() - lost_ND.sum(axis=0, dtype=np.float64)
            after = replace(before, revision=revision, parts=parts, delta=delta, total_D=total_D)
            self._swap(after if attached is None else replace(after, attached=attached))
        return before.live_count + len(added) - after.live_count

    def attach(self, attached: Any, revision: int) -> None:
        """Replace what is attached to the view, the rows being the same."""
        with self._changed:
            self._view = replace(self._view, attached=attached, revision=revision)

    def restore(self, live: np.ndarray, contents: np.ndarray, *, revision: int) -> np.ndarray:
        """Start from the files; return the labels among `live` that no segment has, to be added.

        live: int64, shape (N,). contents: uint64, shape (N,), of the same rows. A row whose label is not in
        `live`, or whose content differs, is dead. Where two segments hold a label, the row of the first
        lives.
        """
        order = np.argsort(live)
        wanted, digests = np.asarray(live, np.int64)[order], np.asarray(contents, np.uint64)[order]
        parts = []
        for segment in self._files.load(through=revision):
            live_N = contains(wanted, segment.rows.labels)
            place_N = np.searchsorted(wanted, segment.rows.labels[live_N])
            live_N[live_N] = digests[place_N] == segment.rows.contents[live_N]
            left = ~contains(segment.rows.labels[live_N], wanted)
            wanted, digests = wanted[left], digests[left]
            if live_N.any():
                parts.append(Part.of(segment, live_N))
        with self._changed:
            self._view = replace(
                self._view,
                revision=revision,
                parts=tuple(parts),
                delta=Rows.empty(self.dimension),
                total_D=sum(
                    (part.segment.rows.total(part.live_N) for part in parts), np.zeros(self.dimension)
                ),
            )
        return wanted

    def rebuild(self, pieces: Iterable[Rows]) -> None:
        """Build every segment anew while the present ones serve; returns once they are swapped.

        pieces: the rows, a few at a time, in the order of their labels. They are asked for on
        another thread, and whatever that raises is raised here. Rows that were removed meanwhile stay
        removed; rows that were added stay.
        Raises OSError: if a file cannot be written. Raises Stopped: if the index closes.
        """
        self._request(lambda: self._rebuild(pieces))

    def settle(self) -> None:
        """Return once nothing waits to be sealed or merged, segments are compact and the files are
        written. Raises OSError. Raises Stopped: if the index closes."""
        self._request(self._settle)

    def close(self) -> None:
        """Stop sealing; the last view can still be searched."""
        self._files.stop()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for request in self._requests:
            request.done.cancel()

    def _has_room(self) -> bool:
        waiting, sealed = len(_waiting(self._view)), len(_sealed(self._view))
        few = waiting < self._settings.most_waiting and sealed < self._settings.most_segments
        return few or self._closed or self._failed

    def _check_new(self, labels: np.ndarray) -> None:
        # Dead rows do not count: files of a catalog's later history, of which a backup was restored, may hold
        # labels that the catalog gives to other contents now.
        used = self._view.holds(labels)
        if used.any():
            raise InvalidLabels(f"label {labels[used][0]} is used already")

    def _swap(self, view: SegmentedView) -> None:
        """Make a written view the present one; a full delta begins to wait."""
        if len(view.delta) >= self._settings.delta_rows:
            waiting = Part.whole(Segment(rows=view.delta))
            view = replace(view, parts=(*view.parts, waiting), delta=Rows.empty(self.dimension))
        self._view = replace(view, parts=tuple(part for part in view.parts if part.live_count))
        self._failed = False
        self._written_at = time.monotonic()
        self._changed.notify_all()

    def _request(self, work: Callable[[], None]) -> None:
        request = _Request(work)
        with self._changed:
            if self._closed:
                raise Stopped
            self._requests.append(request)
            self._changed.notify_all()
        request.done.result()

    # On the two threads in the background.

    def _work(
        self,
        is_due: Callable[[], bool],
        step: Callable[[], None],
        rest_left: Callable[[], float | None],
    ) -> None:
        """Take a step whenever one is due, or has become due by rest, until the index closes."""
        while True:
            with self._changed:
                while not (self._closed or is_due()) and (left := rest_left()) != 0:
                    self._changed.wait(left)
                if self._closed:
                    return
            self._try(step)

    def _must_seal(self) -> bool:
        return not self._failed and bool(_waiting(self._view))

    def _seal(self) -> None:
        """Put a segment in the place of the deltas that wait."""
        parts = _waiting(self._view)[:_SEALED_AT_ONCE]
        if parts:
            self._replace(parts)

    def _must_merge(self) -> bool:
        return bool(self._requests or (not self._failed and self._next_merge()))

    def _next_merge(self) -> tuple[Part, ...]:
        return merge_next(_sealed(self._view), self._settings.delta_rows)

    def _merge(self) -> None:
        """Do what a caller waits for, else merge a full tier, else compact what rests."""
        with self._changed:
            request = self._requests.pop(0) if self._requests else None
        if request is not None:
            self._serve(request)
            return
        parts = self._next_merge()
        if not parts and self._rest_left() == 0:
            parts = compact_next(_sealed(self._view))
        if parts:
            self._replace(parts)

    def _rest_left(self) -> float | None:
        """Seconds until the segments are compacted; None if they are compact."""
        if self._failed or not compact_next(_sealed(self._view)):
            return None
        return max(0.0, self._written_at + self._settings.rest_s - time.monotonic())

    def _settle(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._failed or not _waiting(self._view))
            parts = self._next_merge() or compact_next(_sealed(self._view))
            if not parts:
                break
            self._replace(parts)
        self._write_down()

    def _rebuild(self, pieces: Iterable[Rows]) -> None:
        segments = self._built(pieces)
        built = np.concatenate([_NO_LABELS, *(segment.rows.labels for segment in segments)])
        with self._changed:
            view = self._view
            alive = view.live_labels()
            old = [part.keeping(np.setdiff1d(alive, built)).live_rows() for part in view.parts]
            delta = Rows.joined([view.delta.only(~contains(built, view.delta.labels)), *old])
            parts = [Part.whole(segment).keeping(alive) for segment in segments]
            self._swap(replace(view, parts=tuple(parts), delta=delta))
        self._write_down()

    def _built(self, pieces: Iterable[Rows]) -> list[Segment]:
        segments: list[Segment] = []
        try:
            segments.extend(self._files.create_of(group) for group in _groups(pieces, MOST_ROWS))
        except BaseException:
            for segment in segments:
                self._files.discard(segment)
            raise
        return segments

    def _replace(self, parts: Sequence[Part]) -> None:
        """Put one segment in the place of some parts, with the removals that came while it was built."""
        living = [part for part in parts if part.live_count]
        segment = self._files.create(living) if living else None
        taken = {part.segment for part in parts}
        with self._changed:
            now = self._view
            kept = [part for part in now.parts if part.segment not in taken]
            if segment is not None:
                alive = [p.segment.rows.labels[p.live_N] for p in now.parts if p.segment in taken]
                kept.append(Part.whole(segment).keeping(np.sort(np.concatenate(alive or [_NO_LABELS]))))
                if not kept[-1].live_count:
                    self._files.discard(segment)
            self._view = replace(now, parts=tuple(part for part in kept if part.live_count))
            self._changed.notify_all()
        self._write_down()

    def _write_down(self) -> None:
        with self._keeping:
            view = self._view
            self._files.keep([part.segment for part in _sealed(view)], view.revision)

    def _serve(self, request: _Request) -> None:
        try:
            request.work()
        except Exception as error:  # noqa: BLE001 - the caller who waits raises it
            request.done.set_exception(error)
        else:
            request.done.set_result(None)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Stopped:
            pass
        except OSError as error:
            # Files only save time; what waits goes on being searched exactly, and the next write tries again.
            log.warning("segment files were not written", extra={"error": error.strerror})
            self._give_up()
        except Exception:
            log.exception("sealing failed")
            self._give_up()

    def _give_up(self) -> None:
        with self._changed:
            self._failed = True
            self._changed.notify_all()


def _waiting(view: SegmentedView) -> tuple[Part, ...]:
    return tuple(part for part in view.parts if part.segment.graph is None)


def _sealed(view: SegmentedView) -> tuple[Part, ...]:
    return tuple(part for part in view.parts if part.segment.graph is not None)


def _groups(pieces: Iterable[Rows], most_rows: int) -> Iterator[Iterator[Rows]]:
    """The pieces in groups of so many rows, each to be used up before the next; nothing is kept."""
    left = iter(pieces)
    held = [next(left, None)]
    while held[0] is not None:
        yield _group(held, left, most_rows)


def _group(held: list[Rows | None], left: Iterator[Rows], most_rows: int) -> Iterator[Rows]:
    rows = 0
    while (piece := held[0]) is not None and (not rows or rows + len(piece) <= most_rows):
        rows += len(piece)
        yield piece
        held[0] = next(left, None)

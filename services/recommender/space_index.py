"""The index of a collection in a space: loaded from verified files, or built from the catalog.

Comparing labels shows every difference between the two, so lost, old or half-written files cost time and
never an answer. `apply` runs right after each commit, on the thread that writes.
"""

import logging
import shutil
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from services.recommender.catalog.log import Change
from services.recommender.catalog.store import Catalog
from vector_index.files import SegmentDirectory
from vector_index.segment import Segment
from vector_index.segmented import SegmentedIndex, SegmentedView

_NAME_LENGTH = 16

log = logging.getLogger(__name__)


class SpaceIndex:
    """The searchable items of a collection in a space."""

    def __init__(
        self, catalog: Catalog, root: Path, *, collection: str, space_id: str, dimension: int
    ) -> None:
        self.collection = collection
        self.space_id = space_id
        self.dimension = dimension
        self._catalog = catalog
        self._files = SegmentDirectory(
            root / collection / space_id[:_NAME_LENGTH], space=space_id, dimension=dimension
        )
        self._saving = threading.Lock()
        self._changing = threading.Lock()
        self._index = self._fresh()

    def open(self) -> None:
        """Load the files, and take the rest from the catalog."""
        contents = self._catalog.contents(self.collection)
        self._index.restore(self._files.load(), contents.labels, revision=contents.revision)
        self.reconcile()

    def view(self) -> SegmentedView:
        """The index as it stands now."""
        return self._index.view()

    def apply(self, change: Change, vectors: Mapping[str, np.ndarray]) -> None:
        """Apply a write of the catalog. vectors: of the added contents."""
        with self._changing:
            labels = np.array(list(change.added), dtype=np.int64)
            # A reconciliation may have taken some of it from the catalog meanwhile.
            new = ~self._index.view().holds(labels)
            sources = [source for source, is_new in zip(change.added.values(), new, strict=True) if is_new]
            self._index.update(
                labels[new],
                _matrix([vectors[source] for source in sources], self.dimension),
                removed=np.array(change.removed, dtype=np.int64),
                revision=change.revision,
            )

    def reconcile(self) -> list[str]:
        """Make the index equal the catalog; the contents that have no readable vector."""
        with self._changing:
            return self._reconcile(self._index)

    def rebuild(self) -> int:
        """Build the index anew from the catalog while the old one serves; the number of live rows."""
        fresh = self._fresh()
        contents = self._catalog.contents(self.collection)
        vectors = self._catalog.vectors_of(contents.sources, self.space_id)
        here = np.array([source in vectors for source in contents.sources], dtype=bool)
        rows = _matrix([vectors[source] for source in contents.sources if source in vectors], self.dimension)
        fresh.build(contents.labels[here], rows, revision=contents.revision)
        with self._changing:
            self._reconcile(fresh)
            self._index, before = fresh, self._index
        before.close()
        fresh.write_down()
        return fresh.view().counts.live

    def close(self) -> None:
        """Stop working in the background; views go on answering."""
        self._files.stop()
        self._index.close()

    def _fresh(self) -> SegmentedIndex:
        def keep(segments: Sequence[Segment], revision: int) -> None:
            with self._saving:
                if fresh is self._index:
                    self._files.save(segments, revision)

        fresh = SegmentedIndex(self.dimension, keep=keep)
        return fresh

    def _reconcile(self, index: SegmentedIndex) -> list[str]:
        contents = self._catalog.contents(self.collection)
        held = index.view().live_labels()
        absent = ~np.isin(contents.labels, held, assume_unique=True)
        wanted = [source for source, is_absent in zip(contents.sources, absent, strict=True) if is_absent]
        vectors = self._catalog.vectors_of(wanted, self.space_id)
        here = np.array([source in vectors for source in wanted], dtype=bool)
        index.update(
            contents.labels[absent][here],
            _matrix([vectors[source] for source in wanted if source in vectors], self.dimension),
            removed=np.setdiff1d(held, contents.labels, assume_unique=True),
            revision=contents.revision,
        )
        return [source for source in wanted if source not in vectors]


def forget_indexes(root: Path, collection: str, kept: Collection[str]) -> None:
    """Remove the files of every space but those in `kept`; their vectors stay in the catalog."""
    names = {space_id[:_NAME_LENGTH] for space_id in kept}
    folder = root / collection
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in names:
            shutil.rmtree(path, ignore_errors=True)


def _matrix(rows: Sequence[np.ndarray], dimension: int) -> np.ndarray:
    return np.stack(rows) if rows else np.empty((0, dimension), np.float32)

"""The index of a collection in a space with the view of its catalog: one pair, swapped together.

It is a cache: segment files and the log give back whatever is lost. `apply` folds a write right after its
commit, on the thread that writes; `reconcile` folds what the log has beyond it, the same way.
"""

import gc
import logging
import shutil
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from services.recommender.catalog.items import CollectionState, Item, content_digests
from services.recommender.catalog.log import Change, LogEntry
from services.recommender.catalog.store import Catalog
from services.recommender.errors import LogTruncated
from services.recommender.revisions import RevisionWaiters
from services.recommender.view.view import CatalogView
from services.recommender.wire.items import MESSAGES
from vector_index.files import IndexIdentity, SegmentDirectory
from vector_index.rows import Rows, new_rows
from vector_index.segmented import SegmentedIndex
from vector_index.view import SegmentedView

NAME_LENGTH: Final = 16
_ENTRIES: Final = 4_096
_PIECE: Final = 1_024

Vectors = Mapping[str, np.ndarray]


class ItemReader(Protocol):
    """Where the items of a collection are read."""

    def find(self, collection: str, item_ids: Sequence[str]) -> dict[str, Item]:
        """The items that exist, by identifier. Raises DamagedCatalog."""
        ...

    def page(self, collection: str, after: str, size: int) -> tuple[list[Item], int]:
        """Up to `size` items after an identifier, in order, and how many the collection has."""
        ...

    def state(self, collection: str) -> CollectionState:
        """The head of the collection, which says in which space its vectors are."""
        ...

    def vectors_of(self, sources: Iterable[str], space_id: str) -> dict[str, np.ndarray]:
        """The readable vectors of contents in a space, by content."""
        ...


class ServedIndex(Protocol):
    """What a release needs of an index; `view` has the view of the items attached to it."""

    collection: str
    items: ItemReader

    @property
    def manifest_digest(self) -> str: ...

    def open(self) -> None: ...
    def view(self) -> SegmentedView: ...
    def apply(self, change: Change, vectors: Vectors) -> None: ...
    def reconcile(self) -> list[str]: ...
    def rebuild(self) -> int: ...
    async def reached(self, revision: int) -> None: ...
    def close(self) -> None: ...


log = logging.getLogger(__name__)


class SpaceIndex:
    """The searchable items of a collection in a space."""

    def __init__(
        self, catalog: Catalog, root: Path, *, collection: str, space_id: str, dimension: int
    ) -> None:
        self.collection = collection
        self.space_id = space_id
        self.dimension = dimension
        self.items: ItemReader = catalog
        self._catalog = catalog
        self._files = SegmentDirectory(
            root / collection / space_id[:NAME_LENGTH],
            identity=IndexIdentity(catalogue_id=catalog.catalogue_id, space=space_id),
            dimension=dimension,
        )
        self._changing = threading.Lock()
        self._index = SegmentedIndex(self._files)
        self._index.attach(CatalogView(format=MESSAGES), 0)
        self._waiters = RevisionWaiters(lambda: self.view().revision)

    def open(self) -> None:
        """Load the files, and take the rest from the catalog."""
        with self._changing, without_collections():
            self._start()
        self.reconcile()

    def view(self) -> SegmentedView:
        """The index as it stands now; attached to it, the view of the catalog at the same revision."""
        return self._index.view()

    @property
    def manifest_digest(self) -> str:
        """sha256 of the manifest of the segment files; '' while there are none."""
        return self._index.manifest_digest

    def apply(self, change: Change, vectors: Vectors) -> None:
        """Fold a write of the catalog. vectors: of its contents, as far as the caller has them."""
        with self._changing:
            revision = self._catalogue().revision
            if change.entries and change.entries[0].revision <= revision + 1:
                self._fold(change.entries, vectors)
                return
        if change.revision > revision:
            self.reconcile()

    def reconcile(self) -> list[str]:
        """Fold the log beyond this view, and index what has a vector by now; the contents that have none."""
        with self._changing:
            try:
                while entries := self._catalog.changes(self.collection, self._catalogue().revision, _ENTRIES):
                    self._fold(entries, {})
            except LogTruncated:
                self._follow(CatalogView.of(self._catalog.snapshot(self.collection), MESSAGES))
            return self._add_absent()

    def rebuild(self) -> int:
        """Build every graph anew from the catalog while the present ones serve; the number of live rows."""
        self._index.rebuild(self._pieces())
        self.reconcile()
        return self.view().counts.live

    async def reached(self, revision: int) -> None:
        """Return once the view reflects a revision."""
        await self._waiters.reached(revision)

    def close(self) -> None:
        """Stop working in the background; views go on answering."""
        self._index.close()

    def _pieces(self) -> Iterator[Rows]:
        """The rows of every item that has a readable vector, a few at a time."""
        contents = self._catalog.contents(self.collection)
        for start in range(0, len(contents.sources), _PIECE):
            labels, sources = contents.labels[start:][:_PIECE], contents.sources[start : start + _PIECE]
            vectors = self._catalog.vectors_of(sources, self.space_id)
            here = np.array([source in vectors for source in sources], dtype=bool)
            sources = [source for source in sources if source in vectors]
            if sources:
                rows = _matrix([vectors[source] for source in sources], self.dimension)
                yield new_rows(labels[here], rows, self.dimension, content_digests(sources))

    def _catalogue(self) -> CatalogView:
        catalogue: CatalogView = self._index.view().attached
        return catalogue

    def _start(self) -> None:
        """Begin anew with the files and the state of the catalog."""
        snapshot = self._catalog.snapshot(self.collection)
        self._files.generation = snapshot.generation
        labels = np.fromiter((item.label for item in snapshot.items), np.int64, len(snapshot.items))
        digests = content_digests(item.source for item in snapshot.items)
        with ThreadPoolExecutor(1, thread_name_prefix="restore") as pool:
            # Hashing the files releases the interpreter's lock, so the view costs no time beside it.
            restored = pool.submit(self._index.restore, labels, digests, revision=snapshot.revision)
            view = CatalogView.of(snapshot, MESSAGES)
            restored.result()
        self._index.attach(view, snapshot.revision)
        self._waiters.wake(snapshot.revision)

    def _follow(self, catalogue: CatalogView) -> None:
        """Make a later state of the catalog visible, without the rows that are not indexed yet."""
        held = self._index.view().live_labels()
        removed = np.setdiff1d(held, catalogue.live_labels(), assume_unique=True)
        self._update([], {}, removed=removed, catalogue=catalogue)
        self._waiters.wake(catalogue.revision)

    def _fold(self, entries: Sequence[LogEntry], vectors: Vectors) -> None:
        """Make entries of the log visible, rows and catalog in one step."""
        before = self._catalogue()
        after = before.apply(entries)
        if after is before:
            return
        items = {
            entry.item_id: entry.item
            for entry in entries
            if entry.revision > before.revision and entry.flip is None
        }
        added = [
            item
            for item in items.values()
            if item is not None and before.label_of(item.item_id) != item.label
        ]
        old = before.labels_of(items)
        removed = old[~np.isin(old, after.labels_of(items))]
        self._files.generation = after.generation
        if not added and not len(removed):
            self._index.attach(after, after.revision)
        else:
            self._update(added, vectors, removed=removed, catalogue=after)
        self._waiters.wake(after.revision)

    def _update(
        self, added: Sequence[Item], vectors: Vectors, *, removed: np.ndarray, catalogue: CatalogView
    ) -> list[str]:
        """Change rows and catalog in one step; the contents that have no vector, whose rows are left out."""
        unknown = [item.source for item in added if item.source not in vectors]
        if unknown:
            vectors = {**vectors, **self._catalog.vectors_of(unknown, self.space_id)}
        indexed = [item for item in added if item.source in vectors]
        self._index.update(
            np.array([item.label for item in indexed], dtype=np.int64),
            _matrix([vectors[item.source] for item in indexed], self.dimension),
            removed=removed,
            revision=catalogue.revision,
            contents=content_digests(item.source for item in indexed),
            attached=catalogue,
        )
        return [item.source for item in added if item.source not in vectors]

    def _add_absent(self) -> list[str]:
        """Index live items that have no row yet; the contents that have no readable vector."""
        catalogue = self._catalogue()
        absent = np.setdiff1d(catalogue.live_labels(), self._index.view().live_labels(), assume_unique=True)
        if not len(absent):
            return []
        items = list(self._catalog.by_labels(self.collection, absent).values())
        return self._update(items, {}, removed=np.empty(0, np.int64), catalogue=catalogue)


def forget_indexes(root: Path, collection: str, kept: Collection[str]) -> None:
    """Remove the files of every space but those in `kept`; their vectors stay in the catalog."""
    names = {space_id[:NAME_LENGTH] for space_id in kept}
    folder = root / collection
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in names:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def without_collections() -> Iterator[None]:
    """Put the collector of cycles off: reading a hundred thousand items makes none, and it would take as long
    as the reading."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _matrix(rows: Sequence[np.ndarray], dimension: int) -> np.ndarray:
    return np.stack(rows) if rows else np.empty((0, dimension), np.float32)

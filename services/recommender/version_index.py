"""The index of a version of item vectors with the view of its items: read from the version's files (I-6).

The version is the truth and never changes, so nothing is ever written here but the segment files, which are
known by the version's digest: a rollback loads them. The catalog's log says when the collection moved to the
version, which gives the view its revision and generation. Legend: N items, D dimensions.
"""

import bisect
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, overload

import numpy as np

from inference.errors import InvalidAttributes, RefusedModel
from model_store.item_vectors import ItemVectors, open_item_vectors
from model_store.store import ModelStore, Version
from services.recommender.attributes import normalise_record
from services.recommender.catalog.items import CollectionState, Item
from services.recommender.catalog.log import Change, Snapshot
from services.recommender.catalog.store import Catalog
from services.recommender.revisions import RevisionWaiters
from services.recommender.space_index import NAME_LENGTH, ItemReader, Vectors, without_collections
from services.recommender.view.view import CatalogView
from services.recommender.wire.items import MESSAGES
from vector_index.files import IndexIdentity, SegmentDirectory
from vector_index.rows import Rows, new_rows
from vector_index.segmented import SegmentedIndex
from vector_index.tiers import MOST_ROWS
from vector_index.view import SegmentedView

# Segments hold a version's rows whatever the catalog's log says: they fit every revision.
_EVERY_REVISION: Final = 2**62
_PIECE: Final = 1_024


class VersionItems(Sequence[Item]):
    """The items of a version in the order of its rows, each read when it is asked for.

    Labels count rows from 1. A call never wrote them, so their revision is 0; all were released when the
    version was created, and all are in stock. `weight` is an attribute like the others.
    """

    def __init__(self, version: Version, files: ItemVectors) -> None:
        self.vector_ND = files.vector_ND
        self._version = version
        self._ids = files.item_ids
        self._records = files.records
        self._released_us = round(version.manifest.provenance.created_at.timestamp() * 1e6)
        self._order_N = np.array(sorted(range(len(self._ids)), key=self._ids.__getitem__), np.uint32)

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, row: int) -> Item: ...
    @overload
    def __getitem__(self, row: slice) -> list[Item]: ...
    def __getitem__(self, row: int | slice) -> Item | list[Item]:
        if isinstance(row, slice):
            return [self._item(each) for each in range(*row.indices(len(self)))]
        return self._item(range(len(self))[row])

    def find(self, collection: str, item_ids: Sequence[str]) -> dict[str, Item]:  # noqa: ARG002
        """The items that exist, by identifier."""
        found = {}
        for item_id in item_ids:
            place = bisect.bisect_left(self._order_N, item_id, key=self._ids.__getitem__)
            if place < len(self) and self._ids[self._order_N[place]] == item_id:
                found[item_id] = self._item(int(self._order_N[place]))
        return found

    def page(self, collection: str, after: str, size: int) -> tuple[list[Item], int]:  # noqa: ARG002
        """Up to `size` items after an identifier, in order, and how many the version has."""
        start = bisect.bisect_right(self._order_N, after, key=self._ids.__getitem__)
        return [self._item(row) for row in self._order_N[start : start + size].tolist()], len(self)

    def state(self, collection: str) -> CollectionState:  # noqa: ARG002
        """The version and its space."""
        version = self._version
        return CollectionState(
            space_id=version.space_id,
            lead_name=version.name,
            lead_version=version.number,
            lead_digest=version.digest,
        )

    def vectors_of(self, sources: Iterable[str], space_id: str) -> dict[str, np.ndarray]:
        """The vectors, float32 (D,), of contents of this version, by content; none in another space."""
        if space_id != self._version.space_id:
            return {}
        parted = ((source, source.rpartition("/")) for source in sources)
        return {
            source: self.vector_ND[int(row)]
            for source, (digest, _, row) in parted
            if digest == self._version.digest
        }

    def _item(self, row: int) -> Item:
        record = self._records[row]
        return Item(
            item_id=self._ids[row],
            attributes=self._attributes(row, record),
            released_us=self._released_us,
            in_stock=True,
            picture_digest="",
            source=f"{self._version.digest}/{row}",
            label=row + 1,
            revision=0,
        )

    def _attributes(self, row: int, record: dict[str, Any]) -> dict[str, Any]:
        try:
            return normalise_record({"weight": record.get("weight"), **record["attributes"]}, None)
        except (InvalidAttributes, KeyError, TypeError) as error:
            raise RefusedModel(f"{self._version}: the record of {self._ids[row]}: {error}") from error


class VersionIndex:
    """The searchable items of a version of item vectors."""

    def __init__(
        self, catalog: Catalog, root: Path, *, collection: str, store: ModelStore, version: Version
    ) -> None:
        """Open the version's files. Raises CorruptVersion: naming a file. Raises StoreError."""
        self.collection = collection
        self._rows = VersionItems(version, open_item_vectors(store, version))
        self.items: ItemReader = self._rows
        self._catalog = catalog
        self._files = SegmentDirectory(
            root / collection / version.digest[:NAME_LENGTH],
            identity=IndexIdentity(catalogue_id=version.digest, space=version.space_id),
            dimension=version.manifest.dimension,
        )
        self._changing = threading.Lock()
        self._index = SegmentedIndex(self._files)
        self._index.attach(CatalogView(format=MESSAGES), 0)
        self._waiters = RevisionWaiters(lambda: self.view().revision)

    @property
    def manifest_digest(self) -> str:
        """sha256 of the manifest of the segment files; '' while there are none."""
        return self._index.manifest_digest

    def open(self) -> None:
        """Load the segments, or build them, while the view of the items is read.

        Raises RefusedModel: naming an item whose record is no attribute record. Raises OSError.
        """
        state = self._catalog.state(self.collection)
        snapshot = Snapshot(revision=state.revision, generation=state.generation, items=self._rows)
        with self._changing, without_collections():
            with ThreadPoolExecutor(1, thread_name_prefix="restore") as pool:
                restored = pool.submit(self._restore)
                view = CatalogView.of(snapshot, MESSAGES)
                restored.result()
            self._attach(view)

    def view(self) -> SegmentedView:
        """The index; attached to it, the view of the items."""
        return self._index.view()

    def apply(self, change: Change, vectors: Vectors) -> None:  # noqa: ARG002
        """Take revision and generation from a move of the collection; no call writes the items."""
        with self._changing:
            moves = [entry for entry in change.entries if entry.flip is not None]
            self._attach(self._index.view().attached.apply(moves))

    def reconcile(self) -> list[str]:
        """Take revision and generation from the catalog's log. No content lacks a vector."""
        state = self._catalog.state(self.collection)
        with self._changing:
            view: CatalogView = self._index.view().attached
            if state.revision > view.revision:
                self._attach(replace(view, revision=state.revision, generation=state.generation))
        return []

    def rebuild(self) -> int:
        """Build every graph anew from the version's vectors; the number of rows."""
        self._index.rebuild(self._pieces())
        return self.view().counts.live

    async def reached(self, revision: int) -> None:
        """Return once the view reflects a revision."""
        await self._waiters.reached(revision)

    def close(self) -> None:
        """Stop working in the background; views go on answering."""
        self._index.close()

    def _pieces(self) -> Iterator[Rows]:
        labels, contents, dimension = self._labels(), self._contents(), self._index.dimension
        for start in range(0, len(labels), _PIECE):
            places = slice(start, start + _PIECE)
            yield new_rows(labels[places], self._rows.vector_ND[places], dimension, contents[places])

    def _labels(self) -> np.ndarray:
        return np.arange(1, len(self._rows) + 1, dtype=np.int64)

    def _contents(self) -> np.ndarray:
        # The files are known by the version's digest, so the place of a row says what it was made from.
        return self._labels().astype(np.uint64)

    def _restore(self) -> None:
        """Load the segments, and build those that are not there; fewer rows than a segment's stay without."""
        absent = self._index.restore(self._labels(), self._contents(), revision=_EVERY_REVISION)
        for start in range(0, len(absent), MOST_ROWS):
            labels = absent[start : start + MOST_ROWS]
            vector_ND = self._rows.vector_ND[labels - 1]
            contents = labels.astype(np.uint64)
            self._index.update(labels, vector_ND, revision=_EVERY_REVISION, contents=contents)
            # Each into one segment: what waits together would be merged, and built twice.
            self._index.settle()

    def _attach(self, view: CatalogView) -> None:
        self._index.attach(view, view.revision)
        self._waiters.wake(view.revision)

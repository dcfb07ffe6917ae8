"""The write path: items are checked, embedded, written and indexed before they are acknowledged (R-4, R-6).

While the collection moves to another space every item is embedded in both, if the embedder can. Which space
an item needs is decided in the transaction of its write; if the collection moved meanwhile, the items are
embedded once more.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np

from inference.errors import InvalidInput
from services.client.embedder import AsyncEmbedderClient, EmbeddedInputs
from services.messages.contents import CallerVector
from services.recommender.attributes import normalise_record
from services.recommender.catalog.items import ItemEntry, SourceVector
from services.recommender.catalog.log import Change
from services.recommender.catalog.pictures import picture_digest
from services.recommender.catalog.store import Catalog
from services.recommender.catalog.writes import NeedsSpace, Write
from services.recommender.errors import ERRORS
from services.recommender.executors import CallAdmission, Executors
from services.recommender.release.collection import Collection
from services.recommender.release.leads import CollectionRelease, LeadModels
from services.recommender.settings import RecommenderSettings
from services.runtime.errors import Aborted, Internal, ServiceError, to_service_error

ATTEMPTS: Final = 3
# More items than a person changes at once are an import, which has the lower priority.
INTERACTIVE_ITEMS: Final = 8

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDraft:
    """An item of a request, with a picture or a vector."""

    item_id: str
    picture: bytes | None
    vector: CallerVector | None
    record: Mapping[str, Any]
    released_us: int | None
    in_stock: bool
    product_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertOutcome:
    """A revision or error for each draft; the models that took part; the time that embedding took."""

    outcomes: tuple[int | ServiceError, ...]
    revision: int
    models: LeadModels
    embedded: EmbeddedInputs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Drafts in progress: entries or errors, pictures by digest, vectors by space and content."""

    entries: dict[int, ItemEntry] = field(default_factory=dict)
    errors: dict[int, ServiceError] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    vectors: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def refuse(self, source: str, error: ServiceError) -> None:
        """Fail every item of a content."""
        for index in [index for index, entry in self.entries.items() if entry.source == source]:
            self.errors[index] = error
            del self.entries[index]


class WriteAdmission:
    """Admits small writes by their number and others by their bytes, so neither waits for the other."""

    def __init__(self, settings: RecommenderSettings) -> None:
        self._small = CallAdmission(settings.small_write_queue, "small writes")
        self._large = CallAdmission(settings.upsert_queue_bytes, "bytes of UpsertItems calls")

    @contextmanager
    def admitted(self, item_count: int = 0, byte_count: int = 0) -> Iterator[None]:
        """Hold a place within the block; a deletion upserts no item. Raises ResourceExhausted."""
        is_small = item_count <= INTERACTIVE_ITEMS
        with self._small.admitted() if is_small else self._large.admitted(byte_count):
            yield


class CatalogWriter:
    """Writes the items of every collection."""

    def __init__(self, catalog: Catalog, executors: Executors, embedder: AsyncEmbedderClient) -> None:
        self._catalog = catalog
        self._executors = executors
        self._embedder = embedder

    async def upsert(self, collection: Collection, drafts: Sequence[ItemDraft]) -> UpsertOutcome:
        """Insert or replace items, durable and searchable on return. Bad items fail alone.

        Raises NoRelease, FailedPrecondition, ServiceError, DiskFull: then nothing was written.
        """
        for _ in range(ATTEMPTS):
            with collection.hold() as release:
                release.check_writable()
                batch = await self._executors.prepare(partial(self._batch, drafts, release))
                embedded = await self._embed(batch, collection, release)
                change = await self._commit(batch, collection)
                if change is not None:
                    return _outcome(batch, change, len(drafts), release.models, embedded)
        raise Aborted(f"the collection {collection.name} moved to another space during the write")

    async def delete(self, collection: Collection, item_ids: Sequence[str]) -> Change:
        """Remove items, durable and out of the index on return. Raises FailedPrecondition, DiskFull."""
        present = collection.present
        if present is not None:
            present.check_writable()
        change = await collection.writes.commit(Write(collection=collection.name, deleted=item_ids))
        assert isinstance(change, Change)
        return change

    def _batch(self, drafts: Sequence[ItemDraft], release: CollectionRelease) -> _Batch:
        batch = _Batch()
        for index, draft in enumerate(drafts):
            try:
                batch.entries[index] = _entry(draft, release, batch)
            except (ServiceError, InvalidInput) as error:
                batch.errors[index] = to_service_error(error, ERRORS)
        return batch

    async def _embed(
        self, batch: _Batch, collection: Collection, release: CollectionRelease
    ) -> EmbeddedInputs:
        """Embed each picture in every space in use; the result and times of the present space."""
        embedded = await self._embed_in(batch, release.models)
        incoming = collection.incoming
        if incoming is None or incoming.release.models.space_id == release.models.space_id:
            return embedded
        present = dict(batch.entries)
        try:
            await self._embed_in(batch, incoming.release.models)
        except ServiceError as error:
            if incoming.complete:
                raise
            log.warning("a write is not in the next space yet", extra={"reason": error.reason})
        if not incoming.complete:
            # The upgrade meets these items again and reports what is wrong with them.
            batch.entries.update(present)
            for index in present:
                batch.errors.pop(index, None)
        return embedded

    async def _embed_in(self, batch: _Batch, models: LeadModels) -> EmbeddedInputs:
        vectors = batch.vectors.setdefault(models.space_id, {})
        sources = {entry.source: entry.picture_digest for entry in batch.entries.values()}
        pictured = [source for source, digest in sources.items() if digest]
        if not pictured:
            return EmbeddedInputs()
        vectors |= await self._executors.read(lambda: self._catalog.vectors_of(pictured, models.space_id))
        unknown = [source for source in pictured if source not in vectors]
        embedded = await self._embedder.pictures(
            [batch.pictures[sources[source]] for source in unknown],
            models.image,
            no_store=False,
            bulk=len(unknown) > INTERACTIVE_ITEMS,
        )
        for source, outcome in zip(unknown, embedded.outcomes, strict=True):
            if isinstance(outcome, ServiceError):
                batch.refuse(source, outcome)
            else:
                vectors[source] = outcome
        return embedded

    async def _commit(self, batch: _Batch, collection: Collection) -> Change | None:
        """The change; None if the collection is in a space by now in which an item has no vector."""
        entries = list(batch.entries.values())
        wanted = {entry.source for entry in entries}
        digests = {entry.picture_digest for entry in entries} - {""}
        if digests:
            pictures = {digest: batch.pictures[digest] for digest in digests}
            await self._executors.store(lambda: self._catalog.store_pictures(pictures))
        given = [
            SourceVector(source=source, space_id=space_id, vector_D=vector)
            for space_id, vectors in batch.vectors.items()
            for source, vector in vectors.items()
            if source in wanted
        ]
        write = Write(collection=collection.name, entries=entries, vectors=given)
        change = await collection.writes.commit(write)
        return None if isinstance(change, NeedsSpace) else change


def _entry(draft: ItemDraft, release: CollectionRelease, batch: _Batch) -> ItemEntry:
    """The entry of a draft; its picture or vector goes into the batch."""
    attributes = normalise_record(draft.record, release.models.schema)
    digest = ""
    if draft.picture is not None:
        digest = picture_digest(draft.picture)
        source = f"p:{digest}"
        batch.pictures[digest] = draft.picture
    else:
        assert draft.vector is not None
        vector = release.check_vector(draft.vector, comparable=False)
        space_id = release.models.space_id
        source = f"v:{hashlib.sha256(space_id.encode() + vector.astype('<f4').tobytes()).hexdigest()}"
        batch.vectors.setdefault(space_id, {})[source] = vector
    return ItemEntry(
        item_id=draft.item_id,
        attributes=attributes,
        released_us=draft.released_us,
        in_stock=draft.in_stock,
        picture_digest=digest,
        source=source,
        product_id=draft.product_id,
    )


def _outcome(
    batch: _Batch, change: Change, count: int, models: LeadModels, embedded: EmbeddedInputs
) -> UpsertOutcome:
    outcomes: list[int | ServiceError] = []
    for index in range(count):
        entry = batch.entries.get(index)
        if entry is not None:
            outcomes.append(change.revisions[entry.item_id])
        else:
            outcomes.append(batch.errors.get(index, Internal("internal error")))
    return UpsertOutcome(outcomes=tuple(outcomes), revision=change.revision, models=models, embedded=embedded)

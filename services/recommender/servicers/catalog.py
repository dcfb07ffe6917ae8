"""CatalogService: acknowledged writes are durable and searchable."""
# ruff: noqa: ARG002, N802  # gRPC names the methods and what they are given

from typing import Any

from atelier.recommender.v1 import catalog_pb2, catalog_pb2_grpc
from atelier.types.v1 import types_pb2

from services.messages.contents import read_record, read_vector, write_vector
from services.messages.replies import all_failed, write_identity, write_timings
from services.recommender.catalog.items import Item
from services.recommender.catalog.store import Catalog
from services.recommender.errors import DamagedCatalog
from services.recommender.executors import Executors
from services.recommender.release.collection import Collections
from services.recommender.settings import RecommenderSettings
from services.recommender.space_index import ItemReader
from services.recommender.upsert import CatalogWriter, ItemDraft, WriteAdmission
from services.recommender.wire import catalog as wire
from services.recommender.wire.bounds import check_item_id, check_picture
from services.recommender.wire.items import item as write_item
from services.recommender.wire.replies import failures
from services.runtime.context import message_bytes
from services.runtime.errors import Aborted, InvalidArgument, NotFound, ServiceError


class CatalogServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Reads and writes the items of every collection."""

    def __init__(
        self,
        collections: Collections,
        catalog: Catalog,
        writer: CatalogWriter,
        executors: Executors,
        settings: RecommenderSettings,
    ) -> None:
        self._collections = collections
        self._catalog = catalog
        self._writer = writer
        self._executors = executors
        self._limits = settings.limits
        self._admission = WriteAdmission(settings)

    async def UpsertItems(
        self, request: catalog_pb2.UpsertItemsRequest, context: Any
    ) -> catalog_pb2.UpsertItemsResponse:
        """A result for each item, in the order of the request."""
        collection = self._collections.named(request.collection)
        wire.check_upsert(request, self._limits)
        ids = {index: item.item_id for index, item in enumerate(request.items)}
        read = await self._executors.convert(
            lambda: [self._draft(item) for item in request.items], message_bytes(request)
        )
        outcomes = {index: draft for index, draft in enumerate(read) if isinstance(draft, ServiceError)}
        drafts = {index: draft for index, draft in enumerate(read) if isinstance(draft, ItemDraft)}
        if not drafts:
            raise all_failed(failures(outcomes, ids), "item")
        with self._admission.admitted(len(drafts), message_bytes(request)):
            outcome = await self._writer.upsert(collection, list(drafts.values()))
        outcome.embedded.times.note(items=len(drafts))
        results: dict[int, int | ServiceError] = {
            **outcomes,
            **dict(zip(drafts, outcome.outcomes, strict=True)),
        }
        errors = {index: result for index, result in results.items() if isinstance(result, ServiceError)}
        if len(errors) == len(results):
            raise all_failed(failures(errors, ids), "item")
        return catalog_pb2.UpsertItemsResponse(
            results=[wire.upsert_result(index, ids[index], results[index]) for index in sorted(results)],
            models=[write_identity(version) for version in outcome.models.pinned],
            catalogue_revision=outcome.revision,
            timings=write_timings(outcome.embedded.times),
        )

    async def DeleteItems(
        self, request: catalog_pb2.DeleteItemsRequest, context: Any
    ) -> catalog_pb2.DeleteItemsResponse:
        """How many items were removed; absent items do not count."""
        collection = self._collections.named(request.collection)
        item_ids = wire.check_delete(request)
        with self._admission.admitted():
            change = await self._writer.delete(collection, item_ids)
        return catalog_pb2.DeleteItemsResponse(
            deleted_count=len(change.removed), catalogue_revision=change.revision
        )

    async def GetItem(self, request: catalog_pb2.GetItemRequest, context: Any) -> catalog_pb2.GetItemResponse:
        """One item, with its picture and its vector if asked for."""
        collection, item_id = self._collections.named(request.collection), check_item_id(request.item_id)
        name, items = collection.name, collection.items
        item = await self._executors.read(lambda: _item(items, name, item_id))
        reply = catalog_pb2.GetItemResponse(item=write_item(item))
        if request.include_picture and item.picture_digest:
            reply.picture = await self._executors.read(
                lambda: self._catalog.pictures.read(item.picture_digest)
            )
        if request.include_vector:
            vector = await self._executors.read(lambda: _vector(items, name, item))
            if vector is not None:
                reply.vector.CopyFrom(vector)
        return reply

    async def ListItems(
        self, request: catalog_pb2.ListItemsRequest, context: Any
    ) -> catalog_pb2.ListItemsResponse:
        """Items in the order of their identifiers."""
        collection = self._collections.named(request.collection)
        size, after = wire.page_size(request), wire.read_page_token(request.page_token)
        items, total = await self._executors.read(
            lambda: collection.items.page(collection.name, after, size + 1)
        )
        more = len(items) > size
        return catalog_pb2.ListItemsResponse(
            items=[write_item(item) for item in items[:size]],
            next_page_token=wire.page_token(items[size - 1].item_id) if more else "",
            total_count=total,
        )

    def _draft(self, item: catalog_pb2.UpsertItem) -> ItemDraft | ServiceError:
        try:
            kind = item.WhichOneof("content")
            if kind is None:
                raise InvalidArgument("the item has neither a picture nor a vector", reason="NO_CONTENT")
            return ItemDraft(
                item_id=check_item_id(item.item_id),
                picture=check_picture(item.image, self._limits) if kind == "image" else None,
                vector=read_vector(item.vector) if kind == "vector" else None,
                record=read_record(item.attributes),
                released_us=wire.released_us(item),
                in_stock=item.in_stock if item.HasField("in_stock") else True,
                product_id=wire.product_id(item),
            )
        except ServiceError as error:
            return error


def _item(items: ItemReader, collection: str, item_id: str) -> Item:
    known = items.find(collection, [item_id])
    if item_id not in known:
        raise NotFound(f"the collection {collection} has no item {item_id}", reason="NO_ITEM")
    return known[item_id]


def _vector(items: ItemReader, collection: str, item: Item) -> types_pb2.SpaceVector | None:
    """The item's vector in the collection's space, None before it serves.

    Raises DamagedCatalog: if it is lost. Raises Aborted: if the item or the space changed meanwhile.
    """
    space_id = items.state(collection).space_id
    if not space_id:
        return None
    vectors = items.vectors_of([item.source], space_id)
    if item.source in vectors:
        return write_vector(space_id, vectors[item.source])
    same = items.state(collection).space_id == space_id
    if same and _item(items, collection, item.item_id).source == item.source:
        raise DamagedCatalog(f"the vector of item {item.item_id} is missing or damaged")
    raise Aborted(f"item {item.item_id} changed while it was read: ask again")

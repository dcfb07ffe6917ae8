"""The catalog: items, their pictures, and what changes them (R-4)."""

import hashlib
from functools import partial
from typing import Annotated, Any, Final

from atelier.recommender.v1 import catalog_pb2
from atelier.types.v1 import types_pb2
from fastapi import APIRouter, Path, Query, Request
from pydantic import Field
from starlette.responses import Response

from inference.errors import InvalidImage
from services.client.recommender import FASHION
from services.gateway.api.requests import (
    Moment,
    Name,
    Record,
    Strict,
    Vector,
    invalid,
    read,
    record,
    timestamp,
)
from services.gateway.api.routing import (
    DEFAULT_COLLECTION,
    PICTURES,
    Collection,
    Named,
    answer,
    gateway_of,
    route,
)
from services.gateway.gateway import Gateway
from services.gateway.thumbnails import SIZES
from services.gateway.web.forms import Upload
from services.gateway.web.replies import write
from services.runtime.authorization import Scope
from services.runtime.errors import InvalidArgument, NotFound, from_status

router: Final = APIRouter(tags=["catalog"])
ItemId = Annotated[str, Path(max_length=128)]
Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
_UPSERT_S: Final = 600.0
_IMMUTABLE: Final = "private, max-age=31536000, immutable"
_MEDIA_TYPES: Final = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG", "image/png"), (b"RIFF", "image/webp"))
_WRITTEN: Final = Named(
    name="WrittenItem",
    messages=(types_pb2.ModelIdentity, types_pb2.Timings),
    schema={
        "type": "object",
        "properties": {
            "item_id": {"type": "string"},
            "revision": {"type": "integer"},
            "catalogue_revision": {"type": "integer"},
            "models": {"type": "array", "items": {"$ref": "#/components/schemas/ModelIdentity"}},
            "timings": {"$ref": "#/components/schemas/Timings"},
        },
        "required": ["item_id", "revision", "catalogue_revision", "models"],
    },
)


class ItemBody(Strict):
    """An item's attributes and stock; a member that is left out keeps its value."""

    collection: Name = FASHION
    attributes: Record | None = None
    released_at: Moment | None = None
    in_stock: bool | None = None
    product_id: Name | None = None
    vector: Vector | None = None


class NewItem(Strict):
    """An item to insert or replace: with a vector, or with the next of the pictures in the parts `images`."""

    item_id: Name
    attributes: Record = Field(default_factory=dict)
    released_at: Moment | None = None
    in_stock: bool | None = None
    product_id: Name = ""
    vector: Vector | None = None

    def message(self, image: bytes | None) -> catalog_pb2.UpsertItem:
        """The item as a message."""
        return catalog_pb2.UpsertItem(
            item_id=self.item_id,
            image=image,
            vector=self.vector.message() if self.vector else None,
            attributes=record(self.attributes),
            released_at=timestamp(self.released_at),
            in_stock=self.in_stock,
            product_id=self.product_id,
        )


class UpsertBody(Strict):
    """Items to insert or replace; those without a vector take the pictures in `images`, in order."""

    collection: Name = FASHION
    items: Annotated[list[NewItem], Field(min_length=1, max_length=128)]


class DeleteBody(Strict):
    """Items to delete."""

    collection: Name = FASHION
    item_ids: Annotated[list[Name], Field(min_length=1, max_length=1_000)]


@route(router, "GET", "/api/items", scope=Scope.READ, reply=catalog_pb2.ListItemsResponse)
async def list_items(
    request: Request,
    collection: Collection = DEFAULT_COLLECTION,
    page_size: Annotated[int, Query(ge=1, le=1_000)] = 100,
    page_token: Annotated[str, Query(max_length=1_024)] = "",
) -> Response:
    """List items in the order of their identifiers."""
    message = catalog_pb2.ListItemsRequest(collection=collection, page_size=page_size, page_token=page_token)
    return answer(write(await gateway_of(request).recommender.call("ListItems", message), collection))


@route(router, "GET", "/api/items/{item_id}", scope=Scope.READ, reply=catalog_pb2.GetItemResponse)
async def get_item(
    request: Request,
    item_id: ItemId,
    collection: Collection = DEFAULT_COLLECTION,
    include_vector: bool = False,
) -> Response:
    """Return an item, with its vector if asked for."""
    message = catalog_pb2.GetItemRequest(
        collection=collection, item_id=item_id, include_vector=include_vector
    )
    return answer(write(await gateway_of(request).recommender.call("GetItem", message), collection))


@route(
    router,
    "PUT",
    "/api/items/{item_id}",
    scope=Scope.WRITE,
    body=ItemBody,
    parts={"image": 1},
    reply=_WRITTEN,
)
async def put_item(request: Request, item_id: ItemId) -> Response:
    """Insert an item, or change what the request holds of it: its picture, attributes, stock or release."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request, {"image": 1}) as sent:
        body = read(ItemBody, sent.json)
        image = sent.only("image")
        if image is not None and body.vector is not None:
            raise invalid("vector and a picture in the part image exclude each other", "vector")
        message = await _changed(gateway, item_id, body, image)
        upsert = catalog_pb2.UpsertItemsRequest(collection=body.collection, items=[message])
        reply = await gateway.recommender.call("UpsertItems", upsert, deadline_s=_UPSERT_S)
    result = reply.results[0]
    if not result.HasField("revision"):
        raise from_status(result.error)
    written = write(reply)
    del written["results"]
    return answer({"item_id": item_id, "revision": result.revision, **written})


@route(
    router,
    "POST",
    "/api/items",
    scope=Scope.WRITE,
    body=UpsertBody,
    parts={"images": 128},
    reply=catalog_pb2.UpsertItemsResponse,
)
async def upsert_items(request: Request) -> Response:
    """Insert or replace up to 128 items; bad ones fail alone."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request, {"images": 128}) as sent:
        body = read(UpsertBody, sent.json)
        items = _new_items(body, sent.all("images"))
        message = catalog_pb2.UpsertItemsRequest(collection=body.collection, items=items)
        reply = await gateway.recommender.call("UpsertItems", message, deadline_s=_UPSERT_S)
    return answer(write(reply, body.collection))


@route(
    router,
    "POST",
    "/api/items/delete",
    scope=Scope.WRITE,
    body=DeleteBody,
    reply=catalog_pb2.DeleteItemsResponse,
)
async def delete_items(request: Request) -> Response:
    """Delete items; those that are not there count as deleted."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request) as sent:
        body = read(DeleteBody, sent.json)
    message = catalog_pb2.DeleteItemsRequest(collection=body.collection, item_ids=body.item_ids)
    return answer(write(await gateway.recommender.call("DeleteItems", message)))


@route(
    router,
    "DELETE",
    "/api/items/{item_id}",
    scope=Scope.WRITE,
    reply=catalog_pb2.DeleteItemsResponse,
)
async def delete_item(
    request: Request, item_id: ItemId, collection: Collection = DEFAULT_COLLECTION
) -> Response:
    """Delete an item; one that is not there counts as deleted."""
    message = catalog_pb2.DeleteItemsRequest(collection=collection, item_ids=[item_id])
    return answer(write(await gateway_of(request).recommender.call("DeleteItems", message)))


@route(router, "GET", "/api/pictures/{digest}", scope=Scope.READ, reply=PICTURES)
async def get_picture(
    request: Request,
    digest: Digest,
    item_id: Annotated[str, Query(max_length=128, description="An item that shows the picture.")],
    collection: Collection = DEFAULT_COLLECTION,
    size: Annotated[
        int | None, Query(description="Longest side in pixels: 96, 192, 384 or 768. Default: as kept.")
    ] = None,
) -> Response:
    """Return an item's picture as it was received, or as WEBP with no side longer than `size`."""
    gateway = gateway_of(request)
    if size is not None and size not in SIZES:
        raise invalid(f"size is one of {', '.join(map(str, SIZES))}", "size")
    tag = f'"{digest}-{size}"' if size else f'"{digest}"'
    headers = {"etag": tag, "cache-control": _IMMUTABLE, "vary": "authorization"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    caller = hashlib.sha256(request.headers.get("authorization", "").encode()).hexdigest()
    key = (digest, size or 0, caller)
    made = gateway.thumbnails.find(key)
    if made is None:
        fetch = partial(_picture, gateway, collection, item_id, digest)
        try:
            made = await (fetch() if size is None else gateway.thumbnails.make(key, fetch))
        except InvalidImage as error:
            raise InvalidArgument(f"the kept picture cannot be read: {error}") from error
    return Response(made, 200, headers, media_type_of(made))


async def _picture(gateway: Gateway, collection: str, item_id: str, digest: str) -> bytes:
    """The kept bytes. Raises NotFound: unless the item shows this very picture."""
    message = catalog_pb2.GetItemRequest(collection=collection, item_id=item_id, include_picture=True)
    reply = await gateway.recommender.call("GetItem", message)
    if reply.item.picture_digest != digest or not reply.picture:
        raise NotFound("the item does not show this picture")
    picture: bytes = reply.picture
    return picture


def media_type_of(data: bytes) -> str:
    """The media type of an encoded picture, by how it begins; never one that a browser would run."""
    return next((name for start, name in _MEDIA_TYPES if data.startswith(start)), "application/octet-stream")


async def _changed(
    gateway: Gateway, item_id: str, body: ItemBody, image: bytes | None
) -> catalog_pb2.UpsertItem:
    """The item as the request leaves it: what the request does not hold stays as it is."""
    content: dict[str, Any] = {"image": image, "vector": body.vector.message() if body.vector else None}
    whole = image is not None or body.vector is not None
    message = catalog_pb2.GetItemRequest(
        collection=body.collection, item_id=item_id, include_picture=not whole, include_vector=not whole
    )
    try:
        known = await gateway.recommender.call("GetItem", message)
    except NotFound:
        if not whole:
            raise
        known = catalog_pb2.GetItemResponse()
        known.item.in_stock = True
    if not whole:
        content = {"image": known.picture} if known.picture else {"vector": known.vector}
    return catalog_pb2.UpsertItem(
        item_id=item_id,
        attributes=known.item.attributes if body.attributes is None else record(body.attributes),
        released_at=timestamp(body.released_at),
        in_stock=known.item.in_stock if body.in_stock is None else body.in_stock,
        product_id=known.item.product_id if body.product_id is None else body.product_id,
        **content,
    )


def _new_items(body: UpsertBody, pictures: list[Upload]) -> list[catalog_pb2.UpsertItem]:
    wanted = sum(item.vector is None for item in body.items)
    if wanted != len(pictures):
        raise invalid(
            f"{wanted} items have no vector, the form has {len(pictures)} pictures in images", "items"
        )
    left = iter(pictures)
    return [item.message(None if item.vector else next(left).data) for item in body.items]

"""New products for what sells best, and how both compare (R-1, R-8)."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from atelier.recommender.v1 import catalog_pb2, recommender_pb2, resources_pb2
from fastapi import APIRouter, Request
from pydantic import Field, model_validator
from starlette.responses import Response

from services.gateway.api.requests import (
    Moment,
    Name,
    Revision,
    Searched,
    Share,
    Strict,
    filter_message,
    invalid,
    read,
)
from services.gateway.api.routing import Named, answer, gateway_of, route
from services.gateway.gateway import Gateway
from services.gateway.web.forms import Upload
from services.gateway.web.replies import reference, write
from services.runtime.authorization import Scope
from services.runtime.errors import ServiceError

router: Final = APIRouter(tags=["recommend"])
_MOST_PICTURES: Final = 128
_SHOWN_BESTSELLERS: Final = 12
_BESTSELLERS: Final = Named(
    name="BestsellersAnswer",
    messages=(recommender_pb2.RecommendFromBestsellersResponse,),
    schema={
        "allOf": [
            reference(recommender_pb2.RecommendFromBestsellersResponse),
            {
                "type": "object",
                "properties": {"bestsellers": {"type": "array", "items": reference(resources_pb2.Item)}},
                "required": ["bestsellers"],
            },
        ]
    },
)


class Sale(Strict):
    """Units sold of an item."""

    item_id: Name
    units: Annotated[float, Field(ge=0)]


class BestsellersBody(Searched):
    """What sells best: ids, a sales table, pictures in the parts `images`, or, without any, the proxy."""

    item_ids: Annotated[list[Name], Field(min_length=1, max_length=10_000)] | None = None
    sales: Annotated[list[Sale], Field(min_length=1, max_length=100_000)] | None = None
    use_proxy: bool = False
    new_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        None, description="New is what was released in so many days."
    )
    released_after: Moment | None = None
    exclude_item_ids: Annotated[tuple[Name, ...], Field(max_length=10_000)] = ()
    diversity: Share = 0.0
    trend_fields: Annotated[tuple[str, ...], Field(max_length=16)] = ()
    min_revision: Revision = 0

    @model_validator(mode="after")
    def _check_source(self) -> "BestsellersBody":
        if (self.item_ids is not None) + (self.sales is not None) + self.use_proxy > 1:
            raise ValueError("item_ids, sales and use_proxy exclude each other")
        if self.new_days is not None and self.released_after is not None:
            raise ValueError("new_days and released_after exclude each other")
        return self


@route(
    router,
    "POST",
    "/api/recommend/top10_to_new",
    scope=Scope.READ,
    body=BestsellersBody,
    parts={"images": _MOST_PICTURES},
    reply=_BESTSELLERS,
)
async def recommend_from_bestsellers(request: Request) -> Response:
    """Return the new products nearest to what sells best, how both compare, and the first bestsellers."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request, {"images": _MOST_PICTURES}) as sent:
        body = read(BestsellersBody, sent.json)
        message = _bestsellers_message(body, sent.all("images"))
        reply = await gateway.recommender.call("RecommendFromBestsellers", message)
    written = write(reply, reply.collection)
    shown = reply.bestseller_item_ids[:_SHOWN_BESTSELLERS]
    items = await asyncio.gather(*(_item(gateway, reply.collection, item_id) for item_id in shown))
    written["bestsellers"] = [write(item, reply.collection) for item in items if item is not None]
    return answer(written)


async def _item(gateway: Gateway, collection: str, item_id: str) -> resources_pb2.Item | None:
    """An item to show beside an answer that stands without it; None if it cannot be had."""
    request = catalog_pb2.GetItemRequest(collection=collection, item_id=item_id)
    try:
        reply: catalog_pb2.GetItemResponse = await gateway.recommender.call("GetItem", request)
    except ServiceError:
        return None
    return reply.item


def _bestsellers_message(
    body: BestsellersBody, pictures: Sequence[Upload]
) -> recommender_pb2.RecommendFromBestsellersRequest:
    after = body.released_after
    if body.new_days is not None:
        after = datetime.now(UTC) - timedelta(days=body.new_days)
    return recommender_pb2.RecommendFromBestsellersRequest(
        collection=body.collection,
        item_count=body.item_count,
        filter=filter_message(body.filter, after),
        excluded_item_ids=body.exclude_item_ids,
        diversity=body.diversity,
        min_revision=body.min_revision,
        trend_fields=body.trend_fields,
        **_source(body, pictures),
    )


def _source(body: BestsellersBody, pictures: Sequence[Upload]) -> dict[str, Any]:
    """What sells best, as the one field of its kind. Raises HttpProblem: for two kinds at once."""
    if pictures:
        if body.item_ids is not None or body.sales is not None or body.use_proxy:
            raise invalid("pictures exclude item_ids, sales and use_proxy", "images")
        return {"pictures": recommender_pb2.BestsellerPictures(images=[picture.data for picture in pictures])}
    if body.item_ids is not None:
        return {"items": recommender_pb2.BestsellerIds(item_ids=body.item_ids)}
    if body.sales is not None:
        rows = [recommender_pb2.SalesRow(item_id=sale.item_id, units=sale.units) for sale in body.sales]
        return {"sales": recommender_pb2.SalesTable(rows=rows)}
    return {"use_proxy": True}

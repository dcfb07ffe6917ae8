"""Recommendations and searches (R-1, R-2, R-3, R-7, R-9)."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from atelier.recommender.v1 import recommender_pb2, resources_pb2
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from services.gateway.api.requests import (
    Example,
    Moment,
    Name,
    QueryBody,
    Record,
    Revision,
    Searched,
    Share,
    Strict,
    filter_message,
    invalid,
    read,
    record,
)
from services.gateway.api.routing import answer, gateway_of, route
from services.gateway.gateway import Gateway
from services.gateway.web.forms import Upload
from services.gateway.web.replies import write
from services.runtime.authorization import Scope

router: Final = APIRouter(tags=["recommend"])
_MOST_PICTURES: Final = 128
_EXAMPLE_PARTS: Final = {"image": 1, "positive": _MOST_PICTURES, "negative": _MOST_PICTURES}


class RecommendBody(Searched):
    """A search by a query, by examples, or by both."""

    query: QueryBody | None = None
    positive: Annotated[tuple[Example, ...], Field(max_length=128)] = ()
    negative: Annotated[tuple[Example, ...], Field(max_length=128)] = ()
    exclude_item_ids: Annotated[tuple[Name, ...], Field(max_length=10_000)] = ()
    new_products_only: bool = False
    released_after: Moment | None = None
    diversity: Share = 0.0
    explain: bool = False
    min_revision: Revision = 0


class History(Strict):
    """What a customer did: item ids, the latest last."""

    clicked: Annotated[tuple[Name, ...], Field(max_length=128)] = ()
    liked: Annotated[tuple[Name, ...], Field(max_length=128)] = ()
    disliked: Annotated[tuple[Name, ...], Field(max_length=128)] = ()
    seen: Annotated[tuple[Name, ...], Field(max_length=10_000, description="Left out of the answer.")] = ()


class CustomerBody(Searched):
    """A clicked product, or a picture in the part `image`, with the customer's history."""

    item_id: Name | None = None
    history: History = History()
    new_products_only: bool = True
    diversity: Share = 0.0
    explain: bool = False


class SearchBody(Searched):
    """Attributes to find the nearest records of; a picture comes in the part `image` instead."""

    attributes: Record | None = None


@route(
    router,
    "POST",
    "/api/recommend",
    scope=Scope.READ,
    body=RecommendBody,
    parts=_EXAMPLE_PARTS,
    reply=recommender_pb2.RecommendResponse,
)
async def recommend(request: Request) -> Response:
    """Return the items nearest to a query, near to positive and far from negative examples."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request, _EXAMPLE_PARTS) as sent:
        body = read(RecommendBody, sent.json)
        message = recommend_message(body)
        image = sent.only("image")
        if image is not None:
            if body.query is not None:
                raise invalid("query and a picture in the part image exclude each other", "query")
            message.image = image
        message.positive_examples.extend(_examples(sent.all("positive")))
        message.negative_examples.extend(_examples(sent.all("negative")))
        reply = await gateway.recommender.call("Recommend", message)
    return answer(write(reply, reply.collection))


@route(
    router,
    "POST",
    "/api/recommend/customer_input",
    scope=Scope.READ,
    body=CustomerBody,
    parts={"image": 1},
    reply=recommender_pb2.RecommendResponse,
)
async def recommend_to_customer(request: Request) -> Response:
    """Return personal new products for an uploaded picture or a clicked product, and a history."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request, {"image": 1}) as sent:
        body = read(CustomerBody, sent.json)
        image = sent.only("image")
        if image is not None and body.item_id is not None:
            raise invalid("item_id and a picture in the part image exclude each other", "item_id")
        message = _customer_message(body, image)
        reply = await gateway.recommender.call("Recommend", message)
    return answer(write(reply, reply.collection))


@route(
    router,
    "POST",
    "/api/search",
    scope=Scope.READ,
    body=SearchBody,
    parts={"image": 1},
    reply=recommender_pb2.FindRecordsResponse,
)
async def search(request: Request) -> Response:
    """Return the attribute records nearest to a picture, or to other attributes."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request, {"image": 1}) as sent:
        body = read(SearchBody, sent.json)
        image = sent.only("image")
        if (image is None) == (body.attributes is None):
            raise invalid(
                "exactly one of attributes and a picture in the part image is required", "attributes"
            )
        if image is not None:
            reply = await gateway.recommender.call(
                "FindRecords",
                recommender_pb2.FindRecordsRequest(
                    collection=body.collection,
                    image=image,
                    item_count=body.item_count,
                    filter=filter_message(body.filter),
                ),
            )
            return answer(write(reply, body.collection))
    return answer(write(await _records_near(gateway, body), body.collection))


async def _records_near(gateway: Gateway, body: SearchBody) -> recommender_pb2.FindRecordsResponse:
    """Records near attributes, as `FindRecords` gives those near a picture; without suggestions."""
    request = recommender_pb2.RecommendRequest(
        collection=body.collection,
        attributes=record(body.attributes or {}),
        item_count=body.item_count,
        filter=filter_message(body.filter),
    )
    reply = await gateway.recommender.call("Recommend", request)
    records = [
        recommender_pb2.RecordMatch(
            item_id=each.item.item_id, attributes=each.item.attributes, similarity=each.similarity
        )
        for each in reply.recommendations
    ]
    return recommender_pb2.FindRecordsResponse(
        records=records,
        models=reply.models,
        catalogue_revision=reply.catalogue_revision,
        timings=reply.timings,
    )


def _examples(pictures: Sequence[Upload]) -> list[resources_pb2.Example]:
    return [resources_pb2.Example(image=picture.data) for picture in pictures]


def query_fields(query: QueryBody | None) -> dict[str, Any]:
    """The query as fields of a `RecommendRequest`."""
    if query is None:
        return {}
    if query.attributes is not None:
        return {"attributes": record(query.attributes)}
    if query.vector is not None:
        return {"vector": query.vector.message()}
    return {"items": resources_pb2.ItemIds(item_ids=query.item_ids or [query.item_id or ""])}


def recommend_message(body: RecommendBody) -> recommender_pb2.RecommendRequest:
    """The search as a message, without pictures."""
    return recommender_pb2.RecommendRequest(
        collection=body.collection,
        positive_examples=[example.message() for example in body.positive],
        negative_examples=[example.message() for example in body.negative],
        item_count=body.item_count,
        filter=filter_message(body.filter, body.released_after),
        excluded_item_ids=body.exclude_item_ids,
        min_revision=body.min_revision,
        diversity=body.diversity,
        explain=body.explain,
        new_products_only=body.new_products_only,
        **query_fields(body.query),
    )


def _customer_message(body: CustomerBody, image: bytes | None) -> recommender_pb2.RecommendRequest:
    history = body.history
    message = recommender_pb2.RecommendRequest(
        collection=body.collection,
        positive_examples=[
            resources_pb2.Example(item_id=item_id)
            for item_id in dict.fromkeys((*history.clicked, *history.liked))
        ],
        negative_examples=[resources_pb2.Example(item_id=item_id) for item_id in history.disliked],
        item_count=body.item_count,
        filter=filter_message(body.filter),
        excluded_item_ids=history.seen,
        diversity=body.diversity,
        explain=body.explain,
        new_products_only=body.new_products_only,
    )
    if image is not None:
        message.image = image
    elif body.item_id is not None:
        message.items.item_ids.append(body.item_id)
    return message

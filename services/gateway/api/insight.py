"""Feedback and what it says: trends, centrality, key figures; and the state of the index (R-5)."""

import uuid
from typing import Annotated, Final, Literal

from atelier.recommender.v1 import index_pb2, insight_pb2
from atelier.types.v1 import types_pb2
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from services.client.recommender import FASHION, REBUILD_S
from services.gateway.api.requests import Moment, Name, Revision, Strict, read, timestamp
from services.gateway.api.routing import DEFAULT_COLLECTION, Collection, answer, gateway_of, route
from services.gateway.web.replies import write
from services.runtime.authorization import Scope

router: Final = APIRouter(tags=["insight"])
_KINDS: Final = {
    "shown": insight_pb2.FEEDBACK_KIND_SHOWN,
    "clicked": insight_pb2.FEEDBACK_KIND_CLICKED,
    "liked": insight_pb2.FEEDBACK_KIND_LIKED,
    "disliked": insight_pb2.FEEDBACK_KIND_DISLIKED,
    "purchased": insight_pb2.FEEDBACK_KIND_PURCHASED,
}
Fields = Annotated[list[str], Query(max_length=16)]
Days = Annotated[int, Query(ge=1, le=730)]


class Lead(Strict):
    """The first of the `models` of the recommendation that an event is about."""

    name: Name
    version: Revision
    digest: Annotated[str, Field(max_length=64)] = ""
    space_id: Annotated[str, Field(max_length=64)] = ""
    trained: bool = True


class FeedbackItem(Strict):
    """What a customer did with an item. Without an event_id, repeating the request records it again."""

    event_id: Name | None = None
    kind: Literal["shown", "clicked", "liked", "disliked", "purchased"]
    item_id: Name
    occurred_at: Moment | None = None
    lead: Lead | None = None

    def message(self, event_id: str) -> insight_pb2.FeedbackEvent:
        """The event as a message. event_id: where it has none of its own."""
        return insight_pb2.FeedbackEvent(
            event_id=self.event_id or event_id,
            kind=_KINDS[self.kind],
            item_id=self.item_id,
            occurred_at=timestamp(self.occurred_at),
            lead=types_pb2.ModelIdentity(**self.lead.model_dump()) if self.lead else None,
        )


class FeedbackBody(Strict):
    """Events to record."""

    collection: Name = FASHION
    events: Annotated[list[FeedbackItem], Field(min_length=1, max_length=1_000)]


class CollectionBody(Strict):
    """A collection."""

    collection: Name = FASHION


@route(
    router,
    "POST",
    "/api/feedback",
    scope=Scope.WRITE,
    body=FeedbackBody,
    reply=insight_pb2.RecordFeedbackResponse,
)
async def record_feedback(request: Request) -> Response:
    """Record what customers did; durable once answered, and once an event_id."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request) as sent:
        body = read(FeedbackBody, sent.json)
    events = [event.message(uuid.uuid4().hex) for event in body.events]
    message = insight_pb2.RecordFeedbackRequest(collection=body.collection, events=events)
    return answer(write(await gateway.recommender.call("RecordFeedback", message)))


@route(router, "GET", "/api/trends", scope=Scope.READ, reply=insight_pb2.GetTrendsResponse)
async def get_trends(
    request: Request,
    collection: Collection = DEFAULT_COLLECTION,
    field: Fields = [],  # noqa: B006  # read by FastAPI, never changed
    days: Days = 90,
    period_days: Annotated[int, Query(ge=1, le=90)] = 7,
) -> Response:
    """Return how the values of fields do over time."""
    message = insight_pb2.GetTrendsRequest(
        collection=collection, fields=field, days=days, period_days=period_days
    )
    return answer(write(await gateway_of(request).recommender.call("GetTrends", message)))


@route(router, "GET", "/api/centrality", scope=Scope.READ, reply=insight_pb2.GetCentralityResponse)
async def get_centrality(
    request: Request,
    collection: Collection = DEFAULT_COLLECTION,
    item_id: Annotated[list[str], Query(max_length=1_000)] = [],  # noqa: B006
    field: Annotated[str, Query(max_length=128)] = "",
) -> Response:
    """Return how near items are to the mean of all."""
    message = insight_pb2.GetCentralityRequest(collection=collection, item_ids=item_id, field=field)
    return answer(write(await gateway_of(request).recommender.call("GetCentrality", message)))


@route(router, "GET", "/api/kpis", scope=Scope.READ, reply=insight_pb2.GetKpisResponse)
async def get_kpis(
    request: Request, collection: Collection = DEFAULT_COLLECTION, days: Days = 30
) -> Response:
    """Return figures of the quality of answers."""
    message = insight_pb2.GetKpisRequest(collection=collection, days=days)
    return answer(write(await gateway_of(request).recommender.call("GetKpis", message)))


@route(router, "GET", "/api/index", scope=Scope.READ, reply=index_pb2.GetStatusResponse)
async def get_index(request: Request, collection: Collection = DEFAULT_COLLECTION) -> Response:
    """Return the state of a collection's index, with its measured recall."""
    message = index_pb2.GetStatusRequest(collection=collection)
    return answer(write(await gateway_of(request).recommender.call("GetStatus", message)))


@route(
    router,
    "POST",
    "/api/index/rebuild",
    scope=Scope.ADMIN,
    body=CollectionBody,
    reply=index_pb2.RebuildResponse,
)
async def rebuild_index(request: Request) -> Response:
    """Build a collection's index anew; the present one serves meanwhile."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request) as sent:
        body = read(CollectionBody, sent.json)
    message = index_pb2.RebuildRequest(collection=body.collection)
    return answer(write(await gateway.recommender.call("Rebuild", message, deadline_s=REBUILD_S)))

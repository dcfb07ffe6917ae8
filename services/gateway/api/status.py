"""Whether the gateway and the services behind it answer, and how fast."""

import asyncio
from typing import Any, Final

from atelier.embedder.v1 import embedder_pb2
from atelier.ranker.v1 import ranker_pb2
from atelier.recommender.v1 import insight_pb2, recommender_pb2
from atelier.types.v1 import types_pb2
from fastapi import APIRouter, Request
from starlette.responses import Response

from services.client.relay import UNREACHABLE, RelayedService
from services.gateway.api.routing import DEFAULT_COLLECTION, Collection, Named, answer, gateway_of, route
from services.gateway.web.problems import HttpProblem
from services.gateway.web.replies import Json, reference, write
from services.runtime.authorization import Scope
from services.runtime.errors import ServiceError, Unavailable
from services.runtime.limits import to_message

router: Final = APIRouter(tags=["status"])
probes: Final = APIRouter(tags=["status"])
_LISTS: Final = {
    "embedder": ("atelier.embedder.v1.EmbedderService", embedder_pb2.ListModelsRequest()),
    "ranker": ("atelier.ranker.v1.RankerService", ranker_pb2.ListModelsRequest()),
    "recommender": ("atelier.recommender.v1.RecommenderService", recommender_pb2.ListModelsRequest()),
}
_ASKED_S: Final = 2.0
_PERCENTILES: Final[Json] = {name: {"type": "number"} for name in ("p50_ms", "p95_ms", "p99_ms")}
_SERVICES: Final = Named(
    name="Services",
    messages=(types_pb2.ServedModel, types_pb2.Limits),
    schema={
        "type": "object",
        "properties": {
            "services": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "address": {
                            "type": "string",
                            "description": "Of its gRPC port, as the gateway calls it.",
                        },
                        "state": {"type": "string", "enum": ["serving", "not_serving", UNREACHABLE]},
                        "detail": {"type": "string"},
                        "models": {"type": "array", "items": reference(types_pb2.ServedModel)},
                    },
                    "required": ["name", "address", "state", "detail", "models"],
                },
            },
            "limits": reference(types_pb2.Limits),
            "collections": {"type": "array", "items": {"type": "string"}},
            "requires_token": {"type": "boolean"},
        },
        "required": ["services", "limits", "collections", "requires_token"],
    },
)
_LATENCY: Final = Named(
    name="Latency",
    schema={
        "type": "object",
        "properties": {
            "routes": {
                "type": "array",
                "description": "Of this gateway's answers of the last five minutes, the busiest route first.",
                "items": {
                    "type": "object",
                    "properties": {"route": {"type": "string"}, "count": {"type": "integer"}, **_PERCENTILES},
                    "required": ["route", "count", *_PERCENTILES],
                },
            },
            "recommender": {
                "description": "Of the recommender's own Recommend calls; null while it cannot be asked.",
                "type": ["object", "null"],
                "properties": _PERCENTILES,
                "required": list(_PERCENTILES),
            },
        },
        "required": ["routes", "recommender"],
    },
)


@probes.get("/healthz", include_in_schema=False)
async def healthz() -> Response:
    """Answer: the process lives."""
    return answer({"status": "serving"})


@probes.get("/readyz", include_in_schema=False)
async def readyz(request: Request) -> Response:
    """Answer once every service can be reached. Raises HttpProblem: 503, naming those that cannot."""
    states = await asyncio.gather(*(each.state("") for each in _services(request)))
    missing = [
        each.name for each, state in zip(_services(request), states, strict=True) if state == UNREACHABLE
    ]
    if missing:
        raise HttpProblem.of(
            Unavailable(f"not reached: {', '.join(missing)}", reason="SERVICES_AWAY", retry_after_s=1.0)
        )
    return answer({"status": "ready"})


@route(
    router,
    "GET",
    "/api/services",
    scope=Scope.READ,
    reply=_SERVICES,
)
async def list_services(request: Request) -> Response:
    """List the services with their state and their models, and the bounds of requests."""
    gateway = gateway_of(request)
    settings = gateway.settings
    return answer(
        {
            "services": await asyncio.gather(*map(_described, _services(request))),
            "limits": write(to_message(settings.limits, settings.default_deadline_s)),
            "collections": settings.collections,
            "requires_token": gateway.authorization is not None,
        }
    )


@route(router, "GET", "/api/latency", scope=Scope.READ, reply=_LATENCY)
async def get_latency(request: Request, collection: Collection = DEFAULT_COLLECTION) -> Response:
    """Return how long this gateway's routes and the recommender's own calls take."""
    gateway = gateway_of(request)
    message = insight_pb2.GetKpisRequest(collection=collection)
    try:
        reply = await gateway.recommender.call("GetKpis", message, deadline_s=_ASKED_S)
    except ServiceError:
        own = None
    else:
        own = {name: getattr(reply, name) for name in _PERCENTILES}
    return answer({"routes": gateway.figures.latencies(), "recommender": own})


def _services(request: Request) -> tuple[RelayedService, ...]:
    gateway = gateway_of(request)
    return gateway.embedder, gateway.ranker, gateway.recommender


async def _described(service: RelayedService) -> dict[str, Any]:
    full_name, message = _LISTS[service.name]
    state, (models, detail) = await asyncio.gather(service.state(full_name), _models(service, message))
    return {
        "name": service.name,
        "address": service.address,
        "state": state,
        "detail": detail,
        "models": models,
    }


async def _models(service: RelayedService, message: Any) -> tuple[list[Json], str]:
    """The models of a service with what is to be said of them; why they cannot be had, where they cannot."""
    try:
        reply = await service.call("ListModels", message, deadline_s=_ASKED_S)
    except ServiceError as error:
        return [], error.message
    return [write(model) for model in reply.models], "; ".join(filter(None, (m.detail for m in reply.models)))

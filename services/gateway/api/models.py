"""Models: what the store holds, what the aliases mean, and moving them (M-3)."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

from fastapi import APIRouter, Path, Request
from pydantic import Field
from starlette.responses import Response

from services.gateway.api.requests import LARGEST, Revision, Strict, read
from services.gateway.api.routing import Named, answer, gateway_of, named, route
from services.gateway.web.replies import Json
from services.runtime.authorization import Scope

router: Final = APIRouter(tags=["models"])
ModelName = Annotated[str, Path(max_length=64)]
T = TypeVar("T")

_TARGET: Final[Json] = {
    "version": {"type": "integer"},
    "digest": {"type": "string"},
    "since": {"type": "string", "format": "date-time"},
}
ALIAS: Final = Named(
    name="AliasState",
    schema={
        "type": "object",
        "properties": {
            **_TARGET,
            "history": {
                "type": "array",
                "description": "What the alias meant before, the latest first.",
                "items": {"type": "object", "properties": _TARGET, "required": list(_TARGET)},
            },
        },
        "required": [*_TARGET, "history"],
    },
)
VERSION: Final = Named(
    name="ModelVersion",
    schema={
        "type": "object",
        "description": "A version; of a damaged one its number and the problem.",
        "properties": {
            "version": {"type": "integer"},
            "digest": {"type": "string"},
            "space_id": {"type": "string"},
            "created_at": {"type": "string", "format": "date-time"},
            "precision": {"type": "string"},
            "dimension": {"type": "integer"},
            "trained": {"type": "boolean"},
            "metrics": {"type": "object", "additionalProperties": {"type": "number"}},
            "calibration": {
                "type": ["object", "null"],
                "additionalProperties": {"type": "number"},
                "description": "Of a head: temperature, uncertainty_weight, tie_margin.",
            },
            "card": {
                "type": ["object", "null"],
                "additionalProperties": True,
                "description": "Its measured `figures`, and what it is not for, `limits`.",
            },
            "problem": {"type": "string"},
        },
        "required": ["version"],
    },
)
MODELS: Final = Named(
    name="Models",
    schema={
        "type": "object",
        "properties": {
            "models": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "versions": {"type": "array", "items": named(VERSION.name)},
                        "aliases": {"type": "object", "additionalProperties": named(ALIAS.name)},
                        "problem": {"type": "string", "description": "Why an alias cannot be read."},
                    },
                    "required": ["name", "versions", "aliases"],
                },
            },
            "can_change": {"type": "boolean", "description": "Whether aliases can be moved here."},
        },
        "required": ["models", "can_change"],
    },
)
_WORD: Final[Json] = {
    "type": "object",
    "properties": {
        "word": {"type": "string"},
        "display": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "What the word is called, by language.",
        },
    },
    "required": ["word", "display"],
}
VOCABULARY: Final = Named(
    name="Vocabulary",
    schema={
        "type": "object",
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "integer"},
            "fields": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "is_list": {"type": "boolean"},
                        "words": {"type": "array", "items": _WORD},
                    },
                    "required": ["name", "is_list", "words"],
                },
            },
        },
        "required": ["model", "version", "fields"],
    },
)


class PromoteBody(Strict):
    """The version that an alias is to mean, and the one that the caller saw it mean: 0 for none."""

    version: Annotated[int, Field(ge=1, le=LARGEST)]
    expect: Revision


class RollbackBody(Strict):
    """The version that the caller saw the alias mean."""

    expect: Annotated[int, Field(ge=1, le=LARGEST)]


@route(router, "GET", "/api/models", scope=Scope.READ, reply=MODELS)
async def list_models(request: Request) -> Response:
    """List every model of the store, its versions and its aliases."""
    models = gateway_of(request).models
    return answer({"models": await _read(request, models.models), "can_change": models.can_change})


@route(router, "GET", "/api/models/{name}/vocabulary", scope=Scope.READ, reply=VOCABULARY)
async def get_vocabulary(request: Request, name: ModelName) -> Response:
    """Return the fields and words of a model's version in production, and what they are called."""
    models = gateway_of(request).models
    return answer(await _read(request, lambda: models.vocabulary(name)))


@route(
    router,
    "POST",
    "/api/models/{name}/aliases/{alias}/promote",
    scope=Scope.ADMIN,
    body=PromoteBody,
    reply=ALIAS,
)
async def promote(request: Request, name: ModelName, alias: ModelName) -> Response:
    """Make an alias mean a version, unless it no longer means the version that the caller saw."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request) as sent:
        body = read(PromoteBody, sent.json)
    return answer(
        await _read(request, lambda: gateway.models.promote(name, alias, body.version, body.expect))
    )


@route(
    router,
    "POST",
    "/api/models/{name}/aliases/{alias}/rollback",
    scope=Scope.ADMIN,
    body=RollbackBody,
    reply=ALIAS,
)
async def roll_back(request: Request, name: ModelName, alias: ModelName) -> Response:
    """Make an alias mean what it meant before, unless it no longer means the version that the caller saw."""
    gateway = gateway_of(request)
    async with gateway.bodies.open(request) as sent:
        body = read(RollbackBody, sent.json)
    return answer(await _read(request, lambda: gateway.models.rollback(name, alias, body.expect)))


async def _read(request: Request, ask: Callable[[], T]) -> T:
    """What the store says, asked on a thread of its own."""
    return await asyncio.get_running_loop().run_in_executor(gateway_of(request).reading, ask)

"""How a route is declared: its scope, what it takes and what it answers; for the router and the document."""

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from google.protobuf.message import Message
from starlette.responses import Response

from services.client.recommender import FASHION
from services.gateway.api.requests import Strict
from services.gateway.gateway import Gateway
from services.gateway.web.bodies import FORM_TYPE, JSON_TYPE
from services.gateway.web.forms import REQUEST_PART
from services.gateway.web.problems import MEDIA_TYPE
from services.gateway.web.replies import encode, reference
from services.runtime.authorization import Scope
from services.runtime.errors import PermissionDenied

Handler = Callable[..., Awaitable[Response]]
Schema = dict[str, Any]

Collection = Annotated[str, Query(max_length=128, description="Collection of the catalog.")]
DEFAULT_COLLECTION: Final = FASHION
_PROBLEM: Final[Schema] = {
    "description": "A problem (RFC 9457).",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
PICTURES: Final = ("image/jpeg", "image/png", "image/webp")
DECLARED: Final = "declared"  # attribute of an endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a route takes and answers: its body, and the messages that its answer refers to."""

    body: type[Strict] | None
    messages: tuple[type[Message], ...]
    named: "Named | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A schema under a name of its own. messages: those that it refers to."""

    name: str
    schema: Schema
    messages: tuple[type[Message], ...] = ()


Reply = type[Message] | Named | tuple[str, ...]


def gateway_of(request: Request) -> Gateway:
    """The gateway that a request came to."""
    gateway: Gateway = request.app.state.gateway
    return gateway


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(encode(body), status, headers, JSON_TYPE)


def route(
    router: APIRouter,
    method: str,
    path: str,
    *,
    scope: Scope,
    reply: Reply,
    body: type[Strict] | None = None,
    parts: Mapping[str, int] | None = None,
    is_json: bool = True,
) -> Callable[[Handler], Handler]:
    """Register a handler, which runs once the caller's scope is known to suffice.

    reply: of status 200: a message, a named schema, or the media types of pictures.
    body: in JSON, or in the part `request` of a form that may hold pictures in `parts`, at most so many in
    each. is_json: whether the body may be JSON alone. The operation's id is the handler's name.
    """

    def register(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def checked(request: Request, *arguments: Any, **named: Any) -> Response:
            check_scope(request, scope)
            return await handler(request, *arguments, **named)

        setattr(checked, DECLARED, _declared(body, reply))
        extra: Schema = {"x-scope": scope.name.lower()}
        if body is not None:
            extra["requestBody"] = _request_body(body, parts, is_json=is_json)
        router.add_api_route(
            path,
            checked,
            methods=[method],
            operation_id=handler.__name__,
            response_model=None,
            responses={200: {"description": "The answer.", "content": _content(reply)}, "default": _PROBLEM},
            openapi_extra=extra,
            summary=(inspect.getdoc(handler) or "").splitlines()[0],
        )
        return checked

    return register


def check_scope(request: Request, scope: Scope) -> None:
    """Raises ServiceError: where tokens are asked for, unless the caller's allows so much."""
    authorization = gateway_of(request).authorization
    if authorization is None:
        return
    grant = authorization.identify(request.headers)
    if grant.scope < scope:
        raise PermissionDenied(
            f"the token allows {grant.scope.name.lower()}, this route needs {scope.name.lower()}",
            reason="SCOPE_TOO_SMALL",
        )


def _declared(body: type[Strict] | None, reply: Reply) -> Declared:
    if isinstance(reply, Named):
        return Declared(body=body, messages=reply.messages, named=reply)
    return Declared(body=body, messages=(reply,) if isinstance(reply, type) else ())


def _content(reply: Reply) -> Schema:
    if isinstance(reply, tuple):
        return {name: {"schema": {"type": "string", "format": "binary"}} for name in reply}
    schema = reference(reply) if isinstance(reply, type) else named(reply.name)
    return {JSON_TYPE: {"schema": schema}}


def named(name: str) -> Schema:
    """A reference to a schema under a name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _request_body(body: type[Strict], parts: Mapping[str, int] | None, *, is_json: bool) -> Schema:
    schema = {"$ref": f"#/components/schemas/{body.__name__}"}
    content: Schema = {JSON_TYPE: {"schema": schema}} if is_json else {}
    if parts:
        properties = {name: _pictures(most) for name, most in parts.items()}
        content[FORM_TYPE] = {
            "schema": {"type": "object", "properties": {REQUEST_PART: schema, **properties}},
            "encoding": {REQUEST_PART: {"contentType": JSON_TYPE}},
        }
    return {"required": True, "content": content}


def _pictures(most: int) -> Schema:
    one = {"type": "string", "format": "binary", "description": "JPEG, PNG or WEBP."}
    return one if most == 1 else {"type": "array", "items": one, "maxItems": most}

"""Around every request: who may reach this gateway, ids and deadline, headers, and errors as problems.

A page of another site that its reader has open must not use a gateway on this machine: a request under a
foreign host name is refused (DNS rebinding), and so is one that changes something and comes from such a page.
"""

import asyncio
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Self

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.client.relay import token_of_caller
from services.gateway.settings import GatewaySettings
from services.gateway.web.problems import MEDIA_TYPE, HttpProblem
from services.gateway.web.replies import encode
from services.gateway.web.route_figures import UNMATCHED, RouteFigures
from services.runtime.context import REQUEST_ID, Call, entered, open_call
from services.runtime.errors import PermissionDenied, to_service_error
from services.runtime.telemetry import log_call
from services.runtime.tracing import TRACE_PARENT, is_exporting, server_span

API_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
_OWN_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]", "gateway")
_CHANGING: Final = frozenset({"POST", "PUT", "DELETE", "PATCH"})
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_BEARER: Final = "bearer "
_LONGEST_TOKEN: Final = 4_096
_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
_POLICY_HEADER: Final = b"content-security-policy"
_PREFLIGHT: Final = {
    "access-control-allow-methods": "GET, POST, PUT, DELETE",
    "access-control-allow-headers": "authorization, content-type, if-none-match, x-request-id",
    "access-control-max-age": "600",
}
CLIENT_CLOSED: Final = 499
_WATCH_AFTER_S: Final = 0.1  # most answers are there by then


def problem_response(problem: HttpProblem, request_id: str) -> Response:
    """The problem as an answer."""
    return Response(
        encode(problem.body(request_id)),
        problem.status,
        {**problem.headers(), "cache-control": "no-store"},
        MEDIA_TYPE,
    )


class GatewayMiddleware:
    """ASGI middleware around the application; see the module."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings, figures: RouteFigures) -> None:
        self._app = app
        self._figures = figures
        self._deadline_s = settings.default_deadline_s
        hosts = settings.gateway_hosts
        self._hosts = None if "*" in hosts else {*_OWN_HOSTS, *map(_name, hosts)}
        self._origins = set(settings.gateway_origins)
        policy = b"cross-origin" if self._origins else b"same-origin"
        self._security = (*_SECURITY, (b"cross-origin-resource-policy", policy))
        self._is_exporting = is_exporting()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        call = open_call(headers, self._deadline_s)
        answer = _Answer(send, call, (*self._security, *self._cors(headers)))
        started = time.perf_counter()
        self._figures.in_flight += 1
        caller = CallerWatch(receive, answer, is_read=scope["method"] not in _WITH_BODY)
        try:
            with entered(call), token_of_caller(bearer(headers)), caller:
                await self._answer(scope, caller.receive, answer, headers)
        finally:
            self._figures.in_flight -= 1
            status = answer.status or CLIENT_CLOSED
            self._record(scope, status, time.perf_counter() - started, call)

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer", headers: Headers) -> None:
        try:
            self._check(scope, headers)
            if scope["method"] == "OPTIONS" and self._cors(headers):
                await Response(status_code=204, headers=_PREFLIGHT)(scope, receive, answer.send)
            elif self._is_exporting or TRACE_PARENT in headers:
                with server_span("http", scope["method"], headers):
                    await self._app(scope, receive, answer.send)
            else:
                await self._app(scope, receive, answer.send)
        except Exception as error:  # whatever it is, the caller reads a problem
            problem = error if isinstance(error, HttpProblem) else HttpProblem.of(to_service_error(error, {}))
            if answer.status:
                raise  # what was sent so far cannot be taken back; the connection ends
            await problem_response(problem, answer.call.request_id)(scope, receive, answer.send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raises HttpProblem: for a request that no page of this gateway, and no program, sends."""
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            error = PermissionDenied(
                "this host name is not one of the gateway's: add it to ATELIER_GATEWAY_HOSTS",
                reason="UNKNOWN_HOST",
            )
            raise HttpProblem(421, error)
        if scope["method"] in _CHANGING and self._is_foreign(headers, host):
            error = PermissionDenied(
                "pages of this origin may not call the gateway: add it to ATELIER_GATEWAY_ORIGINS",
                reason="FOREIGN_ORIGIN",
            )
            raise HttpProblem.of(error)

    def _is_foreign(self, headers: Headers, host: str) -> bool:
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site") in ("cross-site", "same-site")
        return origin not in self._origins and origin.partition("://")[2] != host

    def _cors(self, headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
        origin = headers.get("origin", "")
        if not self._origins or origin not in self._origins:
            return ()
        return (
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", b"etag, retry-after, x-request-id"),
            (b"vary", b"origin"),
        )

    def _record(self, scope: Scope, status: int, seconds: float, call: Call) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED)
        self._figures.handled(scope["method"], route, status, seconds)
        log_call(f"{scope['method']} {route}", str(status), seconds, call)


class CallerWatch:
    """Whoever sent a request: ends the work on it, in whatever service, once they are gone.

    A context of the present task, which ends without an error where the caller is gone.
    """

    def __init__(self, receive: Receive, answer: "_Answer", *, is_read: bool) -> None:
        self._receive = receive
        self._answer = answer
        self._is_read = is_read
        self._is_gone = False
        self._watching: asyncio.Task[None] | None = None
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._watch)

    async def receive(self) -> Message:
        """The next part of the request."""
        message = await self._receive()
        if not message.get("more_body"):
            self._is_read = True
        return message

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self._is_gone:
            self._task.uncancel()
        return self._is_gone and kind is asyncio.CancelledError

    def _watch(self) -> None:
        """Wait for the caller to go, once the body is read: until then whoever reads it would notice."""
        if self._is_read:
            self._watching = asyncio.create_task(self._await_end())
        else:
            self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, self._watch)

    async def _await_end(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._answer.is_complete:
            self._is_gone = True
            self._task.cancel()


class _Answer:
    """Sends an answer with the headers that every one has. status: 0 until it began."""

    def __init__(self, send: Send, call: Call, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self._send = send
        self._headers = headers
        self.call = call
        self.status = 0
        self.is_complete = False

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._add_headers(message)
        elif not message.get("more_body"):
            self.is_complete = True
        await self._send(message)

    def _add_headers(self, message: MutableMapping[str, Any]) -> None:
        headers = list(message.get("headers", ()))
        names = {name for name, _ in headers}
        headers += [(REQUEST_ID.encode(), self.call.request_id.encode()), *self._headers]
        if _POLICY_HEADER not in names:
            headers.append((_POLICY_HEADER, API_POLICY.encode()))
        if b"cache-control" not in names:
            headers.append((b"cache-control", b"no-store"))
        message["headers"] = headers


def bearer(headers: Mapping[str, str]) -> str:
    """The token of a request; empty without one, and for one that no header to a service could hold."""
    value = headers.get("authorization", "")
    if value[: len(_BEARER)].lower() != _BEARER:
        return ""
    token = value[len(_BEARER) :].strip()
    return token if token.isascii() and token.isprintable() and len(token) <= _LONGEST_TOKEN else ""


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()

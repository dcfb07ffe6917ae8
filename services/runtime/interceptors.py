"""The interceptor of every call: deadline, ids, exceptions into statuses, one log line, metrics."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.trace import Span

from services.runtime.context import REQUEST_ID, Call, entered, note, open_call
from services.runtime.errors import (
    Code,
    DeadlineExceeded,
    ErrorTable,
    InvalidArgument,
    Unavailable,
    Unimplemented,
    to_service_error,
    to_status,
)
from services.runtime.request_bodies import BodyAdmission, HeldBodies, Read
from services.runtime.telemetry import CallMetrics, MethodMetrics
from services.runtime.tracing import end_span, server_span

_SHAPES: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
_LONGEST_PATH: Final = 128  # of a method's, in the log: callers may ask for any
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

_log = logging.getLogger("services.call")


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # the stubs' generic is not one at run time
    """Wraps every method of the services and reflection; health passes untouched."""

    def __init__(
        self, *, errors: ErrorTable, default_deadline_s: float, metrics: CallMetrics, bodies: BodyAdmission
    ) -> None:
        self._errors = errors
        self._bodies = bodies
        self._default_deadline_s = default_deadline_s
        self._metrics = metrics
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    async def drain(self) -> None:
        """Refuse new calls from now on; return when the accepted ones are answered."""
        self._draining = True
        await self._idle.wait()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, intercepted; for an unknown method one that answers UNIMPLEMENTED."""
        path = handler_call_details.method
        handler = await continuation(handler_call_details)
        if path.startswith("/grpc.health."):
            return handler
        handler = handler or _UNKNOWN_METHOD
        shape = next(shape for shape in _SHAPES if getattr(handler, shape) is not None)
        # To gRPC every request is a stream, so that this code runs before the body is read, and every reply
        # too, so that no empty message precedes a failure: on the wire a stream of one message and a single
        # message are the same.
        method = self._metrics.method(path)
        answer = self._intercepted(handler, getattr(handler, shape), path[:_LONGEST_PATH], method)
        return grpc.stream_stream_rpc_method_handler(answer, None, handler.response_serializer)

    def _intercepted(
        self, handler: Any, behaviour: Any, path: str, method: MethodMetrics
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(_messages: Any, context: Any) -> None:
            metadata = _texts(context.invocation_metadata())
            with entered(self._open(metadata, context)) as call, _span(method, metadata) as span:
                started, code = time.perf_counter(), Code.OK
                self._enter(method)
                try:
                    self._admit()
                    with self._bodies.holding(stream=handler.request_streaming) as held:
                        run = _Run(handler, behaviour, method, held)
                        await _within(call, run.answer(context))
                except asyncio.CancelledError:
                    code = Code.CANCELLED if call.remaining_s > 0 else Code.DEADLINE_EXCEEDED
                    raise
                except Exception as error:  # noqa: BLE001  # every exception becomes a status, here only
                    # The error itself gets no second name: its trace holds the request, and a circle of
                    # frame, error and trace would keep that in memory until it is collected.
                    status = to_status(to_service_error(error, self._errors))
                    code = Code(status.code)
                    _refuse(context, status, call)
                finally:
                    end_span(span, code)
                    self._leave(path, method, code, time.perf_counter() - started, call)

        return answer

    def _open(self, metadata: Mapping[str, str], context: Any) -> Call:
        remaining_s = context.time_remaining()
        return open_call(metadata, self._default_deadline_s if remaining_s is None else remaining_s)

    def _admit(self) -> None:
        if self._draining:
            raise Unavailable("the service is stopping", reason="STOPPING", retry_after_s=1.0)

    def _enter(self, method: MethodMetrics) -> None:
        method.started.inc()
        self._in_flight += 1
        self._idle.clear()
        self._metrics.in_flight.set(self._in_flight)

    def _leave(self, path: str, method: MethodMetrics, code: Code, seconds: float, call: Call) -> None:
        self._in_flight -= 1
        self._metrics.in_flight.set(self._in_flight)
        method.handled(code.name, seconds)
        figures = {"method": path, "code": code.name, "duration_ms": round(seconds * 1_000, 1)}
        _log.info("call", extra={**call.notes, **figures})
        if self._in_flight == 0:
            self._idle.set()


def _span(method: MethodMetrics, metadata: Mapping[str, str]) -> AbstractContextManager[Span]:
    return server_span(method.service, method.method, metadata)


async def _answer_unknown(_requests: object, _context: object) -> None:
    raise Unimplemented("no service of this process has this method", reason="UNKNOWN_METHOD")


_UNKNOWN_METHOD: Final = grpc.stream_unary_rpc_method_handler(_answer_unknown)


def _texts(metadata: Any) -> dict[str, str]:
    return {key: value for key, value in metadata if isinstance(value, str)}


async def _within(call: Call, run: Awaitable[Any]) -> Any:
    """The handler's answer. Raises DeadlineExceeded: if it is late."""
    try:
        async with asyncio.timeout(call.remaining_s) as timer:
            return await run
    except TimeoutError as error:
        if timer.expired():
            raise DeadlineExceeded("the deadline passed before the answer was ready") from error
        raise


class _Run:
    """One call of a method's own behaviour, with its messages counted."""

    def __init__(self, handler: Any, behaviour: Any, method: MethodMetrics, held: HeldBodies) -> None:
        self._handler, self._behaviour = handler, behaviour
        self._method, self._held = method, held

    async def answer(self, context: Any) -> None:
        """Write what the method replies."""
        # A request gets no name here, so that its memory is free as soon as the method has done with it.
        read = partial(_read, context)
        streamed = self._handler.request_streaming
        answering = self._behaviour(self._stream(read) if streamed else await self._single(read), context)
        if not self._handler.response_streaming:
            await context.write(await answering)
            self._method.sent.inc()
            return
        async with aclosing(answering) as replies:
            async for reply in replies:
                await context.write(reply)
                self._method.sent.inc()

    async def _single(self, read: Read) -> Any:
        data = await self._held.read_only(read)
        note(request_bytes=len(data))
        return self._parse(data)

    async def _stream(self, read: Read) -> AsyncIterator[Any]:
        total = 0
        async for data in self._held.read_each(read):
            total += len(data)
            note(request_bytes=total)
            yield self._parse(data)

    def _parse(self, data: bytes) -> Any:
        self._method.received.inc()
        try:
            return self._handler.request_deserializer(data)
        except DecodeError as error:
            raise InvalidArgument(
                "the request is not a message of this method", reason="MALFORMED_MESSAGE"
            ) from error


async def _read(context: Any) -> bytes | None:
    # Not by gRPC's iterator, which keeps each message as long as the call.
    data: Any = await context.read()
    return None if data is grpc.aio.EOF else data  # type: ignore[attr-defined]  # missing in the stubs


def _refuse(context: Any, status: Status, call: Call) -> None:
    """Answer with a failure. `context.abort` would raise an error that keeps the call, its unread body
    included, in memory until garbage is collected."""
    context.set_code(_CODES[status.code])
    context.set_details(status.message)
    context.set_trailing_metadata(
        (("grpc-status-details-bin", status.SerializeToString()), (REQUEST_ID, call.request_id))
    )

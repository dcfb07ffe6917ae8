"""The ring around every call: deadline, ids, exceptions into statuses, one log line, metrics."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from services.context import REQUEST_ID, Call, entered, open_call
from services.runtime.errors import (
    Code,
    DeadlineExceeded,
    ErrorTable,
    InvalidArgument,
    ServiceError,
    Unavailable,
    to_service_error,
    to_status,
)
from services.runtime.telemetry import CallMetrics

_SHAPES: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_MALFORMED: Final = object()

_log = logging.getLogger("services.call")


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # the stubs' generic is not one at run time
    """Wraps every method of the services and reflection; health passes untouched."""

    def __init__(self, *, errors: ErrorTable, default_deadline_s: float, metrics: CallMetrics) -> None:
        self._errors = errors
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
        """The method's handler inside the ring; None for a method that is not there."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith("/grpc.health."):
            return handler
        shape = next(shape for shape in _SHAPES if getattr(handler, shape) is not None)
        wrap = getattr(grpc, f"{shape}_rpc_method_handler")
        return wrap(
            self._ring(handler, getattr(handler, shape), handler_call_details.method),
            _forgiving(handler.request_deserializer),
            handler.response_serializer,
        )

    def _ring(self, handler: Any, behaviour: Any, method: str) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(request: Any, context: Any) -> Any:
            with entered(self._open(context)) as call:
                started, code = time.perf_counter(), Code.OK
                self._enter()
                try:
                    self._admit()
                    return await _within(call, _run(handler, behaviour, request, context))
                except asyncio.CancelledError:
                    code = Code.CANCELLED if call.remaining_s > 0 else Code.DEADLINE_EXCEEDED
                    raise
                except Exception as error:  # noqa: BLE001  # every exception becomes a status, here only
                    failure = to_service_error(error, self._errors)
                    code = failure.code
                    await _abort(context, failure, call)
                finally:
                    self._leave(method, code, time.perf_counter() - started, call)

        return answer

    def _open(self, context: Any) -> Call:
        metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        remaining_s = context.time_remaining()
        return open_call(metadata, self._default_deadline_s if remaining_s is None else remaining_s)

    def _admit(self) -> None:
        if self._draining:
            raise Unavailable("the service is stopping", reason="STOPPING", retry_after_s=1.0)

    def _enter(self) -> None:
        self._in_flight += 1
        self._idle.clear()
        self._metrics.in_flight.set(self._in_flight)

    def _leave(self, method: str, code: Code, seconds: float, call: Call) -> None:
        self._in_flight -= 1
        self._metrics.in_flight.set(self._in_flight)
        self._metrics.observe(method, code.name, seconds)
        figures = {"method": method, "code": code.name, "duration_ms": round(seconds * 1_000, 1)}
        _log.info("call", extra={**call.notes, **figures})
        if self._in_flight == 0:
            self._idle.set()


async def _within(call: Call, run: Awaitable[Any]) -> Any:
    """The handler's answer. Raises DeadlineExceeded: when it is not there in time."""
    try:
        async with asyncio.timeout(call.remaining_s) as timer:
            return await run
    except TimeoutError as error:
        if timer.expired():
            raise DeadlineExceeded("the deadline passed before the answer was ready") from error
        raise


async def _run(handler: Any, behaviour: Any, request: Any, context: Any) -> Any:
    request = _well_formed_stream(request) if handler.request_streaming else _well_formed(request)
    if not handler.response_streaming:
        return await behaviour(request, context)
    async with aclosing(behaviour(request, context)) as responses:
        async for response in responses:
            await context.write(response)
    return None


async def _abort(context: Any, failure: ServiceError, call: Call) -> None:
    status = to_status(failure)
    trailer = (("grpc-status-details-bin", status.SerializeToString()), (REQUEST_ID, call.request_id))
    await context.abort(_CODES[status.code], status.message, trailer)


def _forgiving(deserialise: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Lets a message that cannot be read reach the ring, which can say so; gRPC would tell its repr."""

    def read(data: bytes) -> Any:
        try:
            return deserialise(data)
        except DecodeError:
            return _MALFORMED

    return read


def _well_formed(request: Any) -> Any:
    if request is _MALFORMED:
        raise InvalidArgument("the request is not a message of this method", reason="MALFORMED_MESSAGE")
    return request


async def _well_formed_stream(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _well_formed(request)

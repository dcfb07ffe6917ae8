"""The interceptor of every call: deadline, ids, tokens, exceptions into statuses, one log line, metrics.

What a method needs at each call is put together once, at its first call. A call itself makes no closures,
reads its metadata once, and opens a span only where somebody traces (`benchmarks/ring.py` measures it).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError

from services.runtime.admission.health_calls import HealthCalls
from services.runtime.admission.held_streams import HeldStream
from services.runtime.admission.message_members import Plan, TooManyFields, members_cost, plan_of
from services.runtime.admission.request_bodies import BodyAdmission, Caller, HeldBody
from services.runtime.admission.waits import Turnstile
from services.runtime.authorization import REFLECTION, Authorization, bulk_methods
from services.runtime.context import REQUEST_ID, Call, enter, open_call
from services.runtime.errors import (
    Code,
    ErrorTable,
    InvalidArgument,
    Unavailable,
    Unimplemented,
    to_service_error,
    to_status,
)
from services.runtime.grpc_calls import (
    abort,
    refuse,
    within,
    write_reply,
)
from services.runtime.telemetry import CallMetrics, MethodCounts, log_call, present_ids
from services.runtime.tracing import TRACE_PARENT, end_span, is_exporting, server_span

_SHAPES: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
_SCANNED_BYTES: Final = 1_024  # a smaller message takes at most 40 KiB
_LONG_STEP_BYTES: Final = 1 << 20  # parsed, and taken apart by the method, in a millisecond or more
_LONGEST_PATH: Final = 128  # of a method's, in the log: callers may ask for any

Answer = tuple[Code, bytes | None]  # a call's code, and the reply of a method that has one

# gRPC calls `intercept_service` and then the handler in one task; this carries the metadata over.
_metadata: ContextVar[Mapping[str, str]] = ContextVar("metadata")


class CallInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # the stubs' generic is not one at run time
    """Wraps every method of the services and reflection; health has limits of its own and nothing else."""

    def __init__(
        self,
        *,
        errors: ErrorTable,
        default_deadline_s: float,
        metrics: CallMetrics,
        bodies: BodyAdmission,
        reflection: BodyAdmission,
        message_fields: int,
        authorization: Authorization | None = None,
    ) -> None:
        self.errors = errors
        self.bodies = bodies
        self.reflection = reflection
        self.message_fields = message_fields
        self._bulk_methods: set[str] = set()
        self.authorization = authorization
        self.default_deadline_s = default_deadline_s
        self._metrics = metrics
        self._handlers: dict[str, Any] = {}
        self._health = HealthCalls(bodies.limits.peers)
        self._calls: set[asyncio.Task[Any] | None] = set()
        self.is_exporting = is_exporting()
        self.long_steps = Turnstile()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self.broken_off = False

    @property
    def in_flight(self) -> int:
        """Calls in progress."""
        return len(self._calls)

    def add(self, descriptor: ServiceDescriptor) -> None:
        """Know a service's methods: the metrics of each, its scope, and whether it is bulk work."""
        self._metrics.add(descriptor)
        if self.authorization is not None:
            self.authorization.add(descriptor)
        self._bulk_methods |= bulk_methods(descriptor)

    async def drain(self) -> None:
        """Refuse new calls from now on; return when the accepted ones are answered."""
        self._draining = True
        await self._idle.wait()

    async def break_off(self, within_s: float) -> None:
        """End the calls in progress as UNAVAILABLE; return when they have ended, or after so long."""
        self.broken_off = True
        for call in self._calls:
            assert call is not None
            call.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), within_s)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler, intercepted; for an unknown method one that answers UNIMPLEMENTED."""
        path = handler_call_details.method
        handler = self._handlers.get(path)
        if handler is None:
            handler = await continuation(handler_call_details)
            known, handler = handler is not None, self._intercepted(path, handler or _UNKNOWN_METHOD)
            if known:
                self._handlers[path] = handler
        metadata = handler_call_details.invocation_metadata
        _metadata.set({key: value for key, value in metadata if isinstance(value, str)})
        return handler

    def _intercepted(self, path: str, handler: Any) -> Any:
        if path.startswith("/grpc.health.") and handler is not _UNKNOWN_METHOD:
            return self._health.handler(path, handler)
        # To gRPC every request is a stream, so that this code runs before the body is read: on the wire a
        # stream of one message and a single message are the same.
        method = _Method(self, path, handler, self._metrics.method(path), is_bulk=path in self._bulk_methods)
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(method.answer, None, handler.response_serializer)
        return grpc.stream_unary_rpc_method_handler(method.answer)

    def enter(self, call: asyncio.Task[Any] | None) -> None:
        """Count a call that begins, by its task."""
        self._calls.add(call)
        self._idle.clear()

    def leave(self, call: asyncio.Task[Any] | None) -> None:
        """Count a call that ended."""
        self._calls.discard(call)
        if not self._calls:
            self._idle.set()

    def admit(self, path: str, metadata: Mapping[str, str], call: Call) -> None:
        """Raises Unavailable: while draining. Raises Unauthenticated or PermissionDenied."""
        if self._draining:
            raise _stopping()
        if self.authorization is not None:
            grant = self.authorization.identify(metadata)
            call.notes["caller"] = grant.name
            self.authorization.check(grant, path)


def _stopping() -> Unavailable:
    return Unavailable("the service is stopping", reason="STOPPING", retry_after_s=1.0)


def _ended(call: Call) -> Code:
    """What ended a call that gRPC cancelled: its deadline, or its caller."""
    return Code.DEADLINE_EXCEEDED if call.is_due else Code.CANCELLED


async def _answer_unknown(_requests: object, _context: object) -> None:
    raise Unimplemented("no service of this process has this method", reason="UNKNOWN_METHOD")


_UNKNOWN_METHOD: Final = grpc.stream_unary_rpc_method_handler(_answer_unknown)


class _Method:
    """One method of a service, with what each of its calls needs."""

    def __init__(
        self, interceptor: CallInterceptor, path: str, handler: Any, metrics: MethodCounts, *, is_bulk: bool
    ) -> None:
        self._interceptor = interceptor
        self._path = path[:_LONGEST_PATH]
        self._metrics = metrics
        self._behaviour = next(filter(None, (getattr(handler, shape) for shape in _SHAPES)))
        self._parser = handler.request_deserializer
        kind = getattr(self._parser, "__self__", None)  # of a generated service the message's class
        self._plan = plan_of(kind.DESCRIPTOR) if kind is not None and hasattr(kind, "DESCRIPTOR") else None
        self._request_streaming: bool = handler.request_streaming
        self._bulk = is_bulk
        self._bodies = interceptor.reflection if path.startswith(REFLECTION) else interceptor.bodies
        self._response_streaming: bool = handler.response_streaming
        self._serializer = handler.response_serializer

    async def answer(self, _messages: Any, context: Any) -> bytes | None:
        """Answer one call: the handler that gRPC gets. Returns the reply of a method that has one."""
        metadata = _metadata.get()
        given_s = context.time_remaining()
        call = open_call(metadata, self._interceptor.default_deadline_s if given_s is None else given_s)
        call.given_s = given_s
        call.bulk |= self._bulk
        started, code, task = time.perf_counter(), Code.OK, asyncio.current_task()
        answering = (
            self._answer_traced
            if (self._interceptor.is_exporting or TRACE_PARENT in metadata)
            else self._answer
        )
        self._metrics.started += 1
        self._interceptor.enter(task)
        enter(call)  # for as long as gRPC's task of this call
        try:
            code, reply = await answering(call, metadata, context)
            return reply
        except asyncio.CancelledError:
            code = _ended(call)
            raise
        finally:
            seconds, name = time.perf_counter() - started, code.name
            self._metrics.handled(name, seconds)
            log_call(self._path, name, seconds, call)
            self._interceptor.leave(task)

    async def _answer_traced(self, call: Call, metadata: Mapping[str, str], context: Any) -> Answer:
        with server_span(*self._metrics.labels[1:], metadata) as span:
            call.notes |= present_ids()
            try:
                code, reply = await self._answer(call, metadata, context)
            except asyncio.CancelledError:
                end_span(span, _ended(call))
                raise
            end_span(span, code)
            return code, reply

    async def _answer(self, call: Call, metadata: Mapping[str, str], context: Any) -> Answer:
        """The reply, or the status of what was raised, sent. Returns its code."""
        try:
            self._interceptor.admit(self._path, metadata, call)
            caller = Caller(context.peer, call.bulk)
            with (HeldStream if self._request_streaming else HeldBody)(self._bodies, caller) as held:
                run = self._run(held, call, context)
                # At its caller's deadline gRPC ends a call itself: to answer it once more is an error.
                return Code.OK, await (within(call, run) if call.given_s is None else run)
        except asyncio.CancelledError:
            if not self._interceptor.broken_off:
                raise
            status = to_status(_stopping())
        except Exception as error:  # noqa: BLE001  # every exception becomes a status, here only
            # The error itself gets no second name: its trace holds the request, and a circle of
            # frame, error and trace would keep that in memory until it is collected.
            status = to_status(to_service_error(error, self._interceptor.errors))
        await (refuse if self._response_streaming else abort)(context, status, (REQUEST_ID, call.request_id))
        return Code(status.code), None

    async def _run(self, held: HeldBody, call: Call, context: Any) -> bytes | None:
        # A request gets no name here, so that its memory is free as soon as the method has done with it.
        if isinstance(held, HeldStream):
            messages = held.read_each(context, partial(self._parse, held, call))
            answering = self._behaviour(messages, context)
        else:
            data = [await held.read_only(context)]
            if len(data[0]) > _LONG_STEP_BYTES:
                await self._interceptor.long_steps.turn()
            answering = self._behaviour(self._parse(held, call, data.pop()), context)
        if not self._response_streaming:
            answer = await answering
            reply: bytes = answer if isinstance(answer, bytes) else self._serializer(answer)
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # its caller is gone, whatever the method made of that
                raise asyncio.CancelledError
            self._metrics.sent += 1
            return reply
        async with aclosing(answering) as replies:
            async for reply in replies:
                await held.sent(write_reply(context, reply))
                self._metrics.sent += 1
        return None

    def _parse(self, held: HeldBody, call: Call, data: bytes) -> Any:
        self._metrics.received += 1
        call.message_bytes = len(data)
        call.request_bytes += len(data)
        if len(data) > _SCANNED_BYTES and self._plan is not None:
            held.hold_members(self._members_cost(data, self._plan))
        try:
            return self._parser(data)
        except DecodeError as error:
            raise InvalidArgument(
                "the request is not a message of this method", reason="MALFORMED_MESSAGE"
            ) from error

    def _members_cost(self, data: bytes, plan: Plan) -> int:
        limit = self._interceptor.message_fields
        try:
            return members_cost(data, plan, limit)
        except TooManyFields as error:
            raise InvalidArgument(
                f"the request has more than {limit} fields, those of its members included: send it in parts",
                reason="TOO_MANY_FIELDS",
            ) from error

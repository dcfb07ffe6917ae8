"""The interceptor of every call: deadlines, ids, statuses, log lines and memory."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from atelier.ranker.v1 import ranker_pb2
from atelier.recommender.v1 import catalog_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import generate_latest

from services.runtime.authorization import bulk_methods
from services.runtime.context import note, present_call
from services.runtime.errors import InvalidArgument, NotFound
from services.runtime.limits import MIB
from services.runtime.telemetry import JsonFormatter

from .conftest import SERVICE, SHAPES, TEXT, Serve

SECRET = "picture-bytes"


async def texts(*values: str) -> AsyncIterator[TEXT]:
    for value in values:
        yield TEXT(value=value)


async def call(stub: Any, name: str, *values: str, **options: Any) -> list[str]:
    """Replies of a method of any shape."""
    request = texts(*values) if name.startswith("Stream") else TEXT(value="".join(values))
    method = getattr(stub, name)(request, **options)
    if name.endswith("Stream"):
        return [reply.value async for reply in method]
    return [(await method).value]


def refusing(error: BaseException) -> dict[str, Any]:
    async def one(request: Any, context: Any) -> TEXT:
        raise error

    async def many(request: Any, context: Any) -> AsyncIterator[TEXT]:
        yield TEXT(value="first")
        raise error

    return {"UnaryUnary": one, "StreamUnary": one, "UnaryStream": many, "StreamStream": many}


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    trailer = dict(error.trailing_metadata())
    return status_pb2.Status.FromString(trailer["grpc-status-details-bin"])


def test_streams_and_marked_methods_are_bulk_work() -> None:
    """A method is bulk work by its option or because its request is a stream (S-4)."""
    service = catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"]
    streams = ranker_pb2.DESCRIPTOR.services_by_name["RankerService"]

    assert bulk_methods(service) == {"/atelier.recommender.v1.CatalogService/UpsertItems"}
    assert bulk_methods(streams) == {"/atelier.ranker.v1.RankerService/RankStream"}


@pytest.mark.parametrize("name", SHAPES)
def test_a_call_knows_whether_it_is_bulk(name: str, serve: Serve) -> None:
    """Its method or its caller's metadata makes a call bulk work; it is interactive otherwise (S-4)."""
    seen = []

    async def one(request: Any, context: Any) -> TEXT:
        seen.append(present_call().bulk)
        return TEXT()

    async def many(request: Any, context: Any) -> AsyncIterator[TEXT]:
        seen.append(present_call().bulk)
        yield TEXT()

    async def scenario() -> None:
        handlers = {shape: many if shape.endswith("Stream") else one for shape in SHAPES}
        async with serve(**handlers) as it:
            await call(it.stub, name, "a")
            await call(it.stub, name, "a", metadata=(("x-atelier-priority", "bulk"),))

    asyncio.run(scenario())

    assert seen == [name.startswith("Stream"), True]


def test_an_unknown_method_of_health_is_unimplemented(serve: Serve) -> None:
    """What the health service does not have is answered as every unknown method is."""

    async def scenario() -> grpc.aio.AioRpcError:
        async with serve() as it:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await it.channel.unary_unary("/grpc.health.v1.Health/List2")(b"")
            return caught.value

    assert asyncio.run(scenario()).code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("name", SHAPES)
def test_an_exception_becomes_a_rich_status_in_every_shape(name: str, serve: Serve) -> None:
    """Whatever the shape of the method, the caller gets code, text and details (S-1)."""

    async def scenario() -> grpc.aio.AioRpcError:
        table = {KeyError: lambda error: NotFound("no such thing", reason="GONE", retry_after_s=2.0)}
        async with serve(table, **refusing(KeyError("x"))) as it:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(it.stub, name, "a")
            return caught.value

    error = asyncio.run(scenario())

    info = error_details_pb2.ErrorInfo()
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "no such thing"
    assert status_of(error).details[0].Unpack(info)
    assert info.reason == "GONE"


@pytest.mark.parametrize("name", SHAPES)
def test_an_unknown_exception_is_internal_without_its_repr(
    name: str, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller reads 'internal error'; the trace is in the log (S-5)."""

    async def scenario() -> grpc.aio.AioRpcError:
        async with serve(**refusing(ValueError(SECRET))) as it:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(it.stub, name, "a")
            return caught.value

    error = asyncio.run(scenario())

    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "internal error")
    assert SECRET not in str(error.trailing_metadata())
    assert SECRET in caplog.text


@pytest.mark.parametrize("name", SHAPES)
def test_replies_pass_in_every_shape(name: str, serve: Serve) -> None:
    """What a handler returns or yields is what the caller gets."""

    async def one(request: Any, context: Any) -> TEXT:
        parts = [request] if isinstance(request, TEXT) else [part async for part in request]
        return TEXT(value="+".join(part.value for part in parts))

    async def many(request: Any, context: Any) -> AsyncIterator[TEXT]:
        parts = [request] if isinstance(request, TEXT) else [part async for part in request]
        for part in parts:
            yield TEXT(value=part.value.upper())

    async def scenario() -> list[str]:
        handlers = {"UnaryUnary": one, "StreamUnary": one, "UnaryStream": many, "StreamStream": many}
        async with serve(**handlers) as it:
            return await call(it.stub, name, "a", "b")

    expected = {
        "UnaryUnary": ["ab"],
        "UnaryStream": ["AB"],
        "StreamUnary": ["a+b"],
        "StreamStream": ["A", "B"],
    }
    assert asyncio.run(scenario()) == expected[name]


@pytest.mark.parametrize("name", SHAPES)
def test_bytes_that_are_no_message_are_an_invalid_argument(name: str, serve: Serve) -> None:
    """A malformed message is the caller's fault, and the server says so in plain words (S-5)."""

    async def one(request: Any, context: Any) -> TEXT:
        async for _ in request if not isinstance(request, TEXT) else texts():
            pass
        return TEXT()

    async def many(request: Any, context: Any) -> AsyncIterator[TEXT]:
        yield await one(request, context)

    async def broken() -> AsyncIterator[bytes]:
        yield b"\xff\xff\xff"

    async def scenario() -> grpc.aio.AioRpcError:
        handlers = {"UnaryUnary": one, "StreamUnary": one, "UnaryStream": many, "StreamStream": many}
        async with serve(**handlers) as it:
            method = getattr(it.channel, SHAPES[name])(f"/{SERVICE}/{name}")
            answer = method(broken() if name.startswith("Stream") else b"\xff\xff\xff")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await (anext(aiter(answer)) if name.endswith("Stream") else answer)
            return caught.value

    error = asyncio.run(scenario())

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "not a message" in error.details()


class Sleeper:
    """A handler that waits, and remembers what became of it."""

    def __init__(self) -> None:
        self.remaining_s = 0.0
        self.cancelled = asyncio.Event()
        self.entered = asyncio.Event()

    async def __call__(self, request: Any, context: Any) -> TEXT:
        self.remaining_s = present_call().remaining_s
        self.entered.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return TEXT()


def test_a_call_without_a_deadline_gets_one(serve: Serve) -> None:
    """The server's own deadline ends the handler, and the caller reads why (S-7)."""

    async def scenario() -> tuple[grpc.aio.AioRpcError, Sleeper, float]:
        sleeper, started = Sleeper(), time.monotonic()
        async with serve(settings={"default_deadline_s": 0.2}, UnaryUnary=sleeper) as it:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(it.stub, "UnaryUnary", "a")
            await asyncio.wait_for(sleeper.cancelled.wait(), 1)
        return caught.value, sleeper, time.monotonic() - started

    error, sleeper, took_s = asyncio.run(scenario())

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0.1 < sleeper.remaining_s <= 0.2
    assert took_s < 2


@pytest.mark.slow
def test_the_callers_deadline_cancels_the_handler(serve: Serve) -> None:
    """A handler does not go on for a caller who no longer waits (S-1)."""

    async def scenario() -> Sleeper:
        sleeper = Sleeper()
        async with serve(UnaryUnary=sleeper) as it:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(it.stub, "UnaryUnary", "a", timeout=0.3)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            await asyncio.wait_for(sleeper.cancelled.wait(), 1)
        return sleeper

    assert asyncio.run(scenario()).remaining_s < 0.31


def test_a_cancelled_call_is_no_error(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """When the caller goes away the handler is cancelled and the log says CANCELLED, not error."""

    async def scenario() -> None:
        sleeper = Sleeper()
        async with serve(UnaryUnary=sleeper) as it:
            pending = it.stub.UnaryUnary(TEXT(value="a"))
            await asyncio.wait_for(sleeper.entered.wait(), 2)
            pending.cancel()
            await asyncio.wait_for(sleeper.cancelled.wait(), 1)

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())

    lines = [record for record in caplog.records if record.name == "services.call"]
    assert [line.code for line in lines] == ["CANCELLED"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_one_log_line_and_one_count_a_call(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """The line says method, code, duration, ids and noted figures; nothing of the payload (S-11)."""

    async def answer(request: Any, context: Any) -> TEXT:
        note(queue_ms=3.5)
        if request.value != SECRET:
            raise InvalidArgument("no")
        return TEXT(value=SECRET)

    class Keep(logging.Handler):
        lines: list[str] = []  # noqa: RUF012

        def emit(self, record: logging.LogRecord) -> None:
            self.lines.append(JsonFormatter("shape").format(record))

    async def scenario() -> str:
        async with serve(UnaryUnary=answer) as it:
            await call(it.stub, "UnaryUnary", SECRET, metadata=(("x-request-id", "abc-1"),))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(it.stub, "UnaryUnary", "other")
            assert dict(caught.value.trailing_metadata())["x-request-id"]
        # After the stop: a failure is counted after its caller has the reply.
        return generate_latest(it.server.registry).decode()

    log, keep = logging.getLogger("services.call"), Keep()
    log.addHandler(keep)
    try:
        with caplog.at_level(logging.INFO):
            metrics = asyncio.run(scenario())
    finally:
        log.removeHandler(keep)

    first, second = (json.loads(line) for line in keep.lines)
    assert first["method"] == f"/{SERVICE}/UnaryUnary"
    assert (first["code"], first["request_id"], first["queue_ms"]) == ("OK", "abc-1", 3.5)
    assert first["duration_ms"] >= 0
    assert second["code"] == "INVALID_ARGUMENT"
    assert not any(SECRET in line or "127.0.0.1" in line for line in keep.lines)
    for code in ("OK", "INVALID_ARGUMENT"):
        labels = f'grpc_code="{code}",grpc_method="UnaryUnary",grpc_service="{SERVICE}",grpc_type="unary"'
        assert f"grpc_server_handled_total{{{labels}}} 1.0" in metrics


def lines_of(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    records = [record for record in caplog.records if record.name == "services.call"]
    return [(record.method.rpartition("/")[2], record.code) for record in records]


ENDINGS = [
    ("Call", "UNIMPLEMENTED"),
    ("StreamStream", "INVALID_ARGUMENT"),
    ("StreamStream", "OK"),
    ("UnaryUnary", "CANCELLED"),
    ("UnaryUnary", "DEADLINE_EXCEEDED"),
    ("UnaryUnary", "INVALID_ARGUMENT"),
    ("UnaryUnary", "INVALID_ARGUMENT"),
    # Too large: gRPC ends it with RESOURCE_EXHAUSTED, the interceptor sees no message.
    ("UnaryUnary", "INVALID_ARGUMENT"),
    ("UnaryUnary", "OK"),
]


@pytest.mark.slow
def test_every_way_to_end_a_call_is_one_log_line(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Answered, refused, malformed, too large, unknown, cancelled, late, streamed, broken off: one each; a
    health probe none."""
    sleeper = Sleeper()

    async def unary(request: Any, context: Any) -> TEXT:
        match request.value:
            case "refuse":
                raise InvalidArgument("no")
            case "sleep":
                return await sleeper(request, context)
            case _:
                return request

    async def each(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[TEXT]:
        async for request in requests:
            if request.value == "refuse":
                raise InvalidArgument("no")
            yield request

    async def scenario() -> None:
        limits = {"limits": {"message_bytes": 1000}}
        async with serve(settings=limits, UnaryUnary=unary, StreamStream=each) as it:
            await call(it.stub, "UnaryUnary", "fine")
            raw = it.channel.unary_unary(f"/{SERVICE}/UnaryUnary")
            asks = (
                call(it.stub, "UnaryUnary", "refuse"),
                raw(b"\xff\xff"),
                call(it.stub, "UnaryUnary", "x" * (2 * MIB)),
                it.channel.unary_unary("/nobody.v1.Service/Call")(b""),
                call(it.stub, "UnaryUnary", "sleep", timeout=0.2),
            )
            for ask in asks:
                with pytest.raises(grpc.aio.AioRpcError):
                    await ask
            sleeper.entered.clear()
            leaving = it.stub.UnaryUnary(TEXT(value="sleep"))
            await sleeper.entered.wait()
            leaving.cancel()
            assert [reply.value async for reply in it.stub.StreamStream(iter([TEXT(value="a")] * 3))] == [
                "a"
            ] * 3
            with pytest.raises(grpc.aio.AioRpcError):
                [reply async for reply in it.stub.StreamStream(iter([TEXT(value="refuse")]))]
            await health_pb2_grpc.HealthStub(it.channel).Check(health_pb2.HealthCheckRequest())

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())

    assert sorted(lines_of(caplog)) == ENDINGS

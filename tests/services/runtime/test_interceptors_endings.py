"""How calls end that are not answered: by their deadline, their caller, or the service's own end."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from prometheus_client import generate_latest

from services.client.errors import from_rpc_error

from .conftest import TEXT, Serve
from .test_interceptors import Sleeper, lines_of

METHODS = ("UnaryUnary", "UnaryStream", "StreamStream")


async def _endless(_request: Any, _context: Any) -> AsyncIterator[TEXT]:
    while True:
        yield TEXT(value="a")
        await asyncio.sleep(0.001)


async def _echo_for_ever(requests: AsyncIterator[Any], _context: Any) -> AsyncIterator[TEXT]:
    async for request in requests:
        yield request
    await asyncio.sleep(30)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_deadline_is_never_a_cancellation(
    serve: Serve, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """A deadline that passes is DEADLINE_EXCEEDED in every line and count, and gRPC traces no error (S-1)."""

    async def late(stub: Any) -> None:
        request = iter([TEXT(value="a")]) if method == "StreamStream" else TEXT(value="a")
        replies = getattr(stub, method)(request, timeout=0.15)  # time to be sent on a busy machine
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await replies if method == "UnaryUnary" else [reply async for reply in replies]
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    async def scenario() -> str:
        handlers = {"UnaryUnary": Sleeper(), "UnaryStream": _endless, "StreamStream": _echo_for_ever}
        async with serve(**handlers) as it:
            for _ in range(5):
                await asyncio.gather(*(late(it.stub) for _ in range(10)))
        return generate_latest(it.server.registry).decode()

    with caplog.at_level(logging.INFO):
        metrics = asyncio.run(scenario())

    # A call may reach its handler only while the server stops, and is refused then.
    assert set(lines_of(caplog)) - {(method, "UNAVAILABLE")} == {(method, "DEADLINE_EXCEEDED")}
    assert not re.search(r'grpc_server_handled_total\{grpc_code="CANCELLED".* [^0]', metrics)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_reply_to_a_call_that_just_ended_is_no_failure(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Where gRPC cannot send a reply because the caller is gone, the call is CANCELLED, no failure (S-1)."""
    gone = asyncio.Event()

    async def stubborn(request: Any, context: Any) -> TEXT:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            gone.set()
        return TEXT(value="late")

    async def scenario() -> None:
        sleeper = asyncio.Event()

        async def begun(request: Any, context: Any) -> TEXT:
            sleeper.set()
            return await stubborn(request, context)

        async with serve(UnaryUnary=begun) as it:
            pending = it.stub.UnaryUnary(TEXT(value="a"))
            await asyncio.wait_for(sleeper.wait(), 2)
            pending.cancel()
            await asyncio.wait_for(gone.wait(), 2)

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())

    assert lines_of(caplog) == [("UnaryUnary", "CANCELLED")]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("method", METHODS)
def test_what_a_drain_leaves_over_is_unavailable(
    serve: Serve, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """Callers of a stopping service read UNAVAILABLE with a time to retry; so do the lines (S-1, S-8)."""

    async def scenario() -> grpc.aio.AioRpcError:
        sleeper = Sleeper()
        handlers = {"UnaryUnary": sleeper, "UnaryStream": _endless, "StreamStream": _echo_for_ever}
        async with serve(settings={"drain_s": 0.05}, **handlers) as it:
            if method == "UnaryUnary":
                replies = it.stub.UnaryUnary(TEXT(value="a"))
                await asyncio.wait_for(sleeper.entered.wait(), 2)
            else:
                one = TEXT(value="a")
                replies = aiter(getattr(it.stub, method)(iter([one]) if method == "StreamStream" else one))
                await anext(replies)
            await it.server.stop(asyncio.Event())
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await replies if method == "UnaryUnary" else [reply async for reply in replies]
        return caught.value

    with caplog.at_level(logging.INFO):
        error = asyncio.run(scenario())

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    known = from_rpc_error(error, "the service")
    assert (known.reason, known.retry_after_s) == ("STOPPING", 1.0)
    assert lines_of(caplog) == [(method, "UNAVAILABLE")]


@pytest.mark.slow
@pytest.mark.parametrize(("timeout", "code"), [(0.05, "DEADLINE_EXCEEDED"), (None, "CANCELLED")])
def test_a_stream_that_breaks_off_is_not_one_that_ended(
    serve: Serve, caplog: pytest.LogCaptureFixture, timeout: float | None, code: str
) -> None:
    """To gRPC a request that broke off reads as one at its end; its method does not answer it (S-1)."""
    begun = asyncio.Event()

    async def count(requests: AsyncIterator[Any], _context: Any) -> TEXT:
        counted = 0
        async for _ in requests:
            counted += 1
            begun.set()
        return TEXT(value=str(counted))

    async def endless() -> AsyncIterator[TEXT]:
        while True:
            yield TEXT(value="a")
            await asyncio.sleep(0.005)

    async def broken_off(stub: Any) -> None:
        pending = stub.StreamUnary(endless(), timeout=timeout)
        await asyncio.wait_for(begun.wait(), 2)
        if timeout is None:
            pending.cancel()
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await pending

    async def scenario() -> None:
        async with serve(StreamUnary=count) as it:
            for _ in range(20):
                begun.clear()
                await broken_off(it.stub)

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())

    assert set(lines_of(caplog)) - {("StreamUnary", "UNAVAILABLE")} == {("StreamUnary", code)}

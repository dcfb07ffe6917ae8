"""Retries, deadlines and what a service that is gone looks like."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import grpc
import pytest
from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from google.rpc import code_pb2
from opentelemetry.context import attach, detach
from opentelemetry.propagate import extract

from services.client import channel
from services.client.channel import InnerConnection
from services.client.embedder import AsyncEmbedderClient, EmbedderClient
from services.runtime.context import entered, open_call
from services.runtime.errors import DeadlineExceeded, FailedPrecondition, Internal, Unavailable

from .conftest import fail, reason, retry_in, serving, status

REGISTER = embedder_pb2_grpc.add_EmbedderServiceServicer_to_server
SPACE = "a" * 64
INPUT = embedder_pb2.EmbedInput(image=b"x")


class Flaky(embedder_pb2_grpc.EmbedderServiceServicer):
    """Fails as often as told, then answers; remembers what it was asked."""

    def __init__(self, *failures: Any) -> None:
        self.failures = list(failures)
        self.calls: list[str] = []
        self.metadata: list[dict[str, str]] = []
        self.remaining_s: list[float] = []

    def Embed(self, request: embedder_pb2.EmbedRequest, context: Any) -> embedder_pb2.EmbedResponse:
        self.calls.append("embed")
        self.metadata.append(dict(context.invocation_metadata()))
        self.remaining_s.append(context.time_remaining())
        if self.failures:
            fail(context, self.failures.pop(0))
        response = embedder_pb2.EmbedResponse()
        for index, item in enumerate(request.inputs):
            result = response.results.add(index=index, id=item.id)
            result.vector.values.append(1.0)
        return response

    def PrepareModel(self, request: Any, context: Any) -> embedder_pb2.PrepareModelResponse:
        self.calls.append("prepare")
        return embedder_pb2.PrepareModelResponse()


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


# A server in a process of its own, which can be stopped like one that hangs.
HANGING = """
import sys, threading
from tests.services.client.test_channel import REGISTER, Flaky, serving
with serving(REGISTER, Flaky()) as address:
    print(address, flush=True)
    sys.stdin.read()
"""

BUSY = status(code_pb2.UNAVAILABLE, "later")


@pytest.mark.slow
def test_the_outermost_client_retries_unavailable_twice() -> None:
    """Two failures are overcome, the third is told (S-7)."""
    servicer = Flaky(BUSY, BUSY)
    with serving(REGISTER, servicer) as address, EmbedderClient(address) as client:
        assert len(client.embed([INPUT], space_id=SPACE).results) == 1
        assert servicer.calls == ["embed"] * 3

        servicer.failures = [BUSY] * 9
        with pytest.raises(Unavailable, match=r"^later$"):
            client.embed([INPUT], space_id=SPACE)
        assert servicer.calls == ["embed"] * 6


@pytest.mark.parametrize("code", [code_pb2.INTERNAL, code_pb2.RESOURCE_EXHAUSTED, code_pb2.ABORTED])
def test_nothing_else_is_retried(code: int) -> None:
    """A failure that a retry would not heal is told at once (S-7)."""
    servicer = Flaky(status(code, "no"))
    with serving(REGISTER, servicer) as address, EmbedderClient(address) as client:
        with pytest.raises(Exception, match="no") as caught:
            client.embed([INPUT], space_id=SPACE)

        assert caught.value.code == code
        assert servicer.calls == ["embed"]


@pytest.mark.timed
def test_a_retry_waits_as_long_as_it_was_told_to() -> None:
    """RetryInfo is honoured, and given up on when the deadline comes first (S-7)."""
    servicer = Flaky(status(code_pb2.UNAVAILABLE, "later", retry_in(0.6)))
    with serving(REGISTER, servicer) as address, EmbedderClient(address) as client:
        started = time.monotonic()
        client.embed([INPUT], space_id=SPACE)
        assert 0.6 <= time.monotonic() - started < 1.5

        servicer.failures = [status(code_pb2.UNAVAILABLE, "later", retry_in(30.0))]
        with pytest.raises(Unavailable) as caught:
            client.embed([INPUT], space_id=SPACE, deadline_s=5.0)
        assert caught.value.retry_after_s == 30.0
        assert time.monotonic() - started < 3


def test_a_model_that_is_not_loaded_is_prepared_once() -> None:
    """MODEL_NOT_LOADED is answered by preparing and asking again, once."""
    missing = status(code_pb2.FAILED_PRECONDITION, "not here", reason("MODEL_NOT_LOADED"))
    servicer = Flaky(missing)
    with serving(REGISTER, servicer) as address, EmbedderClient(address) as client:
        client.embed([INPUT], space_id=SPACE)
        assert servicer.calls == ["embed", "prepare", "embed"]

        servicer.failures = [missing, missing]
        with pytest.raises(FailedPrecondition) as caught:
            client.embed([INPUT], space_id=SPACE)
        assert caught.value.reason == "MODEL_NOT_LOADED"


def test_the_inner_client_prepares_too_and_never_retries() -> None:
    """Inside a service one attempt is made; only a missing model is prepared first (S-7)."""
    missing = status(code_pb2.FAILED_PRECONDITION, "not here", reason("MODEL_NOT_LOADED"))
    servicer = Flaky(missing)

    async def scenario(address: str) -> None:
        client = AsyncEmbedderClient(address)
        await client.embed([INPUT], space_id=SPACE)
        servicer.failures = [BUSY]
        with pytest.raises(Unavailable):
            await client.embed([INPUT], space_id=SPACE)
        await client.close()

    with serving(REGISTER, servicer) as address:
        asyncio.run(scenario(address))

    assert servicer.calls == ["embed", "prepare", "embed", "embed"]


def test_an_inner_call_gets_what_is_left_and_the_ids() -> None:
    """Deadline less 20 ms, request id and traceparent go on to the next hop (S-7, S-11)."""
    servicer = Flaky()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def scenario(address: str) -> None:
        client = AsyncEmbedderClient(address)
        token = attach(extract({"traceparent": trace}))
        with entered(open_call({"x-request-id": "outer-1"}, 0.5)):
            await client.embed([INPUT], space_id=SPACE)
        detach(token)
        with entered(open_call({}, 0.015)), pytest.raises(DeadlineExceeded, match="no time is left"):
            await client.embed([INPUT], space_id=SPACE)
        await client.close()

    with serving(REGISTER, servicer) as address:
        asyncio.run(scenario(address))

    assert servicer.metadata[0]["x-request-id"] == "outer-1"
    assert servicer.metadata[0]["traceparent"] == trace
    assert servicer.remaining_s[0] <= 0.48 * 1.01  # gRPC rounds the time that it sends up by less than 1 %
    assert len(servicer.calls) == 1


@pytest.mark.slow
def test_a_service_that_is_gone_is_reported_within_a_second_and_found_again() -> None:
    """UNAVAILABLE with a time to retry, at once; answers again within 2 s of its return (S-8)."""
    address = free_address()

    async def until_answered(client: AsyncEmbedderClient) -> float:
        started = time.monotonic()
        while time.monotonic() - started < 10:
            try:
                await client.embed([INPUT], space_id=SPACE)
                return time.monotonic() - started
            except Unavailable:
                await asyncio.sleep(0.02)
        raise AssertionError("never answered")

    async def failing_for(client: AsyncEmbedderClient, seconds: float) -> float:
        slowest, end = 0.0, time.monotonic() + seconds
        while time.monotonic() < end:
            started = time.monotonic()
            with pytest.raises(Unavailable) as caught:
                await client.embed([INPUT], space_id=SPACE)
            slowest = max(slowest, time.monotonic() - started)
            assert caught.value.retry_after_s == 1.0
            assert str(caught.value) == "the embedder cannot be reached"
            await asyncio.sleep(0.05)
        return slowest

    async def scenario() -> tuple[float, float]:
        client = AsyncEmbedderClient(address)
        slowest = await failing_for(client, 1.0)
        with serving(REGISTER, Flaky(), address):
            first = await until_answered(client)
        slowest = max(slowest, await failing_for(client, 5.6))
        with serving(REGISTER, Flaky(), address):
            again = await until_answered(client)
        await client.close()
        return slowest, max(first, again)

    slowest_s, recovery_s = asyncio.run(scenario())

    assert slowest_s < 1.0
    assert recovery_s < 2.0


@pytest.mark.slow
def test_a_peer_that_accepts_nothing_is_reported_within_a_second() -> None:
    """A host that takes the connection but never speaks is no longer waited for than one that is gone."""

    async def scenario(address: str) -> float:
        connection = AsyncEmbedderClient(address)
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await connection.embed([INPUT], space_id=SPACE)
        took_s = time.monotonic() - started
        await connection.close()
        return took_s

    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        took_s = asyncio.run(scenario(f"127.0.0.1:{mute.getsockname()[1]}"))

    assert took_s < 1.3


def test_cancelling_an_inner_call_is_no_error_of_it() -> None:
    """asyncio's cancellation passes through unchanged."""

    async def scenario() -> None:
        connection = InnerConnection("127.0.0.1:1", "embedder")

        async def never(*_: Any, **__: Any) -> None:
            await asyncio.sleep(30)

        task = asyncio.create_task(connection.call(never, None, 60.0))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await connection.close()

    asyncio.run(scenario())


def test_an_answer_without_details_still_reads_well() -> None:
    """A plain gRPC failure, of another implementation, is one line with its code."""

    class Plain(Flaky):
        def Embed(self, request: Any, context: Any) -> Any:
            context.abort(grpc.StatusCode.INTERNAL, "line one\nline two")

    with (
        serving(REGISTER, Plain()) as address,
        EmbedderClient(address) as client,
        pytest.raises(Internal, match=r"^line one line two$"),
    ):
        client.embed([INPUT], space_id=SPACE)


@pytest.mark.slow
def test_a_call_that_the_other_side_lets_go_is_unavailable() -> None:
    """CANCELLED that nobody here asked for, as from a server that stops, can be tried again (S-8)."""

    class Stopping(Flaky):
        def Embed(self, request: Any, context: Any) -> Any:
            self.calls.append("embed")
            context.abort(grpc.StatusCode.CANCELLED, "")

    server = Stopping()
    with (
        serving(REGISTER, server) as address,
        EmbedderClient(address) as client,
        pytest.raises(Unavailable, match="broke the call off"),
    ):
        client.embed([INPUT], space_id=SPACE)
    assert server.calls == ["embed"] * 3


@pytest.mark.slow
def test_a_peer_that_hangs_is_given_up_before_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pings unanswered, it counts as not there: UNAVAILABLE with a time to retry; awake, it answers
    (S-8)."""
    options = dict(channel._OPTIONS) | {"grpc.keepalive_time_ms": 1_000}
    monkeypatch.setattr(channel, "_OPTIONS", tuple(options.items()))
    with subprocess.Popen(
        [sys.executable, "-c", HANGING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()

        async def scene() -> tuple[float, Unavailable]:
            client = AsyncEmbedderClient(address)
            await client.embed([INPUT], space_id=SPACE)
            process.send_signal(signal.SIGSTOP)
            started = time.monotonic()
            with pytest.raises(Unavailable) as caught:
                await client.embed([INPUT], space_id=SPACE, deadline_s=30)
            passed_s = time.monotonic() - started
            process.send_signal(signal.SIGCONT)
            await answered(client)
            await client.close()
            return passed_s, caught.value

        try:
            passed_s, error = asyncio.run(scene())
        finally:
            process.kill()

    assert passed_s < 12
    assert error.retry_after_s == 1.0


async def answered(client: AsyncEmbedderClient) -> None:
    end = time.monotonic() + 5
    while True:
        try:
            await client.embed([INPUT], space_id=SPACE, deadline_s=2)
        except (Unavailable, DeadlineExceeded):
            assert time.monotonic() < end, "it did not answer again"
            await asyncio.sleep(0.05)
        else:
            return

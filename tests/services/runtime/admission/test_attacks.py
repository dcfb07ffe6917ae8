"""What one caller can do to a service: a bound on the memory that it takes and on whom it keeps out (S-4)."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from atelier.ranker.v1 import ranker_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from services.runtime.limits import MIB
from tests.services.runtime.admission.test_request_bodies import OK, outcome, refused

pytestmark = pytest.mark.slow

RANK = "/atelier.ranker.v1.RankerService/Rank"
STREAM = "/atelier.ranker.v1.RankerService/RankStream"
HEALTH = "/grpc.health.v1.Health"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
BULK = (("x-atelier-priority", "bulk"),)
LARGE = 60 * MIB
PICTURE = ranker_pb2.RankRequest(candidates=[ranker_pb2.Candidate(image=bytes(8 * MIB))]).SerializeToString()
Serve = Callable[..., Any]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """A service in a process of its own; gives `address`, `rise_mb()` of its peak memory and `open()`."""

    @contextlib.contextmanager
    def start(files: int = 0, **settings: Any) -> Iterator[SimpleNamespace]:
        ready = tmp_path / "ready.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, str(Path(__file__).with_name("attacked.py"))]

        with (
            (tmp_path / "log").open("wb") as log,
            subprocess.Popen(
                [*command, json.dumps({"ready_file": str(ready), **settings}), str(files)], stderr=log
            ) as process,
        ):
            try:
                end = time.monotonic() + 60
                while not ready.exists():
                    assert process.poll() is None, (tmp_path / "log").read_text()
                    assert time.monotonic() < end
                    time.sleep(0.02)
                before = peak_mb(process.pid)
                addresses = json.loads(ready.read_text())
                yield SimpleNamespace(
                    address=addresses["address"],
                    metrics_address=addresses["metrics_address"],
                    pid=process.pid,
                    rise_mb=lambda: peak_mb(process.pid) - before,
                    opened=tmp_path / "open",
                    open=(tmp_path / "open").touch,
                )
            finally:
                process.send_signal(signal.SIGKILL)

    return start


def peak_mb(pid: int) -> float:
    """The most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


@contextlib.asynccontextmanager
async def connection(address: str) -> AsyncIterator[Any]:
    """A connection that is shared with no other channel."""
    options = (("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield channel


async def check(channel: Any, seconds: float = 20.0) -> tuple[grpc.StatusCode, str]:
    method = channel.unary_unary(f"{HEALTH}/Check", health_pb2.HealthCheckRequest.SerializeToString)
    return await outcome(method(health_pb2.HealthCheckRequest(), timeout=seconds, wait_for_ready=True))


async def silent(_seconds: float = 60.0) -> AsyncIterator[bytes]:
    """A request whose headers come and nothing else."""
    await asyncio.sleep(_seconds)
    yield b""


def test_a_message_of_empty_members_is_refused_before_it_is_parsed(serve: Serve) -> None:
    """Four messages of 31 million empty candidates take about their bytes, and health answers meanwhile."""

    async def scenario(address: str) -> tuple[list[Any], float]:
        async with connection(address) as channel, connection(address) as honest:
            rank = channel.unary_unary(RANK)
            await check(honest)
            attack = asyncio.gather(*(outcome(rank(b"\x0a\x00" * (LARGE // 2))) for _ in range(4)))
            longest = 0.0
            while not attack.done():
                started = time.monotonic()
                assert await check(honest) == OK
                longest = max(longest, time.monotonic() - started)
            return await attack, longest

    with serve() as it:
        outcomes, longest_s = asyncio.run(scenario(it.address))
        rise_mb = it.rise_mb()

    print(rise_mb, longest_s, outcomes)
    assert set(outcomes) <= {(grpc.StatusCode.INVALID_ARGUMENT, "TOO_MANY_FIELDS"), refused("HELD_BYTES")}
    assert rise_mb < 600
    assert longest_s < 3


def test_small_messages_of_empty_members_count_what_they_take(serve: Serve) -> None:
    """Requests of 64 KiB that take 2 MB each are held as such: 400 of them do not pass 32 MiB."""

    async def scenario(it: Any) -> Counter[Any]:
        async with connection(it.address) as channel:
            rank = channel.unary_unary(RANK)
            calls = [asyncio.create_task(outcome(rank(b"\x0a\x00" * 32_000))) for _ in range(400)]
            await asyncio.wait(calls, timeout=5)
            it.open()
            return Counter(await asyncio.gather(*calls))

    with serve(held_bytes=32 * MIB) as it:
        outcomes = asyncio.run(scenario(it))
        rise_mb = it.rise_mb()

    print(rise_mb, outcomes)
    assert outcomes[OK]
    assert rise_mb < 200


def test_health_checks_with_large_names_are_refused(serve: Serve) -> None:
    """Watches and checks of 60 MiB names take little memory, and an honest check is answered (S-9)."""

    async def scenario(address: str) -> tuple[Counter[Any], list[Any]]:
        message = health_pb2.HealthCheckRequest(service="x" * LARGE).SerializeToString()
        async with connection(address) as channel, connection(address) as honest:
            watch, large = channel.unary_stream(f"{HEALTH}/Watch"), channel.unary_unary(f"{HEALTH}/Check")
            watches = [watch(message, timeout=8) for _ in range(12)]
            attack = asyncio.gather(
                *(outcome(large(message, timeout=8)) for _ in range(12)),
                *(outcome(call.read()) for call in watches),
            )
            answers = []
            while not attack.done():
                answers.append(await check(honest))
            return Counter(await attack), answers

    with serve() as it:
        outcomes, answers = asyncio.run(scenario(it.address))
        rise_mb = it.rise_mb()

    print(rise_mb, outcomes, len(answers))
    assert outcomes[OK] == 0
    assert set(answers) == {OK}
    assert rise_mb < 700


def test_watches_of_one_connection_are_bounded(serve: Serve) -> None:
    """One connection watches 64 times, another still can (S-9)."""

    async def scenario(address: str) -> tuple[Counter[Any], Any]:
        message = health_pb2.HealthCheckRequest().SerializeToString()
        async with connection(address) as channel, connection(address) as honest:
            watches = [channel.unary_stream(f"{HEALTH}/Watch")(message, timeout=20) for _ in range(80)]
            outcomes = Counter([await outcome(watch.read()) for watch in watches])
            other = honest.unary_stream(f"{HEALTH}/Watch")(message, timeout=20)
            return outcomes, await outcome(other.read())

    with serve() as it:
        outcomes, other = asyncio.run(scenario(it.address))

    assert outcomes == {OK: 64, refused("WATCHES"): 16}
    assert other == OK


def test_idle_streams_end(serve: Serve) -> None:
    """A stream that sends nothing ends with a status that says so, and its place is free (S-4)."""

    async def scenario(address: str) -> tuple[set[Any], Any]:
        async with connection(address) as channel:
            stream = channel.stream_unary(STREAM)
            idle = [stream(silent(), timeout=50) for _ in range(2)]
            ended = {await outcome(call) for call in idle}
            return ended, await outcome(stream(iter([b""]), timeout=50))

    with serve(stream_idle_s=0.5, streams=4) as it:
        ended, after = asyncio.run(scenario(it.address))

    assert ended == {(grpc.StatusCode.ABORTED, "IDLE_STREAM")}
    assert after == OK


def test_idle_streams_give_their_place_to_others(serve: Serve) -> None:
    """64 idle streams of several connections keep neither reflection out nor, for long, a stream (S-4)."""

    async def scenario(address: str) -> tuple[Any, list[Any], float]:
        async with contextlib.AsyncExitStack() as stack:
            channels = [await stack.enter_async_context(connection(address)) for _ in range(3)]
            honest = await stack.enter_async_context(connection(address))
            idle = [
                asyncio.create_task(outcome(channel.stream_unary(STREAM)(silent(), timeout=100)))
                for channel in channels
                for _ in range(24)
            ]
            await asyncio.wait(idle, timeout=1)
            listing = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
            reflection = honest.stream_stream(REFLECTION)(iter([listing]), timeout=20)
            seen, answers, started = await outcome(reflection.read()), [], time.monotonic()
            while not answers or answers[-1] != OK:
                answers.append(await outcome(honest.stream_unary(STREAM)(iter([b""]), timeout=20)))
                await asyncio.sleep(0.5)  # as RetryInfo says
            took_s = time.monotonic() - started
            for task in idle:
                task.cancel()
            await asyncio.gather(*idle, return_exceptions=True)
            return seen, answers, took_s

    with serve() as it:
        seen, answers, took_s = asyncio.run(scenario(it.address))

    assert seen == OK
    assert set(answers[:-1]) == {refused("STREAMS")}
    assert took_s < 15


def test_bulk_calls_leave_memory_to_interactive_calls(serve: Serve) -> None:
    """While one class holds all that it may, the other's calls are answered (S-4)."""

    async def scenario(it: Any, first: Any, second: Any) -> tuple[Counter[Any], Any]:
        async with connection(it.address) as channel, connection(it.address) as honest:
            rank, other = channel.unary_unary(RANK), honest.unary_unary(RANK)
            held = []
            for _ in range(8):
                held.append(asyncio.create_task(outcome(rank(PICTURE, metadata=first, timeout=60))))
                await asyncio.wait(held[-1:], timeout=0.3)
            empty = bytes(PICTURE[:0])
            calls = [asyncio.create_task(outcome(other(PICTURE, metadata=second, timeout=60)))]
            await asyncio.wait(calls, timeout=0.3)
            assert await outcome(other(empty, metadata=second, timeout=60)) == OK
            it.open()
            return Counter(await asyncio.gather(*held)), await calls[0]

    for first, second in ((BULK, ()), ((), BULK)):
        with serve(held_bytes=40 * MIB) as it:
            held, other = asyncio.run(scenario(it, first, second))
            it.opened.unlink()

        assert held[refused("HELD_BYTES")] > 0
        assert other == OK


def test_a_flood_of_headers_keeps_nobody_else_out(serve: Serve) -> None:
    """Of 60 calls none is refused while another connection opens calls without bodies all the time (S-4)."""

    async def scenario(address: str) -> Counter[Any]:
        async with connection(address) as channel, connection(address) as honest:
            mute, rank = channel.stream_unary(RANK), honest.unary_unary(RANK)
            await outcome(rank(b"", timeout=20))

            async def flood() -> None:
                while True:
                    await outcome(mute(silent(), timeout=5))

            floods = [asyncio.create_task(flood()) for _ in range(100)]
            await asyncio.sleep(1)
            outcomes: Counter[Any] = Counter()
            for _ in range(6):
                outcomes.update(await asyncio.gather(*(outcome(rank(b"", timeout=20)) for _ in range(10))))
            for task in floods:
                task.cancel()
            await asyncio.gather(*floods, return_exceptions=True)
            return outcomes

    with serve() as it:
        outcomes = asyncio.run(scenario(it.address))

    assert outcomes == {OK: 60}


def test_idle_connections_do_not_silence_health(serve: Serve) -> None:
    """A process that starts with 1,024 files answers while 1,300 connections are open (S-9)."""

    async def scenario(address: str) -> tuple[Any, float]:
        started = time.monotonic()
        async with connection(address) as channel:
            return await check(channel, 40), time.monotonic() - started

    with serve(files=1_024) as it, contextlib.ExitStack() as stack:
        host, _, port = it.address.rpartition(":")
        for _ in range(1_300):
            stack.enter_context(socket.create_connection((host, int(port))))
        answer, took_s = asyncio.run(scenario(it.address))

    print(took_s)
    assert answer == OK
    assert took_s < 3

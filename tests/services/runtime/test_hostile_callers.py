"""Callers that try every token and handshake but the right one, and connections that are slow or break off.

`ATELIER_TEST_CONNECTIONS=5300` for the long form of the last test; a run has 240.
"""

import asyncio
import contextlib
import itertools
import os
import random
import socket
import struct
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.runtime.authorization import digest_token
from services.runtime.server import running
from services.runtime.settings import ServiceSettings
from tests.services.runtime.admission.test_attacks import (
    RANK,
    STREAM,
    check,
    connection,
    outcome,
    peak_mb,
    silent,
)
from tests.services.runtime.admission.test_attacks import serve as in_a_process  # noqa: F401  # a fixture
from tests.services.runtime.admission.test_request_bodies import OK
from tests.services.runtime.conftest import SERVICE, SHAPES, TEXT, shape_service
from tests.services.runtime.test_credentials import ask, certificates, trusting  # noqa: F401  # one is a fixture

TOKEN = "Zk3-wQ9.tR_51yVb8cXe0aLm7nHu2pDj"
CONNECTIONS = int(os.environ.get("ATELIER_TEST_CONNECTIONS", "240"))
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def wrong_headers() -> list[str]:
    """Values of `authorization` that are not that of the token, near it and far."""
    cut = [f"Bearer {TOKEN[:length]}" for length in range(len(TOKEN))]
    longer = [f"Bearer {TOKEN}{letter}" for letter in "aA0.-_=~,;"]
    near = [letter.swapcase() if letter.isalpha() else chr(ord(letter) ^ 1) for letter in TOKEN]
    flipped = [f"Bearer {TOKEN[:n]}{letter}{TOKEN[n + 1 :]}" for n, letter in enumerate(near)]
    schemes = [f"{word} {TOKEN}" for word in ("Basic", "Digest", "Token", "Bearer:", "Bear", "Bearerr", "")]
    others = [
        "", "Bearer", "Bearer ", f"Bearer{TOKEN}", TOKEN, f"Bearer Bearer {TOKEN}", f"Bearer {TOKEN} {TOKEN}",
        f"Bearer {digest_token(TOKEN)}", f"Bearer sha256:{digest_token(TOKEN)}", "Bearer *", "Bearer admin",
        "Bearer ../tokens", "Bearer \'; --", f"Bearer {TOKEN.lower()}", f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN[::-1]}", f"Bearer {'x' * 4_000}", f"Bearer {TOKEN},{TOKEN}", f"Bearer \"{TOKEN}\"",
    ]  # fmt: skip
    return [*cut, *longer, *flipped, *schemes, *others]


async def refusal(channel: grpc.aio.Channel, name: str, value: str) -> tuple[grpc.StatusCode, str]:
    """What the method of a shape answers to a value of `authorization`.

    Where a refusal overtakes the end of what the client sends, the client may report its own send as failed
    and lose the answer; then it asks again.
    """
    method = getattr(channel, SHAPES[name])(f"/{SERVICE}/{name}")
    for _ in range(5):
        sent = iter([b""]) if name.startswith("Stream") else b""
        call = method(sent, metadata=(("authorization", value),), timeout=20)
        answer = await outcome(call if name.endswith("Unary") else call.read())
        if await call.details() != "Internal error from Core":
            break
    return answer


def test_only_the_whole_token_gets_in(descriptor: Any, tmp_path: Path) -> None:
    """About 400 tries at every shape of method end as UNAUTHENTICATED, and no handler runs (S-11)."""
    (tmp_path / "tokens").write_text(f"shop admin {digest_token(TOKEN)}\n")
    entered: list[str] = []

    async def handler(request: Any, context: Any) -> TEXT:
        entered.append("unary")
        return TEXT()

    async def scenario() -> tuple[Counter[Any], Any]:
        service = shape_service(descriptor, dict.fromkeys(("UnaryUnary", "StreamUnary"), handler))
        async with (
            running(ServiceSettings(tokens_file=tmp_path / "tokens"), service) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            outcomes: Counter[Any] = Counter()
            for value, name in itertools.product(wrong_headers(), SHAPES):
                outcomes[await refusal(channel, name, value)] += 1
            right = channel.unary_unary(f"/{SERVICE}/UnaryUnary")
            return outcomes, await outcome(right(b"", metadata=(("authorization", f"Bearer {TOKEN}"),)))

    outcomes, right = asyncio.run(scenario())

    refusals = {(grpc.StatusCode.UNAUTHENTICATED, reason) for reason in ("NO_TOKEN", "UNKNOWN_TOKEN")}
    assert set(outcomes) == refusals
    assert outcomes.total() >= 319
    assert (right, entered) == (OK, ["unary"])


def handshakes() -> Iterator[bytes]:
    """First bytes of a connection that are no handshake, or only part of one."""
    chance = random.Random(5)
    hello = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + chance.randbytes(32) + b"\x00" * 165
    yield from (
        b"",
        PREFACE,
        b"GET / HTTP/1.1\r\n\r\n",
        b"SSH-2.0-x\r\n",
        bytes(2_000),
        b"\x80\x2e\x01\x00\x02",
    )
    yield from (hello[:length] for length in range(1, len(hello), 9))
    yield from (hello[:5] + chance.randbytes(size) for size in range(1, 300, 13))
    yield from (
        b"\x16\x03" + struct.pack(">BH", minor, size) for minor in range(5) for size in (0, 1, 16_384, 65_535)
    )


@pytest.mark.slow
def test_handshakes_that_are_none_keep_nobody_out(descriptor: Any, certificates: Path) -> None:  # noqa: F811
    """Some 90 broken handshakes at once, and callers without TLS: a whole one is served (S-1, S-11)."""
    pair = {"tls_certificate": certificates / "server.pem", "tls_key": certificates / "server.key"}

    async def echo(request: Any, context: Any) -> TEXT:
        return request  # type: ignore[no-any-return]

    async def scenario() -> tuple[int, str, float]:
        settings = ServiceSettings(**pair)
        async with running(settings, shape_service(descriptor, {"UnaryUnary": echo})) as server:
            host, _, port = server.address.rpartition(":")
            writers = []
            for first in handshakes():
                _, writer = await asyncio.open_connection(host, int(port))
                writer.write(first)
                writers.append(writer)
            async with grpc.aio.insecure_channel(server.address) as plain:
                code, _ = await outcome(plain.unary_unary(f"/{SERVICE}/UnaryUnary")(b"", timeout=5))
            assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            started = time.monotonic()
            answer = await asyncio.to_thread(ask, server.address, trusting(certificates))
            took_s = time.monotonic() - started
            for writer in writers:
                writer.close()
            return len(writers), answer, took_s

    count, answer, took_s = asyncio.run(scenario())

    assert count >= 70
    assert answer == "hello"
    assert took_s < 5


async def broken_off(kind: int, address: str, channel: Any) -> None:
    """One connection or call that ends before its time, each kind at another moment."""
    host, _, port = address.rpartition(":")
    if kind < 4:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write((b"", PREFACE[:9], PREFACE, PREFACE)[kind])
        await writer.drain()
        if kind == 3:  # as a machine that goes away: a reset instead of an end
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()
        return
    if kind == 4:
        await outcome(channel.stream_unary(STREAM)(silent(), timeout=0.05))
        return
    rank = channel.unary_unary(RANK) if kind == 5 else channel.stream_unary(RANK)
    call = rank(bytes(2_000) if kind == 5 else silent(), timeout=20)
    await asyncio.sleep(0.002 * (kind - 5))
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call


@pytest.mark.slow
def test_connections_that_break_off_leave_nothing_behind(in_a_process: Callable[..., Any]) -> None:  # noqa: F811
    """Slow, cut and cancelled connections: no call, body or file stays, and others are served (S-4, S-7)."""

    async def scenario(it: Any) -> float:
        longest_s = 0.0
        async with connection(it.address) as channel, connection(it.address) as honest:
            for first in range(0, CONNECTIONS, 40):
                storm = [broken_off(n % 8, it.address, channel) for n in range(first, first + 40)]
                done = asyncio.gather(*storm)
                started = time.monotonic()
                assert await check(honest) == OK
                longest_s = max(longest_s, time.monotonic() - started)
                await done
            async with asyncio.timeout(20):
                while not is_quiet(it):  # noqa: ASYNC110  # a process has no event to wait for
                    await asyncio.sleep(0.05)
            assert await outcome(honest.unary_unary(RANK)(b"", timeout=20)) == OK
        return longest_s

    with in_a_process() as it:
        files, before = len(open_files(it)), peak_mb(it.pid)
        longest_s = asyncio.run(scenario(it))
        rise_mb, left = peak_mb(it.pid) - before, len(open_files(it)) - files

    print(CONNECTIONS, rise_mb, longest_s, left)
    assert rise_mb < 150
    assert longest_s < 5
    assert left < 20


def open_files(it: Any) -> list[Path]:
    return list(Path(f"/proc/{it.pid}/fd").iterdir())


def is_quiet(it: Any) -> bool:
    """Whether no call is in progress and no body held or awaited."""
    with urllib.request.urlopen(f"http://{it.metrics_address}/metrics") as answer:
        text = answer.read().decode()
    names = ("grpc_server_in_flight", "atelier_held_body_bytes", "atelier_arriving_bodies")
    values = {
        family.name: family.samples[0].value
        for family in text_string_to_metric_families(text)
        if family.name in names
    }
    assert len(values) == 3
    return not any(values.values())

"""What a process tells of itself to Prometheus: bounded series under conventional names (S-1)."""

import asyncio
import io
import json
import logging
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import ServiceDescriptor
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.runtime.authorization import digest_token
from services.runtime.context import open_call
from services.runtime.server import running
from services.runtime.settings import ServiceSettings
from services.runtime.telemetry import BatchingHandler, JsonFormatter, log_call

from .conftest import SERVICE, TEXT, Serve, shape_service, shape_stub


async def echo(request: Any, context: Any) -> TEXT:
    return request


async def refused(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


def series(registry: Any) -> set[str]:
    return {
        line.rpartition(" ")[0] for line in generate_latest(registry).decode().splitlines() if line[0] != "#"
    }


def test_methods_that_nobody_serves_share_one_series(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Each such call is UNIMPLEMENTED, one log line with a path that is cut, and no new series."""

    async def scenario() -> None:
        async with serve(UnaryUnary=echo) as it:
            before = series(it.server.registry)
            for number in range(5):
                nobody = it.channel.unary_unary(f"/nobody.v1.Service{number}/{'x' * 500}")
                assert await refused(nobody(b"")) is grpc.StatusCode.UNIMPLEMENTED
            assert series(it.server.registry) == before
            count = it.server.registry.get_sample_value(
                "grpc_server_handled_total",
                {
                    "grpc_type": "unknown",
                    "grpc_service": "unknown",
                    "grpc_method": "unknown",
                    "grpc_code": "UNIMPLEMENTED",
                },
            )
            assert count == 5

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())

    lines = [record for record in caplog.records if record.name == "services.call"]
    assert [(line.code, len(line.method)) for line in lines] == [("UNIMPLEMENTED", 128)] * 5


def test_callers_without_a_token_make_no_series(descriptor: ServiceDescriptor, tmp_path: Any) -> None:
    """Refusals count under the method's own type, or under the one that stands for all unknown methods."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"somebody read {digest_token('t')}\n")

    async def scenario() -> None:
        service = shape_service(descriptor, {"UnaryUnary": echo})
        async with (
            running(ServiceSettings(tokens_file=tokens), service) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            before = series(server.registry)
            assert await refused(shape_stub(channel).UnaryUnary(TEXT())) is grpc.StatusCode.UNAUTHENTICATED
            for number in range(5):
                nobody = channel.unary_unary(f"/nobody.v1.Service{number}/Call")
                assert await refused(nobody(b"")) is grpc.StatusCode.UNAUTHENTICATED
            grown = series(server.registry) - before
            labels = {"grpc_type": "unary", "grpc_service": SERVICE, "grpc_method": "UnaryUnary"}
            assert server.registry.get_sample_value("grpc_server_started_total", labels) == 1

        assert all("unknown" in line for line in grown)
        assert len(grown) <= 2  # one more code of the unknown ones, and when it began

    asyncio.run(scenario())


def test_every_method_has_its_series_before_its_first_call(serve: Serve) -> None:
    """A rate is right from the first call on: counters of every code are there, at 0."""

    async def scenario() -> str:
        async with serve(UnaryUnary=echo) as it:
            return generate_latest(it.server.registry).decode()

    text = asyncio.run(scenario())

    for kind, method in (
        ("unary", "UnaryUnary"),
        ("server_stream", "UnaryStream"),
        ("bidi_stream", "StreamStream"),
    ):
        labels = f'grpc_method="{method}",grpc_service="{SERVICE}",grpc_type="{kind}"'
        for code in ("OK", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED"):
            assert f'grpc_server_handled_total{{grpc_code="{code}",{labels}}} 0.0' in text
        assert f"grpc_server_handling_seconds_count{{{labels}}} 0.0" in text
    assert 'grpc_method="ServerReflectionInfo"' in text
    assert re.search(
        r'atelier_build_info\{grpc="[^"]+",python="[^"]+",service="shape",version="[^"]+"\} 1\.0', text
    )
    assert "process_resident_memory_bytes" in text


def test_names_follow_the_conventions(serve: Serve) -> None:
    """The text parses; counters end in _total, names are plain, every family has a help text."""

    async def scenario() -> str:
        async with serve(UnaryUnary=echo) as it:
            return generate_latest(it.server.registry).decode()

    families = list(text_string_to_metric_families(asyncio.run(scenario())))

    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.documentation, family.name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name), family.name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples), family.name


def logged(write: Any) -> list[dict[str, Any]]:
    """The lines that `write` makes, after the handler is closed and its thread has ended without an error."""
    stream, errors = io.StringIO(), []
    before, hook = set(threading.enumerate()), threading.excepthook
    handler, root = BatchingHandler(stream), logging.getLogger("services")
    (thread,) = set(threading.enumerate()) - before
    handler.setFormatter(JsonFormatter("shape"))
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    threading.excepthook = errors.append
    try:
        write()
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()
        thread.join(5)
        threading.excepthook = hook
    assert not thread.is_alive()
    assert errors == []
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_line_of_a_call_has_every_field() -> None:
    """It is one JSON object, whatever a caller asked for, with the present time in UTC (S-11)."""
    call = open_call({"x-request-id": "order-7"}, 1.0)
    call.notes |= {"queue_ms": 1.5, "caller": "shop"}
    call.request_bytes = 12

    (line,) = logged(lambda: log_call('/a"\\\n/ü', "OK", 0.01234, call))

    assert abs(datetime.fromisoformat(line.pop("time")) - datetime.now(UTC)) < timedelta(seconds=60)
    assert line == {
        "level": "info",
        "service": "shape",
        "logger": "services.call",
        "message": "call",
        "request_id": "order-7",
        "queue_ms": 1.5,
        "caller": "shop",
        "request_bytes": 12,
        "method": '/a"\\\n/ü',
        "code": "OK",
        "duration_ms": 12.3,
    }


def test_lines_keep_their_order_and_none_is_lost() -> None:
    """A warning is written at once after all before it, and closing writes the rest (S-11)."""
    log = logging.getLogger("services.test")

    def write() -> None:
        for number in range(100):
            log.info("fact", extra={"number": number})
            if number == 50:
                log.warning("warned", extra={"number": number})

    numbers = [line["number"] for line in logged(write)]

    assert numbers == sorted([*range(100), 50])


def test_no_line_is_lost_between_threads() -> None:
    """Lines that threads log while others are written are all written, each once and whole (S-11)."""
    stream = io.StringIO()
    handler = BatchingHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))

    def log(thread: int) -> None:
        for number in range(2_000):
            handler.emit(logging.makeLogRecord({"msg": f"{thread}-{number}", "levelno": logging.INFO}))
            if number % 50 == 0:
                handler.flush()

    threads = [threading.Thread(target=log, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handler.close()

    expected = sorted(f"{thread}-{number}" for thread in range(4) for number in range(2_000))
    assert sorted(stream.getvalue().splitlines()) == expected

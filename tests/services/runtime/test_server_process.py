"""A real process: signals, exit codes, what is still answered."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from types import SimpleNamespace
import grpc
from google.protobuf.wrappers_pb2 import StringValue
from services.runtime.errors import InvalidArgument
from services.runtime.server import Service, run_service
from services.runtime.settings import ServiceSettings

async def slow(request, context):
    try:
        await asyncio.sleep(abs(float(request.value)))
    except asyncio.CancelledError:
        if float(request.value) < 0:
            raise InvalidArgument("an answer to a caller who is gone")
        raise
    return StringValue(value="finished")

def register(servicer, server):
    method = grpc.unary_unary_rpc_method_handler(slow, StringValue.FromString, StringValue.SerializeToString)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.v1.Slow", {"Wait": method}),))

@asynccontextmanager
async def build(server):
    server.add(SimpleNamespace(full_name="test.v1.Slow", methods=()), register, None)
    await server.set_serving(True)
    yield

sys.exit(run_service(ServiceSettings(), Service(name="slow", build=build, port=int(sys.argv[1]))))
"""

pytestmark = pytest.mark.slow


@contextmanager
def process(folder: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    ready = folder / "ready.json"
    environment = {"ATELIER_READY_FILE": str(ready), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(port)], env=environment, stderr=subprocess.PIPE
    )
    try:
        yield child, ready
    finally:
        child.kill()
        child.communicate()


def address(child: subprocess.Popen[bytes], ready: Path) -> str:
    end = time.monotonic() + 20
    while not ready.exists():
        assert child.poll() is None, child.stderr and child.stderr.read().decode()
        assert time.monotonic() < end
        time.sleep(0.02)
    return str(json.loads(ready.read_text())["address"])


def wait(channel: Any, seconds: float) -> Any:
    from google.protobuf.wrappers_pb2 import StringValue

    method = channel.unary_unary("/test.v1.Slow/Wait", StringValue.SerializeToString, StringValue.FromString)
    return method.future(StringValue(value=str(seconds)), timeout=20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_was_accepted_and_exits_cleanly(number: int, tmp_path: Path) -> None:
    """SIGTERM or SIGINT in the middle of a call: the call is answered, the exit code is 0 (S-8)."""
    with process(tmp_path) as (child, ready), grpc.insecure_channel(address(child, ready)) as channel:
        pending = wait(channel, 1.0)
        time.sleep(0.3)
        child.send_signal(number)

        assert pending.result().value == "finished"
        assert child.wait(5) == 0
        assert not ready.exists()


@pytest.mark.timed
def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    """Whoever signals twice wants the process gone: the open call is given up."""
    with process(tmp_path) as (child, ready), grpc.insecure_channel(address(child, ready)) as channel:
        pending = wait(channel, 8.0)
        time.sleep(0.3)
        child.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        started = time.monotonic()
        child.send_signal(signal.SIGTERM)

        assert child.wait(5) == 0
        assert time.monotonic() - started < 2
        assert pending.exception().code() is grpc.StatusCode.UNAVAILABLE
        assert pending.exception().details() == "the service is stopping"


def test_an_answer_that_comes_too_late_leaves_no_trace(tmp_path: Path) -> None:
    """A handler that answers once its caller is gone has its own line, and gRPC adds no error (S-1)."""
    with process(tmp_path) as (child, ready), grpc.insecure_channel(address(child, ready)) as channel:
        method = channel.unary_unary("/test.v1.Slow/Wait")
        for _ in range(5):
            with pytest.raises(grpc.RpcError) as caught:
                method(b"\n\x03-20", timeout=0.2)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        child.send_signal(signal.SIGTERM)
        _, log = child.communicate(timeout=20)

    lines = [json.loads(line) for line in log.decode().splitlines() if line.startswith("{")]
    assert [line["code"] for line in lines if "code" in line] == ["INVALID_ARGUMENT"] * 5
    assert not [line for line in lines if line["level"] == "error"]
    assert "Traceback" not in log.decode()


def test_a_taken_port_ends_the_process_with_one_line(tmp_path: Path) -> None:
    """The exit code is 1 and the last log line names the address."""
    first, second = tmp_path / "first", tmp_path / "second"
    with process(first) as (child, ready):
        taken = address(child, ready)
        with process(second, int(taken.rpartition(":")[2])) as (other, _):
            _, log = other.communicate(timeout=20)

    lines = [json.loads(line) for line in log.decode().splitlines() if line.startswith("{")]
    assert other.returncode == 1
    assert lines[-1]["level"] == "critical"
    assert taken in lines[-1]["reason"]
    assert "Traceback" not in log.decode()

"""What a call costs in the services' ring of interceptors, beside a bare echo: `python -m benchmarks.ring`

A process each serves the same method: a bare asyncio gRPC server, the same on the services' event loop, the
ring without log lines, the ring, and the ring with tokens, all three on that loop. Callers take them in turn
within each round, so the ratios are of one run. CPU microseconds are those of the server's process a call,
user and system together.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2
from google.protobuf.descriptor import ServiceDescriptor

from benchmarks.report import Figures, run
from services.runtime.authorization import digest_token
from services.runtime.server import ServerContext, Service, run_loop, running
from services.runtime.settings import ServiceSettings
from services.runtime.telemetry import configure_logging

METHOD = "/atelier.bench.v1.EchoService/Echo"
TOKEN = "benchmark-token"  # noqa: S105  # of a server that lives for seconds on loopback
BARE = ("bare", "bare on uvloop")
MODES = (*BARE, "ring without log", "ring", "ring with tokens")
TEXT = wrappers_pb2.BytesValue
CALLERS = 16
BODY_BYTES = 2_048


def descriptor() -> ServiceDescriptor:
    """The service whose one method returns what it gets; it needs the scope admin, having none."""
    file = descriptor_pb2.FileDescriptorProto(
        name="atelier/bench/v1/echo.proto",
        package="atelier.bench.v1",
        dependency=["google/protobuf/wrappers.proto"],
    )
    value = ".google.protobuf.BytesValue"
    file.service.add(name="EchoService").method.add(name="Echo", input_type=value, output_type=value)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName("atelier.bench.v1.EchoService")


async def _echo(request: Any, _context: Any) -> Any:
    return request


def _register(_servicer: object, server: Any) -> None:
    handler = grpc.unary_unary_rpc_method_handler(_echo, TEXT.FromString, TEXT.SerializeToString)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("atelier.bench.v1.EchoService", {"Echo": handler}),)
    )


@contextlib.asynccontextmanager
async def _serving(mode: str, folder: Path) -> AsyncIterator[str]:
    if mode in BARE:
        server = grpc.aio.server()
        _register(None, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        yield f"127.0.0.1:{port}"
        await server.stop(None)
        return
    tokens = folder / "tokens"
    tokens.write_text(f"benchmark admin {digest_token(TOKEN)}\n")
    logging.getLogger("services.call").disabled = mode == "ring without log"
    settings = ServiceSettings(tokens_file=tokens if mode == "ring with tokens" else None)

    @contextlib.asynccontextmanager
    async def build(context: ServerContext) -> AsyncIterator[None]:
        context.add(descriptor(), lambda _servicer, server: _register(None, server), None)
        yield

    async with running(settings, Service(name="bench", build=build, port=0)) as context:
        yield context.address


async def _serve(mode: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with _serving(mode, Path(folder)) as address:
            print(json.dumps({"address": address}), flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextlib.contextmanager
def _server(mode: str, log: Path) -> Iterator[tuple[int, str]]:
    command = [sys.executable, "-m", "benchmarks.ring", "--serve", mode]
    with (
        log.open("wb") as stream,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream) as process,
    ):
        assert process.stdout is not None and process.stdin is not None  # noqa: PT018
        yield process.pid, json.loads(process.stdout.readline())["address"]
        process.stdin.close()
        process.wait(30)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def call_for(address: str, callers: int, seconds: float) -> list[float]:
    """Milliseconds of each call that `callers` made one after the other for so long."""
    taken: list[float] = []
    metadata = (("authorization", f"Bearer {TOKEN}"),)
    request = TEXT(value=os.urandom(BODY_BYTES))
    async with grpc.aio.insecure_channel(address) as channel:
        method = channel.unary_unary(
            METHOD, request_serializer=TEXT.SerializeToString, response_deserializer=TEXT.FromString
        )
        await method(request, metadata=metadata)
        end = time.perf_counter() + seconds

        async def caller() -> None:
            while (started := time.perf_counter()) < end:
                await method(request, metadata=metadata)
                taken.append((time.perf_counter() - started) * 1_000)

        await asyncio.gather(*(caller() for _ in range(callers)))
    return taken


def measure(options: argparse.Namespace) -> Figures:
    """Per mode: CPU microseconds a call, calls a second at 16 callers and the p50 of a lone caller."""
    rounds, seconds = (4, 0.8) if options.quick else (15, 1.0)
    cpu: dict[str, list[float]] = {mode: [] for mode in MODES}
    rate: dict[str, list[float]] = {mode: [] for mode in MODES}
    alone: dict[str, list[float]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        servers = {
            mode: stack.enter_context(_server(mode, Path(folder) / mode.replace(" ", "-"))) for mode in MODES
        }
        for number in range(rounds):
            for mode in MODES if number % 2 else reversed(MODES):
                pid, address = servers[mode]
                before = cpu_seconds(pid)
                taken = asyncio.run(call_for(address, CALLERS, seconds))
                cpu[mode].append((cpu_seconds(pid) - before) / len(taken) * 1e6)
                rate[mode].append(len(taken) / seconds)
                alone[mode].append(statistics.median(asyncio.run(call_for(address, 1, seconds / 2))))
    return _figures(cpu, rate, alone)


def _figures(*tables: dict[str, list[float]]) -> Figures:
    cpu, rate, alone = ({mode: statistics.median(values) for mode, values in t.items()} for t in tables)
    rounds = tables[0]
    return {
        "cpu_us_a_call": {mode: round(value, 1) for mode, value in cpu.items()},
        "calls_a_second_at_16": {mode: round(value) for mode, value in rate.items()},
        "p50_ms_alone": {mode: round(value, 3) for mode, value in alone.items()},
        "ring_us": _added(rounds["ring without log"], rounds["bare"]),
        "ring_beside_the_same_loop_us": _added(rounds["ring without log"], rounds["bare on uvloop"]),
        "log_us": _added(rounds["ring"], rounds["ring without log"]),
        "authorization_us": _added(rounds["ring with tokens"], rounds["ring"]),
        "share_of_echo": round(rate["ring with tokens"] / rate["bare"], 3),
    }


def _added(these: list[float], those: list[float]) -> float:
    # Round by round, since the clock of the machine drifts between rounds by more than a log line costs.
    return round(statistics.median(a - b for a, b in zip(these, those, strict=True)), 1)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--serve", choices=MODES, help=argparse.SUPPRESS)


def main() -> None:
    if "--serve" in sys.argv:
        configure_logging("bench", "INFO")
        mode = sys.argv[sys.argv.index("--serve") + 1]
        (asyncio.run if mode == "bare" else run_loop)(_serve(mode))
        return
    run("ring", __doc__, measure, _options)


if __name__ == "__main__":
    main()

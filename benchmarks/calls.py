"""What benchmarks of calls share: servers in processes of their own, callers that take turns, an echo beside.

`python -m benchmarks.calls FOLDER READY` is the echo: a bare asyncio gRPC server that answers each method
`/echo/<name>` with the bytes of the file `<name>` in the folder, without parsing a request.
"""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from benchmarks.ring import TOKEN, cpu_seconds
from model_store.durable import write_text

CALLERS = 16
START_S = 120.0
METADATA = (("authorization", f"Bearer {TOKEN}"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One method of one server: where it is, what it is sent, by how many callers, who answers it."""

    address: str
    path: str
    requests: tuple[bytes, ...]
    processes: tuple[int, ...]
    callers: int = CALLERS

    def channel(self) -> Any:
        """A context with what `call` needs."""
        return grpc.aio.insecure_channel(self.address)

    async def call(self, channel: Any, number: int) -> bytes:
        """The reply to the request of this number."""
        method = channel.unary_unary(self.path)
        reply: bytes = await method(self.requests[number % len(self.requests)], metadata=METADATA, timeout=60)
        return reply

    def cpu_s(self) -> float:
        """User and system time of the processes so far."""
        return sum(map(cpu_seconds, self.processes))


def resident_bytes(process: int) -> int:
    """Resident memory of a process."""
    pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def started(
    command: Sequence[str], ready: Path, root: Path, environment: Mapping[str, str]
) -> Iterator[tuple[int, str]]:
    """A server of the checkout `root`: its process id, and its address from the file that it writes.

    Its log lies beside `ready`. Raises RuntimeError: with the log, if it ends or does not listen in time.
    """
    variables = {**os.environ, **environment, "ATELIER_READY_FILE": str(ready)}
    variables["PYTHONPATH"] = os.pathsep.join([str(root), str(root / "protos")])
    ready.unlink(missing_ok=True)
    with (
        ready.with_suffix(".log").open("wb") as log,
        subprocess.Popen([sys.executable, *command], cwd=root, env=variables, stderr=log) as process,
    ):
        try:
            end = time.monotonic() + START_S
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{command} did not start: {ready.with_suffix('.log').read_text()}")
                time.sleep(0.02)
            yield process.pid, json.loads(ready.read_text())["address"]
        finally:
            process.terminate()
            process.wait(30)


async def call_for(target: Target, seconds: float) -> list[float]:
    """Milliseconds of each call that the target's callers made one after the other for so long."""
    taken: list[float] = []
    async with target.channel() as channel:
        await target.call(channel, 0)
        end = time.perf_counter() + seconds

        async def caller(number: int) -> None:
            while (begun := time.perf_counter()) < end:
                await target.call(channel, number)
                number += target.callers
                taken.append((time.perf_counter() - begun) * 1_000)

        await asyncio.gather(*map(caller, range(target.callers)))
    return taken


def alternate(targets: Mapping[str, Target], rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Per target the medians of its rounds; within each round the targets take turns."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in targets}
    for number in range(rounds):
        for name in list(targets) if number % 2 else reversed(list(targets)):
            target = targets[name]
            before = target.cpu_s()
            times = sorted(asyncio.run(call_for(target, seconds)))
            taken[name].append(
                {
                    "calls_a_second": len(times) / seconds,
                    "p50_ms": statistics.median(times),
                    "p99_ms": times[len(times) * 99 // 100],
                    "cpu_us_a_call": (target.cpu_s() - before) / len(times) * 1e6,
                }
            )
    return {
        name: {figure: round(statistics.median(row[figure] for row in rows), 3) for figure in rows[0]}
        for name, rows in taken.items()
    }


class _Replies(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # the stubs' generic is not one at run time
    """Answers each method with the bytes of the file that has its name."""

    def __init__(self, folder: Path) -> None:
        self._handlers = {
            f"/echo/{path.name}": grpc.unary_unary_rpc_method_handler(_answer(path.read_bytes()))
            for path in folder.iterdir()
        }

    def service(self, handler_call_details: Any) -> Any:
        """The handler of the method."""
        return self._handlers.get(handler_call_details.method)


def _answer(reply: bytes) -> Any:
    async def answer(_request: bytes, _context: Any) -> bytes:
        return reply

    return answer


async def _echo(replies: Path, ready: Path) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Replies(replies),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    write_text(ready, json.dumps({"address": f"127.0.0.1:{port}"}), sync=False)
    await server.wait_for_termination()


@contextlib.contextmanager
def echo(replies: Path) -> Iterator[tuple[int, str]]:
    """The echo of the replies in a folder, running: its process id and address."""
    ready = replies.with_name("echo.json")
    with started(["-m", "benchmarks.calls", str(replies), str(ready)], ready, Path.cwd(), {}) as process:
        yield process


if __name__ == "__main__":
    asyncio.run(_echo(Path(sys.argv[1]), Path(sys.argv[2])))

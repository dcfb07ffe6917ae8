"""What a cached `Embed` and a `Rank` of two cached pictures cost: `python -m benchmarks.cached_calls`

The packaged models serve in processes of their own, with logs, metrics and tokens on. Beside them a bare
asyncio gRPC server takes the same request bytes and answers the same reply bytes, without parsing either.
16 callers take the targets in turn within each round, so the shares are of one run; each figure is the median
of the rounds. `--before CHECKOUT` measures another checkout's servers too, in the same rounds.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from atelier.embedder.v1 import embedder_pb2
from atelier.ranker.v1 import ranker_pb2
from PIL import Image

from benchmarks.report import Figures, run
from benchmarks.ring import TOKEN, cpu_seconds
from model_store.durable import write_text
from services.runtime.authorization import digest_token

CALLERS = 16
PICTURES = 64
SIDE = 320
EMBED, RANK = "/atelier.embedder.v1.EmbedderService/Embed", "/atelier.ranker.v1.RankerService/Rank"
START_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One method of one server: where it is, what it is sent, and which processes answer it."""

    address: str
    path: str
    requests: tuple[bytes, ...]
    processes: tuple[int, ...]

    async def call(self, channel: Any, number: int) -> bytes:
        """The reply to the request of this number."""
        reply: bytes = await channel.unary_unary(self.path)(
            self.requests[number % len(self.requests)],
            metadata=(("authorization", f"Bearer {TOKEN}"),),
            timeout=60,
        )
        return reply

    def cpu_s(self) -> float:
        """User and system time of the processes so far."""
        return sum(map(cpu_seconds, self.processes))


def _pictures() -> list[bytes]:
    """Encoded pictures of about 20 KB each."""
    pictures = []
    for seed in range(PICTURES):
        pixels = np.random.default_rng(seed).integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
        with tempfile.SpooledTemporaryFile() as stream:
            Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(stream, "JPEG")
            stream.seek(0)
            pictures.append(stream.read())
    return pictures


def _embed_requests(pictures: list[bytes]) -> tuple[bytes, ...]:
    return tuple(
        embedder_pb2.EmbedRequest(
            model={"name": "artwork-backbone"}, inputs=[{"id": "a", "image": picture}]
        ).SerializeToString()
        for picture in pictures
    )


def _rank_requests(pictures: list[bytes]) -> tuple[bytes, ...]:
    pairs = zip(pictures, pictures[1:] + pictures[:1], strict=True)
    return tuple(
        ranker_pb2.RankRequest(
            candidates=[{"id": "a", "image": first}, {"id": "b", "image": second}]
        ).SerializeToString()
        for first, second in pairs
    )


@contextlib.contextmanager
def _started(
    command: list[str], ready: Path, root: Path, environment: Mapping[str, str]
) -> Iterator[tuple[int, str]]:
    """A server's process id and address, from the file that it writes."""
    variables = {**os.environ, **environment, "ATELIER_READY_FILE": str(ready)}
    variables["PYTHONPATH"] = os.pathsep.join([str(root), str(root / "protos")])
    with (
        ready.with_suffix(".log").open("wb") as log,
        subprocess.Popen([sys.executable, *command], cwd=root, env=variables, stderr=log) as process,
    ):
        try:
            end = time.monotonic() + START_S
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{command} did not start: {ready.with_suffix('.log').read_text()}")
                time.sleep(0.05)
            yield process.pid, json.loads(ready.read_text())["address"]
        finally:
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def _services(root: Path, folder: Path, pictures: list[bytes]) -> Iterator[dict[str, Target]]:
    """The embedder's and the ranker's target of one checkout, warm and with every picture in the cache."""
    folder.mkdir()
    tokens = folder / "tokens"
    tokens.write_text(f"benchmark admin {digest_token(TOKEN)}\n")
    common = {
        "ATELIER_STORE": str(folder.parent / "store"),
        "ATELIER_TOKENS_FILE": str(tokens),
        "ATELIER_PEER_TOKEN": TOKEN,
        "ATELIER_EMBEDDER_PORT": "0",
        "ATELIER_EMBEDDER_METRICS_PORT": "0",
        "ATELIER_RANKER_PORT": "0",
        "ATELIER_RANKER_METRICS_PORT": "0",
        "ATELIER_CACHE": str(folder / "cache"),
    }
    module, ready = ["-m", "services.embedder"], folder / "embedder.json"
    with _started(module, ready, root, common) as (embedder, address):
        beside = {**common, "ATELIER_EMBEDDER_ADDRESS": address}
        with _started(["-m", "services.ranker"], folder / "ranker.json", root, beside) as (ranker, other):
            embed = Target(
                address=address, path=EMBED, requests=_embed_requests(pictures), processes=(embedder,)
            )
            rank = Target(
                address=other, path=RANK, requests=_rank_requests(pictures), processes=(embedder, ranker)
            )
            yield {"embed": embed, "rank": rank}


async def _warm(target: Target) -> bytes:
    """Send every request, until the service is ready; the last reply."""
    end = time.monotonic() + START_S
    async with grpc.aio.insecure_channel(target.address) as channel:
        reply = b""
        for number in range(len(target.requests)):
            while True:
                try:
                    reply = await target.call(channel, number)
                    break
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > end:
                        raise
                    await asyncio.sleep(0.2)
    return reply


async def _call_for(target: Target, seconds: float) -> list[float]:
    """Milliseconds of each call that the callers made one after the other for so long."""
    taken: list[float] = []
    async with grpc.aio.insecure_channel(target.address) as channel:
        await target.call(channel, 0)
        end = time.perf_counter() + seconds

        async def caller(number: int) -> None:
            while (started := time.perf_counter()) < end:
                await target.call(channel, number)
                number += CALLERS
                taken.append((time.perf_counter() - started) * 1_000)

        await asyncio.gather(*map(caller, range(CALLERS)))
    return taken


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


def measure(options: argparse.Namespace) -> Figures:
    """Calls a second, share of the echo's, p50 and p99 and the servers' CPU microseconds a call."""
    pictures = _pictures()
    roots = {"": Path.cwd(), **({"before_": options.before.resolve()} if options.before else {})}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        defaults = ["-c", "from cli.main import app; app()", "models", "defaults", "--store"]
        subprocess.run([sys.executable, *defaults, str(folder / "store")], check=True, capture_output=True)
        (folder / "replies").mkdir()
        targets: dict[str, Target] = {}
        for prefix, root in roots.items():
            services = stack.enter_context(_services(root, folder / f"{prefix}data", pictures))
            targets |= {prefix + kind: target for kind, target in services.items()}
        for kind, target in targets.items():
            reply = asyncio.run(_warm(target))
            (folder / "replies" / kind).write_bytes(reply)
        echo = ["-m", "benchmarks.cached_calls", "--echo", str(folder / "replies"), str(folder / "echo.json")]
        pid, address = stack.enter_context(_started(echo, folder / "echo.json", Path.cwd(), {}))
        for kind in ("embed", "rank"):
            targets[f"echo_{kind}"] = Target(
                address=address, path=f"/echo/{kind}", requests=targets[kind].requests, processes=(pid,)
            )
        return _figures(_rounds(targets, *((2, 1.5) if options.quick else (5, 3.0))))


def _rounds(targets: Mapping[str, Target], rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Per target the medians of every figure."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in targets}
    for number in range(rounds):
        for name in list(targets) if number % 2 else reversed(list(targets)):
            target = targets[name]
            before = target.cpu_s()
            times = sorted(asyncio.run(_call_for(target, seconds)))
            taken[name].append(
                {
                    "calls_a_second": len(times) / seconds,
                    "p50_ms": statistics.median(times),
                    "p99_ms": times[len(times) * 99 // 100],
                    "cpu_us_a_call": (target.cpu_s() - before) / len(times) * 1e6,
                }
            )
    return {
        name: {figure: round(statistics.median(row[figure] for row in rows), 2) for figure in rows[0]}
        for name, rows in taken.items()
    }


def _figures(medians: dict[str, dict[str, float]]) -> Figures:
    for name, figures in medians.items():
        if not name.startswith("echo_"):
            echo = medians[f"echo_{name.removeprefix('before_')}"]
            figures["share_of_echo"] = round(figures["calls_a_second"] / echo["calls_a_second"], 3)
    return medians


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--before", type=Path, help="Checkout to compare with.", metavar="CHECKOUT")


def main() -> None:
    if sys.argv[1:2] == ["--echo"]:
        asyncio.run(_echo(Path(sys.argv[2]), Path(sys.argv[3])))
        return
    run("cached_calls", __doc__, measure, _options)


if __name__ == "__main__":
    main()

"""What is left of the embedder's speed at four times its load?

    python -m benchmarks.overload [--quick] [--json FILE] [--engine real|sleep] [--store DIR] [--seconds 60]

For calls of 1, 2 and 8 pictures: callers that wait for their answers find the best rate; then calls come at
four times that rate whatever the answers are, each with bytes that the service has never seen and a deadline
of 5 s. Goodput is what is answered in time, as a share of the best. Refusals are timed as the client sees
them and as the service logs them. `--engine sleep` replaces graphs by sleeps of 20 ms a picture, so that the
shares hold on a machine that has other work too.
"""

import argparse
import asyncio
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from benchmarks.calls import resident_bytes, started
from benchmarks.report import RESULTS, Figures, Skipped, run
from services.embedder.__main__ import embedder_service
from services.embedder.loaded_space import LoadedSpace
from services.embedder.settings import EmbedderSettings
from services.embedder.stages import run as run_graph
from services.runtime.server import run_service
from services.runtime.settings import read_settings

SERVICE = "atelier.embedder.v1.EmbedderService"
STORE = RESULTS / "store"
MODEL = "fashion-image"
PICTURES = (1, 2, 8)
IN_FLIGHT = 16  # pictures of the callers who wait for their answers
FEWEST = 4
REFUSED_S = 0.05
TIMES = 4.0
SLEEP_S = 0.02
SIDES = {"real": (400, 533), "sleep": (32, 32)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One call of the open loop: how it ended, when it began, and how long it took."""

    code: str
    began: float
    seconds: float


@dataclass(slots=True, kw_only=True)
class Calls:
    """Makes calls of a number of pictures, each of bytes that are new."""

    stub: Any
    model: str
    picture: bytes
    count: int
    deadline_s: float
    made: int = 0

    async def ask(self) -> Answer:
        """Make one call and wait for its end."""
        numbers = range(self.made, self.made + self.count)
        self.made += self.count
        # What follows the end of a JPEG is not decoded, and makes it another picture to the cache.
        inputs = [
            embedder_pb2.EmbedInput(image=self.picture + b"%d.%d" % (self.count, number))
            for number in numbers
        ]
        request = embedder_pb2.EmbedRequest(model={"name": self.model}, inputs=inputs)
        began, code = time.monotonic(), "OK"
        try:
            await self.stub.Embed(request, timeout=self.deadline_s)
        except grpc.aio.AioRpcError as error:
            code = error.code().name
        return Answer(code=code, began=began, seconds=time.monotonic() - began)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedLoad:
    """What the open loops send: a picture to a model, in calls of each size, for so many seconds a size."""

    picture: bytes
    model: str = MODEL
    sizes: Sequence[int] = PICTURES
    seconds: float = 60.0
    deadline_s: float = 5.0

    def calls(self, stub: Any, count: int, *, deadline_s: float) -> Calls:
        """A maker of calls of `count` pictures."""
        return Calls(stub=stub, model=self.model, picture=self.picture, count=count, deadline_s=deadline_s)


async def closed_loop(calls: Calls, seconds: float) -> float:
    """Calls a second that callers get who wait for each answer, and for a while after each refusal."""
    began = time.monotonic()

    async def caller() -> int:
        answered = 0
        while time.monotonic() < began + seconds:
            is_answered = (await calls.ask()).code == "OK"
            answered += is_answered
            await asyncio.sleep(0.0 if is_answered else REFUSED_S)
        return answered

    callers = max(IN_FLIGHT // calls.count, FEWEST)
    answered = sum(await asyncio.gather(*(caller() for _ in range(callers))))
    if not answered:
        raise Skipped(f"no call of {calls.count} pictures was answered within {calls.deadline_s} s")
    return answered / (time.monotonic() - began)


async def open_loop(calls: Calls, rate: float, seconds: float) -> list[Answer]:
    """The answers to calls that come at a rate, whatever becomes of those before."""
    began, asked = time.monotonic(), list[asyncio.Task[Answer]]()
    while (now := time.monotonic() - began) < seconds:
        while len(asked) < rate * now:
            asked.append(asyncio.create_task(calls.ask()))
        await asyncio.sleep(min(1 / rate, 0.005))
    return list(await asyncio.gather(*asked))


async def overload(calls: Calls, seconds: float, process: int) -> dict[str, Any]:
    """The figures of one size of calls, health and memory of the service included."""
    await closed_loop(calls, min(1.0, seconds / 4))
    best = await closed_loop(calls, max(1.0, seconds / 4))
    seen = Seen()
    watching = asyncio.create_task(_watch(calls, process, seen))
    began = time.monotonic()
    answers = await open_loop(calls, TIMES * best, seconds)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    # While the queue fills nothing is late yet: what counts is what ends after the first deadline.
    first, last = began + calls.deadline_s, began + seconds
    useful = sum(a.code == "OK" and first <= a.began + a.seconds <= last for a in answers)
    refused = sorted(a.seconds for a in answers if a.code == "RESOURCE_EXHAUSTED")
    unhealthy, resident = seen.unhealthy, seen.resident[len(seen.resident) // 3 :]
    return {
        "best_calls_a_second": round(best, 2),
        "offered_calls_a_second": round(len(answers) / seconds, 2),
        "goodput_of_best": round(useful / (last - first) / best, 3),
        "codes": dict(Counter(a.code for a in answers)),
        "refusal_p50_ms": _at(refused, 0.5),
        "refusal_p95_ms": _at(refused, 0.95),
        "not_serving": unhealthy,
        "memory_growth": round(resident[-1] / resident[0], 3),
    }


@dataclass(slots=True)
class Seen:
    """Answers of health that were not SERVING, and bytes of resident memory, twice a second."""

    unhealthy: int = 0
    resident: list[int] = field(default_factory=list)


async def _watch(calls: Calls, process: int, seen: Seen) -> None:
    while True:
        seen.resident.append(resident_bytes(process))
        reply = await calls.stub.health.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30)
        seen.unhealthy += reply.status != health_pb2.HealthCheckResponse.SERVING
        await asyncio.sleep(0.5)


def _at(ordered: Sequence[float], share: float) -> float | None:
    return round(1_000 * ordered[int(share * (len(ordered) - 1))], 2) if ordered else None


def jpeg(size: tuple[int, int]) -> bytes:
    """A picture of soft noise: about 30 kB at 400 x 533."""
    coarse = np.random.default_rng(0).integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=80)
    return stream.getvalue()


class SleepingEngine:
    """Stands in for the graphs: sleeps for each input, and answers the vector of the first one."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._vectors: dict[LoadedSpace, Any] = {}

    def __call__(self, lane: LoadedSpace, payloads: Sequence[Any], /, *, alone: bool) -> Sequence[Any]:
        """The same vector for each input, after the time of all."""
        if lane not in self._vectors:
            self._vectors[lane] = run_graph(lane, payloads[:1], alone=alone)[0]
        time.sleep(self._seconds * len(payloads))
        return [self._vectors[lane]] * len(payloads)


def serve(seconds: float) -> int:
    """Run an embedder whose graphs sleep, configured like any other."""
    settings = read_settings(EmbedderSettings)
    return run_service(settings, embedder_service(settings, compute=SleepingEngine(seconds)))


@contextlib.contextmanager
def service(store: Path, folder: Path, engine: str) -> Iterator[tuple[int, str]]:
    """An embedder in a process of its own, with a cache of its own: its process id and address."""
    variables = {
        "ATELIER_STORE": str(store),
        "ATELIER_CACHE": str(folder / "cache"),
        "ATELIER_EMBEDDER_PORT": "0",
        "ATELIER_EMBEDDER_METRICS_PORT": "-1",
    }
    sleeping = ["-m", "benchmarks.overload", "serve", str(SLEEP_S)]
    command = sleeping if engine == "sleep" else ["-m", "services.embedder"]
    with started(command, folder / "embedder.json", Path.cwd(), variables) as process:
        yield process


async def measured(address: str, process: int, load: OfferedLoad) -> dict[str, Any]:
    """The figures for each number of pictures a call, one after the other."""
    figures = {}
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = embedder_pb2_grpc.EmbedderServiceStub(channel)  # type: ignore[no-untyped-call]
        stub.health = health_pb2_grpc.HealthStub(channel)
        await load.calls(stub, 1, deadline_s=60.0).ask()  # has the model loaded
        for count in load.sizes:
            calls = load.calls(stub, count, deadline_s=load.deadline_s)
            figures[f"pictures_{count}"] = await overload(calls, load.seconds, process)
    return figures


def seen_by_the_service(log: Path) -> dict[str, float | None]:
    """How long refusals took by the log of the service, in milliseconds."""
    lines = (json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if '"code"' in line)
    refused = sorted(
        line["duration_ms"] / 1_000 for line in lines if line.get("code") == "RESOURCE_EXHAUSTED"
    )
    return {"refusal_p50_ms": _at(refused, 0.5), "refusal_p95_ms": _at(refused, 0.95)}


def measure(options: argparse.Namespace) -> Figures:
    """Goodput, refusals, health and memory for calls of 1, 2 and 8 pictures."""
    store = options.store or _default_store()
    seconds = 12.0 if options.quick else options.seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with service(store, folder, options.engine) as (process, address):
            load = OfferedLoad(picture=jpeg(SIDES[options.engine]), seconds=seconds)
            figures = asyncio.run(measured(address, process, load))
        figures["at_the_service"] = seen_by_the_service(folder / "embedder.log")
    return figures


def _default_store() -> Path:
    """The default models, published where they are not yet."""
    command = ["-c", "from cli.main import app; app()", "models", "defaults", "--store", str(STORE)]
    made = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if made.returncode:
        raise Skipped(
            f"`atelier models defaults` made no store: {made.stderr.strip() or made.stdout.strip()}"
        )
    return STORE


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=("real", "sleep"), default="real", help="Default: real.")
    parser.add_argument("--store", type=Path, help=f"Model store. Default: default models in {STORE}.")
    parser.add_argument("--seconds", type=float, default=60.0, help="Of each open loop. Default: 60.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        sys.exit(serve(float(sys.argv[2])))
    run("overload", __doc__ or "", measure, _options)

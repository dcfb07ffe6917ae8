"""What does a flood of large requests cost?

    python -m benchmarks.flood [--quick] [--json FILE] [--store DIR] [--calls 60]

The same flood meets a real embedder and a real ranker, each twice within one run: with bodies bounded as by
default, and without a bound. Measures the peak of resident memory, the time of refusals (as the client sees
it, which makes and sends large messages meanwhile, and as the service does), the time of the last answer, and
how small calls and health fare meanwhile, asked from a process of their own. --quick leaves out the flood
without a bound.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from benchmarks import report
from benchmarks.calls import resident_bytes
from benchmarks.report import RESULTS, Skipped
from model_store.store import ModelStore
from services.client.embedder import image_input
from services.client.health import await_serving
from services.client.ranker import picture

UNBOUNDED = {"ATELIER_HELD_BYTES": str(1 << 40), "ATELIER_RECEIVING": "100000"}
STORE = RESULTS / "store"
QUICK_CALLS = 24
PICTURES = 9
SIDE = 830  # of noise: a PNG of 2 MB
FULL_NAMES = {
    "embedder": "atelier.embedder.v1.EmbedderService",
    "ranker": "atelier.ranker.v1.RankerService",
}
Figures = dict[str, Any]


@dataclass(frozen=True)
class Started:
    """A running service."""

    address: str
    pid: int
    log: Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """The store and the size of the flood."""
    parser.add_argument("--store", type=Path, help=f"Model store. Default: default models in {STORE}.")
    parser.add_argument("--calls", type=int, default=60, help="Calls at once. Default: 60.")


def measure(options: argparse.Namespace) -> dict[str, Figures]:
    """Both services, with and without the bound."""
    store = options.store or _default_store()
    calls = QUICK_CALLS if options.quick else options.calls
    environments = {"bounded": {}} if options.quick else {"bounded": {}, "unbounded": UNBOUNDED}
    figures: dict[str, Figures] = {}
    for name, environment in environments.items():
        with tempfile.TemporaryDirectory() as folder:
            shared = {"ATELIER_STORE": str(store), "ATELIER_CACHE": folder, **environment}
            with _process("embedder", shared, Path(folder)) as embedder:
                ask = _embedding(store, embedder.address)
                figures[f"embedder_{name}"] = _flood(embedder, "embedder", ask, calls)
            with (
                _process("embedder", shared, Path(folder)) as embedder,
                _process(
                    "ranker", {**shared, "ATELIER_EMBEDDER_ADDRESS": embedder.address}, Path(folder)
                ) as ranker,
            ):
                figures[f"ranker_{name}"] = _flood(ranker, "ranker", _ranking(ranker.address), calls)
    return figures


def _default_store() -> Path:
    """The default models, published where they are not yet: their heads take a training of some seconds."""
    atelier = Path(sys.executable).with_name("atelier")
    run = subprocess.run(
        [atelier, "models", "defaults", "--store", STORE], capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise Skipped(f"`atelier models defaults` made no store: {run.stderr.strip() or run.stdout.strip()}")
    return STORE


def _noise(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    with tempfile.SpooledTemporaryFile() as file:
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(file, "PNG")
        file.seek(0)
        return file.read()


def _embedding(store: Path, address: str) -> Callable[[], Any]:
    """One large call of the embedder, whose model is loaded."""
    stub: Any = embedder_pb2_grpc.EmbedderServiceStub(_channel(address))  # type: ignore[no-untyped-call]
    space_id = ModelStore.at(store).resolve("fashion-image").space_id
    stub.PrepareModel(embedder_pb2.PrepareModelRequest(space_id=space_id))
    request = embedder_pb2.EmbedRequest(
        space_id=space_id, inputs=[image_input(_noise(seed)) for seed in range(PICTURES)], no_store=True
    )
    return lambda: stub.Embed(request, timeout=60)


def _ranking(address: str) -> Callable[[], Any]:
    """One large call of the ranker."""
    stub: Any = ranker_pb2_grpc.RankerServiceStub(_channel(address))  # type: ignore[no-untyped-call]
    request = ranker_pb2.RankRequest(
        candidates=[picture(_noise(seed)) for seed in range(PICTURES)],
        options=ranker_pb2.RankOptions(no_store=True),
    )
    return lambda: stub.Rank(request, timeout=60)


def _channel(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)])


@contextmanager
def _process(name: str, environment: dict[str, str], folder: Path) -> Iterator[Started]:
    ready = folder / f"{name}.json"
    settings = {
        "ATELIER_READY_FILE": str(ready),
        f"ATELIER_{name.upper()}_PORT": "0",
        f"ATELIER_{name.upper()}_METRICS_PORT": "-1",
    }
    log = folder / f"{name}.log"
    with log.open("w") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", f"services.{name}"],
            env={**os.environ, **environment, **settings},
            stderr=lines,
        )
    try:
        while not ready.exists():
            time.sleep(0.05)
        address = json.loads(ready.read_text())["address"]
        await_serving(address, FULL_NAMES[name], timeout_s=60)
        yield Started(address=address, pid=process.pid, log=log)
    finally:
        process.terminate()
        process.wait(60)


def _flood(service: Started, name: str, ask: Callable[[], Any], calls: int) -> Figures:
    before, peak, done = resident_bytes(service.pid), [0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(service.pid, peak, done))
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as aside,
    ):
        over = Path(folder) / "over"
        probes = aside.submit(_probe, service.address, name, str(over))
        while not Path(f"{over}.begun").exists():
            time.sleep(0.05)
        watcher.start()
        began = time.monotonic()
        with ThreadPoolExecutor(calls) as pool:
            answers = list(pool.map(lambda _: _timed(ask), range(calls)))
        took = time.monotonic() - began
        over.touch()
        done.set()
        watcher.join()
        beside = probes.result(60)
    refused = sorted(seconds for code, seconds in answers if code == "RESOURCE_EXHAUSTED")
    logged = [json.loads(line) for line in service.log.read_text().splitlines() if '"code"' in line]
    seen = sorted(call["duration_ms"] / 1_000 for call in logged if call["code"] == "RESOURCE_EXHAUSTED")
    return {
        "resident_before_mb": round(before / 1e6),
        "resident_peak_mb": round(peak[0] / 1e6),
        "codes": dict(Counter(code for code, _ in answers)),
        "refusal_s_median": _at(refused, 0.5),
        "refusal_s_p95": _at(refused, 0.95),
        "refusal_at_the_service_s_median": _at(seen, 0.5),
        "refusal_at_the_service_s_p95": _at(seen, 0.95),
        "all_s": round(took, 2),
        **beside,
    }


def _at(ordered: list[float], share: float) -> float | None:
    return round(ordered[int(share * (len(ordered) - 1))], 3) if ordered else None


def _probe(address: str, name: str, over: str) -> Figures:
    """Small calls and health, one after another, until the flood is over."""
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        stub, request = _limits(name, channel)
        asks: dict[str, Callable[[], Any]] = {
            "small": lambda: stub.GetLimits(request, timeout=10),
            "health": lambda: health.Check(
                health_pb2.HealthCheckRequest(service=FULL_NAMES[name]), timeout=10
            ),
        }
        answers: dict[str, list[tuple[str, float]]] = {what: [_timed(ask)] for what, ask in asks.items()}
        Path(f"{over}.begun").touch()
        while not Path(over).exists():
            for what, ask in asks.items():
                answers[what].append(_timed(ask))
            time.sleep(0.01)
    return {
        figure: value
        for what, timed in answers.items()
        for figure, value in (
            (f"{what}_codes", dict(Counter(code for code, _ in timed))),
            (f"{what}_s_median", round(statistics.median(seconds for _, seconds in timed), 4)),
            (f"{what}_s_longest", round(max(seconds for _, seconds in timed), 3)),
        )
    }


def _limits(name: str, channel: grpc.Channel) -> tuple[Any, Any]:
    if name == "embedder":
        return embedder_pb2_grpc.EmbedderServiceStub(channel), embedder_pb2.GetLimitsRequest()  # type: ignore[no-untyped-call]
    return ranker_pb2_grpc.RankerServiceStub(channel), ranker_pb2.GetLimitsRequest()  # type: ignore[no-untyped-call]


def _timed(ask: Callable[[], Any]) -> tuple[str, float]:
    began, code = time.monotonic(), "OK"
    try:
        ask()
    except grpc.RpcError as error:
        code = error.code().name
    return code, time.monotonic() - began


def _watch(pid: int, peak: list[int], done: threading.Event) -> None:
    while not done.wait(0.02):
        peak[0] = max(peak[0], resident_bytes(pid))


if __name__ == "__main__":
    report.run("flood", __doc__, measure, add_options)

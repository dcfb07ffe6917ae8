"""What does a flood of large requests cost? `python -m benchmarks.flood STORE [--calls 60] [--json FILE]`

The same flood meets a real embedder twice within one run: with bodies bounded as by default, and without a
bound. Told are the peak of resident memory, how quickly refusals came, and when the last answer was there.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from PIL import Image

from model_store.store import ModelStore
from services.client.embedder import image_input
from services.client.health import await_serving

UNBOUNDED = {"ATELIER_HELD_BYTES": str(1 << 40), "ATELIER_RECEIVING": "100000"}
PICTURES = 9
SIDE = 830  # of noise: a PNG of 2 MB


def main() -> None:
    """Measure both ways and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    space_id = ModelStore.at(options.store).resolve("fashion-image").space_id
    request = embedder_pb2.EmbedRequest(
        space_id=space_id, inputs=[image_input(_noise(seed)) for seed in range(PICTURES)], no_store=True
    )
    figures = {
        name: _measure(options.store, request, options.calls, environment)
        for name, environment in (("bounded", {}), ("unbounded", UNBOUNDED))
    }
    figures["request_bytes"] = request.ByteSize()
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def _noise(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    with tempfile.SpooledTemporaryFile() as file:
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(file, "PNG")
        file.seek(0)
        return file.read()


def _measure(store: Path, request: Any, calls: int, environment: dict[str, str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        settings = {
            "ATELIER_STORE": str(store),
            "ATELIER_CACHE": folder,
            "ATELIER_READY_FILE": str(ready),
            "ATELIER_EMBEDDER_PORT": "0",
            "ATELIER_EMBEDDER_METRICS_PORT": "-1",
            **environment,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "services.embedder"],
            env={**os.environ, **settings},
            stderr=subprocess.DEVNULL,
        )
        try:
            while not ready.exists():
                time.sleep(0.05)
            address = json.loads(ready.read_text())["address"]
            await_serving(address, "atelier.embedder.v1.EmbedderService", timeout_s=60)
            return _flood(address, process.pid, request, calls)
        finally:
            process.terminate()
            process.wait(60)


def _flood(address: str, pid: int, request: Any, calls: int) -> dict[str, Any]:
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(address, options=options) as channel:
        stub: Any = embedder_pb2_grpc.EmbedderServiceStub(channel)  # type: ignore[no-untyped-call]
        stub.PrepareModel(embedder_pb2.PrepareModelRequest(space_id=request.space_id))
        before, peak, done = _resident(pid), [0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(pid, peak, done))
        watcher.start()
        began = time.monotonic()
        with ThreadPoolExecutor(calls) as pool:
            answers = list(pool.map(lambda _: _ask(stub, request), range(calls)))
        took = time.monotonic() - began
        done.set()
        watcher.join()
    refused = [seconds for code, seconds in answers if code is grpc.StatusCode.RESOURCE_EXHAUSTED]
    return {
        "resident_before_mb": round(before / 1e6),
        "resident_peak_mb": round(peak[0] / 1e6),
        "answered": sum(code is grpc.StatusCode.OK for code, _ in answers),
        "refused": len(refused),
        "refusal_s_median": round(statistics.median(refused), 3) if refused else None,
        "refusal_s_longest": round(max(refused), 3) if refused else None,
        "all_s": round(took, 2),
    }


def _ask(stub: Any, request: Any) -> tuple[grpc.StatusCode, float]:
    began = time.monotonic()
    try:
        stub.Embed(request, timeout=60)
    except grpc.RpcError as error:
        return error.code(), time.monotonic() - began  # type: ignore[attr-defined]
    return grpc.StatusCode.OK, time.monotonic() - began


def _watch(pid: int, peak: list[int], done: threading.Event) -> None:
    while not done.wait(0.02):
        peak[0] = max(peak[0], _resident(pid))


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()

"""Many uploads at once: all are answered, and memory stays bounded."""

import io
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.services.gateway.house import House, upload

CALLERS = 50
MIB = 1 << 20
MEMORY = 32 * MIB
ROUNDS = 2


def photograph(byte_count: int) -> bytes:
    """A JPEG padded to a size, as those of phones are."""
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG")
    return stream.getvalue() + bytes(byte_count - stream.tell())


@pytest.fixture
def process(house: House, tmp_path: Path):
    """A gateway in a process of its own, with 32 MiB for uploads: its id and its address."""
    settings = house.settings()
    ready = tmp_path / "ready.json"
    environment = {
        **os.environ,
        "ATELIER_STORE": str(house.store),
        "ATELIER_READY_FILE": str(ready),
        "ATELIER_GATEWAY_PORT": "0",
        "ATELIER_GATEWAY_METRICS_PORT": "-1",
        "ATELIER_GATEWAY_UPLOAD_BYTES": str(MEMORY),
        "ATELIER_EMBEDDER_ADDRESS": settings.embedder_address,
        "ATELIER_RANKER_ADDRESS": settings.ranker_address,
        "ATELIER_RECOMMENDER_ADDRESS": settings.recommender_address,
    }
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen([sys.executable, "-m", "services.gateway"], env=environment, stderr=log) as started,
    ):
        end = time.monotonic() + 60
        while not ready.exists():
            assert started.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.02)
        yield started.pid, json.loads(ready.read_text())["address"]
        started.terminate()
        assert started.wait(30) == 0


def resident(process: int, field: str) -> int:
    """A figure of a process's memory, in bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1_024 for line in lines if line.startswith(field))


@pytest.mark.slow
def test_fifty_uploads_at_once_are_all_answered(process: tuple[int, str]) -> None:
    """50 pictures of 2 MiB, twice: no caller is refused, and 32 MiB for uploads are enough. (S-4, S-12)"""
    pid, address = process
    picture = photograph(2 * MIB)
    before = resident(pid, "VmRSS")

    def ask(_: int) -> str:
        with httpx.Client(timeout=120, trust_env=False) as client:
            answer = client.post(
                f"http://{address}/api/recommend/customer_input", files=[upload("image", picture)]
            )
            return "" if answer.status_code == 200 else answer.text

    for _ in range(ROUNDS):
        with ThreadPoolExecutor(CALLERS) as pool:
            assert list(pool.map(ask, range(CALLERS))) == [""] * CALLERS
    grown = resident(pid, "VmHWM") - before
    assert grown < 3 * MEMORY, f"{grown / MIB:.0f} MiB"

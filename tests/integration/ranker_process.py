"""A ranker in a process of its own over small heads, to be killed and stopped, and callers that check it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc

from services.client.errors import from_rpc_error
from services.client.ranker import feature, picture
from services.runtime.errors import Unavailable
from services.runtime.server import running
from services.runtime.settings import ServiceSettings
from tests.integration.conftest import ROOT
from tests.services.ranker.conftest import (
    BytesEmbedder,
    Gallery,
    expected_score,
    until_serving,
    vector_of,
)


class RankerProcess:
    """`python -m services.ranker` on one port, as often as it is started. `log`: all its lines."""

    def __init__(self, gallery: Gallery, embedder_address: str) -> None:
        self.address = ""
        self.log = gallery.root / "ranker.log"
        self._ready = gallery.root / "ranker.json"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ATELIER_", "COV"))},
            "ATELIER_STORE": str(gallery.root / "models"),
            "ATELIER_CACHE": str(gallery.root / "cache"),
            "ATELIER_RANKER_METRICS_PORT": "-1",
            "ATELIER_EMBEDDER_ADDRESS": embedder_address,
            "ATELIER_READY_FILE": str(self._ready),
            "ATELIER_POLL_S": "0.05",
            "ATELIER_RANKER_RECENT_BYTES": str(
                1 << 20
            ),  # full within seconds, so that nothing grows by rights
            "OMP_NUM_THREADS": "1",
        }

    async def start(self) -> None:
        """Return once it serves, on the port that it had before."""
        self._ready.unlink(missing_ok=True)
        port = self.address.rpartition(":")[2] or "0"
        environment = {**self._environment, "ATELIER_RANKER_PORT": port}
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "services.ranker"]
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                command, cwd=ROOT, env=environment, stderr=log
            )
        async with asyncio.timeout(120):
            while not self._ready.exists():
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.02)  # between two looks
        self.address = json.loads(self._ready.read_text())["address"]
        async with grpc.aio.insecure_channel(self.address) as channel:
            await until_serving(channel)

    async def end(self, number: signal.Signals) -> int:
        """Send it a signal and wait for its end; its exit code."""
        self.process.send_signal(number)
        return await asyncio.get_running_loop().run_in_executor(None, self.process.wait, 30)

    def logged(self) -> Iterator[dict[str, Any]]:
        """The lines of its log that are whole."""
        for line in self.log.read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    @contextmanager
    def ended(self) -> Iterator[None]:
        """No process is left when the block ends."""
        try:
            yield
        finally:
            self.process.kill()
            self.process.wait(20)


@asynccontextmanager
async def ranker_process(gallery: Gallery, delay_s: float = 0.0) -> AsyncIterator[RankerProcess]:
    """A ranker process, serving, and its embedder in this one, which takes `delay_s` for a call."""
    async with running(ServiceSettings(), BytesEmbedder(delay_s=delay_s).service()) as embedder:
        ranker = RankerProcess(gallery, embedder.address)
        await ranker.start()
        with ranker.ended():
            yield ranker


class Callers:
    """Callers of one ranker that compare every answer with the head that it says it is of.

    outcomes: how the calls ended. unavailable: when calls found no server, in time.monotonic().
    """

    def __init__(self, gallery: Gallery, address: str) -> None:
        self.outcomes: Counter[str] = Counter()
        self.versions: Counter[int] = Counter()
        self.unavailable: list[float] = []
        self.mixed: list[str] = []
        self.stop = asyncio.Event()
        self._gallery = gallery
        self._address = address
        self._numbers = iter(range(10**9))

    @asynccontextmanager
    async def calling(self, count: int, pause_s: float = 0.0) -> AsyncIterator[None]:
        """So many callers until the block ends, each with a connection of its own."""
        callers = [asyncio.create_task(self._call_on(pause_s)) for _ in range(count)]
        try:
            yield
        finally:
            self.stop.set()
            await asyncio.gather(*callers)

    async def _call_on(self, pause_s: float) -> None:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 100))
        async with grpc.aio.insecure_channel(self._address, options=options) as channel:
            stub = ranker_pb2_grpc.RankerServiceStub(channel)  # type: ignore[no-untyped-call]
            while not self.stop.is_set():
                try:
                    self._check(await stub.Rank(self._request(), timeout=20))
                    self.outcomes["OK"] += 1
                except grpc.aio.AioRpcError as failure:
                    error = from_rpc_error(failure, "the ranker")
                    self.outcomes[error.code.name] += 1
                    self.unavailable += [time.monotonic()] * isinstance(error, Unavailable)
                    await asyncio.sleep(0.02)  # as a client that retries
                await asyncio.sleep(pause_s)

    def _request(self) -> ranker_pb2.RankRequest:
        names = [f"picture {next(self._numbers)}" for _ in range(3)]
        space_id = self._gallery.backbone.space_id
        pictures = [picture(name.encode(), name) for name in names[:2]]
        return ranker_pb2.RankRequest(
            candidates=[*pictures, feature(space_id, vector_of(names[2].encode()).tolist(), names[2])]
        )

    def _check(self, reply: ranker_pb2.RankResponse) -> None:
        head = reply.models[0]
        self.versions[head.version] += 1
        feature_ND = np.stack([vector_of(each.id.encode()) for each in reply.placements])
        scores = np.array([each.score for each in reply.placements])
        right = np.allclose(scores, expected_score(head.version, feature_ND), atol=1e-4)
        if not right or head.digest != self._gallery.heads[head.version - 1].digest or len(scores) != 3:
            self.mixed.append(str(reply))


def flip(gallery: Gallery, number: int) -> None:
    """Promote the second head at even numbers, roll back at odd ones."""
    if number % 2:
        gallery.store.aliases.rollback("artwork-head", "production")
    else:
        gallery.promote(gallery.heads[1])


def memory_mb(pid: int) -> float:
    """What a process has in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

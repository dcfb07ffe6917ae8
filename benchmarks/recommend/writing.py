"""How fast items go in, and what searches wait meanwhile."""

import asyncio
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from atelier.recommender.v1 import catalog_pb2

from benchmarks.calls import Target
from benchmarks.recommend.process import UPSERT, Serving
from benchmarks.recommend.workload import UPSERT_SIZE, Workload, numbers_of

WRITERS = 4
SEARCH_EVERY_S = 0.02


def write(serving: Serving, requests: list[bytes]) -> dict[str, float]:
    """Send upserts by four callers: vectors a second, p50 and longest call."""
    target = serving.target(tuple(requests), path=UPSERT, callers=WRITERS)
    begun = time.perf_counter()
    taken = asyncio.run(_send_all(target))
    seconds = time.perf_counter() - begun
    return {
        "vectors_a_second": round(len(requests) * UPSERT_SIZE / seconds, 1),
        "p50_ms": round(statistics.median(taken), 1),
        "worst_ms": round(max(taken), 1),
    }


def unsearchable(serving: Serving, workload: Workload, vector_ND: np.ndarray, first: int) -> int:
    """How many of some vectors, just acknowledged as items from `first` on, are not their nearest item."""
    some = np.linspace(0, len(vector_ND) - 1, 50).astype(int).tolist()
    replies = serving.replies(workload.by_vector(vector_ND[some]))
    return sum(
        bool(numbers_of(reply)[0] != first + number) for number, reply in zip(some, replies, strict=True)
    )


async def _send_all(target: Target) -> list[float]:
    taken: list[float] = []
    numbers = iter(range(len(target.requests)))
    async with grpc.aio.insecure_channel(target.address) as channel:

        async def writer() -> None:
            for number in numbers:
                begun = time.perf_counter()
                reply = catalog_pb2.UpsertItemsResponse.FromString(await target.call(channel, number))
                taken.append((time.perf_counter() - begun) * 1_000)
                for result in reply.results:
                    if result.HasField("error"):
                        raise RuntimeError(f"{result.item_id} was refused: {result.error.message}")

        await asyncio.gather(*(writer() for _ in range(target.callers)))
    return taken


@contextmanager
def searches_beside(serving: Serving, requests: tuple[bytes, ...]) -> Iterator[dict[str, Any]]:
    """Searches from a process of their own, 50 a second, until the block ends; then their times in the
    yielded dictionary."""
    figures: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        end = Path(folder) / "end"
        running = pool.submit(_search_until, serving.target(requests), end)
        while not end.with_name("begun").exists() and not running.done():
            time.sleep(0.02)
        try:
            yield figures
        finally:
            end.touch()
        taken = sorted(running.result())
        figures |= {
            "searches": len(taken),
            "p50_ms": round(statistics.median(taken), 2),
            "p99_ms": round(taken[len(taken) * 99 // 100], 2),
            "worst_ms": round(taken[-1], 1),
        }


def _search_until(target: Target, end: Path) -> list[float]:
    return asyncio.run(_search_paced(target, end))


async def _search_paced(target: Target, end: Path) -> list[float]:
    taken, rng = list[float](), random.Random(1)
    async with grpc.aio.insecure_channel(target.address) as channel:
        await target.call(channel, 0)
        _touch(end.with_name("begun"))
        while not _is_there(end):
            begun = time.perf_counter()
            await target.call(channel, rng.randrange(len(target.requests)))
            taken.append((time.perf_counter() - begun) * 1_000)
            await asyncio.sleep(max(0.0, SEARCH_EVERY_S - (time.perf_counter() - begun)))
    return taken


def _touch(path: Path) -> None:
    path.touch()


def _is_there(path: Path) -> bool:
    return path.exists()

"""The measured recommender: a store with a model of no content, a process, its memory, its state."""

import asyncio
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from atelier.recommender.v1 import index_pb2

from benchmarks.calls import METADATA, START_S, Target, started
from benchmarks.recommend.workload import DIMENSION
from benchmarks.ring import TOKEN, cpu_seconds
from model_store.store import Draft, ModelStore
from services.runtime.authorization import digest_token

RECOMMEND = "/atelier.recommender.v1.RecommenderService/Recommend"
UPSERT = "/atelier.recommender.v1.CatalogService/UpsertItems"
STATUS = "/atelier.recommender.v1.IndexService/GetStatus"
MODEL = "fashion-image"


def publish_model(folder: Path) -> str:
    """Publish a model whose graph nothing opens, and return the id of its space.

    The recommender reads of a lead only its manifest as long as it embeds nothing.
    """
    (folder / "draft").mkdir(parents=True)
    graph = folder / "draft" / "model.onnx"
    graph.write_bytes(b"a graph that no embedder opens")
    fields: dict[str, Any] = {
        "name": MODEL,
        "output": "vector_BD",
        "dimension": DIMENSION,
        "norm_range": (0.99, 1.01),
        "preprocessing": {"kind": "image", "height": 8, "width": 8},
        "pixel_path": 1,
        "provenance": {"created_at": datetime(2026, 1, 2, tzinfo=UTC), "source": "bench", "trained": False},
    }
    store = ModelStore.at(folder / "store")
    version = store.publish(
        Draft(manifest=fields, graph={"model.onnx": graph}, golden={}, payload={}), lambda *_: None
    )
    store.aliases.move(version.name, "production", version.number, version.digest)
    return version.space_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A recommender that answers. start_s: from its start to its first answer."""

    pid: int
    address: str
    start_s: float

    def target(self, requests: tuple[bytes, ...], *, path: str = RECOMMEND, callers: int = 1) -> Target:
        """Calls of one method by some callers."""
        return Target(
            address=self.address, path=path, requests=requests, processes=(self.pid,), callers=callers
        )

    def replies(self, requests: tuple[bytes, ...], path: str = RECOMMEND) -> list[bytes]:
        """The reply to each request, asked one after the other."""
        return asyncio.run(_replies(self.target(requests, path=path)))

    def status(self) -> Any:
        """GetStatus of the collection."""
        request = index_pb2.GetStatusRequest().SerializeToString()
        return index_pb2.GetStatusResponse.FromString(self.replies((request,), STATUS)[0])

    def settle(self, most_s: float = 300.0) -> float:
        """Wait until the process computes nothing and has no child, and return the seconds that it took."""
        begun = time.monotonic()
        while time.monotonic() - begun < most_s:
            before = cpu_seconds(self.pid)
            time.sleep(2)
            if cpu_seconds(self.pid) - before < 0.1 and not self._children():
                break
        return round(time.monotonic() - begun, 1)

    def _children(self) -> list[str]:
        tasks = Path(f"/proc/{self.pid}/task").glob("*/children")
        return [child for task in tasks for child in task.read_text().split()]

    def memory(self, vector_bytes: int) -> dict[str, float]:
        """Resident memory in MB: anonymous, of files; and the anonymous part as a multiple of the vectors."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        anonymous = kilobytes["Anonymous"] * 1024
        return {
            "anonymous_mb": round(anonymous / 1e6, 1),
            "of_files_mb": round(kilobytes["Rss"] * 1024 / 1e6 - anonymous / 1e6, 1),
            "anonymous_of_vectors": round(anonymous / vector_bytes, 3),
        }


@contextmanager
def recommender(folder: Path, root: Path, first: bytes = b"") -> Iterator[Serving]:
    """The recommender of the checkout `root` over `folder`, with telemetry, tokens and logs on.

    first: a request that must be answered before it counts as serving; empty: GetStatus with a space.
    """
    tokens = folder / "tokens"
    tokens.write_text(f"benchmark admin {digest_token(TOKEN)}\n")
    environment = {
        "ATELIER_STORE": str(folder / "store"),
        "ATELIER_CATALOGUE": str(folder / "catalogue"),
        "ATELIER_COLLECTIONS": f"fashion={MODEL}",
        "ATELIER_RECOMMENDER_PORT": "0",
        "ATELIER_RECOMMENDER_METRICS_PORT": "0",
        "ATELIER_EMBEDDER_ADDRESS": "127.0.0.1:1",  # where nothing listens
        "ATELIER_TOKENS_FILE": str(tokens),
        "ATELIER_PEER_TOKEN": TOKEN,
    }
    begun = time.perf_counter()
    with started(["-m", "services.recommender"], folder / "recommender.json", root, environment) as (
        pid,
        address,
    ):
        asyncio.run(_await_answer(address, first))
        yield Serving(pid=pid, address=address, start_s=round(time.perf_counter() - begun, 2))


def remove_index(folder: Path) -> None:
    """Remove the files of the index, so that the next start has the catalog alone."""
    shutil.rmtree(folder / "catalogue" / "index", ignore_errors=True)


async def _replies(target: Target) -> list[bytes]:
    async with grpc.aio.insecure_channel(target.address) as channel:
        return [await target.call(channel, number) for number in range(len(target.requests))]


async def _await_answer(address: str, first: bytes) -> None:
    end = time.monotonic() + START_S
    path = RECOMMEND if first else STATUS
    status = index_pb2.GetStatusRequest().SerializeToString()
    async with grpc.aio.insecure_channel(address) as channel:
        while True:
            try:
                method: Any = channel.unary_unary(path)  # type: ignore[call-arg]  # bytes as they are
                reply = await method(first or status, metadata=METADATA, timeout=START_S)
                if first or index_pb2.GetStatusResponse.FromString(reply).space_id:
                    return
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND):
                    raise
            if time.monotonic() > end:
                raise TimeoutError(f"the recommender at {address} did not serve in {START_S:.0f} s")
            await asyncio.sleep(0.02)

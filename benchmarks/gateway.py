"""What the gateway costs a caller: `python -m benchmarks.gateway`

A recommender with 100,000 × 512 items and a gateway before it, each in a process of its own, with tokens and
logs. `Recommend` by item is asked over gRPC and as `POST /api/recommend`, in turns within each round: by one
caller, and by 16 over as many connections. The gateway adds the difference of the medians of one caller; its
share is that of the calls a second at 16. Also a static file of the page, as far as HTTP itself goes.
"""

import argparse
import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atelier.recommender.v1 import recommender_pb2

from benchmarks.calls import CALLERS, METADATA, Target, alternate, started
from benchmarks.recommend.process import UPSERT, Serving, publish_model, recommender
from benchmarks.recommend.workload import Workload
from benchmarks.report import Figures, run

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget(Target):
    """Whole HTTP requests over connections that stay open, read as far as a caller must."""

    pool: list[Connection] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def channel(self) -> AsyncIterator["asyncio.Queue[Connection]"]:
        """Connections, one a caller."""
        host, _, port = self.address.rpartition(":")
        free: asyncio.Queue[Connection] = asyncio.Queue()
        opened = [await asyncio.open_connection(host, int(port)) for _ in range(self.callers)]
        for connection in opened:
            free.put_nowait(connection)
        try:
            yield free
        finally:
            for _, writer in opened:
                writer.close()

    async def call(self, channel: "asyncio.Queue[Connection]", number: int) -> bytes:
        """The body of the answer to the request of this number."""
        connection = channel.get_nowait()
        reader, writer = connection
        writer.write(self.requests[number % len(self.requests)])
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the gateway answered {head[:20]!r} {body[:300]!r}")
        channel.put_nowait(connection)
        return body


def measure(options: argparse.Namespace) -> Figures:
    """The figures of both ways in turn."""
    count = 10_000 if options.quick else 100_000
    rounds, seconds = (3, 1.0) if options.quick else (5, 3.0)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        workload = Workload(count, publish_model(folder))
        with recommender(folder, Path.cwd()) as serving:
            serving.replies(tuple(workload.upserts(workload.vectors)), path=UPSERT)
            serving.settle()
            environment = {
                "ATELIER_STORE": str(folder / "store"),
                "ATELIER_RECOMMENDER_ADDRESS": serving.address,
                "ATELIER_TOKENS_FILE": str(folder / "tokens"),
                "ATELIER_GATEWAY_PORT": "0",
                "ATELIER_GATEWAY_METRICS_PORT": "-1",
            }
            command = ["-m", "services.gateway"]
            with started(command, folder / "gateway.json", Path.cwd(), environment) as (pid, address):
                targets = _targets(serving, workload, pid, address)
                figures: dict[str, Any] = dict(alternate(targets, rounds, seconds))
    figures["items"] = count
    figures["added_ms"] = round(figures["http"]["p50_ms"] - figures["grpc"]["p50_ms"], 3)
    rates = figures["http_16"]["calls_a_second"], figures["grpc_16"]["calls_a_second"]
    figures["share_of_grpc"] = round(rates[0] / rates[1], 3)
    return figures


def _targets(serving: Serving, workload: Workload, pid: int, address: str) -> dict[str, Target]:
    """The same queries over gRPC and over HTTP, by one caller and by 16, and a file of the page."""
    grpc_16 = serving.target(workload.by_item(), callers=CALLERS)
    over_http = [http_request("POST", "/api/recommend", as_json(each)) for each in grpc_16.requests]
    http_16 = HttpTarget(address=address, path="", requests=tuple(over_http), processes=(pid, serving.pid))
    return {
        "grpc": serving.target(workload.by_item()),
        "http": alone(http_16),
        "page": alone(http_16, (http_request("GET", "/page/app.js", b""),)),
        "grpc_16": grpc_16,
        "http_16": http_16,
    }


def alone(target: HttpTarget, requests: tuple[bytes, ...] = ()) -> HttpTarget:
    """The same by one caller, with its own requests if there are any."""
    return HttpTarget(
        address=target.address,
        path=target.path,
        requests=requests or target.requests,
        processes=target.processes,
        callers=1,
    )


def as_json(request: bytes) -> bytes:
    """The body of the route for a query by item."""
    message = recommender_pb2.RecommendRequest.FromString(request)
    query = {"item_id": message.items.item_ids[0]}
    return json.dumps({"query": query, "item_count": message.item_count or 10}).encode()


def http_request(method: str, path: str, body: bytes) -> bytes:
    """A whole request, with the token of benchmarks."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "host: localhost",
        "content-type: application/json",
        f"authorization: {METADATA[0][1]}",
        f"content-length: {len(body)}",
    ]
    return "\r\n".join((*lines, "", "")).encode() + body


if __name__ == "__main__":
    run("gateway", __doc__ or "", measure)

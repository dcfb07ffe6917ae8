"""A ranker without models in its own process, to measure its memory: `attacked.py SETTINGS OPEN_FILES`,
0 for no limit.

Its `Rank` answers once the file `open` beside its ready file exists, for a call with candidates.
"""

import asyncio
import contextlib
import json
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc

from services.runtime.server import ServerContext, Service, run_service
from services.runtime.settings import ServiceSettings


class Ranker(ranker_pb2_grpc.RankerServiceServicer):
    def __init__(self, opened: Path) -> None:
        self._opened = opened

    async def Rank(self, request: Any, context: Any) -> Any:
        while request.candidates and not self._opened.exists():  # noqa: ASYNC110 - a file has no event to wait for
            await asyncio.sleep(0.01)
        return ranker_pb2.RankResponse()

    async def RankStream(self, requests: Any, context: Any) -> Any:
        async for _ in requests:
            pass
        return ranker_pb2.RankStreamResponse()


def main() -> int:
    if open_files := int(sys.argv[2]):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, hard))
    settings = ServiceSettings(**json.loads(sys.argv[1]))
    assert settings.ready_file is not None

    @contextlib.asynccontextmanager
    async def build(context: ServerContext) -> AsyncIterator[None]:
        descriptor = ranker_pb2.DESCRIPTOR.services_by_name["RankerService"]
        ranker = Ranker(settings.ready_file.with_name("open"))
        context.add(descriptor, ranker_pb2_grpc.add_RankerServiceServicer_to_server, ranker)
        await context.set_serving(True)
        yield

    return run_service(settings, Service(name="ranker", build=build, port=0, metrics_port=0))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m services.ranker`: store, embedder, followed head and servicer, put together and served."""

import asyncio
import sys
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc

from inference.release import ReleaseKeeper
from inference.runtimes.device import SessionSettings
from model_store.store import ModelStore
from services.client.embedder import AsyncEmbedderClient
from services.ranker.models import ModelPreparation, RankerModels
from services.ranker.servicer import RankerServicer
from services.ranker.settings import RankerSettings
from services.ranker.wire import ERRORS
from services.runtime.release_metrics import ReleaseCollector
from services.runtime.server import ServerContext, Service, run_service
from services.runtime.settings import read_settings

_COMPUTE_THREADS: Final = 2  # a head's run is short: one for it, one for reading large messages


def main() -> int:
    """Serve until a signal ends it; the process's exit code: 0 after a drain, 1 if the port is in use."""
    settings = read_settings(RankerSettings)
    return run_service(settings, ranker_service(settings))


def ranker_service(settings: RankerSettings) -> Service:
    """The ranker, built when it is started."""
    return Service(
        name="ranker",
        build=partial(_build, settings),
        port=settings.ranker_port,
        metrics_port=settings.ranker_metrics_port,
        errors=ERRORS,
    )


@asynccontextmanager
async def _build(settings: RankerSettings, server: ServerContext) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        loading = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="load"))
        compute = stack.enter_context(ThreadPoolExecutor(_COMPUTE_THREADS, thread_name_prefix="judge"))
        embedder = AsyncEmbedderClient(
            settings.embedder_address, security=settings.client_security(), hops=server.hops
        )
        stack.push_async_callback(embedder.close)
        preparation, keeper = _following(settings, embedder, loading)
        stack.push_async_callback(keeper.close)
        server.registry.register(ReleaseCollector(lambda: {settings.ranker_model: keeper.status}))
        server.add(
            ranker_pb2.DESCRIPTOR.services_by_name["RankerService"],
            ranker_pb2_grpc.add_RankerServiceServicer_to_server,
            RankerServicer(keeper, embedder, compute, settings, server.registry),
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        following = tasks.create_task(keeper.run())
        serving = tasks.create_task(_serve(server, keeper, preparation, settings.keep_alive_s))
        yield
        following.cancel()
        serving.cancel()


def _following(
    settings: RankerSettings, embedder: AsyncEmbedderClient, loading: Executor
) -> tuple[ModelPreparation, ReleaseKeeper[RankerModels]]:
    store = ModelStore.at(settings.store)
    preparation = ModelPreparation(
        store,
        embedder,
        loading,
        session=SessionSettings(provider=settings.head_provider, threads=settings.head_threads),
        stamps=settings.cache / "stamps",
        recent_bytes=settings.ranker_recent_bytes,
    )
    name, alias = settings.ranker_model, settings.ranker_alias
    return preparation, ReleaseKeeper(
        store, name, alias, preparation.prepare, preparation.retire, settings.poll_s, falls_back=True
    )


async def _serve(
    server: ServerContext,
    keeper: ReleaseKeeper[RankerModels],
    preparation: ModelPreparation,
    keep_alive_s: float,
) -> None:
    """SERVING from the first release on, whose backbone is then kept in the embedder's memory."""
    await keeper.wait_first()
    await server.set_serving(True)
    await preparation.keep_alive(keeper, keep_alive_s)


if __name__ == "__main__":
    sys.exit(main())

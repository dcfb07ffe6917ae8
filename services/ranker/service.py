"""The ranker put together: store, embedder, followed head, servicer."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc

from inference.release import ReleaseKeeper
from inference.session import SessionSettings
from model_store.store import ModelStore
from services.client.embedder import AsyncEmbedderClient
from services.ranker.metrics import RankerMetrics
from services.ranker.models import Models, Preparation, keep_alive
from services.ranker.servicer import RankerServicer
from services.ranker.settings import RankerSettings
from services.ranker.wire import ERRORS
from services.runtime.release_metrics import ReleaseCollector
from services.runtime.server import ServerContext, Service

_COMPUTE_THREADS: Final = 2  # a head's run is short: one for it, one for reading large messages


def ranker_service(settings: RankerSettings) -> Service:
    """What the ranker's process serves."""

    @asynccontextmanager
    async def build(server: ServerContext) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            loading = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="load"))
            compute = stack.enter_context(ThreadPoolExecutor(_COMPUTE_THREADS, thread_name_prefix="judge"))
            embedder = AsyncEmbedderClient(
                settings.embedder_address, security=settings.client_security(), hops=server.hops
            )
            stack.push_async_callback(embedder.close)
            keeper = _keeper(settings, embedder, loading)
            server.registry.register(ReleaseCollector(lambda: {settings.ranker_model: keeper.status}))
            stack.push_async_callback(keeper.close)
            server.add(
                ranker_pb2.DESCRIPTOR.services_by_name["RankerService"],
                ranker_pb2_grpc.add_RankerServiceServicer_to_server,
                RankerServicer(keeper, compute, settings, RankerMetrics(server.registry)),
            )
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            following = tasks.create_task(keeper.run())
            serving = tasks.create_task(_follow(server, keeper, settings.keep_alive_s))
            yield
            following.cancel()
            serving.cancel()

    return Service(
        name="ranker",
        build=build,
        port=settings.ranker_port,
        metrics_port=settings.ranker_metrics_port,
        errors=ERRORS,
    )


async def _follow(server: ServerContext, keeper: ReleaseKeeper[Models], keep_alive_s: float) -> None:
    """SERVING from the first release on, whose backbone is then kept in the embedder's memory."""
    await keeper.wait_first()
    await server.set_serving(True)
    await keep_alive(keeper, keep_alive_s)


def _keeper(
    settings: RankerSettings, embedder: AsyncEmbedderClient, loading: ThreadPoolExecutor
) -> ReleaseKeeper[Models]:
    store = ModelStore.at(settings.store)
    preparation = Preparation(
        store,
        embedder,
        loading,
        session=SessionSettings(provider=settings.head_provider, threads=settings.head_threads),
        stamps=settings.cache / "stamps",
    )
    return ReleaseKeeper(
        store,
        settings.ranker_model,
        settings.ranker_alias,
        preparation.prepare,
        preparation.retire,
        settings.poll_s,
    )

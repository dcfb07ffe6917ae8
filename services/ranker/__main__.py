"""`python -m services.ranker`: store, embedder, followed head and servicer, put together and served."""

import asyncio
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc

from inference.release import ReleaseKeeper
from inference.session import SessionSettings
from model_store.store import ModelStore
from services.client.embedder import AsyncEmbedderClient
from services.client.pinned_models import PinnedModels
from services.ranker.models import ModelPreparation
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

    @asynccontextmanager
    async def build(server: ServerContext) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            loading = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="load"))
            compute = stack.enter_context(ThreadPoolExecutor(_COMPUTE_THREADS, thread_name_prefix="judge"))
            embedder = AsyncEmbedderClient(
                settings.embedder_address, security=settings.client_security(), hops=server.hops
            )
            stack.push_async_callback(embedder.close)
            store, pinned = ModelStore.at(settings.store), PinnedModels(embedder)
            preparation = ModelPreparation(
                store,
                pinned,
                loading,
                session=SessionSettings(provider=settings.head_provider, threads=settings.head_threads),
                stamps=settings.cache / "stamps",
            )
            keeper = ReleaseKeeper(
                store,
                settings.ranker_model,
                settings.ranker_alias,
                preparation.prepare,
                preparation.retire,
                settings.poll_s,
            )
            stack.push_async_callback(keeper.close)
            server.registry.register(ReleaseCollector(lambda: {settings.ranker_model: keeper.status}))
            server.add(
                ranker_pb2.DESCRIPTOR.services_by_name["RankerService"],
                ranker_pb2_grpc.add_RankerServiceServicer_to_server,
                RankerServicer(keeper, pinned, compute, settings, server.registry),
            )

            async def serve() -> None:
                await keeper.wait_first()
                await server.set_serving(True)
                await preparation.keep_alive(keeper, settings.keep_alive_s)

            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            running = [tasks.create_task(keeper.run()), tasks.create_task(serve())]
            yield
            for task in running:
                task.cancel()

    return Service(
        name="ranker",
        build=build,
        port=settings.ranker_port,
        metrics_port=settings.ranker_metrics_port,
        errors=ERRORS,
    )


if __name__ == "__main__":
    sys.exit(main())

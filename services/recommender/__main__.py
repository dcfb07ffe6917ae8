"""`python -m services.recommender`: catalog, embedder, collections and servicers, put together and served."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Final

from atelier.recommender.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    index_pb2,
    index_pb2_grpc,
    insight_pb2,
    insight_pb2_grpc,
    recommender_pb2,
    recommender_pb2_grpc,
)

from model_store.store import ModelStore
from services.client.embedder import AsyncEmbedderClient
from services.recommender.catalog.store import Catalog
from services.recommender.errors import ERRORS, CatalogError
from services.recommender.executors import Executors
from services.recommender.insight.feedback import FeedbackQueue, FeedbackStore
from services.recommender.insight.kpis import AnswerFigures
from services.recommender.insight.recall import RecallSampler
from services.recommender.metrics import register_metrics
from services.recommender.recommend.effort import EffortTable
from services.recommender.recommend.recent import RecentQueries
from services.recommender.recommend.retrieval import Retriever
from services.recommender.release.collection import Collection, Collections
from services.recommender.servicers.catalog import CatalogServicer
from services.recommender.servicers.index import IndexServicer
from services.recommender.servicers.insight import InsightServicer
from services.recommender.servicers.recommend import RecommenderServicer
from services.recommender.settings import RecommenderSettings
from services.recommender.upsert import CatalogWriter
from services.runtime.server import ServerContext, Service, run_service
from services.runtime.settings import read_settings
from services.runtime.telemetry import configure_logging

TIDY_EVERY_S: Final = 60.0
# A thread that writes keeps the interpreter for so long while the event loop waits; by default 5 ms.
SWITCH_S: Final = 0.0005

log = logging.getLogger("services.recommender")


def main() -> int:
    """Serve until a signal; returns the exit code, 1 if the catalog cannot be opened."""
    settings = read_settings(RecommenderSettings)
    configure_logging("recommender", settings.log_level)
    try:
        catalog = Catalog(settings.catalogue)
    except (CatalogError, OSError) as error:
        log.critical("the catalog cannot be opened", extra={"reason": str(error)})
        return 1
    try:
        return run_service(settings, recommender_service(settings, catalog))
    finally:
        catalog.close()


def recommender_service(settings: RecommenderSettings, catalog: Catalog) -> Service:
    """The service of a process that holds `catalog`."""

    @asynccontextmanager
    async def build(server: ServerContext) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(sys.setswitchinterval, sys.getswitchinterval())
            sys.setswitchinterval(SWITCH_S)
            executors = Executors()
            stack.callback(executors.close)
            collections, sampler = await _start(server, settings, catalog, executors, stack)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            running = [tasks.create_task(collection.run()) for collection in collections]
            running += [tasks.create_task(_report_health(server, collections, settings.poll_s))]
            running += [tasks.create_task(_keep_prepared(collections, settings.prepare_every_s))]
            running += [tasks.create_task(sampler.run(collections, settings.recall_every_s))]
            running += [tasks.create_task(_tidy(catalog, executors, settings.log_retention))]
            yield
            for task in running:
                task.cancel()

    return Service(
        name="recommender",
        build=build,
        port=settings.recommender_port,
        metrics_port=settings.recommender_metrics_port,
        errors=ERRORS,
    )


async def _start(
    server: ServerContext,
    settings: RecommenderSettings,
    catalog: Catalog,
    executors: Executors,
    stack: AsyncExitStack,
) -> tuple[Collections, RecallSampler]:
    """The collections, serving what they served before, and what measures them; `stack` closes what they
    need."""
    embedder = AsyncEmbedderClient(
        settings.embedder_address, security=settings.client_security(), hops=server.hops
    )
    stack.push_async_callback(embedder.close)
    collections = _collections(settings, catalog, executors, embedder)
    await _restore(collections, stack)
    recent, efforts = RecentQueries(), EffortTable()
    sampler = RecallSampler(recent, efforts, executors, settings.recall_floor)
    register_metrics(server.registry, catalog, settings.catalogue, collections, sampler)
    retriever = Retriever(executors, embedder, efforts, recent)
    answers = {collection.name: AnswerFigures() for collection in collections}
    writer = CatalogWriter(catalog, executors, embedder)
    server.add(
        recommender_pb2.DESCRIPTOR.services_by_name["RecommenderService"],
        recommender_pb2_grpc.add_RecommenderServiceServicer_to_server,
        RecommenderServicer(collections, retriever, embedder, executors, settings, answers),
    )
    server.add(
        catalog_pb2.DESCRIPTOR.services_by_name["CatalogService"],
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server,
        CatalogServicer(collections, catalog, writer, executors, settings),
    )
    server.add(
        index_pb2.DESCRIPTOR.services_by_name["IndexService"],
        index_pb2_grpc.add_IndexServiceServicer_to_server,
        IndexServicer(collections, catalog, executors, sampler),
    )
    kept_days = settings.feedback_retention.days
    feedback = FeedbackQueue(FeedbackStore(settings.catalogue), kept_days)
    stack.push_async_callback(feedback.close)
    server.add(
        insight_pb2.DESCRIPTOR.services_by_name["InsightService"],
        insight_pb2_grpc.add_InsightServiceServicer_to_server,
        InsightServicer(collections, feedback, answers, executors, kept_days),
    )
    return collections, sampler


def _collections(
    settings: RecommenderSettings, catalog: Catalog, executors: Executors, embedder: AsyncEmbedderClient
) -> Collections:
    store = ModelStore.at(settings.store)
    return Collections(
        {
            name: Collection(
                name,
                leads,
                store=store,
                catalog=catalog,
                executors=executors,
                embedder=embedder,
                indexes=settings.catalogue / "index",
                poll_s=settings.poll_s,
                keep_previous=settings.keep_previous,
            )
            for name, leads in settings.collections.items()
        }
    )


async def _restore(collections: Collections, stack: AsyncExitStack) -> None:
    for collection in collections:
        stack.push_async_callback(collection.close)
        await collection.start()


async def _report_health(server: ServerContext, collections: Collections, every_s: float) -> None:
    """SERVING while some collection has a release; the embedder's absence changes nothing."""
    while True:
        # Set again and again: the server forgets what was set before it listened.
        await server.set_serving(any(collection.present is not None for collection in collections))
        await asyncio.sleep(min(every_s, 0.1))


async def _keep_prepared(collections: Collections, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        for collection in collections:
            await collection.keep_prepared()


async def _tidy(catalog: Catalog, executors: Executors, retention: timedelta) -> None:
    """Remove pictures that no item shows any more, and entries of the log that are too old."""
    while True:
        await asyncio.sleep(TIDY_EVERY_S)
        try:
            await executors.store(catalog.collect_pictures)
            await executors.write(lambda: catalog.prune_log(retention.total_seconds()))
        except (CatalogError, OSError):
            log.exception("the catalog was not tidied")


if __name__ == "__main__":
    sys.exit(main())

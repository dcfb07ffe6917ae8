"""IndexService: the state of a collection's index, and its rebuild."""
# ruff: noqa: ARG002, N802  # gRPC names the methods and what they are given

import time
from typing import Any

from atelier.recommender.v1 import index_pb2, index_pb2_grpc

from services.recommender.catalog.store import Catalog
from services.recommender.executors import Executors
from services.recommender.insight.recall import MeasuredRecall, RecallSampler
from services.recommender.release.collection import Collections


class IndexServicer(index_pb2_grpc.IndexServiceServicer):
    """Reports on and rebuilds the index of every collection."""

    def __init__(
        self, collections: Collections, catalog: Catalog, executors: Executors, sampler: RecallSampler
    ) -> None:
        self._collections = collections
        self._catalog = catalog
        self._executors = executors
        self._sampler = sampler

    async def GetStatus(
        self, request: index_pb2.GetStatusRequest, context: Any
    ) -> index_pb2.GetStatusResponse:
        """What the index of a collection holds, and an upgrade in progress."""
        collection = self._collections.named(request.collection)
        release = collection.present
        _, bare = await self._executors.read(lambda: self._catalog.counts(collection.name))
        reply = index_pb2.GetStatusResponse(
            collection=collection.name,
            vector_only_count=bare,
            detail="; ".join(filter(None, (collection.detail, self._sampler.detail(collection.name)))),
            recalls=map(_recall, self._sampler.measured(collection.name)),
            blocking_item_ids=collection.blocking_ids,
        )
        if collection.progress is not None:
            reply.upgrade_done_count = collection.progress.done
            reply.upgrade_left_count = collection.progress.left
        if release is None:
            return reply
        view = release.index.view()
        counts = view.counts
        reply.space_id = release.models.space_id
        reply.dimension = release.models.dimension
        reply.live_count = counts.live
        reply.segment_rows = counts.segment
        reply.delta_rows = counts.delta
        reply.dead_rows = counts.dead
        reply.catalogue_revision = view.revision
        reply.generation = view.attached.generation
        return reply

    async def Rebuild(self, request: index_pb2.RebuildRequest, context: Any) -> index_pb2.RebuildResponse:
        """Build the index of a collection from the catalog; the present one serves meanwhile."""
        collection = self._collections.named(request.collection)
        started = time.perf_counter()
        with collection.hold() as release:
            live = await self._executors.build(release.index.rebuild)
        return index_pb2.RebuildResponse(
            live_count=live, build_ms=round((time.perf_counter() - started) * 1_000)
        )

    async def DropBlockingItems(
        self, request: index_pb2.DropBlockingItemsRequest, context: Any
    ) -> index_pb2.DropBlockingItemsResponse:
        """Delete the bare vectors that an upgrade waits for."""
        collection = self._collections.named(request.collection)
        changes = await collection.drop_blocking()
        return index_pb2.DropBlockingItemsResponse(
            deleted_count=sum(len(change.removed) for change in changes),
            catalogue_revision=changes[-1].revision if changes else 0,
        )


def _recall(measured: MeasuredRecall) -> index_pb2.MeasuredRecall:
    return index_pb2.MeasuredRecall(
        query_kind=f"QUERY_KIND_{measured.kind.name}",
        item_share=measured.selectivity.value,
        recall=measured.recall,
        query_count=measured.sample_count,
        ef=measured.effort.ef,
        is_exact=measured.effort.exact,
    )

"""IndexService: the state of a collection's index, and building it anew."""
# ruff: noqa: ARG002, N802  # gRPC names the methods and what they are given

import time
from typing import Any

from atelier.recommender.v1 import index_pb2, index_pb2_grpc

from services.recommender import wire
from services.recommender.catalog.store import Catalog
from services.recommender.collections import Collections
from services.recommender.executors import Executors


class IndexServicer(index_pb2_grpc.IndexServiceServicer):
    """Tells of the index of every collection."""

    def __init__(self, collections: Collections, catalog: Catalog, executors: Executors) -> None:
        self._collections = collections
        self._catalog = catalog
        self._executors = executors

    async def GetStatus(
        self, request: index_pb2.GetStatusRequest, context: Any
    ) -> index_pb2.GetStatusResponse:
        """What the index of a collection holds, and what is going on."""
        collection = self._collections.named(request.collection)
        serving = collection.present
        _, bare = await self._executors.read(lambda: self._catalog.counts(collection.name))
        known = {"collection": collection.name, "vector_only_count": bare, "detail": collection.detail}
        if serving is None:
            return wire.index_status(**known)
        view = serving.index.view()
        counts = view.counts
        return wire.index_status(
            **known,
            space_id=serving.models.space_id,
            dimension=serving.models.dimension,
            live_count=counts.live,
            segment_rows=counts.segment,
            delta_rows=counts.delta,
            dead_rows=counts.dead,
            catalogue_revision=view.revision,
        )

    async def Rebuild(self, request: index_pb2.RebuildRequest, context: Any) -> index_pb2.RebuildResponse:
        """Build the index of a collection from the catalog; the present one serves meanwhile."""
        collection = self._collections.named(request.collection)
        started = time.perf_counter()
        with collection.hold() as serving:
            live = await self._executors.build(serving.index.rebuild)
        return index_pb2.RebuildResponse(
            live_count=live, build_ms=round((time.perf_counter() - started) * 1_000)
        )

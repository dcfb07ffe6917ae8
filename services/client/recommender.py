"""Client of the recommender: recommendations, the catalog, its index, and what customers did."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from atelier.recommender.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    index_pb2,
    index_pb2_grpc,
    insight_pb2,
    insight_pb2_grpc,
    recommender_pb2,
    recommender_pb2_grpc,
    resources_pb2,
)
from atelier.types.v1 import types_pb2

from services.client.channel import DEADLINE_S, BlockingClient
from services.client.chunks import chunked, is_beyond_bounds
from services.client.errors import check_some
from services.runtime.errors import ServiceError
from services.runtime.security import INSECURE, ClientSecurity

FASHION: Final = "fashion"
UPSERT_S: Final = 600.0
REBUILD_S: Final = 3_600.0
PAGE_SIZE: Final = 100
DELETED_AT_ONCE: Final = 1_000
EVENTS_AT_ONCE: Final = 1_000


class RecommenderClient(BlockingClient):
    """The blocking client of a person or program; it retries UNAVAILABLE."""

    def __init__(self, address: str, *, security: ClientSecurity = INSECURE) -> None:
        stub = recommender_pb2_grpc.RecommenderServiceStub
        super().__init__(address, "recommender", security, stub, recommender_pb2.GetLimitsRequest())
        channel = self._connection.channel
        self._catalog: Any = catalog_pb2_grpc.CatalogServiceStub(channel)  # type: ignore[no-untyped-call]
        self._insight: Any = insight_pb2_grpc.InsightServiceStub(channel)  # type: ignore[no-untyped-call]
        self._index: Any = index_pb2_grpc.IndexServiceStub(channel)  # type: ignore[no-untyped-call]

    def recommend(
        self, request: recommender_pb2.RecommendRequest, *, deadline_s: float = DEADLINE_S
    ) -> recommender_pb2.RecommendResponse:
        """The nearest items to the request's query and examples. Raises ServiceError."""
        return self._call(self._stub.Recommend, request, deadline_s)

    def batch_recommend(
        self, request: recommender_pb2.BatchRecommendRequest, *, deadline_s: float = DEADLINE_S
    ) -> recommender_pb2.BatchRecommendResponse:
        """A result for each request, from one state of the collection. Raises ServiceError."""
        return self._call(self._stub.BatchRecommend, request, deadline_s)

    def recommend_from_bestsellers(
        self, request: recommender_pb2.RecommendFromBestsellersRequest, *, deadline_s: float = DEADLINE_S
    ) -> recommender_pb2.RecommendFromBestsellersResponse:
        """The new products nearest to the bestsellers. Raises ServiceError."""
        return self._call(self._stub.RecommendFromBestsellers, request, deadline_s)

    def find_records(
        self, request: recommender_pb2.FindRecordsRequest, *, deadline_s: float = DEADLINE_S
    ) -> recommender_pb2.FindRecordsResponse:
        """The attribute records nearest to a picture. Raises ServiceError."""
        return self._call(self._stub.FindRecords, request, deadline_s)

    def record_feedback(
        self,
        events: Sequence[insight_pb2.FeedbackEvent],
        *,
        collection: str = FASHION,
        deadline_s: float = DEADLINE_S,
    ) -> int:
        """How many events are new; all are durable, also those of messages before a failure.

        Raises ServiceError.
        """
        end, recorded = time.monotonic() + deadline_s, 0
        for start in range(0, len(events), EVENTS_AT_ONCE):
            request = insight_pb2.RecordFeedbackRequest(
                collection=collection, events=events[start : start + EVENTS_AT_ONCE]
            )
            reply = self._call(self._insight.RecordFeedback, request, end - time.monotonic())
            recorded += reply.recorded_count
        return recorded

    def get_trends(
        self, request: insight_pb2.GetTrendsRequest, *, deadline_s: float = DEADLINE_S
    ) -> insight_pb2.GetTrendsResponse:
        """How the values of fields do over time. Raises ServiceError."""
        return self._call(self._insight.GetTrends, request, deadline_s)

    def get_centrality(
        self, request: insight_pb2.GetCentralityRequest, *, deadline_s: float = DEADLINE_S
    ) -> insight_pb2.GetCentralityResponse:
        """How near items are to the mean of all. Raises ServiceError."""
        return self._call(self._insight.GetCentrality, request, deadline_s)

    def get_kpis(
        self, *, collection: str = FASHION, days: int = 0, deadline_s: float = DEADLINE_S
    ) -> insight_pb2.GetKpisResponse:
        """Figures of the quality of answers; 0 days stand for the service's default. Raises ServiceError."""
        request = insight_pb2.GetKpisRequest(collection=collection, days=days)
        return self._call(self._insight.GetKpis, request, deadline_s)

    def upsert_items(
        self,
        items: Iterable[catalog_pb2.UpsertItem],
        *,
        collection: str = FASHION,
        deadline_s: float = UPSERT_S,
    ) -> catalog_pb2.UpsertItemsResponse:
        """One result an item, in order, sent in messages of what the service accepts (`GetLimits`).

        Raises ServiceError: if every item failed, or if a message failed as a whole. The messages before it
        are durable; upserting the same items again does not change them.
        """
        end, whole = time.monotonic() + deadline_s, catalog_pb2.UpsertItemsResponse()
        for chunk in chunked(items, *self._bounds(end)):
            for part in self._upsert(chunk, collection, end):
                _add(part, whole)
        return _check_some(whole)

    def delete_items(
        self, item_ids: Sequence[str], *, collection: str = FASHION, deadline_s: float = DEADLINE_S
    ) -> int:
        """How many items were deleted; absent items do not count. Raises ServiceError."""
        end, deleted = time.monotonic() + deadline_s, 0
        for start in range(0, len(item_ids), DELETED_AT_ONCE):
            request = catalog_pb2.DeleteItemsRequest(
                collection=collection, item_ids=item_ids[start : start + DELETED_AT_ONCE]
            )
            deleted += self._call(self._catalog.DeleteItems, request, end - time.monotonic()).deleted_count
        return deleted

    def get_item(
        self,
        item_id: str,
        *,
        collection: str = FASHION,
        include_picture: bool = False,
        include_vector: bool = False,
        deadline_s: float = DEADLINE_S,
    ) -> catalog_pb2.GetItemResponse:
        """One item, with its picture and its vector if asked for. Raises NotFound."""
        request = catalog_pb2.GetItemRequest(
            collection=collection,
            item_id=item_id,
            include_picture=include_picture,
            include_vector=include_vector,
        )
        return self._call(self._catalog.GetItem, request, deadline_s)

    def list_items(
        self, *, collection: str = FASHION, page_size: int = PAGE_SIZE, deadline_s: float = DEADLINE_S
    ) -> Iterator[resources_pb2.Item]:
        """Every item in the order of identifiers; `deadline_s` is for each page. Raises ServiceError."""
        request = catalog_pb2.ListItemsRequest(collection=collection, page_size=page_size)
        while True:
            reply = self._call(self._catalog.ListItems, request, deadline_s)
            yield from reply.items
            if not reply.next_page_token:
                return
            request.page_token = reply.next_page_token

    def get_status(
        self, *, collection: str = FASHION, deadline_s: float = DEADLINE_S
    ) -> index_pb2.GetStatusResponse:
        """The state of a collection's index. Raises ServiceError."""
        request = index_pb2.GetStatusRequest(collection=collection)
        return self._call(self._index.GetStatus, request, deadline_s)

    def rebuild(
        self, *, collection: str = FASHION, deadline_s: float = REBUILD_S
    ) -> index_pb2.RebuildResponse:
        """The outcome of building a collection's index anew. Raises ServiceError."""
        request = index_pb2.RebuildRequest(collection=collection)
        return self._call(self._index.Rebuild, request, deadline_s)

    def drop_blocking_items(
        self, *, collection: str = FASHION, deadline_s: float = REBUILD_S
    ) -> index_pb2.DropBlockingItemsResponse:
        """The outcome of deleting the bare vectors that an upgrade waits for. Raises ServiceError."""
        request = index_pb2.DropBlockingItemsRequest(collection=collection)
        return self._call(self._index.DropBlockingItems, request, deadline_s)

    def list_models(self, *, deadline_s: float = DEADLINE_S) -> recommender_pb2.ListModelsResponse:
        """The followed leads and the models that they pin. Raises ServiceError."""
        return self._call(self._stub.ListModels, recommender_pb2.ListModelsRequest(), deadline_s)

    def _upsert(
        self, items: Sequence[catalog_pb2.UpsertItem], collection: str, end: float
    ) -> Iterator[catalog_pb2.UpsertItemsResponse]:
        """The replies for the items of a message: one, or one for each part that a failed call left over."""
        request = catalog_pb2.UpsertItemsRequest(collection=collection, items=items)
        try:
            yield self._call(self._catalog.UpsertItems, request, end - time.monotonic())
            return
        except ServiceError as error:
            known = error.item_errors  # as many as fitted into the error
            rest = list(chunked(items[len(known) :], *self._bounds(end, anew=is_beyond_bounds(error))))
            if not known and len(rest) < 2:
                raise
        yield catalog_pb2.UpsertItemsResponse(
            results=[
                catalog_pb2.UpsertItemResult(item_id=item.item_id, error=failure.status)
                for item, failure in zip(items, known, strict=False)
            ]
        )
        for part in rest:
            yield from self._upsert(part, collection, end)


def _add(part: catalog_pb2.UpsertItemsResponse, whole: catalog_pb2.UpsertItemsResponse) -> None:
    offset = len(whole.results)
    whole.results.extend(part.results)
    for position in range(offset, len(whole.results)):
        whole.results[position].index = position
    whole.catalogue_revision = max(whole.catalogue_revision, part.catalogue_revision)
    if part.models:
        del whole.models[:]
        whole.models.extend(part.models)


def _check_some(reply: catalog_pb2.UpsertItemsResponse) -> catalog_pb2.UpsertItemsResponse:
    failed = [result for result in reply.results if not result.HasField("revision")]
    failures = [
        types_pb2.ItemError(index=result.index, id=result.item_id, status=result.error) for result in failed
    ]
    check_some(failures, len(reply.results))
    return reply

"""A ranker and a recommender that answer by simple rules, as real gRPC servers in this process."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc
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
from google.protobuf import timestamp_pb2
from google.rpc import code_pb2

from tests.services.client.conftest import fail, serving, status

HEAD = types_pb2.ModelIdentity(name="artwork-head", version=3, digest="ab" * 32, trained=True)
RELEASED = timestamp_pb2.Timestamp(seconds=1_700_000_000)
ENCODER = types_pb2.ModelIdentity(name="fashion-image", version=2, digest="cd" * 32, trained=False)


class FakeRanker(ranker_pb2_grpc.RankerServiceServicer):
    """Longer pictures are better; text is no picture. Keeps the options of the last call."""

    def __init__(self) -> None:
        self.options = ranker_pb2.RankOptions()

    def Rank(self, request: ranker_pb2.RankRequest, context: Any) -> ranker_pb2.RankResponse:
        self.options = request.options
        reply = ranker_pb2.RankResponse(models=[HEAD])
        readable = []
        for index, candidate in enumerate(request.candidates):
            if candidate.image.startswith(b"text"):
                bad = status(code_pb2.INVALID_ARGUMENT, "not a picture")
                reply.errors.add(index=index, id=candidate.id, status=bad)
            else:
                readable.append(candidate)
        if not readable:
            fail(context, status(code_pb2.INVALID_ARGUMENT, "no candidate can be read"))
        readable.sort(key=lambda candidate: -len(candidate.image))
        for place, candidate in enumerate(readable, 1):
            placed = reply.placements.add(id=candidate.id, place=place, score=len(readable) - place)
            if place < len(readable):
                placed.probability_over_next = 0.6
                placed.abstained_over_next = request.options.min_probability > 0.6
        return reply

    def Compare(self, request: ranker_pb2.CompareRequest, context: Any) -> ranker_pb2.CompareResponse:
        a, b = len(request.candidate_a.image), len(request.candidate_b.image)
        probability = 0.5 + 0.3 * ((a > b) - (a < b))
        verdicts = {True: ranker_pb2.VERDICT_A_BETTER, False: ranker_pb2.VERDICT_B_BETTER}
        verdict = ranker_pb2.VERDICT_TIED if a == b else verdicts[a > b]
        if request.HasField("min_probability") and request.min_probability > 0.8:
            verdict = ranker_pb2.VERDICT_ABSTAINED
        return ranker_pb2.CompareResponse(
            models=[HEAD],
            probability_a_better=probability,
            score_a=a,
            score_b=b,
            uncertainty_a=0.25,
            verdict=verdict,
        )

    def Score(self, request: ranker_pb2.ScoreRequest, context: Any) -> ranker_pb2.ScoreResponse:
        reply = ranker_pb2.ScoreResponse(models=[HEAD])
        for index, candidate in enumerate(request.candidates):
            if candidate.image.startswith(b"text"):
                bad = status(code_pb2.INVALID_ARGUMENT, "not a picture")
                reply.errors.add(index=index, id=candidate.id, status=bad)
            else:
                reply.scores.add(id=candidate.id, score=len(candidate.image))
        return reply


class FakeShop(
    catalog_pb2_grpc.CatalogServiceServicer,
    recommender_pb2_grpc.RecommenderServiceServicer,
    index_pb2_grpc.IndexServiceServicer,
    insight_pb2_grpc.InsightServiceServicer,
):
    """A catalog in a dictionary; items named bad… are refused; every item is recommended, in order."""

    def __init__(self) -> None:
        self.items: dict[str, catalog_pb2.UpsertItem] = {}
        self.revisions: dict[str, int] = {}
        self.sent: list[list[str]] = []
        self.queries: list[recommender_pb2.RecommendRequest] = []
        self.bestsellers: list[recommender_pb2.RecommendFromBestsellersRequest] = []
        self.events: dict[str, insight_pb2.FeedbackEvent] = {}
        self.trends: list[insight_pb2.GetTrendsRequest] = []

    def UpsertItems(self, request: catalog_pb2.UpsertItemsRequest, context: Any) -> Any:
        reply = catalog_pb2.UpsertItemsResponse(models=[ENCODER], catalogue_revision=7)
        self.sent.append([item.item_id for item in request.items])
        for index, item in enumerate(request.items):
            result = reply.results.add(index=index, item_id=item.item_id)
            before = self.items.get(item.item_id)
            if item.item_id.startswith("bad"):
                result.error.CopyFrom(status(code_pb2.INVALID_ARGUMENT, "no picture"))
            else:
                changes = before is not None and before != item
                self.revisions[item.item_id] = self.revisions.get(item.item_id, 7) + changes
                result.revision = self.revisions[item.item_id]
                self.items[item.item_id] = item
        if self.items.keys().isdisjoint(item.item_id for item in request.items):
            details = [
                types_pb2.ItemError(index=r.index, id=r.item_id, status=r.error) for r in reply.results
            ]
            fail(context, status(code_pb2.INVALID_ARGUMENT, "no picture", *details))
        return reply

    def ListModels(self, request: Any, context: Any) -> recommender_pb2.ListModelsResponse:
        """Nothing is published yet."""
        return recommender_pb2.ListModelsResponse()

    def DeleteItems(self, request: catalog_pb2.DeleteItemsRequest, context: Any) -> Any:
        gone = [self.items.pop(item_id, None) for item_id in request.item_ids]
        return catalog_pb2.DeleteItemsResponse(deleted_count=sum(item is not None for item in gone))

    def ListItems(self, request: catalog_pb2.ListItemsRequest, context: Any) -> Any:
        return catalog_pb2.ListItemsResponse(items=[self._item(item_id) for item_id in sorted(self.items)])

    def GetItem(self, request: catalog_pb2.GetItemRequest, context: Any) -> Any:
        item = self.items[request.item_id]
        picture = item.image if request.include_picture else b""
        vector = item.vector if request.include_vector and item.HasField("vector") else None
        return catalog_pb2.GetItemResponse(item=self._item(request.item_id), picture=picture, vector=vector)

    def Recommend(self, request: recommender_pb2.RecommendRequest, context: Any) -> Any:
        self.queries.append(request)
        reply = recommender_pb2.RecommendResponse(
            collection=request.collection, models=[ENCODER], catalogue_revision=7
        )
        for place, item_id in enumerate(sorted(self.items)[: request.item_count]):
            result = reply.recommendations.add(item=self._item(item_id), similarity=1 - place / 10)
            if request.explain:
                result.explanation.shares.append(result.similarity)
                result.explanation.shared_attributes["print"] = ["dots"]
        return reply

    def RecommendFromBestsellers(
        self, request: recommender_pb2.RecommendFromBestsellersRequest, context: Any
    ) -> recommender_pb2.RecommendFromBestsellersResponse:
        self.bestsellers.append(request)
        reply = recommender_pb2.RecommendFromBestsellersResponse(
            models=[ENCODER], catalogue_revision=7, source="BESTSELLER_SOURCE_SALES", bestseller_count=3
        )
        reply.recommendations.add(item=self._item(min(self.items)), similarity=0.5)
        reply.trends.add(field="print", value="dots", bestseller_share=0.75, result_share=1, new_share=0.2)
        return reply

    def RecordFeedback(
        self, request: insight_pb2.RecordFeedbackRequest, context: Any
    ) -> insight_pb2.RecordFeedbackResponse:
        fresh = {event.event_id: event for event in request.events if event.event_id not in self.events}
        self.events |= fresh
        return insight_pb2.RecordFeedbackResponse(recorded_count=len(fresh))

    def GetTrends(self, request: insight_pb2.GetTrendsRequest, context: Any) -> insight_pb2.GetTrendsResponse:
        self.trends.append(request)
        reply = insight_pb2.GetTrendsResponse(period_days=request.period_days, catalogue_revision=7)
        reply.series.add(
            field="print", value="dots", taken_share=[0, 0.5, 1], released_share=[0, 0, 0.25], change=1
        )
        return reply

    def GetStatus(self, request: index_pb2.GetStatusRequest, context: Any) -> Any:
        if request.collection == "absent":
            fail(context, status(code_pb2.NOT_FOUND, "no collection 'absent'; there are fashion"))
        reply = index_pb2.GetStatusResponse(collection=request.collection, live_count=len(self.items))
        reply.recalls.add(
            query_kind=index_pb2.QUERY_KIND_ATTRIBUTES,
            item_share=0.2,
            recall=0.97,
            query_count=32,
            is_exact=True,
        )
        reply.detail = "recall of attributes queries was below 0.99: they are answered exactly"
        return reply

    def Rebuild(self, request: index_pb2.RebuildRequest, context: Any) -> index_pb2.RebuildResponse:
        return index_pb2.RebuildResponse(live_count=len(self.items), build_ms=1_500)

    def DropBlockingItems(
        self, request: index_pb2.DropBlockingItemsRequest, context: Any
    ) -> index_pb2.DropBlockingItemsResponse:
        return index_pb2.DropBlockingItemsResponse(deleted_count=1_200, catalogue_revision=9)

    def _item(self, item_id: str) -> resources_pb2.Item:
        item = self.items[item_id]
        return resources_pb2.Item(
            item_id=item_id,
            attributes=item.attributes,
            released_at=item.released_at if item.HasField("released_at") else RELEASED,
            in_stock=item.in_stock or not item.HasField("in_stock"),
            picture_digest=hashlib.sha256(item.image).hexdigest() if item.image else "",
            revision=self.revisions.get(item_id, 7),
            product_id=item.product_id,
        )


@dataclass
class FakeServices:
    """Both servers, and where they listen."""

    ranker: FakeRanker = field(default_factory=FakeRanker)
    shop: FakeShop = field(default_factory=FakeShop)
    ranker_address: str = ""
    shop_address: str = ""


def _register_shop(shop: FakeShop, server: Any) -> None:
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(shop, server)
    recommender_pb2_grpc.add_RecommenderServiceServicer_to_server(shop, server)
    index_pb2_grpc.add_IndexServiceServicer_to_server(shop, server)
    insight_pb2_grpc.add_InsightServiceServicer_to_server(shop, server)


@contextmanager
def fake_services() -> Iterator[FakeServices]:
    """Serve both on free ports until the context ends."""
    services = FakeServices()
    with ExitStack() as stack:
        ranker = serving(ranker_pb2_grpc.add_RankerServiceServicer_to_server, services.ranker)
        services.ranker_address = stack.enter_context(ranker)
        services.shop_address = stack.enter_context(serving(_register_shop, services.shop))
        yield services

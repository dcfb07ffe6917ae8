"""InsightService: what customers did, and what it says."""
# ruff: noqa: ARG002, N802  # gRPC names the methods and what they are given

import time
from collections.abc import Mapping
from typing import Any, Final

from atelier.recommender.v1 import insight_pb2, insight_pb2_grpc

from services.recommender.executors import Executors
from services.recommender.insight.centrality import Centralities
from services.recommender.insight.feedback import DAY_US, FeedbackQueue
from services.recommender.insight.kpis import AnswerFigures, coverage, embedding_quality, lead_counts
from services.recommender.insight.trends import Periods, value_trends
from services.recommender.release.collection import Collections
from services.recommender.release.leads import LeadModels
from services.recommender.wire.bounds import check_count, check_item_id
from services.recommender.wire.insight import (
    MOST_DAYS,
    MOST_PERIOD,
    centrality_reply,
    kpis_reply,
    read_bound,
    read_events,
    read_fields,
    trends_reply,
)
from services.runtime.context import message_bytes
from vector_index.view import SegmentedView

MOST_CENTRALITIES: Final = 1_000


class InsightServicer(insight_pb2_grpc.InsightServiceServicer):
    """Records feedback and reports on it. kept_days: how long the identifiers of events are known."""

    def __init__(
        self,
        collections: Collections,
        feedback: FeedbackQueue,
        answers: Mapping[str, AnswerFigures],
        executors: Executors,
        kept_days: int,
    ) -> None:
        self._collections = collections
        self._feedback = feedback
        self._answers = answers
        self._executors = executors
        self._kept_days = kept_days

    async def RecordFeedback(
        self, request: insight_pb2.RecordFeedbackRequest, context: Any
    ) -> insight_pb2.RecordFeedbackResponse:
        """How many of the events are new; all are durable."""
        collection = self._collections.named(request.collection)
        events = await self._executors.convert(
            lambda: read_events(request, self._kept_days), message_bytes(request)
        )
        recorded = await self._feedback.record(collection.name, events)
        return insight_pb2.RecordFeedbackResponse(recorded_count=recorded)

    async def GetTrends(
        self, request: insight_pb2.GetTrendsRequest, context: Any
    ) -> insight_pb2.GetTrendsResponse:
        """How the values of fields do over time."""
        collection = self._collections.named(request.collection)
        fields = read_fields(request.fields, "fields")
        span = read_bound(request.days, "days", default=90, most=MOST_DAYS)
        days = read_bound(request.period_days, "period_days", default=7, most=MOST_PERIOD)
        periods = Periods.ending(_today(), days=days, span_days=span)
        counts = await self._feedback.days(collection.name, periods.first_day, _today())
        with collection.hold() as release:
            view = release.index.view()
            names = fields or _schema_fields(release.models)
            trends = await self._executors.read(
                lambda: value_trends(view.attached, names or view.attached.terms.fields(), counts, periods)
            )
        return trends_reply(trends, periods, view.revision)

    async def GetCentrality(
        self, request: insight_pb2.GetCentralityRequest, context: Any
    ) -> insight_pb2.GetCentralityResponse:
        """How near items are to the mean of all."""
        collection = self._collections.named(request.collection)
        check_count(request.item_ids, "item_ids", most=MOST_CENTRALITIES)
        ids = [check_item_id(item_id, "item_ids") for item_id in request.item_ids]
        fields = read_fields([request.field] if request.field else [], "field")

        def measure(view: SegmentedView) -> insight_pb2.GetCentralityResponse:
            centralities = Centralities.of(view)
            items = centralities.of_items(collection.name, view.attached, ids)
            values = [each for name in fields for each in centralities.by_value(view.attached, name)]
            return centrality_reply(centralities, items, values, view.revision)

        with collection.hold() as release:
            view = release.index.view()
            return await self._executors.read(lambda: measure(view))

    async def GetKpis(self, request: insight_pb2.GetKpisRequest, context: Any) -> insight_pb2.GetKpisResponse:
        """Figures of the quality of answers."""
        collection = self._collections.named(request.collection)
        days = read_bound(request.days, "days", default=30, most=MOST_DAYS)
        counts = await self._feedback.days(collection.name, _today() + 1 - days, _today())
        release = collection.present
        answers = self._answers[collection.name]
        if release is None:
            return kpis_reply(lead_counts(counts), answers, 0.0, None)
        view = release.index.view()
        covered, quality = await self._executors.read(
            lambda: (coverage(view.attached, counts), embedding_quality(view))
        )
        return kpis_reply(lead_counts(counts), answers, covered, quality)


def _schema_fields(models: LeadModels) -> tuple[str, ...]:
    return tuple(field.name for field in models.schema.fields) if models.schema else ()


def _today() -> int:
    return time.time_ns() // 1_000 // DAY_US

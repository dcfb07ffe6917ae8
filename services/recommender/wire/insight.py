"""Feedback, trends and figures between messages and values."""

import time
from collections.abc import Sequence
from typing import Final

from atelier.recommender.v1 import insight_pb2
from google.protobuf import timestamp_pb2

from services.recommender.attributes import normalise_name
from services.recommender.insight.centrality import Centralities, Summary
from services.recommender.insight.feedback import DAY_US, FeedbackEvent, FeedbackKind
from services.recommender.insight.kpis import AnswerFigures, EmbeddingQuality, LeadCounts
from services.recommender.insight.trends import Periods, ValueTrend
from services.recommender.wire.bounds import check_count, check_item_id, read_time
from services.runtime.errors import InvalidArgument

MOST_EVENTS: Final = 1_000
MOST_FIELDS: Final = 16
MOST_DAYS: Final = 730
MOST_PERIOD: Final = 90
_AHEAD_US: Final = 300_000_000  # clocks differ


def read_events(request: insight_pb2.RecordFeedbackRequest, kept_days: int) -> list[FeedbackEvent]:
    """The events of a request. kept_days: how long identifiers are known.

    Raises InvalidArgument: naming the event and field that is malformed or out of its bounds.
    """
    check_count(request.events, "events", least=1, most=MOST_EVENTS)
    now_us = time.time_ns() // 1_000
    return [
        _event(event, f"events[{index}]", now_us, kept_days) for index, event in enumerate(request.events)
    ]


def _event(event: insight_pb2.FeedbackEvent, name: str, now_us: int, kept_days: int) -> FeedbackEvent:
    if not FeedbackKind.SHOWN <= int(event.kind) <= FeedbackKind.PURCHASED:
        raise InvalidArgument(f"{name}.kind is {event.kind}, it must be 1 to 5", field=f"{name}.kind")
    at_us = read_time(event, "occurred_at")
    if at_us is None:
        at_us = now_us
    if not now_us - kept_days * DAY_US <= at_us <= now_us + _AHEAD_US:
        raise InvalidArgument(
            f"{name}.occurred_at is in the future or more than {kept_days} days ago",
            field=f"{name}.occurred_at",
        )
    return FeedbackEvent(
        event_id=check_item_id(event.event_id, f"{name}.event_id"),
        kind=FeedbackKind(event.kind),
        item_id=check_item_id(event.item_id, f"{name}.item_id"),
        at_us=at_us,
        lead=_lead(event, name),
    )


def _lead(event: insight_pb2.FeedbackEvent, name: str) -> str:
    if not event.HasField("lead"):
        return ""
    field = f"{name}.lead"
    model = check_item_id(event.lead.name, field)
    if event.lead.version < 1:
        raise InvalidArgument(f"{field}.version is {event.lead.version}, it must be 1 or more", field=field)
    return f"{model}/{event.lead.version}"


def read_bound(value: int, name: str, *, default: int, most: int) -> int:
    """A number of days, the default for 0. Raises InvalidArgument: naming the field and its bounds."""
    if not 0 <= value <= most:
        raise InvalidArgument(f"{name} is {value}, it must be 0 to {most}", field=name)
    return value or default


def read_fields(fields: Sequence[str], name: str) -> tuple[str, ...]:
    """The fields to report on; none for the default. Raises InvalidArgument: naming the request's field."""
    check_count(fields, name, most=MOST_FIELDS)
    for each in fields:
        if not 1 <= len(each) <= 128 or "\0" in each:
            raise InvalidArgument(f"{name} has {each[:32]!a}, not a field's name", field=name)
    return tuple(dict.fromkeys(map(normalise_name, fields)))


def trends_reply(
    trends: Sequence[ValueTrend], periods: Periods, revision: int
) -> insight_pb2.GetTrendsResponse:
    """Trends as a message."""
    return insight_pb2.GetTrendsResponse(
        series=[
            insight_pb2.TrendSeries(
                field=trend.field,
                value=trend.value,
                taken_share=trend.taken_P.tolist(),
                released_share=trend.released_P.tolist(),
                change=trend.change,
            )
            for trend in trends
        ],
        period_starts=[
            timestamp_pb2.Timestamp(seconds=start_us // 1_000_000) for start_us in periods.starts_us()
        ],
        period_days=periods.days,
        catalogue_revision=revision,
    )


def centrality_reply(
    centralities: Centralities,
    items: Sequence[tuple[str, float, bool]],
    values: Sequence[tuple[str, Summary]],
    revision: int,
) -> insight_pb2.GetCentralityResponse:
    """Centralities as a message."""
    overall, anchors = centralities.summary(), centralities.summary(centralities.anchor_N)
    return insight_pb2.GetCentralityResponse(
        item_count=overall.count,
        anchor_count=overall.anchors,
        threshold=centralities.threshold,
        mean=overall.mean,
        deviation=overall.deviation,
        min=overall.least,
        max=overall.greatest,
        anchor_mean=anchors.mean,
        items=[
            insight_pb2.ItemCentrality(item_id=item_id, centrality=centrality, is_anchor=is_anchor)
            for item_id, centrality, is_anchor in items
        ],
        values=[
            insight_pb2.ValueCentrality(
                value=value,
                item_count=summary.count,
                anchor_count=summary.anchors,
                mean=summary.mean,
                min=summary.least,
                max=summary.greatest,
            )
            for value, summary in values
        ],
        catalogue_revision=revision,
    )


def kpis_reply(
    leads: Sequence[LeadCounts],
    answers: AnswerFigures,
    coverage: float,
    embeddings: EmbeddingQuality | None,
) -> insight_pb2.GetKpisResponse:
    """Figures as a message."""
    p50_ms, p95_ms, p99_ms = answers.percentiles()
    reply = insight_pb2.GetKpisResponse(
        leads=map(_lead_feedback, leads),
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        p99_ms=p99_ms,
        mean_similarity=answers.mean_similarity(),
        coverage=coverage,
    )
    if embeddings is not None:
        reply.embeddings.item_count = embeddings.item_count
        reply.embeddings.variance = embeddings.variance
        reply.embeddings.centrality_mean = embeddings.centrality_mean
        reply.embeddings.centrality_min = embeddings.centrality_min
        reply.embeddings.centrality_max = embeddings.centrality_max
    return reply


def _lead_feedback(lead: LeadCounts) -> insight_pb2.LeadFeedback:
    counts = {f"{kind.name.lower()}_count": count for kind, count in lead.counts.items()}
    return insight_pb2.LeadFeedback(lead=lead.lead, hit_rate=lead.hit_rate, **counts)

import datetime

from atelier.types.v1 import access_pb2 as _access_pb2
from atelier.types.v1 import types_pb2 as _types_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeedbackKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEEDBACK_KIND_UNSPECIFIED: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_SHOWN: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_CLICKED: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_LIKED: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_DISLIKED: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_PURCHASED: _ClassVar[FeedbackKind]
FEEDBACK_KIND_UNSPECIFIED: FeedbackKind
FEEDBACK_KIND_SHOWN: FeedbackKind
FEEDBACK_KIND_CLICKED: FeedbackKind
FEEDBACK_KIND_LIKED: FeedbackKind
FEEDBACK_KIND_DISLIKED: FeedbackKind
FEEDBACK_KIND_PURCHASED: FeedbackKind

class RecordFeedbackRequest(_message.Message):
    __slots__ = ("collection", "events")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    events: _containers.RepeatedCompositeFieldContainer[FeedbackEvent]
    def __init__(self, collection: _Optional[str] = ..., events: _Optional[_Iterable[_Union[FeedbackEvent, _Mapping]]] = ...) -> None: ...

class RecordFeedbackResponse(_message.Message):
    __slots__ = ("recorded_count",)
    RECORDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    recorded_count: int
    def __init__(self, recorded_count: _Optional[int] = ...) -> None: ...

class GetTrendsRequest(_message.Message):
    __slots__ = ("collection", "fields", "days", "period_days")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_DAYS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    fields: _containers.RepeatedScalarFieldContainer[str]
    days: int
    period_days: int
    def __init__(self, collection: _Optional[str] = ..., fields: _Optional[_Iterable[str]] = ..., days: _Optional[int] = ..., period_days: _Optional[int] = ...) -> None: ...

class GetTrendsResponse(_message.Message):
    __slots__ = ("series", "period_starts", "period_days", "catalogue_revision")
    SERIES_FIELD_NUMBER: _ClassVar[int]
    PERIOD_STARTS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_DAYS_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_REVISION_FIELD_NUMBER: _ClassVar[int]
    series: _containers.RepeatedCompositeFieldContainer[TrendSeries]
    period_starts: _containers.RepeatedCompositeFieldContainer[_timestamp_pb2.Timestamp]
    period_days: int
    catalogue_revision: int
    def __init__(self, series: _Optional[_Iterable[_Union[TrendSeries, _Mapping]]] = ..., period_starts: _Optional[_Iterable[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]]] = ..., period_days: _Optional[int] = ..., catalogue_revision: _Optional[int] = ...) -> None: ...

class GetCentralityRequest(_message.Message):
    __slots__ = ("collection", "item_ids", "field")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    collection: str
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    field: str
    def __init__(self, collection: _Optional[str] = ..., item_ids: _Optional[_Iterable[str]] = ..., field: _Optional[str] = ...) -> None: ...

class GetCentralityResponse(_message.Message):
    __slots__ = ("item_count", "anchor_count", "threshold", "mean", "deviation", "min", "max", "anchor_mean", "items", "values", "catalogue_revision")
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    DEVIATION_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_MEAN_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_REVISION_FIELD_NUMBER: _ClassVar[int]
    item_count: int
    anchor_count: int
    threshold: float
    mean: float
    deviation: float
    min: float
    max: float
    anchor_mean: float
    items: _containers.RepeatedCompositeFieldContainer[ItemCentrality]
    values: _containers.RepeatedCompositeFieldContainer[ValueCentrality]
    catalogue_revision: int
    def __init__(self, item_count: _Optional[int] = ..., anchor_count: _Optional[int] = ..., threshold: _Optional[float] = ..., mean: _Optional[float] = ..., deviation: _Optional[float] = ..., min: _Optional[float] = ..., max: _Optional[float] = ..., anchor_mean: _Optional[float] = ..., items: _Optional[_Iterable[_Union[ItemCentrality, _Mapping]]] = ..., values: _Optional[_Iterable[_Union[ValueCentrality, _Mapping]]] = ..., catalogue_revision: _Optional[int] = ...) -> None: ...

class GetKpisRequest(_message.Message):
    __slots__ = ("collection", "days")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    days: int
    def __init__(self, collection: _Optional[str] = ..., days: _Optional[int] = ...) -> None: ...

class GetKpisResponse(_message.Message):
    __slots__ = ("leads", "p50_ms", "p95_ms", "p99_ms", "mean_similarity", "coverage", "embeddings")
    LEADS_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P95_MS_FIELD_NUMBER: _ClassVar[int]
    P99_MS_FIELD_NUMBER: _ClassVar[int]
    MEAN_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    leads: _containers.RepeatedCompositeFieldContainer[LeadFeedback]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    mean_similarity: float
    coverage: float
    embeddings: EmbeddingQuality
    def __init__(self, leads: _Optional[_Iterable[_Union[LeadFeedback, _Mapping]]] = ..., p50_ms: _Optional[float] = ..., p95_ms: _Optional[float] = ..., p99_ms: _Optional[float] = ..., mean_similarity: _Optional[float] = ..., coverage: _Optional[float] = ..., embeddings: _Optional[_Union[EmbeddingQuality, _Mapping]] = ...) -> None: ...

class FeedbackEvent(_message.Message):
    __slots__ = ("event_id", "kind", "item_id", "occurred_at", "lead")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_FIELD_NUMBER: _ClassVar[int]
    LEAD_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    kind: FeedbackKind
    item_id: str
    occurred_at: _timestamp_pb2.Timestamp
    lead: _types_pb2.ModelIdentity
    def __init__(self, event_id: _Optional[str] = ..., kind: _Optional[_Union[FeedbackKind, str]] = ..., item_id: _Optional[str] = ..., occurred_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lead: _Optional[_Union[_types_pb2.ModelIdentity, _Mapping]] = ...) -> None: ...

class ItemCentrality(_message.Message):
    __slots__ = ("item_id", "centrality", "is_anchor")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    CENTRALITY_FIELD_NUMBER: _ClassVar[int]
    IS_ANCHOR_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    centrality: float
    is_anchor: bool
    def __init__(self, item_id: _Optional[str] = ..., centrality: _Optional[float] = ..., is_anchor: _Optional[bool] = ...) -> None: ...

class ValueCentrality(_message.Message):
    __slots__ = ("value", "item_count", "anchor_count", "mean", "min", "max")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    value: str
    item_count: int
    anchor_count: int
    mean: float
    min: float
    max: float
    def __init__(self, value: _Optional[str] = ..., item_count: _Optional[int] = ..., anchor_count: _Optional[int] = ..., mean: _Optional[float] = ..., min: _Optional[float] = ..., max: _Optional[float] = ...) -> None: ...

class TrendSeries(_message.Message):
    __slots__ = ("field", "value", "taken_share", "released_share", "change")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TAKEN_SHARE_FIELD_NUMBER: _ClassVar[int]
    RELEASED_SHARE_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    field: str
    value: str
    taken_share: _containers.RepeatedScalarFieldContainer[float]
    released_share: _containers.RepeatedScalarFieldContainer[float]
    change: float
    def __init__(self, field: _Optional[str] = ..., value: _Optional[str] = ..., taken_share: _Optional[_Iterable[float]] = ..., released_share: _Optional[_Iterable[float]] = ..., change: _Optional[float] = ...) -> None: ...

class LeadFeedback(_message.Message):
    __slots__ = ("lead", "shown_count", "clicked_count", "liked_count", "disliked_count", "purchased_count", "hit_rate")
    LEAD_FIELD_NUMBER: _ClassVar[int]
    SHOWN_COUNT_FIELD_NUMBER: _ClassVar[int]
    CLICKED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LIKED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DISLIKED_COUNT_FIELD_NUMBER: _ClassVar[int]
    PURCHASED_COUNT_FIELD_NUMBER: _ClassVar[int]
    HIT_RATE_FIELD_NUMBER: _ClassVar[int]
    lead: str
    shown_count: int
    clicked_count: int
    liked_count: int
    disliked_count: int
    purchased_count: int
    hit_rate: float
    def __init__(self, lead: _Optional[str] = ..., shown_count: _Optional[int] = ..., clicked_count: _Optional[int] = ..., liked_count: _Optional[int] = ..., disliked_count: _Optional[int] = ..., purchased_count: _Optional[int] = ..., hit_rate: _Optional[float] = ...) -> None: ...

class EmbeddingQuality(_message.Message):
    __slots__ = ("item_count", "variance", "centrality_mean", "centrality_min", "centrality_max")
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    VARIANCE_FIELD_NUMBER: _ClassVar[int]
    CENTRALITY_MEAN_FIELD_NUMBER: _ClassVar[int]
    CENTRALITY_MIN_FIELD_NUMBER: _ClassVar[int]
    CENTRALITY_MAX_FIELD_NUMBER: _ClassVar[int]
    item_count: int
    variance: float
    centrality_mean: float
    centrality_min: float
    centrality_max: float
    def __init__(self, item_count: _Optional[int] = ..., variance: _Optional[float] = ..., centrality_mean: _Optional[float] = ..., centrality_min: _Optional[float] = ..., centrality_max: _Optional[float] = ...) -> None: ...

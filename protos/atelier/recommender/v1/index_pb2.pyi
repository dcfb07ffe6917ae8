from atelier.types.v1 import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class QueryKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUERY_KIND_UNSPECIFIED: _ClassVar[QueryKind]
    QUERY_KIND_VECTOR: _ClassVar[QueryKind]
    QUERY_KIND_ITEMS: _ClassVar[QueryKind]
    QUERY_KIND_PICTURE: _ClassVar[QueryKind]
    QUERY_KIND_ATTRIBUTES: _ClassVar[QueryKind]
QUERY_KIND_UNSPECIFIED: QueryKind
QUERY_KIND_VECTOR: QueryKind
QUERY_KIND_ITEMS: QueryKind
QUERY_KIND_PICTURE: QueryKind
QUERY_KIND_ATTRIBUTES: QueryKind

class GetStatusRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("collection", "space_id", "dimension", "live_count", "segment_rows", "delta_rows", "dead_rows", "catalogue_revision", "vector_only_count", "detail", "upgrade_done_count", "upgrade_left_count", "generation", "blocking_item_ids", "recalls")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    LIVE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ROWS_FIELD_NUMBER: _ClassVar[int]
    DELTA_ROWS_FIELD_NUMBER: _ClassVar[int]
    DEAD_ROWS_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_REVISION_FIELD_NUMBER: _ClassVar[int]
    VECTOR_ONLY_COUNT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    UPGRADE_DONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    UPGRADE_LEFT_COUNT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    BLOCKING_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    RECALLS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    space_id: str
    dimension: int
    live_count: int
    segment_rows: int
    delta_rows: int
    dead_rows: int
    catalogue_revision: int
    vector_only_count: int
    detail: str
    upgrade_done_count: int
    upgrade_left_count: int
    generation: int
    blocking_item_ids: _containers.RepeatedScalarFieldContainer[str]
    recalls: _containers.RepeatedCompositeFieldContainer[MeasuredRecall]
    def __init__(self, collection: _Optional[str] = ..., space_id: _Optional[str] = ..., dimension: _Optional[int] = ..., live_count: _Optional[int] = ..., segment_rows: _Optional[int] = ..., delta_rows: _Optional[int] = ..., dead_rows: _Optional[int] = ..., catalogue_revision: _Optional[int] = ..., vector_only_count: _Optional[int] = ..., detail: _Optional[str] = ..., upgrade_done_count: _Optional[int] = ..., upgrade_left_count: _Optional[int] = ..., generation: _Optional[int] = ..., blocking_item_ids: _Optional[_Iterable[str]] = ..., recalls: _Optional[_Iterable[_Union[MeasuredRecall, _Mapping]]] = ...) -> None: ...

class RebuildRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class RebuildResponse(_message.Message):
    __slots__ = ("live_count", "build_ms")
    LIVE_COUNT_FIELD_NUMBER: _ClassVar[int]
    BUILD_MS_FIELD_NUMBER: _ClassVar[int]
    live_count: int
    build_ms: int
    def __init__(self, live_count: _Optional[int] = ..., build_ms: _Optional[int] = ...) -> None: ...

class DropBlockingItemsRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class DropBlockingItemsResponse(_message.Message):
    __slots__ = ("deleted_count", "catalogue_revision")
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_REVISION_FIELD_NUMBER: _ClassVar[int]
    deleted_count: int
    catalogue_revision: int
    def __init__(self, deleted_count: _Optional[int] = ..., catalogue_revision: _Optional[int] = ...) -> None: ...

class MeasuredRecall(_message.Message):
    __slots__ = ("query_kind", "item_share", "recall", "query_count", "ef", "is_exact")
    QUERY_KIND_FIELD_NUMBER: _ClassVar[int]
    ITEM_SHARE_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    QUERY_COUNT_FIELD_NUMBER: _ClassVar[int]
    EF_FIELD_NUMBER: _ClassVar[int]
    IS_EXACT_FIELD_NUMBER: _ClassVar[int]
    query_kind: QueryKind
    item_share: float
    recall: float
    query_count: int
    ef: int
    is_exact: bool
    def __init__(self, query_kind: _Optional[_Union[QueryKind, str]] = ..., item_share: _Optional[float] = ..., recall: _Optional[float] = ..., query_count: _Optional[int] = ..., ef: _Optional[int] = ..., is_exact: _Optional[bool] = ...) -> None: ...

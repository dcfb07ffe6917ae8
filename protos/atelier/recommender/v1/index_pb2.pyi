from atelier.types.v1 import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("collection", "space_id", "dimension", "live_count", "segment_rows", "delta_rows", "dead_rows", "catalogue_revision", "vector_only_count", "detail", "upgrade_done_count", "upgrade_left_count", "generation", "blocking_item_ids")
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
    def __init__(self, collection: _Optional[str] = ..., space_id: _Optional[str] = ..., dimension: _Optional[int] = ..., live_count: _Optional[int] = ..., segment_rows: _Optional[int] = ..., delta_rows: _Optional[int] = ..., dead_rows: _Optional[int] = ..., catalogue_revision: _Optional[int] = ..., vector_only_count: _Optional[int] = ..., detail: _Optional[str] = ..., upgrade_done_count: _Optional[int] = ..., upgrade_left_count: _Optional[int] = ..., generation: _Optional[int] = ..., blocking_item_ids: _Optional[_Iterable[str]] = ...) -> None: ...

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

from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ModelState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_STATE_UNSPECIFIED: _ClassVar[ModelState]
    MODEL_STATE_AVAILABLE: _ClassVar[ModelState]
    MODEL_STATE_PREPARING: _ClassVar[ModelState]
    MODEL_STATE_SERVING: _ClassVar[ModelState]
    MODEL_STATE_REFUSED: _ClassVar[ModelState]
    MODEL_STATE_ORPHANED: _ClassVar[ModelState]
MODEL_STATE_UNSPECIFIED: ModelState
MODEL_STATE_AVAILABLE: ModelState
MODEL_STATE_PREPARING: ModelState
MODEL_STATE_SERVING: ModelState
MODEL_STATE_REFUSED: ModelState
MODEL_STATE_ORPHANED: ModelState

class ModelIdentity(_message.Message):
    __slots__ = ("name", "version", "digest", "space_id", "trained")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    TRAINED_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    digest: str
    space_id: str
    trained: bool
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., digest: _Optional[str] = ..., space_id: _Optional[str] = ..., trained: _Optional[bool] = ...) -> None: ...

class SpaceVector(_message.Message):
    __slots__ = ("space_id", "values")
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    space_id: str
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, space_id: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class ItemError(_message.Message):
    __slots__ = ("index", "id", "status")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    index: int
    id: str
    status: _status_pb2.Status
    def __init__(self, index: _Optional[int] = ..., id: _Optional[str] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("queue_ms", "decode_ms", "compute_ms", "hop_ms")
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_MS_FIELD_NUMBER: _ClassVar[int]
    HOP_MS_FIELD_NUMBER: _ClassVar[int]
    queue_ms: float
    decode_ms: float
    compute_ms: float
    hop_ms: float
    def __init__(self, queue_ms: _Optional[float] = ..., decode_ms: _Optional[float] = ..., compute_ms: _Optional[float] = ..., hop_ms: _Optional[float] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("image_bytes", "image_pixels", "image_frames", "message_images", "message_bytes", "rank_candidates", "item_count", "attribute_terms", "default_deadline_ms")
    IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FRAMES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_IMAGES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RANK_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_TERMS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    image_bytes: int
    image_pixels: int
    image_frames: int
    message_images: int
    message_bytes: int
    rank_candidates: int
    item_count: int
    attribute_terms: int
    default_deadline_ms: int
    def __init__(self, image_bytes: _Optional[int] = ..., image_pixels: _Optional[int] = ..., image_frames: _Optional[int] = ..., message_images: _Optional[int] = ..., message_bytes: _Optional[int] = ..., rank_candidates: _Optional[int] = ..., item_count: _Optional[int] = ..., attribute_terms: _Optional[int] = ..., default_deadline_ms: _Optional[int] = ...) -> None: ...

class ServedModel(_message.Message):
    __slots__ = ("identity", "alias", "state", "requested_provider", "actual_provider", "fell_back", "precision", "dimension", "accepted_space_ids", "detail")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    FELL_BACK_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_SPACE_IDS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    identity: ModelIdentity
    alias: str
    state: ModelState
    requested_provider: str
    actual_provider: str
    fell_back: bool
    precision: str
    dimension: int
    accepted_space_ids: _containers.RepeatedScalarFieldContainer[str]
    detail: str
    def __init__(self, identity: _Optional[_Union[ModelIdentity, _Mapping]] = ..., alias: _Optional[str] = ..., state: _Optional[_Union[ModelState, str]] = ..., requested_provider: _Optional[str] = ..., actual_provider: _Optional[str] = ..., fell_back: _Optional[bool] = ..., precision: _Optional[str] = ..., dimension: _Optional[int] = ..., accepted_space_ids: _Optional[_Iterable[str]] = ..., detail: _Optional[str] = ...) -> None: ...

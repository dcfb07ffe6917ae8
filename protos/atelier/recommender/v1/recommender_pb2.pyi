from atelier.recommender.v1 import resources_pb2 as _resources_pb2
from atelier.types.v1 import access_pb2 as _access_pb2
from atelier.types.v1 import types_pb2 as _types_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecommendRequest(_message.Message):
    __slots__ = ("collection", "image", "items", "attributes", "vector", "positive_examples", "negative_examples", "item_count", "filter", "excluded_item_ids")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    image: bytes
    items: _resources_pb2.ItemIds
    attributes: _struct_pb2.Struct
    vector: _types_pb2.SpaceVector
    positive_examples: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Example]
    negative_examples: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Example]
    item_count: int
    filter: _resources_pb2.ItemFilter
    excluded_item_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, collection: _Optional[str] = ..., image: _Optional[bytes] = ..., items: _Optional[_Union[_resources_pb2.ItemIds, _Mapping]] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., vector: _Optional[_Union[_types_pb2.SpaceVector, _Mapping]] = ..., positive_examples: _Optional[_Iterable[_Union[_resources_pb2.Example, _Mapping]]] = ..., negative_examples: _Optional[_Iterable[_Union[_resources_pb2.Example, _Mapping]]] = ..., item_count: _Optional[int] = ..., filter: _Optional[_Union[_resources_pb2.ItemFilter, _Mapping]] = ..., excluded_item_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("recommendations", "errors", "models", "collection", "space_id", "catalogue_revision", "timings")
    RECOMMENDATIONS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_REVISION_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    recommendations: _containers.RepeatedCompositeFieldContainer[Recommendation]
    errors: _containers.RepeatedCompositeFieldContainer[_types_pb2.ItemError]
    models: _containers.RepeatedCompositeFieldContainer[_types_pb2.ModelIdentity]
    collection: str
    space_id: str
    catalogue_revision: int
    timings: _types_pb2.Timings
    def __init__(self, recommendations: _Optional[_Iterable[_Union[Recommendation, _Mapping]]] = ..., errors: _Optional[_Iterable[_Union[_types_pb2.ItemError, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[_types_pb2.ModelIdentity, _Mapping]]] = ..., collection: _Optional[str] = ..., space_id: _Optional[str] = ..., catalogue_revision: _Optional[int] = ..., timings: _Optional[_Union[_types_pb2.Timings, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[_types_pb2.ServedModel]
    def __init__(self, models: _Optional[_Iterable[_Union[_types_pb2.ServedModel, _Mapping]]] = ...) -> None: ...

class GetLimitsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetLimitsResponse(_message.Message):
    __slots__ = ("limits",)
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    limits: _types_pb2.Limits
    def __init__(self, limits: _Optional[_Union[_types_pb2.Limits, _Mapping]] = ...) -> None: ...

class Recommendation(_message.Message):
    __slots__ = ("item", "similarity")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    item: _resources_pb2.Item
    similarity: float
    def __init__(self, item: _Optional[_Union[_resources_pb2.Item, _Mapping]] = ..., similarity: _Optional[float] = ...) -> None: ...

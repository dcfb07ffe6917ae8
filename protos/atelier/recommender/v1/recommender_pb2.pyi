from atelier.recommender.v1 import resources_pb2 as _resources_pb2
from atelier.types.v1 import access_pb2 as _access_pb2
from atelier.types.v1 import types_pb2 as _types_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BestsellerSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BESTSELLER_SOURCE_UNSPECIFIED: _ClassVar[BestsellerSource]
    BESTSELLER_SOURCE_ITEMS: _ClassVar[BestsellerSource]
    BESTSELLER_SOURCE_PICTURES: _ClassVar[BestsellerSource]
    BESTSELLER_SOURCE_SALES: _ClassVar[BestsellerSource]
    BESTSELLER_SOURCE_PROXY: _ClassVar[BestsellerSource]
BESTSELLER_SOURCE_UNSPECIFIED: BestsellerSource
BESTSELLER_SOURCE_ITEMS: BestsellerSource
BESTSELLER_SOURCE_PICTURES: BestsellerSource
BESTSELLER_SOURCE_SALES: BestsellerSource
BESTSELLER_SOURCE_PROXY: BestsellerSource

class RecommendRequest(_message.Message):
    __slots__ = ("collection", "image", "items", "attributes", "vector", "positive_examples", "negative_examples", "item_count", "filter", "excluded_item_ids", "min_revision", "diversity", "explain", "new_products_only")
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
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    NEW_PRODUCTS_ONLY_FIELD_NUMBER: _ClassVar[int]
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
    min_revision: int
    diversity: float
    explain: bool
    new_products_only: bool
    def __init__(self, collection: _Optional[str] = ..., image: _Optional[bytes] = ..., items: _Optional[_Union[_resources_pb2.ItemIds, _Mapping]] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., vector: _Optional[_Union[_types_pb2.SpaceVector, _Mapping]] = ..., positive_examples: _Optional[_Iterable[_Union[_resources_pb2.Example, _Mapping]]] = ..., negative_examples: _Optional[_Iterable[_Union[_resources_pb2.Example, _Mapping]]] = ..., item_count: _Optional[int] = ..., filter: _Optional[_Union[_resources_pb2.ItemFilter, _Mapping]] = ..., excluded_item_ids: _Optional[_Iterable[str]] = ..., min_revision: _Optional[int] = ..., diversity: _Optional[float] = ..., explain: _Optional[bool] = ..., new_products_only: _Optional[bool] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("recommendations", "errors", "models", "collection", "space_id", "catalogue_revision", "timings", "generation", "manifest_digest")
    RECOMMENDATIONS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_REVISION_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    recommendations: _containers.RepeatedCompositeFieldContainer[Recommendation]
    errors: _containers.RepeatedCompositeFieldContainer[_types_pb2.ItemError]
    models: _containers.RepeatedCompositeFieldContainer[_types_pb2.ModelIdentity]
    collection: str
    space_id: str
    catalogue_revision: int
    timings: _types_pb2.Timings
    generation: int
    manifest_digest: str
    def __init__(self, recommendations: _Optional[_Iterable[_Union[Recommendation, _Mapping]]] = ..., errors: _Optional[_Iterable[_Union[_types_pb2.ItemError, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[_types_pb2.ModelIdentity, _Mapping]]] = ..., collection: _Optional[str] = ..., space_id: _Optional[str] = ..., catalogue_revision: _Optional[int] = ..., timings: _Optional[_Union[_types_pb2.Timings, _Mapping]] = ..., generation: _Optional[int] = ..., manifest_digest: _Optional[str] = ...) -> None: ...

class BatchRecommendRequest(_message.Message):
    __slots__ = ("collection", "requests", "min_revision")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    requests: _containers.RepeatedCompositeFieldContainer[RecommendRequest]
    min_revision: int
    def __init__(self, collection: _Optional[str] = ..., requests: _Optional[_Iterable[_Union[RecommendRequest, _Mapping]]] = ..., min_revision: _Optional[int] = ...) -> None: ...

class BatchRecommendResponse(_message.Message):
    __slots__ = ("results", "models", "collection", "space_id", "catalogue_revision", "timings", "generation", "manifest_digest")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_REVISION_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchRecommendResult]
    models: _containers.RepeatedCompositeFieldContainer[_types_pb2.ModelIdentity]
    collection: str
    space_id: str
    catalogue_revision: int
    timings: _types_pb2.Timings
    generation: int
    manifest_digest: str
    def __init__(self, results: _Optional[_Iterable[_Union[BatchRecommendResult, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[_types_pb2.ModelIdentity, _Mapping]]] = ..., collection: _Optional[str] = ..., space_id: _Optional[str] = ..., catalogue_revision: _Optional[int] = ..., timings: _Optional[_Union[_types_pb2.Timings, _Mapping]] = ..., generation: _Optional[int] = ..., manifest_digest: _Optional[str] = ...) -> None: ...

class RecommendFromBestsellersRequest(_message.Message):
    __slots__ = ("collection", "items", "pictures", "sales", "use_proxy", "item_count", "filter", "excluded_item_ids", "diversity", "min_revision", "trend_fields")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    SALES_FIELD_NUMBER: _ClassVar[int]
    USE_PROXY_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    MIN_REVISION_FIELD_NUMBER: _ClassVar[int]
    TREND_FIELDS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    items: BestsellerIds
    pictures: BestsellerPictures
    sales: SalesTable
    use_proxy: bool
    item_count: int
    filter: _resources_pb2.ItemFilter
    excluded_item_ids: _containers.RepeatedScalarFieldContainer[str]
    diversity: float
    min_revision: int
    trend_fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, collection: _Optional[str] = ..., items: _Optional[_Union[BestsellerIds, _Mapping]] = ..., pictures: _Optional[_Union[BestsellerPictures, _Mapping]] = ..., sales: _Optional[_Union[SalesTable, _Mapping]] = ..., use_proxy: _Optional[bool] = ..., item_count: _Optional[int] = ..., filter: _Optional[_Union[_resources_pb2.ItemFilter, _Mapping]] = ..., excluded_item_ids: _Optional[_Iterable[str]] = ..., diversity: _Optional[float] = ..., min_revision: _Optional[int] = ..., trend_fields: _Optional[_Iterable[str]] = ...) -> None: ...

class RecommendFromBestsellersResponse(_message.Message):
    __slots__ = ("recommendations", "errors", "models", "collection", "space_id", "catalogue_revision", "timings", "generation", "manifest_digest", "source", "bestseller_count", "bestseller_item_ids", "trends")
    RECOMMENDATIONS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_REVISION_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    BESTSELLER_COUNT_FIELD_NUMBER: _ClassVar[int]
    BESTSELLER_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    TRENDS_FIELD_NUMBER: _ClassVar[int]
    recommendations: _containers.RepeatedCompositeFieldContainer[Recommendation]
    errors: _containers.RepeatedCompositeFieldContainer[_types_pb2.ItemError]
    models: _containers.RepeatedCompositeFieldContainer[_types_pb2.ModelIdentity]
    collection: str
    space_id: str
    catalogue_revision: int
    timings: _types_pb2.Timings
    generation: int
    manifest_digest: str
    source: BestsellerSource
    bestseller_count: int
    bestseller_item_ids: _containers.RepeatedScalarFieldContainer[str]
    trends: _containers.RepeatedCompositeFieldContainer[BestsellerTrend]
    def __init__(self, recommendations: _Optional[_Iterable[_Union[Recommendation, _Mapping]]] = ..., errors: _Optional[_Iterable[_Union[_types_pb2.ItemError, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[_types_pb2.ModelIdentity, _Mapping]]] = ..., collection: _Optional[str] = ..., space_id: _Optional[str] = ..., catalogue_revision: _Optional[int] = ..., timings: _Optional[_Union[_types_pb2.Timings, _Mapping]] = ..., generation: _Optional[int] = ..., manifest_digest: _Optional[str] = ..., source: _Optional[_Union[BestsellerSource, str]] = ..., bestseller_count: _Optional[int] = ..., bestseller_item_ids: _Optional[_Iterable[str]] = ..., trends: _Optional[_Iterable[_Union[BestsellerTrend, _Mapping]]] = ...) -> None: ...

class FindRecordsRequest(_message.Message):
    __slots__ = ("collection", "image", "item_count", "filter")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    collection: str
    image: bytes
    item_count: int
    filter: _resources_pb2.ItemFilter
    def __init__(self, collection: _Optional[str] = ..., image: _Optional[bytes] = ..., item_count: _Optional[int] = ..., filter: _Optional[_Union[_resources_pb2.ItemFilter, _Mapping]] = ...) -> None: ...

class FindRecordsResponse(_message.Message):
    __slots__ = ("records", "suggestions", "models", "catalogue_revision", "timings")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    SUGGESTIONS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_REVISION_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[RecordMatch]
    suggestions: _containers.RepeatedCompositeFieldContainer[ValueSuggestion]
    models: _containers.RepeatedCompositeFieldContainer[_types_pb2.ModelIdentity]
    catalogue_revision: int
    timings: _types_pb2.Timings
    def __init__(self, records: _Optional[_Iterable[_Union[RecordMatch, _Mapping]]] = ..., suggestions: _Optional[_Iterable[_Union[ValueSuggestion, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[_types_pb2.ModelIdentity, _Mapping]]] = ..., catalogue_revision: _Optional[int] = ..., timings: _Optional[_Union[_types_pb2.Timings, _Mapping]] = ...) -> None: ...

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

class RecordMatch(_message.Message):
    __slots__ = ("item_id", "attributes", "similarity")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    attributes: _struct_pb2.Struct
    similarity: float
    def __init__(self, item_id: _Optional[str] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., similarity: _Optional[float] = ...) -> None: ...

class ValueSuggestion(_message.Message):
    __slots__ = ("field", "value", "share")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    field: str
    value: str
    share: float
    def __init__(self, field: _Optional[str] = ..., value: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...

class BestsellerIds(_message.Message):
    __slots__ = ("item_ids",)
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, item_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class BestsellerPictures(_message.Message):
    __slots__ = ("images",)
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, images: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SalesTable(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[SalesRow]
    def __init__(self, rows: _Optional[_Iterable[_Union[SalesRow, _Mapping]]] = ...) -> None: ...

class SalesRow(_message.Message):
    __slots__ = ("item_id", "units")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    units: float
    def __init__(self, item_id: _Optional[str] = ..., units: _Optional[float] = ...) -> None: ...

class BestsellerTrend(_message.Message):
    __slots__ = ("field", "value", "bestseller_share", "result_share", "new_share")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    BESTSELLER_SHARE_FIELD_NUMBER: _ClassVar[int]
    RESULT_SHARE_FIELD_NUMBER: _ClassVar[int]
    NEW_SHARE_FIELD_NUMBER: _ClassVar[int]
    field: str
    value: str
    bestseller_share: float
    result_share: float
    new_share: float
    def __init__(self, field: _Optional[str] = ..., value: _Optional[str] = ..., bestseller_share: _Optional[float] = ..., result_share: _Optional[float] = ..., new_share: _Optional[float] = ...) -> None: ...

class BatchRecommendResult(_message.Message):
    __slots__ = ("index", "answer", "error")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    index: int
    answer: Recommendations
    error: _status_pb2.Status
    def __init__(self, index: _Optional[int] = ..., answer: _Optional[_Union[Recommendations, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Recommendations(_message.Message):
    __slots__ = ("recommendations", "errors")
    RECOMMENDATIONS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    recommendations: _containers.RepeatedCompositeFieldContainer[Recommendation]
    errors: _containers.RepeatedCompositeFieldContainer[_types_pb2.ItemError]
    def __init__(self, recommendations: _Optional[_Iterable[_Union[Recommendation, _Mapping]]] = ..., errors: _Optional[_Iterable[_Union[_types_pb2.ItemError, _Mapping]]] = ...) -> None: ...

class Recommendation(_message.Message):
    __slots__ = ("item", "similarity", "explanation")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    item: _resources_pb2.Item
    similarity: float
    explanation: Explanation
    def __init__(self, item: _Optional[_Union[_resources_pb2.Item, _Mapping]] = ..., similarity: _Optional[float] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("shares", "shared_attributes")
    SHARES_FIELD_NUMBER: _ClassVar[int]
    SHARED_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    shares: _containers.RepeatedScalarFieldContainer[float]
    shared_attributes: _struct_pb2.Struct
    def __init__(self, shares: _Optional[_Iterable[float]] = ..., shared_attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

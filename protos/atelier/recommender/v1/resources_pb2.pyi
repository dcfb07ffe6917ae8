import datetime

from atelier.types.v1 import types_pb2 as _types_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Item(_message.Message):
    __slots__ = ("item_id", "attributes", "released_at", "in_stock", "picture_digest", "revision", "product_id")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    RELEASED_AT_FIELD_NUMBER: _ClassVar[int]
    IN_STOCK_FIELD_NUMBER: _ClassVar[int]
    PICTURE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    attributes: _struct_pb2.Struct
    released_at: _timestamp_pb2.Timestamp
    in_stock: bool
    picture_digest: str
    revision: int
    product_id: str
    def __init__(self, item_id: _Optional[str] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., released_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., in_stock: _Optional[bool] = ..., picture_digest: _Optional[str] = ..., revision: _Optional[int] = ..., product_id: _Optional[str] = ...) -> None: ...

class Example(_message.Message):
    __slots__ = ("image", "item_id", "attributes", "vector")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    item_id: str
    attributes: _struct_pb2.Struct
    vector: _types_pb2.SpaceVector
    def __init__(self, image: _Optional[bytes] = ..., item_id: _Optional[str] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., vector: _Optional[_Union[_types_pb2.SpaceVector, _Mapping]] = ...) -> None: ...

class ItemIds(_message.Message):
    __slots__ = ("item_ids",)
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, item_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ItemFilter(_message.Message):
    __slots__ = ("any_of", "none_of", "number_ranges", "missing_fields", "in_stock", "released_after", "released_before")
    class NumberRangesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: NumberRange
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[NumberRange, _Mapping]] = ...) -> None: ...
    ANY_OF_FIELD_NUMBER: _ClassVar[int]
    NONE_OF_FIELD_NUMBER: _ClassVar[int]
    NUMBER_RANGES_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELDS_FIELD_NUMBER: _ClassVar[int]
    IN_STOCK_FIELD_NUMBER: _ClassVar[int]
    RELEASED_AFTER_FIELD_NUMBER: _ClassVar[int]
    RELEASED_BEFORE_FIELD_NUMBER: _ClassVar[int]
    any_of: _struct_pb2.Struct
    none_of: _struct_pb2.Struct
    number_ranges: _containers.MessageMap[str, NumberRange]
    missing_fields: _containers.RepeatedScalarFieldContainer[str]
    in_stock: bool
    released_after: _timestamp_pb2.Timestamp
    released_before: _timestamp_pb2.Timestamp
    def __init__(self, any_of: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., none_of: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., number_ranges: _Optional[_Mapping[str, NumberRange]] = ..., missing_fields: _Optional[_Iterable[str]] = ..., in_stock: _Optional[bool] = ..., released_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., released_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NumberRange(_message.Message):
    __slots__ = ("at_least", "above", "at_most", "below")
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    ABOVE_FIELD_NUMBER: _ClassVar[int]
    AT_MOST_FIELD_NUMBER: _ClassVar[int]
    BELOW_FIELD_NUMBER: _ClassVar[int]
    at_least: float
    above: float
    at_most: float
    below: float
    def __init__(self, at_least: _Optional[float] = ..., above: _Optional[float] = ..., at_most: _Optional[float] = ..., below: _Optional[float] = ...) -> None: ...

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

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_INTERACTIVE: _ClassVar[Priority]
    PRIORITY_BULK: _ClassVar[Priority]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_INTERACTIVE: Priority
PRIORITY_BULK: Priority

class EmbedRequest(_message.Message):
    __slots__ = ("space_id", "model", "inputs", "no_store", "priority")
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    NO_STORE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    space_id: str
    model: ModelReference
    inputs: _containers.RepeatedCompositeFieldContainer[EmbedInput]
    no_store: bool
    priority: Priority
    def __init__(self, space_id: _Optional[str] = ..., model: _Optional[_Union[ModelReference, _Mapping]] = ..., inputs: _Optional[_Iterable[_Union[EmbedInput, _Mapping]]] = ..., no_store: _Optional[bool] = ..., priority: _Optional[_Union[Priority, str]] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("results", "model", "timings")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[EmbedResult]
    model: _types_pb2.ModelIdentity
    timings: _types_pb2.Timings
    def __init__(self, results: _Optional[_Iterable[_Union[EmbedResult, _Mapping]]] = ..., model: _Optional[_Union[_types_pb2.ModelIdentity, _Mapping]] = ..., timings: _Optional[_Union[_types_pb2.Timings, _Mapping]] = ...) -> None: ...

class EmbedStreamRequest(_message.Message):
    __slots__ = ("space_id", "model", "input", "no_store")
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    NO_STORE_FIELD_NUMBER: _ClassVar[int]
    space_id: str
    model: ModelReference
    input: EmbedInput
    no_store: bool
    def __init__(self, space_id: _Optional[str] = ..., model: _Optional[_Union[ModelReference, _Mapping]] = ..., input: _Optional[_Union[EmbedInput, _Mapping]] = ..., no_store: _Optional[bool] = ...) -> None: ...

class EmbedStreamResponse(_message.Message):
    __slots__ = ("result", "model")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    result: EmbedResult
    model: _types_pb2.ModelIdentity
    def __init__(self, result: _Optional[_Union[EmbedResult, _Mapping]] = ..., model: _Optional[_Union[_types_pb2.ModelIdentity, _Mapping]] = ...) -> None: ...

class PrepareModelRequest(_message.Message):
    __slots__ = ("space_id",)
    SPACE_ID_FIELD_NUMBER: _ClassVar[int]
    space_id: str
    def __init__(self, space_id: _Optional[str] = ...) -> None: ...

class PrepareModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: _types_pb2.ServedModel
    def __init__(self, model: _Optional[_Union[_types_pb2.ServedModel, _Mapping]] = ...) -> None: ...

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

class ModelReference(_message.Message):
    __slots__ = ("name", "alias")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    name: str
    alias: str
    def __init__(self, name: _Optional[str] = ..., alias: _Optional[str] = ...) -> None: ...

class EmbedInput(_message.Message):
    __slots__ = ("id", "image", "attributes")
    ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    image: bytes
    attributes: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., image: _Optional[bytes] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class EmbedResult(_message.Message):
    __slots__ = ("index", "id", "vector", "error")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    index: int
    id: str
    vector: _types_pb2.SpaceVector
    error: _status_pb2.Status
    def __init__(self, index: _Optional[int] = ..., id: _Optional[str] = ..., vector: _Optional[_Union[_types_pb2.SpaceVector, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

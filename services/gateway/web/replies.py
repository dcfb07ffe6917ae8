"""Messages as JSON, and the JSON Schemas of what they become.

Both are made from a message's descriptor, so a reply and its schema cannot differ. A field with presence is
left out while unset; every other field is always there. Enums are lower-case words without their prefix,
times are RFC 3339 in UTC, 64-bit integers are numbers, a `google.rpc.Status` is what a problem says of an
error, and bytes are left out: pictures travel by themselves.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import numpy as np
import orjson
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.web.problems import describe_status
from services.runtime.errors import from_status

Json = dict[str, Any]
Write = Callable[[Any, str], Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_ITEM: Final = "atelier.recommender.v1.Item"
_INTEGERS: Final = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)


def encode(body: Any) -> bytes:
    """JSON without a `<`, so that no browser ever takes it for markup."""
    data = orjson.dumps(body, option=_OPTIONS)
    return data.replace(b"<", b"\\u003c") if b"<" in data else data


def write(message: Message, collection: str = "") -> Json:
    """A message as what `encode` takes. collection: of its items, for the addresses of their pictures."""
    written: Json = _writer(message.DESCRIPTOR)(message, collection)
    return written


@cache
def _writer(descriptor: Descriptor) -> Write:
    """What writes a message of a type; put together once."""
    special = _SPECIAL.get(descriptor.full_name)
    if special is not None:
        return special
    always = [(f.name, _field_writer(f)) for f in descriptor.fields if _is_written(f) and not f.has_presence]
    present = [(f.name, _field_writer(f)) for f in descriptor.fields if _is_written(f) and f.has_presence]

    def write_fields(message: Any, collection: str) -> Json:
        body = {name: convert(getattr(message, name), collection) for name, convert in always}
        for name, convert in present:
            if message.HasField(name):
                body[name] = convert(getattr(message, name), collection)
        return body

    return _with_picture(write_fields) if descriptor.full_name == _ITEM else write_fields


def _is_written(field: FieldDescriptor) -> bool:
    return field.type != FieldDescriptor.TYPE_BYTES


def _field_writer(field: FieldDescriptor) -> Write:
    if not field.is_repeated:
        return _value_writer(field)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        kind = np.float32 if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT else np.float64
        return lambda values, _: np.array(values, dtype=kind)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_MESSAGE, FieldDescriptor.CPPTYPE_ENUM):
        convert = _value_writer(field)
        return lambda values, collection: [convert(value, collection) for value in values]
    return lambda values, _: list(values)


def _value_writer(field: Any) -> Write:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        held = field.message_type
        return lambda value, collection: _writer(held)(value, collection)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        words = enum_words(field.enum_type)
        return lambda value, _: words.get(value, str(value))
    return lambda value, _: value


def enum_words(enum: EnumDescriptor) -> Mapping[int, str]:
    """The word of each value of an enum, as JSON has it: `liked` for FEEDBACK_KIND_LIKED."""
    prefix = next((v.name.removesuffix("UNSPECIFIED") for v in enum.values if v.number == 0), "")
    return {value.number: value.name.removeprefix(prefix).lower() for value in enum.values}


def picture_url(item_id: str, digest: str, collection: str) -> str:
    """The address of an item's picture on this gateway; empty without one. Ids need no escaping."""
    if not digest:
        return ""
    return f"/api/pictures/{digest}?collection={collection}&item_id={item_id}"


def _with_picture(write_fields: Write) -> Write:
    def write_item(item: Any, collection: str) -> Json:
        body: Json = write_fields(item, collection)
        body["picture_url"] = picture_url(item.item_id, item.picture_digest, collection)
        return body

    return write_item


def _write_struct(struct: Struct, _collection: str = "") -> Json:
    return {name: _write_value(value) for name, value in struct.fields.items()}


def _write_value(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "list_value":
        return [_write_value(entry) for entry in value.list_value.values]
    if kind == "struct_value":
        return _write_struct(value.struct_value)
    if kind is None or kind == "null_value":
        return None
    held = getattr(value, kind)
    return int(held) if kind == "number_value" and held.is_integer() and abs(held) < 1 << 53 else held


def _write_time(time: Timestamp, _collection: str = "") -> datetime:
    return _EPOCH + timedelta(seconds=time.seconds, microseconds=time.nanos // 1_000)


_SPECIAL: Final[Mapping[str, Write]] = {
    "google.protobuf.Struct": _write_struct,
    "google.protobuf.Timestamp": _write_time,
    "google.rpc.Status": lambda status, _: describe_status(from_status(status)),
}


def reference(message: type[Message]) -> Json:
    """A reference to a message's schema; see `schemas`."""
    return _reference(message.DESCRIPTOR)


def schemas(message: type[Message]) -> dict[str, Json]:
    """The schema of a message and of every message within it, by name."""
    collected: dict[str, Json] = {}
    _collect(message.DESCRIPTOR, collected)
    return collected


def _name(descriptor: Any) -> str:
    return "ErrorStatus" if descriptor.full_name == "google.rpc.Status" else str(descriptor.name)


def _reference(descriptor: Any) -> Json:
    return {"$ref": f"#/components/schemas/{_name(descriptor)}"}


def _collect(descriptor: Any, collected: dict[str, Json]) -> None:
    name = _name(descriptor)
    if name in collected or descriptor.full_name in _PLAIN_SCHEMAS:
        return
    if name == "ErrorStatus":
        collected[name] = _ERROR_SCHEMA
        return
    fields = [field for field in descriptor.fields if _is_written(field)]
    properties = {field.name: _schema_of(field) for field in fields}
    required = [field.name for field in fields if not field.has_presence]
    if descriptor.full_name == _ITEM:
        properties["picture_url"] = {"type": "string"}
        required.append("picture_url")
    collected[name] = {"type": "object", "properties": properties, "required": required}
    for field in fields:
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            _collect(field.message_type, collected)


def _schema_of(field: Any) -> Json:
    schema = _value_schema(field)
    return {"type": "array", "items": schema} if field.is_repeated else schema


def _value_schema(field: Any) -> Json:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_MESSAGE:
            plain = _PLAIN_SCHEMAS.get(field.message_type.full_name)
            return dict(plain) if plain else _reference(field.message_type)
        case FieldDescriptor.CPPTYPE_ENUM:
            return {"type": "string", "enum": list(enum_words(field.enum_type).values())}
        case FieldDescriptor.CPPTYPE_BOOL:
            return {"type": "boolean"}
        case FieldDescriptor.CPPTYPE_STRING:
            return {"type": "string"}
        case kind if kind in _INTEGERS:
            return {"type": "integer"}
        case _:
            return {"type": "number"}


_PLAIN_SCHEMAS: Final[Mapping[str, Json]] = {
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}
_ERROR_SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "reason": {"type": "string"},
        "retry_after_s": {"type": "number"},
        "field_violations": {"type": "array", "items": {"$ref": "#/components/schemas/FieldViolation"}},
    },
    "required": ["code", "detail", "reason"],
}

"""Attribute records as `google.protobuf.Struct`, both ways."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from services.runtime.errors import InvalidArgument
from services.runtime.limits import RECORD_BYTES


def read_record(struct: Struct) -> dict[str, Any]:
    """The record: texts, lists, truth values, None, numbers (whole ones as int), objects as dict.

    Raises InvalidArgument: for a record that takes more than `RECORD_BYTES` as a message.
    """
    size = struct.ByteSize()
    if size > RECORD_BYTES:
        raise InvalidArgument(
            f"the record has {size} bytes as a message, the bound is {RECORD_BYTES}",
            reason="INVALID_ATTRIBUTES",
        )
    return _read_fields(struct)


def _read_fields(struct: Struct) -> dict[str, Any]:
    return {name: _read_value(value) for name, value in struct.fields.items()}


def _read_value(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    match kind:
        case "list_value":
            return [_read_value(entry) for entry in value.list_value.values]
        case "struct_value":
            return _read_fields(value.struct_value)
        case "number_value" if value.number_value.is_integer():
            return int(value.number_value)
        case None | "null_value":
            return None
        case _:
            return getattr(value, kind)


def write_record(record: Mapping[str, Any]) -> Struct:
    """The record as a message. Raises ValueError: for a value of a type that a Struct does not hold."""
    struct = Struct()
    struct.update(record)
    return struct

"""What requests carry and the embedder answers: attribute records and vectors.

Shape: D dimensions of a space.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from atelier.embedder.v1 import embedder_pb2
from atelier.types.v1 import types_pb2
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from model_store.store import Version
from services.runtime.errors import (
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ServiceError,
    from_status,
)
from services.runtime.limits import RECORD_BYTES

_SPACE_LETTERS: Final = 64


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerVector:
    """A vector and the space that its sender states. values_D: float32, unchecked."""

    space_id: str
    values_D: np.ndarray

    def check(self, space_ids: Collection[str], dimension: int, *, field: str, taker: str) -> np.ndarray:
        """The components, float32 (D,), finite, of one of the spaces.

        field: what the request calls the vector. taker: what takes vectors of these spaces.
        Raises InvalidArgument: without a space, of another dimension, or not finite, naming the component.
        Raises FailedPrecondition: of another space, naming both.
        """
        if not self.space_id:
            raise InvalidArgument(f"{field}.space_id is missing", reason="NO_SPACE")
        if self.space_id not in space_ids:
            raise FailedPrecondition(
                f"{field}.space_id is {self.space_id[:_SPACE_LETTERS]}, {taker} takes {', '.join(space_ids)}",
                reason="WRONG_SPACE",
            )
        if len(self.values_D) != dimension:
            raise InvalidArgument(
                f"{field}.values has {len(self.values_D)} components, {taker} takes {dimension}",
                reason="WRONG_DIMENSION",
            )
        finite_D = np.isfinite(self.values_D)
        if not finite_D.all():
            raise InvalidArgument(
                f"{field}.values[{int(np.argmin(finite_D))}] is not finite", reason="NOT_FINITE"
            )
        return self.values_D


def read_vector(message: types_pb2.SpaceVector) -> CallerVector:
    """The vector of a message, unchecked."""
    return CallerVector(space_id=message.space_id, values_D=np.array(message.values, dtype=np.float32))


def write_vector(space_id: str, vector_D: np.ndarray) -> types_pb2.SpaceVector:
    """A vector of a space as a message."""
    return types_pb2.SpaceVector(space_id=space_id, values=vector_D.tolist())


def write_embed_request(
    head: embedder_pb2.EmbedRequest, inputs: Iterable[embedder_pb2.EmbedInput | bytes]
) -> bytes:
    """A call to the embedder as it goes on the wire: a request without inputs, and its inputs.

    bytes stand for an encoded picture without an id. They are joined, not put into a message that is then
    written: 18 MB of pictures take 3 ms, and 36 ms by way of a message.
    """
    parts = [head.SerializeToString()]
    for entry in inputs:
        if isinstance(entry, bytes):
            field = (_IMAGE, _varint(len(entry)))
            parts += (_INPUTS, _varint(sum(map(len, field)) + len(entry)), *field, entry)
        else:
            data = entry.SerializeToString()
            parts += (_INPUTS, _varint(len(data)), data)
    return b"".join(parts)


def _varint(value: int) -> bytes:
    """A number as protobuf writes lengths and tags."""
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    data.append(value)
    return bytes(data)


def _tag(message: type[Message], field: str) -> bytes:
    """The tag of a field whose length precedes it."""
    return _varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | 2)


_INPUTS: Final = _tag(embedder_pb2.EmbedRequest, "inputs")
_IMAGE: Final = _tag(embedder_pb2.EmbedInput, "image")


def read_embedded(
    reply: embedder_pb2.EmbedResponse, version: Version, input_count: int
) -> tuple[np.ndarray | ServiceError, ...]:
    """A vector, float32 (D,), finite, or an error for each input of a call to the embedder.

    Raises Internal: unless the reply has one result an input, of the version's space and dimension.
    """
    if len(reply.results) != input_count:
        raise Internal(f"the embedder answered {len(reply.results)} results for {input_count} inputs")
    outcomes = [_read_result(result, version) for result in reply.results]
    vectors = [outcome for outcome in outcomes if isinstance(outcome, np.ndarray)]
    if not vectors or np.isfinite(np.concatenate(vectors)).all():
        return tuple(outcomes)
    return tuple(map(_unless_not_finite, outcomes))


def _read_result(result: embedder_pb2.EmbedResult, version: Version) -> np.ndarray | ServiceError:
    if result.WhichOneof("outcome") != "vector":
        return from_status(result.error)
    space_id, count = result.vector.space_id, len(result.vector.values)
    if space_id != version.space_id or count != version.manifest.dimension:
        raise Internal(
            f"the embedder answered {count} components of space {space_id[:12]}, "
            f"{version} makes {version.manifest.dimension} of {version.space_id[:12]}"
        )
    return np.array(result.vector.values, dtype=np.float32)


def _unless_not_finite(outcome: np.ndarray | ServiceError) -> np.ndarray | ServiceError:
    if isinstance(outcome, ServiceError) or np.isfinite(outcome).all():
        return outcome
    return Internal("the embedder answered a vector that is not finite", reason="BAD_OUTPUT")

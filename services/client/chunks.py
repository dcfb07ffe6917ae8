"""Sets of items cut to what one message may hold (S-7)."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self, TypeVar

from atelier.types.v1 import types_pb2
from google.protobuf.message import Message

from services.runtime.errors import InvalidArgument, ResourceExhausted, ServiceError
from services.runtime.limits import Limits

_Item = TypeVar("_Item", bound=Message)
_BOUNDS = Limits()
_FRAMING_BYTES = 16  # tag, length and envelope of one item
_REQUEST_BYTES = 1 << 10  # what a request holds beside its items


class MessageBounds(NamedTuple):
    """What a service accepts in a message, by default without settings of its own."""

    item_count: int = _BOUNDS.message_images
    byte_count: int = _BOUNDS.message_bytes - _REQUEST_BYTES

    @classmethod
    def of(cls, limits: types_pb2.Limits) -> Self:
        """The bounds in the answer to `GetLimits`."""
        return cls(limits.message_images, limits.message_bytes - _REQUEST_BYTES)


def is_beyond_bounds(error: ServiceError) -> bool:
    """Whether a call may have failed because its message holds more than the service accepts."""
    if error.item_errors:
        return False
    # gRPC refuses a message that is far too large itself. A queue that is full gives a time to retry.
    full = isinstance(error, ResourceExhausted) and error.retry_after_s is None
    return full or isinstance(error, InvalidArgument)


def chunked(
    items: Iterable[_Item],
    item_count: int = _BOUNDS.message_images,
    byte_count: int = _BOUNDS.message_bytes,
) -> Iterator[list[_Item]]:
    """Runs of consecutive items: at most `item_count` and `byte_count` each, an oversized item alone."""
    chunk: list[_Item] = []
    size = 0
    for item in items:
        item_size = item.ByteSize() + _FRAMING_BYTES
        if chunk and (len(chunk) >= item_count or size + item_size > byte_count):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += item_size
    if chunk:
        yield chunk

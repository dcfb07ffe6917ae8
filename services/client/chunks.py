"""Sets of items cut to what one message may hold, and their replies put together (S-7)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import methodcaller
from typing import NamedTuple, Self, TypeVar

from atelier.embedder.v1 import embedder_pb2
from atelier.ranker.v1 import ranker_pb2
from atelier.types.v1 import types_pb2

from services.runtime.errors import InvalidArgument, ResourceExhausted, ServiceError
from services.runtime.limits import Limits

Inputs = Sequence[embedder_pb2.EmbedInput | bytes]  # bytes: an encoded picture without an id

_Item = TypeVar("_Item")
_BOUNDS = Limits()
FRAMING_BYTES = 16  # tag, length and envelope of one item
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
    size_of: Callable[[_Item], int] = methodcaller("ByteSize"),
) -> Iterator[list[_Item]]:
    """Runs of consecutive items: at most `item_count` and `byte_count` each, an oversized item alone.

    size_of: bytes of an item; protobuf finds them by writing the item, which costs as much as to send it.
    """
    chunk: list[_Item] = []
    size = 0
    for item in items:
        item_size = size_of(item) + FRAMING_BYTES
        if chunk and (len(chunk) >= item_count or size + item_size > byte_count):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += item_size
    if chunk:
        yield chunk


def content_bytes(item: embedder_pb2.EmbedInput | ranker_pb2.Candidate | bytes) -> int:
    """About the bytes of an item that is a picture or something small."""
    if isinstance(item, bytes):
        return len(item)
    if item.HasField("image"):
        return len(item.image) + len(item.id) + FRAMING_BYTES
    return item.ByteSize()


def parts(inputs: Inputs, bounds: MessageBounds) -> list[Inputs]:
    """The inputs cut to what one message may hold; one part without inputs if there are none."""
    return [*chunked(inputs, *bounds, size_of=content_bytes)] or [[]]


def left_over(
    inputs: Inputs, error: ServiceError, bounds: MessageBounds
) -> tuple[embedder_pb2.EmbedResponse, list[Inputs]]:
    """The reply for the inputs whose failures fitted into a failed call, and the rest in parts."""
    failures = error.item_errors
    results = [
        embedder_pb2.EmbedResult(
            index=index, id="" if isinstance(item, bytes) else item.id, error=failure.status
        )
        for index, (item, failure) in enumerate(zip(inputs, failures, strict=False))
    ]
    unanswered = inputs[len(failures) :]
    return embedder_pb2.EmbedResponse(results=results), parts(unanswered, bounds) if unanswered else []


def merged(parts: Sequence[embedder_pb2.EmbedResponse]) -> embedder_pb2.EmbedResponse:
    """One reply of several: results in the order of all inputs, times added up."""
    if len(parts) == 1:
        return parts[0]
    whole = embedder_pb2.EmbedResponse()
    for part in parts:
        offset = len(whole.results)
        whole.results.extend(part.results)
        for position in range(offset, len(whole.results)):
            whole.results[position].index = position
        if part.HasField("model"):
            whole.model.CopyFrom(part.model)
        for stage in ("queue_ms", "decode_ms", "compute_ms", "hop_ms"):
            setattr(whole.timings, stage, getattr(whole.timings, stage) + getattr(part.timings, stage))
    return whole

"""Sets of items cut to what one message may hold (S-7)."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from google.protobuf.message import Message

from services.runtime.limits import Limits

_Item = TypeVar("_Item", bound=Message)
_BOUNDS = Limits()
_FRAMING_BYTES = 16  # tag, length and envelope of one item


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
        if chunk and (len(chunk) == item_count or size + item_size > byte_count):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += item_size
    if chunk:
        yield chunk

"""Items as messages, and as the bytes of messages that replies are joined from.

A message may be written in pieces: protobuf reads pieces one after another as one message.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np
from atelier.recommender.v1 import resources_pb2
from google.protobuf import timestamp_pb2

from services.messages.contents import read_record, write_record
from services.recommender.catalog.items import Item

_ITEM_ID_TAG: Final = b"\x0a"  # Item.item_id = 1
_ATTRIBUTES_TAG: Final = b"\x12"  # Item.attributes = 2
_ITEM_TAG: Final = b"\x0a"  # Recommendation.item = 1
_RECOMMENDATION_TAG: Final = b"\x0a"  # RecommendResponse and Recommendations: recommendations = 1
_EXPLANATION_TAG: Final = b"\x1a"  # Recommendation.explanation = 3
_NUMBER: Final = struct.Struct("<d")
_SIMILARITY: Final = struct.Struct("<cf")  # Recommendation.similarity = 2, behind its tag
_similarity: Final = partial(_SIMILARITY.pack, b"\x15")
_KEPT_FIELDS: Final = 1 << 14
_LONGEST_KEPT: Final = 64
_MOST_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class ShownAttributes:
    """What the bytes of an item show of what filters read."""

    attributes: Mapping[str, Any]
    in_stock: bool


class MessageFormat:
    """Items as serialised `Item` messages."""

    def write(self, item: Item) -> bytes:
        """The message of an item; its first field is the identifier."""
        seconds, us = divmod(item.released_us, 1_000_000)
        rest = resources_pb2.Item(
            released_at=timestamp_pb2.Timestamp(seconds=seconds, nanos=us * 1_000),
            in_stock=item.in_stock,
            picture_digest=item.picture_digest,
            revision=item.revision,
            product_id=item.product_id,
        ).SerializeToString()
        attributes = sized(_ATTRIBUTES_TAG, record_fields(item.attributes))
        return self.prefix(item.item_id) + attributes + rest

    def prefix(self, item_id: str) -> bytes:
        """The identifier's field, with its length, so that it begins the message of no other item."""
        return sized(_ITEM_ID_TAG, item_id.encode())

    def read(self, reply: bytes) -> ShownAttributes:
        """The attributes and stock of a message."""
        message = resources_pb2.Item.FromString(reply)
        return ShownAttributes(read_record(message.attributes), message.in_stock)


MESSAGES: Final = MessageFormat()


def item(value: Item) -> resources_pb2.Item:
    """An item as a message."""
    return resources_pb2.Item.FromString(MESSAGES.write(value))


def record_fields(record: Mapping[str, Any]) -> bytes:
    """A record as a serialised `Struct`."""
    return b"".join(map(_field, record.items()))


def word_fields(words: Mapping[str, tuple[str, ...]]) -> bytes:
    """Lists of words by field as a serialised `Struct`."""
    return b"".join([_list_field(name, listed) for name, listed in words.items()])


def recommendations(
    shown: Sequence[bytes], similarities: np.ndarray, explanations: Sequence[bytes] = ()
) -> bytes:
    """The recommendations of a reply, joined. shown: messages of items. similarities: shape (N,).

    explanations: messages, one an item or none.
    """
    if explanations:
        return b"".join(map(_explained, shown, similarities.tolist(), explanations))
    pieces = list[bytes]()
    for message, similarity in zip(shown, similarities.tolist(), strict=True):
        pieces += (_head(len(message)), message, _similarity(similarity))
    return b"".join(pieces)


def _explained(message: bytes, similarity: float, explanation: bytes) -> bytes:
    inner = (_ITEM_TAG, _varint(len(message)), message, _similarity(similarity))
    return sized(
        _RECOMMENDATION_TAG, b"".join((*inner, _EXPLANATION_TAG, _varint(len(explanation)), explanation))
    )


@lru_cache(maxsize=4096)
def _head(size: int) -> bytes:
    """What precedes an item of `size` bytes in a reply."""
    inner = _ITEM_TAG + _varint(size)
    return _RECOMMENDATION_TAG + _varint(len(inner) + size + _SIMILARITY.size) + inner


def _field(pair: tuple[str, Any]) -> bytes:
    """A field of a record, as a piece of its Struct: an entry of the map `fields = 1`."""
    name, value = pair
    kind = type(value)
    if kind is str and len(value) <= _LONGEST_KEPT:
        return _text_field(name, value)
    if kind is float or kind is int:
        return _number_head(name) + _NUMBER.pack(value)
    if kind is list and len(value) <= _MOST_KEPT and all(type(each) is str for each in value):
        return _list_field(name, tuple(value))
    return _entry(name, _value(value))


@lru_cache(maxsize=_KEPT_FIELDS)
def _text_field(name: str, value: str) -> bytes:
    return _entry(name, _value(value))


@lru_cache(maxsize=_KEPT_FIELDS)
def _list_field(name: str, words: tuple[str, ...]) -> bytes:
    return _entry(name, _value(list(words)))


@lru_cache(maxsize=_KEPT_FIELDS)
def _number_head(name: str) -> bytes:
    """What precedes the eight bytes of a number."""
    return _entry(name, _value(0.0))[: -_NUMBER.size]


def _entry(name: str, value: bytes) -> bytes:
    return sized(b"\x0a", sized(b"\x0a", name.encode()) + sized(b"\x12", value))


def _value(value: Any) -> bytes:
    """A `google.protobuf.Value`; its fields are fixed by protobuf."""
    match value:
        case str():
            return sized(b"\x1a", value.encode())
        case bool():
            return b"\x20\x01" if value else b"\x20\x00"
        case int() | float():
            return b"\x11" + _NUMBER.pack(value)
        case None:
            return b"\x08\x00"
        case list():
            return sized(b"\x32", b"".join(sized(b"\x0a", _value(each)) for each in value))
        case _:
            return write_record({"": value}).fields[""].SerializeToString()


def sized(tag: bytes, data: bytes) -> bytes:
    """A field of bytes, a text or a message. tag: its number and type, as it is written."""
    return tag + _varint(len(data)) + data


@lru_cache(maxsize=_KEPT_FIELDS)
def _varint(number: int) -> bytes:
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)

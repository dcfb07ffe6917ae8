"""Items, and what is written of them. Legend: N rows, D dimensions."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item of the catalog.

    released_us: µs since 1970, UTC. picture_digest: '' for none. product_id: '' for an item that is a
    product of its own. source: the name of its content. label: of its row in the index.
    """

    item_id: str
    attributes: Attributes
    released_us: int
    in_stock: bool
    picture_digest: str
    source: str
    label: int
    revision: int
    product_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemEntry:
    """An item to write.

    released_us: µs since 1970, UTC; None keeps the stored value, or the current time for a new item.
    """

    item_id: str
    attributes: Attributes
    released_us: int | None
    in_stock: bool
    picture_digest: str
    source: str
    product_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceVector:
    """A vector of one content in one space. vector_D: float32, finite."""

    source: str
    space_id: str
    vector_D: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionState:
    """The head of a collection: its revision, and what it serves; '' and 0 if it never served.

    lead_digest: '' as well where schema 0001 stored the lead.
    """

    revision: int = 0
    last_label: int = 0
    generation: int = 0
    space_id: str = ""
    lead_name: str = ""
    lead_version: int = 0
    lead_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingVector:
    """An item that has no vector in a space. picture_digest: '' for one upserted as a bare vector."""

    item_id: str
    label: int
    source: str
    picture_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The rows of a collection's index. labels: int64 (N,), ascending; sources: the content of each."""

    revision: int
    labels: np.ndarray
    sources: Sequence[str]


def content_digest(source: str) -> int:
    """64 bits of a content's name, by which a row of an index file is known to be of that content.

    They are the first 8 bytes of blake2b(source), little-endian.
    """
    return int.from_bytes(hashlib.blake2b(source.encode()).digest()[:8], "little")


def content_digests(sources: Iterable[str]) -> np.ndarray:
    """The digests of several contents, uint64 (N,)."""
    joined = b"".join(hashlib.blake2b(source.encode()).digest()[:8] for source in sources)
    return np.frombuffer(joined, dtype="<u8")

"""Items, conditions on them and changes of them. Legend: N rows, D dimensions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item of the catalog. released_us: µs since 1970, UTC. picture_digest: '' for none."""

    item_id: str
    attributes: Attributes
    released_us: int
    in_stock: bool
    picture_digest: str
    source: str
    label: int
    revision: int


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceVector:
    """A vector of one content in one space. vector_D: float32, finite."""

    source: str
    space_id: str
    vector_D: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The result of a write: revisions by item, added labels with their contents, removed labels."""

    revision: int
    revisions: Mapping[str, int] = field(default_factory=dict)
    added: Mapping[int, str] = field(default_factory=dict)
    removed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemConditions:
    """The conditions of a filter. words: by field, words of which the item has one or more."""

    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    in_stock: bool | None = None
    released_from_us: int | None = None

    def __bool__(self) -> bool:
        return bool(self.words) or self.in_stock is not None or self.released_from_us is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionState:
    """What a collection served last; '' and 0 if it never served."""

    revision: int = 0
    space_id: str = ""
    lead_name: str = ""
    lead_version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingVector:
    """A picture without a vector in a space, and an item that shows it."""

    item_id: str
    source: str
    picture_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The rows of a collection's index. labels: int64 (N,), ascending; sources: the content of each."""

    revision: int
    labels: np.ndarray
    sources: Sequence[str]

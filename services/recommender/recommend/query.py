"""Questions, and the direction that they point in. Legend: D dimensions, P positives, N negatives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from services.messages.contents import CallerVector
from services.runtime.errors import InvalidArgument, ServiceError
from vector_index.protocol import Filter

NEGATIVE_WEIGHT = 0.5


class QueryKind(Enum):
    """What a direction comes from; the later ones lie farther from the items and need a wider search."""

    VECTOR = "vector"
    ITEMS = "items"
    PICTURE = "picture"
    ATTRIBUTES = "attributes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An encoded picture."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemIds:
    """Items of the collection, counting equally."""

    item_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An attribute record."""

    attributes: Mapping[str, Any]


Content = Picture | ItemIds | Record | CallerVector

_KINDS: Mapping[type, QueryKind] = {
    CallerVector: QueryKind.VECTOR,
    ItemIds: QueryKind.ITEMS,
    Picture: QueryKind.PICTURE,
    Record: QueryKind.ATTRIBUTES,
}
_ORDER = list(QueryKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The question of a request. An unreadable example is replaced by its error.

    conditions: in the caller's spelling. diversity: 0 to 1, as in `diversify`.
    """

    query: Content | None
    positives: tuple[Content | ServiceError, ...] = ()
    negatives: tuple[Content | ServiceError, ...] = ()
    item_count: int = 10
    conditions: Filter = field(default_factory=Filter)
    diversity: float = 0.0
    explain: bool = False

    @property
    def contents(self) -> tuple[Content | ServiceError | None, ...]:
        """The query, then the positive examples, then the negative ones."""
        return (self.query, *self.positives, *self.negatives)

    @property
    def named_ids(self) -> tuple[str, ...]:
        """Items to leave out: those that the caller excludes, and those of the query and the examples."""
        named = [
            item_id
            for content in self.contents
            if isinstance(content, ItemIds)
            for item_id in content.item_ids
        ]
        return (*self.conditions.excluded_ids, *named)

    @property
    def kind(self) -> QueryKind:
        """The kind of its contents that lies farthest from the items."""
        kinds = [kind for content in self.contents if (kind := _KINDS.get(type(content))) is not None]
        return max(kinds, key=_ORDER.index, default=QueryKind.VECTOR)


def blend(positives: Sequence[np.ndarray], negatives: Sequence[np.ndarray]) -> np.ndarray:
    """The direction to search in: mean(positives) − 0.5 · mean(negatives), each of norm 1 first; norm 1.

    The query is one of the positives, so two liked examples outweigh it two to one. The mean keeps many
    dislikes from outweighing the likes; 0.5 turns away from them without looking for their opposite
    (Rocchio's formula, with β = 1 and γ = 0.5). positives, negatives: shape (D,) each, float.
    Raises InvalidArgument: if they cancel out.
    """
    if len(positives) == 1 and not negatives:
        return _unit(positives[0])
    target = np.mean([_unit(vector) for vector in positives], axis=0)
    if negatives:
        target = target - NEGATIVE_WEIGHT * np.mean([_unit(vector) for vector in negatives], axis=0)
    norm = float(np.linalg.norm(target))
    if norm < 1e-6:
        raise InvalidArgument(
            "the query and the examples cancel out: change or drop an example", reason="NO_DIRECTION"
        )
    direction: np.ndarray = target / norm
    return direction


def _unit(vector: np.ndarray) -> np.ndarray:
    vector = np.asarray(vector, dtype=np.float64)
    norm = float(vector @ vector) ** 0.5
    if not 1e-12 <= norm < np.inf:
        raise InvalidArgument("a vector has no direction: it is zero or not finite", reason="INVALID_VECTOR")
    unit: np.ndarray = vector / norm
    return unit

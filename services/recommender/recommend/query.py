"""Questions, and the direction that they point in. Legend: D dimensions, E examples, N items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import numpy as np

from services.messages.contents import CallerVector
from services.runtime.errors import InvalidArgument, ServiceError
from vector_index.protocol import Filter

NEGATIVE_WEIGHT: Final = 0.5


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

_ORDER: Final = tuple(QueryKind)
# Of the kind of each content in that order.
_RANKS: Final[Mapping[type, int]] = {CallerVector: 0, ItemIds: 1, Picture: 2, Record: 3}
NO_CONDITIONS: Final = Filter()
_WHOLE: Final = np.ones(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The question of a request. An unreadable example is replaced by its error.

    conditions: in the caller's spelling. excluded_ids: items that are left out, as are those that the query
    and the examples name. diversity: 0 to 1, as in `diversify`.
    """

    query: Content | None
    positives: tuple[Content | ServiceError, ...] = ()
    negatives: tuple[Content | ServiceError, ...] = ()
    item_count: int = 10
    conditions: Filter = NO_CONDITIONS
    excluded_ids: tuple[str, ...] = ()
    diversity: float = 0.0
    explain: bool = False

    @property
    def contents(self) -> tuple[Content | ServiceError | None, ...]:
        """The query, then the positive examples, then the negative ones."""
        return (self.query, *self.positives, *self.negatives)

    @property
    def named_count(self) -> int:
        """How many identifiers are looked up for it."""
        named = [len(content.item_ids) for content in self.contents if isinstance(content, ItemIds)]
        return len(self.excluded_ids) + sum(named)

    @property
    def kind(self) -> QueryKind:
        """The kind of its contents that lies farthest from the items."""
        ranks = [rank for content in self.contents if (rank := _RANKS.get(type(content))) is not None]
        return _ORDER[max(ranks, default=0)]


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """A direction and what it is blended from: direction = Σ weight · unit example.

    direction_D: float64, norm 1. example_ED: float64, norm 1. weight_E: below 0 for what to be far from.
    """

    direction_D: np.ndarray
    example_ED: np.ndarray
    weight_E: np.ndarray

    def shares(self, vector_ND: np.ndarray) -> np.ndarray:
        """What each example adds to the cosine of each unit vector, float64, shape (N, E); their sums are the
        cosines."""
        shares: np.ndarray = vector_ND.astype(np.float64) @ self.example_ED.T * self.weight_E
        return shares


def blend(positives: Sequence[np.ndarray], negatives: Sequence[np.ndarray]) -> Blend:
    """The direction to search in: mean(positives) − 0.5 · mean(negatives), each of norm 1 first; norm 1.

    The query is one of the positives, so two liked examples outweigh it two to one. The mean keeps many
    dislikes from outweighing the likes; 0.5 turns away from them without looking for their opposite
    (Rocchio's formula, with β = 1 and γ = 0.5). positives, negatives: shape (D,) each, float.
    Raises InvalidArgument: if they cancel out.
    """
    if len(positives) == 1 and not negatives:
        unit_D = _unit(positives[0])
        return Blend(unit_D, unit_D[None], _WHOLE)
    example_ED = np.stack([_unit(vector) for vector in (*positives, *negatives)])
    weight_E = np.full(len(example_ED), 1 / len(positives))
    if negatives:
        weight_E[len(positives) :] = -NEGATIVE_WEIGHT / len(negatives)
    target_D = weight_E @ example_ED
    norm = float(np.linalg.norm(target_D))
    if norm < 1e-6:
        raise InvalidArgument(
            "the query and the examples cancel out: change or drop an example", reason="NO_DIRECTION"
        )
    return Blend(target_D / norm, example_ED, weight_E / norm)


def _unit(vector: np.ndarray) -> np.ndarray:
    vector = np.asarray(vector, dtype=np.float64)
    norm = float(vector @ vector) ** 0.5
    if not 1e-12 <= norm < np.inf:
        raise InvalidArgument("a vector has no direction: it is zero or not finite", reason="INVALID_VECTOR")
    unit: np.ndarray = vector / norm
    return unit

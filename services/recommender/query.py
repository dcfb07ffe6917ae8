"""Questions, and the direction that they point in. Legend: D dimensions, P positives, N negatives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from services.messages.contents import CallerVector
from services.recommender.catalog.items import Item, ItemConditions
from services.recommender.catalog.store import Catalog
from services.recommender.space_index import SpaceIndex
from services.runtime.errors import InvalidArgument, ServiceError

NEGATIVE_WEIGHT = 0.5
# Extra rows, in place of items that are deleted between the search and the read.
_SPARE = 16
_ATTEMPTS = 3


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The question of a request. An unreadable example is replaced by its error."""

    query: Content | None
    positives: tuple[Content | ServiceError, ...] = ()
    negatives: tuple[Content | ServiceError, ...] = ()
    item_count: int = 10
    filter_words: Mapping[str, Any] = field(default_factory=dict)
    in_stock: bool | None = None
    released_from_us: int | None = None
    excluded_ids: tuple[str, ...] = ()

    @property
    def named_ids(self) -> tuple[str, ...]:
        """Items to leave out: those that the caller excludes, and those of the query and the examples."""
        contents = (self.query, *self.positives, *self.negatives)
        named = [
            item_id for content in contents if isinstance(content, ItemIds) for item_id in content.item_ids
        ]
        return (*self.excluded_ids, *named)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Items, nearest first, and the revision that the search reflects."""

    items: tuple[tuple[Item, float], ...]
    revision: int


def blend(positives: Sequence[np.ndarray], negatives: Sequence[np.ndarray]) -> np.ndarray:
    """The direction to search in: mean(positives) − 0.5 · mean(negatives), each of norm 1 first; norm 1.

    The query is one of the positives, so two liked examples outweigh it two to one. The mean keeps many
    dislikes from outweighing the likes; 0.5 turns away from them without looking for their opposite
    (Rocchio's formula, with β = 1 and γ = 0.5). positives, negatives: shape (D,) each, float.
    Raises InvalidArgument: if they cancel out.
    """
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


def search(
    catalog: Catalog,
    index: SpaceIndex,
    target_D: np.ndarray,
    *,
    count: int,
    conditions: ItemConditions,
    left_out: Sequence[str],
) -> SearchResult:
    """The `count` items nearest to a direction that satisfy the conditions and are not left out.

    The view is older than what is read of the catalog, so an item that was deleted meanwhile is left
    out; if too few remain, the search is repeated.
    """
    for _ in range(_ATTEMPTS):
        view = index.view()
        excluded = catalog.labels(index.collection, left_out) if left_out else None
        allowed = catalog.matching(index.collection, conditions) if conditions else None
        near = view.search(target_D, count + _SPARE, allowed=allowed, excluded=excluded)
        items = catalog.by_labels(index.collection, near.labels)
        pairs = zip(near.labels.tolist(), near.similarities.tolist(), strict=True)
        kept = tuple((items[label], similarity) for label, similarity in pairs if label in items)[:count]
        if len(kept) == min(count, len(near.labels)):
            break
    return SearchResult(items=kept, revision=view.revision)


def _unit(vector: np.ndarray) -> np.ndarray:
    vector = np.asarray(vector, dtype=np.float64)
    norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm < 1e-12:
        raise InvalidArgument("a vector has no direction: it is zero or not finite", reason="INVALID_VECTOR")
    unit: np.ndarray = vector / norm
    return unit

"""Which labels satisfy a filter: bitmap algebra over terms, then comparisons of columns.

Legend: L labels from 0 to the last.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import numpy as np
from pyroaring import BitMap

from services.recommender.view.columns import Column
from services.recommender.view.terms import IN_STOCK, LIVE, Terms, word_term
from vector_index.protocol import Filter

_KEPT_MASKS: Final = 16
_KEPT_FILTERS: Final = 256

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FilterMask:
    """Labels that may be returned. allowed_L: uint8, shape (L,), 0 or 1. count: how many."""

    allowed_L: np.ndarray
    count: int

    @classmethod
    def of(cls, allowed_L: np.ndarray) -> "FilterMask":
        """The mask of an array."""
        return cls(allowed_L=allowed_L, count=int(np.count_nonzero(allowed_L)))


def evaluate(
    conditions: Filter, terms: Terms, released: Column, numbers: Mapping[str, Column], size: int
) -> FilterMask:
    """The labels below `size` of live items that satisfy the conditions."""
    chosen = _chosen(conditions, terms)
    ranges = [(numbers.get(name), within) for name, within in conditions.ranges]
    if conditions.released is not None:
        ranges.append((released, conditions.released))
    allowed_L = label_mask(chosen, size)
    for column, within in ranges:
        values = np.empty(0) if column is None else column.values()[:size]
        allowed_L[: len(values)] &= within.test(values).view(np.uint8)
        allowed_L[len(values) :] = 0
    return FilterMask.of(allowed_L)


def label_mask(labels: BitMap, size: int) -> np.ndarray:
    """uint8, shape (size,): 1 for each of the labels, all of which are below `size`."""
    allowed_L = np.zeros(size, np.uint8)
    allowed_L[np.frombuffer(labels.to_array(), np.uint32)] = 1
    return allowed_L


def _chosen(conditions: Filter, terms: Terms) -> BitMap:
    needed = [
        terms.labels_of_any(word_term(name, word) for word in words) for name, words in conditions.any_of
    ]
    if conditions.in_stock:
        needed.append(terms.labels(IN_STOCK))
    needed.sort(key=len)
    chosen = needed[0] if needed else terms.labels(LIVE)
    for labels in needed[1:]:
        chosen = chosen & labels
    refused = [
        terms.labels_of_any(word_term(name, word) for word in words) for name, words in conditions.none_of
    ]
    refused += [terms.labels(name) for name in conditions.missing]
    if conditions.in_stock is False:
        refused.append(terms.labels(IN_STOCK))
    for labels in refused:
        chosen = chosen - labels
    return chosen


class RecentValues(Generic[K, V]):
    """What was made of the keys that were asked for last, at most `most`; safe from any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values = OrderedDict[K, V]()
        self._lock = threading.Lock()

    def of(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key, made if it is not there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return value

    def peek(self, key: K) -> V | None:
        """The value of a key; None if it is not there."""
        return self._values.get(key)


@dataclass(frozen=True, slots=True, eq=False)
class KnownFilters:
    """What a view keeps of the filters that it was asked for last.

    masks: by filter. settled: filters as the release reads them, by what the caller wrote and the schema.
    """

    masks: RecentValues[Filter, FilterMask] = field(default_factory=lambda: RecentValues(_KEPT_MASKS))
    settled: RecentValues[Any, Filter] = field(default_factory=lambda: RecentValues(_KEPT_FILTERS))

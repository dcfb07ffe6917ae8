"""Which labels satisfy a filter: bitmap algebra over terms, then comparisons of columns.

Legend: L labels from 0 to the last.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from pyroaring import BitMap

from services.recommender.view.columns import Column
from services.recommender.view.terms import IN_STOCK, LIVE, Terms, word_term
from vector_index.protocol import Filter

_KEPT: Final = 16


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FilterMask:
    """Labels that may be returned. allowed_L: uint8, shape (L,), 0 or 1. count: how many."""

    allowed_L: np.ndarray
    count: int

    @classmethod
    def of(cls, allowed_L: np.ndarray) -> "FilterMask":
        """The mask of an array."""
        return cls(allowed_L=allowed_L, count=int(np.count_nonzero(allowed_L)))

    def without(self, labels: np.ndarray) -> "FilterMask":
        """The mask with some labels left out."""
        allowed_L = self.allowed_L.copy()
        allowed_L[labels[labels < len(allowed_L)]] = 0
        return FilterMask.of(allowed_L)


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


class MaskCache:
    """The masks of the filters that were asked for last; safe from any thread."""

    def __init__(self) -> None:
        self._masks = OrderedDict[Filter, FilterMask]()
        self._lock = threading.Lock()

    def of(self, conditions: Filter, make: Callable[[], FilterMask]) -> FilterMask:
        """The mask of a filter, made if it is not there."""
        with self._lock:
            mask = self._masks.get(conditions)
            if mask is not None:
                self._masks.move_to_end(conditions)
                return mask
        mask = make()
        with self._lock:
            self._masks[conditions] = mask
            while len(self._masks) > _KEPT:
                self._masks.popitem(last=False)
        return mask

    def holds(self, conditions: Filter) -> bool:
        """Whether the mask of a filter is there."""
        return conditions in self._masks

"""What a search may return, as a value that every engine translates, and what every engine offers.

Legend: B queries, D dimensions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vector_index.rows import Neighbours

# By field, in the order of their names: words, or a range. Tuples, so that a filter can be a key.
FieldWords = tuple[tuple[str, tuple[str, ...]], ...]
FieldRanges = tuple[tuple[str, "Range"], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Bounds of a number; None for no bound. Whole numbers are compared exactly."""

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no number can lie within."""
        lows = [
            (low, is_open) for low, is_open in ((self.at_least, False), (self.above, True)) if low is not None
        ]
        highs = [
            (high, is_open)
            for high, is_open in ((self.at_most, False), (self.below, True))
            if high is not None
        ]
        return any(
            low > high or (low == high and (low_open or high_open))
            for low, low_open in lows
            for high, high_open in highs
        )

    def test(self, value_N: np.ndarray) -> np.ndarray:
        """bool, shape (N,): whether each value lies within; NaN never does."""
        within_N: np.ndarray = value_N == value_N
        if self.at_least is not None:
            within_N &= value_N >= self.at_least
        if self.above is not None:
            within_N &= value_N > self.above
        if self.at_most is not None:
            within_N &= value_N <= self.at_most
        if self.below is not None:
            within_N &= value_N < self.below
        return within_N


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The conditions that a result satisfies, all of them.

    any_of: by field, words of which it has one or more. none_of: words of which it has none. ranges: where
    its numbers lie. missing: fields that it does not have. released: in µs since 1970, UTC.
    """

    any_of: FieldWords = ()
    none_of: FieldWords = ()
    ranges: FieldRanges = ()
    missing: tuple[str, ...] = ()
    in_stock: bool | None = None
    released: Range | None = None

    @property
    def has_conditions(self) -> bool:
        """Whether it asks for anything."""
        listed = self.any_of or self.none_of or self.ranges or self.missing
        return bool(listed) or self.in_stock is not None or self.released is not None


def field_words(words: Mapping[str, Sequence[str]]) -> FieldWords:
    """The words of a mapping in the form that a filter has."""
    return tuple((name, tuple(words[name])) for name in sorted(words))


def field_ranges(ranges: Mapping[str, Range]) -> FieldRanges:
    """The ranges of a mapping in the form that a filter has."""
    return tuple((name, ranges[name]) for name in sorted(ranges))


class VectorIndex(Protocol):
    """Vectors of one collection in one space, in any engine."""

    async def search(
        self,
        queries_BD: np.ndarray,
        count: int,
        conditions: Filter,
        revision: int,
    ) -> list[Neighbours]:
        """For each query the `count` nearest rows that satisfy the conditions, as of a revision."""
        ...

"""Columns by label in chunks that are copied when they are written; every other chunk is shared.

Labels are dense, so a column is a tuple of chunks. Legend: L labels of a whole column.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

CHUNK: Final = 1_024
# A chunk with fewer values is a dict, so that a field which hardly any item has costs next to nothing.
_DENSE_FROM: Final = 64

Chunk = dict[int, float] | np.ndarray | None


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A number a label. `missing`: the value of labels without one, and of the column's type."""

    chunks: tuple[Chunk, ...]
    missing: np.generic

    @classmethod
    def empty(cls, missing: np.generic) -> "Column":
        """No values."""
        return cls((), missing)

    @property
    def has_values(self) -> bool:
        """Whether any label has a value."""
        return any(chunk is not None for chunk in self.chunks)

    def values(self) -> np.ndarray:
        """The value of each label up to the last chunk's end, shape (L,)."""
        if not self.chunks:
            return np.empty(0, self.missing.dtype)
        absent = np.full(CHUNK, self.missing)
        return np.concatenate([absent if chunk is None else self._dense(chunk) for chunk in self.chunks])

    def value(self, label: int) -> float | None:
        """The value of a label; None without one."""
        place, slot = divmod(label, CHUNK)
        chunk = self.chunks[place] if place < len(self.chunks) else None
        if chunk is None or isinstance(chunk, dict):
            return (chunk or {}).get(slot)
        value: float = chunk.item(slot)
        return None if self._is_missing(chunk[slot]) else value

    def of_each(self, labels: Iterable[int]) -> list[float]:
        """The values of some labels, in their order."""
        chunks, missing, values = self.chunks, self.missing.item(), list[float]()
        for label in labels:
            place, slot = divmod(label, CHUNK)
            chunk = chunks[place] if place < len(chunks) else None
            values.append(
                chunk.item(slot) if isinstance(chunk, np.ndarray) else (chunk or {}).get(slot, missing)
            )
        return values

    def changed(self, changes: Mapping[int, float | None]) -> "Column":
        """The column with new values by label; None removes a value."""
        by_chunk = defaultdict[int, dict[int, float | None]](dict)
        for label, value in changes.items():
            if value != self.value(label):
                by_chunk[label // CHUNK][label % CHUNK] = value
        if not by_chunk:
            return self
        chunks = list(self.chunks)
        chunks += [None] * (max(by_chunk) + 1 - len(chunks))
        for place, slots in by_chunk.items():
            chunks[place] = self._changed(chunks[place], slots)
        return Column(tuple(chunks), self.missing)

    def _changed(self, chunk: Chunk, slots: Mapping[int, float | None]) -> Chunk:
        if chunk is None or isinstance(chunk, dict):
            merged = {slot: value for slot, value in {**(chunk or {}), **slots}.items() if value is not None}
            return self._dense(merged) if len(merged) >= _DENSE_FROM else merged or None
        after = chunk.copy()
        after[list(slots)] = [self.missing if value is None else value for value in slots.values()]
        return None if self._is_missing(after).all() else after

    def _dense(self, chunk: dict[int, float] | np.ndarray) -> np.ndarray:
        if isinstance(chunk, np.ndarray):
            return chunk
        dense = np.full(CHUNK, self.missing)
        dense[list(chunk)] = list(chunk.values())
        return dense

    def _is_missing(self, values: np.ndarray) -> np.ndarray:
        absent: np.ndarray = np.isnan(values) if np.isnan(self.missing) else values == self.missing
        return absent

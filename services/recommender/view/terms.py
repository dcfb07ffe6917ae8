"""Which labels have a word, a field or stock: compressed bitmaps of labels, copied when they are written.

Terms are spread over shards, so that a write copies only the dicts of the terms that it changes. A term of
one label holds no bitmap: a field with as many words as items, such as a name, stays cheap.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pyroaring import BitMap

_SHARDS: Final = 256
LIVE: Final = "\0live"
IN_STOCK: Final = "\0in_stock"

Labels = int | BitMap  # one label, or two and more; never changed once it is in a shard


def word_term(name: str, word: str) -> str:
    """The term of a field's word. Neither holds a NUL; no field has an empty name."""
    return f"{name}\0{word}"


def terms_of(attributes: Mapping[str, Any], *, in_stock: bool) -> list[str]:
    """Every term of a live item: that it lives, its stock, its fields (by name alone), its words."""
    terms = [LIVE, IN_STOCK] if in_stock else [LIVE]
    for name, value in attributes.items():
        if value is None or value == "" or value == []:
            continue
        terms.append(name)
        terms += [word_term(name, word) for word in words_of(value)]
    return terms


def words_of(value: Any) -> list[str]:
    """The words of a field's value: a text, or the texts of a list."""
    return [word for word in (value if isinstance(value, list) else [value]) if isinstance(word, str)]


def label_array(labels: BitMap) -> np.ndarray:
    """The labels, int64, ascending."""
    return np.frombuffer(labels.to_array(), np.uint32).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """The labels of every term."""

    shards: tuple[Mapping[str, Labels], ...] = ({},) * _SHARDS

    def __contains__(self, term: str) -> bool:
        return term in self.shards[hash(term) % _SHARDS]

    def labels(self, term: str) -> BitMap:
        """The labels of a term, not to be changed."""
        held = self.shards[hash(term) % _SHARDS].get(term)
        if held is None:
            return BitMap()
        return BitMap([held]) if isinstance(held, int) else held

    def fields(self) -> tuple[str, ...]:
        """The fields that have words, in the order of their names; a walk over all terms."""
        named = (term.partition("\0") for shard in self.shards for term in shard)
        return tuple(sorted({name for name, end, _ in named if name and end}))

    def words(self, name: str) -> dict[str, BitMap]:
        """The labels of every word of a field, by word; a walk over all terms."""
        prefix = word_term(name, "")
        words = [term for shard in self.shards for term in shard if term.startswith(prefix)]
        return {term[len(prefix) :]: self.labels(term) for term in words}

    def labels_of_any(self, terms: Iterable[str]) -> BitMap:
        """The labels that have one or more of the terms."""
        held = [self.labels(term) for term in terms]
        return held[0] if len(held) == 1 else BitMap.union(BitMap(), *held)

    def changed(self, added: Mapping[str, Sequence[int]], removed: Mapping[str, Sequence[int]]) -> "Terms":
        """The terms with labels added and removed; no label is in both for one term."""
        if not added and not removed:
            return self
        shards = list(self.shards)
        fresh = dict[int, dict[str, Labels]]()
        for term in {**added, **removed}:
            place = hash(term) % _SHARDS
            shard = fresh.get(place)
            if shard is None:
                shard = fresh[place] = dict(shards[place])
            after = _changed(shard.get(term), added.get(term, ()), removed.get(term, ()))
            if after is None:
                del shard[term]
            else:
                shard[term] = after
        for place, shard in fresh.items():
            shards[place] = shard
        return Terms(tuple(shards))


def _changed(held: Labels | None, added: Sequence[int], removed: Sequence[int]) -> Labels | None:
    if held is None or isinstance(held, int):
        before = BitMap() if held is None else BitMap([held])
    else:
        before = held.copy()
    if added:
        before |= BitMap(array("I", added))
    if removed:
        before -= BitMap(array("I", removed))
    if len(before) > 1:
        return before
    return before.min() if before else None

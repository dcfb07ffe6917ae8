"""Labels by identifier without an object an item: sorted 64-bit hashes, and a small dict of the newest.

Entries are candidates only. A lookup asks `shows` whether the label shows the identifier, so hashes may
collide, and nothing has to be removed when an item is deleted.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

_LEAST_RECENT = 1_024


@dataclass(frozen=True, slots=True, eq=False)
class Identifiers:
    """hashes: int64, shape (N,), ascending; labels: uint32, shape (N,); recent: labels by identifier."""

    hashes: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint32))
    recent: Mapping[str, int] = field(default_factory=dict)
    hashed: Callable[[str], int] = hash

    def label_of(self, item_id: str, shows: Callable[[int], bool]) -> int | None:
        """The label that shows an identifier; None if no label does."""
        label = self.recent.get(item_id)
        if label is not None and shows(label):
            return label
        hashed = self.hashed(item_id)
        place = int(self.hashes.searchsorted(hashed))
        while place < len(self.hashes) and self.hashes.item(place) == hashed:
            candidate: int = self.labels.item(place)
            if shows(candidate):
                return candidate
            place += 1
        return None

    def added(self, labels: Mapping[str, int], is_live: Callable[[], np.ndarray]) -> "Identifiers":
        """With labels of new identifiers. is_live: uint8 by label, read when the hashes are sorted anew."""
        if not labels:
            return self
        recent = {**self.recent, **labels}
        if len(recent) < max(_LEAST_RECENT, 8 * math.isqrt(len(self.hashes))):
            return Identifiers(self.hashes, self.labels, recent, self.hashed)
        live = is_live()
        kept = live[self.labels] != 0
        hashes, sorted_labels = self.hashes[kept], self.labels[kept]
        new = np.fromiter(map(self.hashed, recent), np.int64, len(recent))
        new_labels = np.fromiter(recent.values(), np.uint32, len(recent))
        order = np.argsort(new, kind="stable")
        order = order[live[new_labels[order]] != 0]
        places = hashes.searchsorted(new[order])
        return Identifiers(
            np.insert(hashes, places, new[order]),
            np.insert(sorted_labels, places, new_labels[order]),
            {},
            self.hashed,
        )

"""Vectors in memory, in front of the cache on disk: a hit needs neither a thread nor a file (A-15)."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

# Bytes of an entry beside its numbers: key, array and its place in the map.
_OVERHEAD: Final = 400


class RecentVectors:
    """Vectors by key, within a byte bound: the least recently used are dropped.

    Holds what its caller has checked: the finite vectors that the cache on disk read or will write. Its
    methods belong to one event loop.
    """

    def __init__(self, byte_count: int) -> None:
        self.byte_count = byte_count
        self.held_bytes = 0
        self._vectors: OrderedDict[str, np.ndarray] = OrderedDict()

    def get_many(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """The vectors held for `keys`, float32 (D,), not writeable; keys that are not held are left out."""
        vectors = {}
        for key in keys:
            vector = self._vectors.get(key)
            if vector is not None:
                self._vectors.move_to_end(key)
                vectors[key] = vector
        return vectors

    def put_many(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Hold float32 vectors (D,) by key; the first vector of a key stays."""
        for key, vector in vectors.items():
            if key not in self._vectors:
                held = np.array(vector, dtype=np.float32)  # a row would keep its whole batch in memory
                held.flags.writeable = False
                self._vectors[key] = held
                self.held_bytes += held.nbytes + _OVERHEAD
        while self.held_bytes > self.byte_count:
            _, dropped = self._vectors.popitem(last=False)
            self.held_bytes -= dropped.nbytes + _OVERHEAD

    def clear(self) -> None:
        """Drop every vector."""
        self._vectors.clear()
        self.held_bytes = 0

"""Vectors that were computed before: those in memory, and behind them the cache on disk (A-15)."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import numpy as np

from inference.vector_cache import VectorCache
from inference.vectors.recent import RecentVectors

_MOST_WRITES: Final = 64

_log = logging.getLogger(__name__)

Vector = np.ndarray


class KnownVectors:
    """A thread for the disk, and a map in memory in front of it. Its methods belong to one event loop.

    cache: the vectors on disk; None keeps none, neither on disk nor in memory.
    """

    def __init__(self, cache: VectorCache | None, recent: RecentVectors) -> None:
        self._cache = cache
        self._recent = recent
        self._disk = ThreadPoolExecutor(1, "disk")
        self._writes = 0

    @property
    def is_on(self) -> bool:
        """Whether anything is kept at all."""
        return self._cache is not None

    async def get_many(self, keys: Iterable[str]) -> dict[str, Vector]:
        """The vectors known for `keys`, by key; the disk is asked only for what memory does not hold."""
        wanted = list(keys)
        known = self._recent.get_many(wanted)
        missing = [key for key in wanted if key not in known]
        if missing and self._cache is not None:
            read = partial(self._cache.get_many, missing)
            stored = await asyncio.get_running_loop().run_in_executor(self._disk, read)
            self._recent.put_many(stored)
            known |= stored
        return known

    def remember(self, vectors: Mapping[str, Vector]) -> None:
        """Keep in memory, and write to disk behind the answer; a disk that is too slow is left out."""
        if self._cache is None or not vectors:
            return
        self._recent.put_many(vectors)
        if self._writes < _MOST_WRITES:
            self._writes += 1
            write = asyncio.get_running_loop().run_in_executor(self._disk, self._cache.put_many, vectors)
            write.add_done_callback(self._written)

    def close(self) -> None:
        """Finish what is being written, and end the thread."""
        self._disk.shutdown(wait=True)

    def _written(self, write: "asyncio.Future[None]") -> None:
        self._writes -= 1
        if not write.cancelled() and write.exception() is not None:
            _log.error("vectors could not be cached", exc_info=write.exception())

"""The models in memory: each prepared once for all who ask, kept while asked for, bounded (S-3, M-4)."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from inference.errors import RefusedModel
from model_store.store import ModelStore, Version
from services.embedder.errors import MemoryBound, ModelNotLoaded, ModelRefused, QueueFull, StoreUnavailable
from services.embedder.loaded_space import LoadedSpace, SpaceLoader
from services.embedder.store_reader import ModelListing, StoreReader, list_version

IDLE_S: Final = 600.0
MOST_PREPARING: Final = 32  # each looks through the whole store, also for a space that nothing reaches
REFUSED_S: Final = 5.0  # a refused version is not hashed again for every caller that asks
LONGEST_REFUSED_S: Final = 600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What may stay in memory: bytes in all, and seconds since a space was last used.

    refused_s: until a refused version is verified again; doubled each time, up to `LONGEST_REFUSED_S`.
    """

    memory_bytes: int
    idle_s: float = IDLE_S
    refused_s: float = REFUSED_S


@dataclass(frozen=True, slots=True)
class _Refusal:
    detail: str
    until: float
    count: int


class LoadedModels:
    """The spaces in memory of one process. Its methods belong to one event loop."""

    def __init__(
        self,
        store: ModelStore,
        loader: SpaceLoader,
        retention: Retention,
        *,
        dropped: Callable[[LoadedSpace], None] = lambda _: None,
        remember: Callable[[tuple[str, ...]], None] | None = None,
    ) -> None:
        self.store = StoreReader(store)
        self._loader = loader
        self._retention = retention
        self._dropped = dropped
        self._remember = remember
        self._loaded: dict[str, LoadedSpace] = {}
        self._preparing: dict[str, asyncio.Task[LoadedSpace]] = {}
        self._booked: dict[str, int] = {}
        self._refused: dict[str, _Refusal] = {}
        self._loading = ThreadPoolExecutor(1, "load")

    @property
    def loaded(self) -> tuple[LoadedSpace, ...]:
        """The spaces in memory."""
        return tuple(self._loaded.values())

    @property
    def refused_count(self) -> int:
        """Versions that failed a check and are not tried again just now."""
        now = time.monotonic()
        return sum(now < refusal.until for refusal in tuple(self._refused.values()))

    @contextmanager
    def hold(self, space_id: str) -> Iterator[LoadedSpace]:
        """A loaded space that stays loaded for the body.

        Raises ModelNotLoaded: when it is not in memory.
        """
        space = self._loaded.get(space_id)
        if space is None:
            raise ModelNotLoaded(
                f"the model of space {space_id[:12]} is not in memory: call PrepareModel first"
            )
        space.asked_at = time.monotonic()
        space.holders += 1
        try:
            yield space
        finally:
            space.holders -= 1

    async def prepare(self, space_id: str) -> LoadedSpace:
        """The loaded space; the first of several callers loads it for all.

        Raises UnknownModel: when nothing reachable has the space.
        Raises ModelRefused: when it fails a check, naming the version and the file.
        Raises MemoryBound: when there is no room for it, naming both numbers.
        Raises StoreUnavailable: when the store cannot be read.
        Raises QueueFull: when many other spaces are being prepared.
        """
        return await self._loaded_by(space_id, lambda: self.store.find(space_id))

    async def prepare_version(self, version: Version) -> LoadedSpace:
        """The loaded space of a version that was resolved. Raises as `prepare`."""

        async def known() -> Version:
            return version

        return await self._loaded_by(version.space_id, known)

    async def refresh_aliases(self) -> None:
        """Take up what aliases mean now; see `StoreReader.refresh`."""
        await self.store.refresh({*self._loaded, *self._preparing})

    async def listings(self) -> list[ModelListing]:
        """The models that aliases reach and those in memory, with their state here.

        Raises QueueFull: when many others wait for the store.
        """
        loaded = [space.version for space in self.loaded]
        try:
            listings = await self.store.listings(loaded)
        except StoreUnavailable as error:
            listings = [list_version(version, detail=str(error)) for version in loaded]
        return [self._with_state(listing) for listing in listings]

    def drop_idle(self) -> None:
        """Drop the spaces that no request has used lately and none holds."""
        now = time.monotonic()
        for space_id, space in list(self._loaded.items()):
            if not space.holders and now - space.asked_at > self._retention.idle_s:
                del self._loaded[space_id]
                _log.info("model dropped", extra={"model": str(space.version), "reason": "idle"})
                self._dropped(space)
                self._keep()

    async def close(self) -> None:
        """Cancel what is being prepared and end the threads, the loading one once its load is done."""
        preparing = tuple(self._preparing.values())
        for task in preparing:
            task.cancel()
        await asyncio.gather(*preparing, return_exceptions=True)
        self.store.close()
        # Not `cancel_futures`: what was in memory last is still to be remembered.
        self._loading.shutdown(wait=True)
        self._loaded.clear()

    async def _loaded_by(self, space_id: str, find: Callable[[], Awaitable[Version]]) -> LoadedSpace:
        space = self._loaded.get(space_id)
        if space is not None:
            space.asked_at = time.monotonic()
            return space
        task = self._preparing.get(space_id)
        if task is None:
            if len(self._preparing) >= MOST_PREPARING:
                raise QueueFull(
                    f"{len(self._preparing)} spaces are being prepared, the bound is {MOST_PREPARING}", 1.0
                )
            task = asyncio.create_task(self._prepare(space_id, find))
            task.add_done_callback(lambda done: self._prepared(space_id, done))
            self._preparing[space_id] = task
        # Shielded: a caller that cancels does not cancel the load for the others.
        return await asyncio.shield(task)

    async def _prepare(self, space_id: str, find: Callable[[], Awaitable[Version]]) -> LoadedSpace:
        refusal = self._refused.get(space_id)
        if refusal is not None and time.monotonic() < refusal.until:
            raise ModelRefused(refusal.detail)
        version = await find()
        size = self._book(version)
        started = time.monotonic()
        try:
            loop = asyncio.get_running_loop()
            space = await loop.run_in_executor(self._loading, self._loader.load, version, size)
        except RefusedModel as error:
            self._refuse(version, error)
            raise ModelRefused(str(error)) from error
        finally:
            self._booked.pop(space_id, None)
        self._refused.pop(space_id, None)
        space.asked_at = time.monotonic()
        self._loaded[space_id] = space
        self._keep()
        seconds = round(space.asked_at - started, 2)
        _log.info("model loaded", extra={"model": str(version), "seconds": seconds})
        return space

    def _refuse(self, version: Version, error: RefusedModel) -> None:
        """Note a refusal: each time in a row it is twice as long until the version is verified again."""
        before = self._refused.get(version.space_id)
        count = 1 if before is None else before.count + 1
        wait_s = min(self._retention.refused_s * 2 ** min(count - 1, 32), LONGEST_REFUSED_S)
        self._refused[version.space_id] = _Refusal(str(error), time.monotonic() + wait_s, count)
        if before is None or before.detail != str(error):
            _log.error("model refused", extra={"model": str(version)}, exc_info=error)

    def _keep(self) -> None:
        """Have the spaces in memory remembered, on the thread that loads."""
        if self._remember is not None:
            self._loading.submit(self._remember, tuple(self._loaded))

    def _prepared(self, space_id: str, task: "asyncio.Task[LoadedSpace]") -> None:
        del self._preparing[space_id]
        if not task.cancelled():
            task.exception()  # seen, also when every caller has gone

    def _book(self, version: Version) -> int:
        """Set memory aside for the best way to load a version that fits. Raises MemoryBound."""
        self.drop_idle()
        used = sum(space.memory_bytes for space in self.loaded) + sum(self._booked.values())
        bound = self._retention.memory_bytes
        sizes = self._loader.sizes(version.manifest)
        for size in sizes:
            if used + size <= bound:
                self._booked[version.space_id] = size
                return size
        raise MemoryBound(
            f"{version} needs about {sizes[-1]} bytes; {used} of {bound} are taken by models in use"
        )

    def _with_state(self, listing: ModelListing) -> ModelListing:
        """The listing with the model's state in this process."""
        if listing.version is None:
            return listing
        space_id = listing.version.space_id
        space, refusal = self._loaded.get(space_id), self._refused.get(space_id)
        if space is not None and listing.gone:
            detail = listing.detail or "its version is no longer in the store"
            return replace(listing, state="orphaned", detail=detail, space=space)
        if space is not None:
            return replace(listing, state="serving", space=space)
        if space_id in self._preparing:
            return replace(listing, state="preparing")
        return listing if refusal is None else replace(listing, state="refused", detail=refusal.detail)

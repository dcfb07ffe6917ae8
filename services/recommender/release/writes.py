"""The writes of a collection: committed in groups, and indexed before they are acknowledged.

All of it happens on the one thread that writes. So what else runs there, such as the last step of an
upgrade, sees every write whole: in the catalog and in the indexes, or in neither.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from services.recommender.catalog.log import Change, joined
from services.recommender.catalog.store import Catalog
from services.recommender.catalog.writes import NeedsSpace, Write
from services.recommender.errors import CatalogError
from services.recommender.executors import Executors
from services.recommender.release.leads import CollectionRelease

# So many items are committed together at most, so that no write waits long for the group before it.
MOST_TOGETHER: Final = 256
# After so long without a write the database is checkpointed; writes that follow closely do not wait for it.
IDLE_S: Final = 0.25

Result = Change | NeedsSpace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pending:
    write: Write
    result: "asyncio.Future[Result]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def size(self) -> int:
        return len(self.write.entries) + len(self.write.deleted)


class CommitQueue:
    """Commits together the writes that wait together. Its methods belong to one event loop.

    targets: the releases whose indexes get every write, asked for on the thread that writes.
    """

    def __init__(
        self, catalog: Catalog, executors: Executors, targets: Callable[[], Sequence[CollectionRelease]]
    ) -> None:
        self._catalog = catalog
        self._executors = executors
        self._targets = targets
        self._waiting: deque[_Pending] = deque()
        self._arrived = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._closing = False

    async def commit(self, write: Write) -> Result:
        """The change, durable and searchable; it completes also if its caller is cancelled.

        NeedsSpace: if an item lacks the vector of the space that the collection is in. Raises DiskFull.
        """
        pending = _Pending(write=write)
        self._waiting.append(pending)
        self._arrived.set()
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await pending.result

    async def close(self) -> None:
        """Finish what waits."""
        self._closing = True
        self._arrived.set()
        if self._running is not None:
            await self._running

    async def _run(self) -> None:
        while True:
            self._arrived.clear()
            while self._waiting:
                await self._commit(self._group())
            if self._closing:
                return
            try:
                await asyncio.wait_for(self._arrived.wait(), IDLE_S)
            except TimeoutError:
                await self._checkpoint()
                if not self._waiting:
                    return

    async def _checkpoint(self) -> None:
        try:
            await self._executors.write(self._catalog.checkpoint)
        except CatalogError as error:
            log.warning("the database was not checkpointed", extra={"reason": str(error)})

    def _group(self) -> list[_Pending]:
        """What is committed next: the oldest write, and the smallest others while they fit.

        In the order of their arrival, so that of two writes of an item the later one stands.
        """
        oldest, *others = self._waiting
        group, size = {oldest}, oldest.size
        for pending in sorted(others, key=lambda each: each.size):
            size += pending.size
            if size > MOST_TOGETHER:
                break
            group.add(pending)
        taken = [pending for pending in self._waiting if pending in group]
        self._waiting = deque(pending for pending in self._waiting if pending not in group)
        return taken

    async def _commit(self, group: Sequence[_Pending]) -> None:
        try:
            results = await self._executors.write(lambda: self._write([each.write for each in group]))
        except Exception as error:  # noqa: BLE001 - each caller gets it
            if len(group) > 1 and not isinstance(error, CatalogError):
                # Whichever of them it is, the others are not to fail with it.
                for pending in group:
                    await self._commit([pending])
                return
            for pending in group:
                if not pending.result.done():
                    pending.result.set_exception(error)
            return
        for pending, result in zip(group, results, strict=True):
            if not pending.result.done():
                pending.result.set_result(result)

    def _write(self, writes: Sequence[Write]) -> list[Result]:
        results = self._catalog.commit(writes)
        changes = [result for result in results if isinstance(result, Change)]
        if changes:
            change = joined(changes)
            for target in self._targets():
                index_change(target, change, _vectors(writes, target.models.space_id))
        return results


def index_change(target: CollectionRelease, change: Change, vectors: Mapping[str, np.ndarray]) -> None:
    """Make a change of the catalog visible in the index of a release, on the thread that writes."""
    try:
        target.index.apply(change, vectors)
    except Exception:
        # The catalog is the truth: the index takes from it what it missed.
        log.exception("the index missed a write", extra={"collection": target.index.collection})
        target.index.reconcile()


def _vectors(writes: Iterable[Write], space_id: str) -> dict[str, np.ndarray]:
    given = (vector for write in writes for vector in write.vectors if vector.space_id == space_id)
    return {vector.source: vector.vector_D for vector in given}

"""Calls that wait for a revision."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Waiter:
    """A call that waits for a revision, on its event loop."""

    revision: int
    loop: asyncio.AbstractEventLoop
    reached: asyncio.Future[None]

    def wake(self) -> None:
        def finish() -> None:
            if not self.reached.done():
                self.reached.set_result(None)

        self.loop.call_soon_threadsafe(finish)


class RevisionWaiters:
    """The calls that wait for a view to reflect a revision. present: that of the view. From any thread."""

    def __init__(self, present: Callable[[], int]) -> None:
        self._present = present
        self._waiting = threading.Lock()
        self._waiters: list[_Waiter] = []

    def __len__(self) -> int:
        return len(self._waiters)

    async def reached(self, revision: int) -> None:
        """Return once the view reflects a revision."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(revision, loop, loop.create_future())
        with self._waiting:
            self._waiters.append(waiter)
        try:
            if self._present() < revision:
                await waiter.reached
        finally:
            with self._waiting:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def wake(self, revision: int) -> None:
        """Let go on what waits for a revision that the view reflects by now."""
        with self._waiting:
            waiters = [waiter for waiter in self._waiters if waiter.revision <= revision]
        for waiter in waiters:
            waiter.wake()

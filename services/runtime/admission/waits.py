"""Waits that somebody else may end, turns at short reads, and turns at long steps of the event loop."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self, TypeVar

T = TypeVar("T")
_MOST_WAITING: Final = 128  # reads of one peer, those that have their turn included
_GRACE_S: Final = 0.005  # in which a busy loop sees what came in time


class Wait:
    """Context of one wait of the present task: `expire` ends it with a TimeoutError and sets `expired`.

    Lighter than `asyncio.timeout`: it starts no timer until it is asked for one.
    """

    __slots__ = ("_began", "_cancelling", "_task", "_timer", "expired")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[object] | None = task
        self._cancelling = task.cancelling()
        self._began = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self.expired = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._timer is not None:
            self._timer.cancel()
        if (
            self.expired
            and task is not None
            and task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    @property
    def lasted_s(self) -> float:
        """Seconds since the wait began."""
        return time.monotonic() - self._began

    def expire(self) -> None:
        """End the wait, if it has not ended."""
        if self._task is not None and not self.expired:
            self.expired = True
            self._task.cancel()

    def expire_in(self, seconds: float, unless: Callable[[], object] = bool) -> Self:
        """End the wait after `seconds`, later while `unless()` is true by then. Returns itself."""

        def check() -> None:
            if unless():
                self.expire_in(seconds, unless)
            else:
                self.expire()

        self._timer = asyncio.get_running_loop().call_later(seconds, check)
        return self


class Turns:
    """Short reads of what should be there already, some at once; each peer has turns of its own.

    A message that is read arrives in memory meanwhile, so what bounds the turns bounds that memory.

    seconds: of a read. most, of_peer: reads at once. waiting_s: how long a read may wait for its turn.
    """

    def __init__(self, *, seconds: float, most: int, of_peer: int, waiting_s: float) -> None:
        self._seconds = seconds
        self._waiting_s = waiting_s
        self._of_peer = of_peer
        self._all = asyncio.Semaphore(most)
        self._peers: dict[str, asyncio.Semaphore] = {}
        self._waiting: Counter[str] = Counter()

    async def read(self, read: Callable[[], Awaitable[T]], peer: str) -> T:
        """What `read` gives in time. Raises TimeoutError: if that, or its turn, does not come."""
        if self._waiting[peer] >= _MOST_WAITING:
            raise TimeoutError
        self._waiting[peer] += 1
        turns = self._peers.setdefault(peer, asyncio.Semaphore(self._of_peer))
        try:
            async with asyncio.timeout(self._waiting_s) as timer, turns, self._all:
                timer.reschedule(None)
                return await self._soon(read)
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer], self._peers[peer]

    async def _soon(self, read: Callable[[], Awaitable[T]]) -> T:
        reading = asyncio.ensure_future(read())
        try:
            await asyncio.wait((reading,), timeout=self._seconds)
            await asyncio.wait((reading,), timeout=_GRACE_S)
            if not reading.done():
                raise TimeoutError
            return reading.result()
        finally:
            reading.cancel()


class Turnstile:
    """Lets a task pass at each turn of the event loop, so that what is quick runs between two long steps."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_open = True

    async def turn(self) -> None:
        """Return when no other task passed in this turn of the loop."""
        loop = asyncio.get_running_loop()
        if not self._is_open:
            self._waiting.append(loop.create_future())
            await self._waiting[-1]
            return
        self._is_open = False
        loop.call_soon(self._next)

    def _next(self) -> None:
        while self._waiting:
            passing = self._waiting.popleft()
            if not passing.done():  # else its task was cancelled
                passing.set_result(None)
                asyncio.get_running_loop().call_soon(self._next)
                return
        self._is_open = True

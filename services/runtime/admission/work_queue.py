"""Work that keeps a process busy for long: one piece at a time, rejected where it would be late (S-12).

Pieces that run at once share one interpreter: forty requests of 4 MB took six times as long together as one
after another. So each piece has a turn of its own, those that finish a request before those that begin one,
and a request is rejected at once where what is ahead of it will take longer than its caller waits.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Self

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.runtime.errors import ResourceExhausted

_FORGETTING: Final = 0.9  # of what was measured, at each new measurement
_PLANNED: Final = 0.7  # of the time until a deadline; the rest is for what was not measured
_SHORTEST_RETRY_S: Final = 0.05


class WorkQueue:
    """Admits requests by the cost of their work, in any unit that its time is proportional to.

    A request is two pieces of work: what begins it, such as reading it, and what finishes it. The time of
    each is measured while it is done. A request with nothing ahead of it is always admitted, so that an
    estimate which was too high is corrected. All methods belong to one event loop.

    longest_s: the most seconds of work that may wait, whatever the deadlines.
    """

    def __init__(
        self, longest_s: float, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._longest_s = longest_s
        self._clock = clock
        self._ahead, self._busy_s, self._done = [0, 0], [0.0, 0.0], [0.0, 0.0]  # begun with, finished with
        self._is_taken = False
        self._ended = 0.0
        self._waiting: tuple[deque[asyncio.Future[None]], ...] = (deque(), deque())  # to finish, to begin
        self._rejected = Counter(
            "atelier_refused_requests", "Requests that the queue refused.", ("reason",), registry=registry
        )
        self._rejected.labels("QUEUE_FULL")
        ahead = Gauge("atelier_queued_work_seconds", "Admitted work in seconds.", registry=registry)
        ahead.set_function(self.seconds)

    def seconds(self, cost: int = 0) -> float:
        """How long the work of a request takes after all that is ahead; 0 before the first measurement."""
        pieces = zip(self._ahead, self._busy_s, self._done, strict=True)
        return sum((ahead + cost) * busy_s / done for ahead, busy_s, done in pieces if done)

    def admit(self, cost: int, left_s: float) -> "AdmittedWork":
        """Admit a request that brings work. left_s: seconds until its deadline.

        Raises ResourceExhausted: with a time to retry, if it would be late.
        """
        seconds, limit_s = self.seconds(cost), min(_PLANNED * left_s, self._longest_s)
        if cost and any(self._ahead) and seconds > limit_s:
            self._rejected.labels("QUEUE_FULL").inc()
            raise ResourceExhausted(
                f"the request would be done in {seconds:.2f} s at the measured speed, "
                f"the limit is {limit_s:.2f} s",
                reason="QUEUE_FULL",
                retry_after_s=max(seconds - limit_s, _SHORTEST_RETRY_S),
            )
        return AdmittedWork(self, cost)

    def count(self, cost: int, *, finishes: bool) -> None:
        """Count a piece of admitted work; negative for one that is done or dropped."""
        self._ahead[finishes] += cost

    @asynccontextmanager
    async def turn(self, cost: int, *, finishes: bool = False) -> AsyncIterator[None]:
        """Context manager: one piece of work, while no other is done.

        finishes: whether it finishes a request, which then goes before those that begin.
        """
        began = await self._wait(finishes)
        try:
            yield
        finally:
            self._ended = self._clock()
            self._busy_s[finishes] = self._busy_s[finishes] * _FORGETTING + self._ended - began
            self._done[finishes] = self._done[finishes] * _FORGETTING + cost
            self._pass_on()

    async def _wait(self, finishes: bool) -> float:
        """When the turn came: for who had to wait, when the one before it ended."""
        if not self._is_taken:
            self._is_taken = True
            return self._clock()
        turn = asyncio.get_running_loop().create_future()
        self._waiting[not finishes].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the turn had come already
                self._pass_on()
            raise
        return self._ended

    def _pass_on(self) -> None:
        for waiting in self._waiting:
            while waiting:
                turn = waiting.popleft()
                if not turn.done():  # else its request was cancelled
                    turn.set_result(None)
                    return
        self._is_taken = False


class AdmittedWork:
    """What is left to do of one request, until its `with` block ends."""

    def __init__(self, queue: WorkQueue, cost: int) -> None:
        self._queue = queue
        self._left = [cost, cost]
        for finishes in (False, True):
            queue.count(cost, finishes=finishes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for finishes in (False, True):
            self._give_back(self._left[finishes], finishes=finishes)

    @asynccontextmanager
    async def turn(self, cost: int, *, finishes: bool = False) -> AsyncIterator[None]:
        """As that of the queue; the cost counts as done afterwards."""
        async with self._queue.turn(cost, finishes=finishes):
            yield
        self._give_back(min(cost, self._left[finishes]), finishes=finishes)

    def _give_back(self, cost: int, *, finishes: bool) -> None:
        self._left[finishes] -= cost
        self._queue.count(-cost, finishes=finishes)

"""Threads for blocking work, never asyncio's default ones, and limits on the calls that wait for them."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from services.runtime.context import present_call
from services.runtime.errors import ResourceExhausted

T = TypeVar("T")

MOST_READING: Final = 512  # of calls; reads of the service itself are never rejected
_INLINE_BYTES: Final = 1 << 14  # read in a millisecond at most


class Executors:
    """A thread that writes the catalog, two that store pictures, four that read and search, one that takes
    large messages apart, one that builds indexes.
    """

    def __init__(self) -> None:
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._store = ThreadPoolExecutor(2, thread_name_prefix="store")
        self._read = ThreadPoolExecutor(4, thread_name_prefix="read")
        # One: several would take turns at the interpreter's lock with each other and with the event loop.
        self._prepare = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._build = ThreadPoolExecutor(1, thread_name_prefix="build")
        self._reading = CallAdmission(MOST_READING, "reads")

    async def write(self, work: Callable[[], T]) -> T:
        """Run `work` on the only thread that writes, in the order of the calls."""
        return await _run(self._disk, work)

    async def store(self, work: Callable[[], T]) -> T:
        """Run `work` that stores pictures, before the write that names them."""
        return await _run(self._store, work)

    async def read(self, work: Callable[[], T]) -> T:
        """Run `work` on a thread that reads. Raises ResourceExhausted: if too many calls wait."""
        return await self._admitted(self._read, work)

    async def prepare(self, work: Callable[[], T]) -> T:
        """Run `work` that takes a message apart. Raises ResourceExhausted: if too many calls wait."""
        return await self._admitted(self._prepare, work)

    async def convert(self, work: Callable[[], T], byte_count: int) -> T:
        """Run `work` on a message of `byte_count`: a large one on a thread, so that other calls go on."""
        return work() if byte_count <= _INLINE_BYTES else await self.prepare(work)

    async def build(self, work: Callable[[], T]) -> T:
        """Run `work` that computes for seconds."""
        return await _run(self._build, work)

    def close(self) -> None:
        """Wait for the work in progress; cancel what has not begun."""
        for executor in (self._build, self._prepare, self._read, self._store, self._disk):
            executor.shutdown(wait=True, cancel_futures=True)

    async def _admitted(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if present_call() is None:
            return await _run(executor, work)
        with self._reading.admitted():
            return await _run(executor, work)


class CallAdmission:
    """Admits calls while their costs stay within a limit; rejects the next at once."""

    def __init__(self, limit: int, unit: str) -> None:
        self._limit = limit
        self._unit = unit
        self._held = 0

    def admitted(self, cost: int = 1) -> "_Admitted":
        """A block that holds `cost`; a call alone is always admitted. Entering raises ResourceExhausted."""
        return _Admitted(self, cost)

    def acquire(self, cost: int) -> None:
        """Hold more. Raises ResourceExhausted: beyond the limit."""
        if self._held and self._held + cost > self._limit:
            raise ResourceExhausted(
                f"{self._held} {self._unit} are held, the limit is {self._limit}",
                reason="QUEUE_FULL",
                retry_after_s=0.5,
            )
        self._held += cost

    def release(self, cost: int) -> None:
        """Give back what was held."""
        self._held -= cost


class _Admitted:
    """What a call holds until its block ends."""

    __slots__ = ("_admission", "_cost")

    def __init__(self, admission: CallAdmission, cost: int) -> None:
        self._admission = admission
        self._cost = cost

    def __enter__(self) -> None:
        self._admission.acquire(self._cost)

    def __exit__(self, *_error: object) -> None:
        self._admission.release(self._cost)


async def _run(executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(executor, lambda: context.run(work))

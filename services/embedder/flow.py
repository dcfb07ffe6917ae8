"""Flow control of streams: a window of unfinished work, results in the order of finishing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

S = TypeVar("S")
T = TypeVar("T")

_END: Final = object()


async def as_they_finish(
    source: AsyncIterator[S], handle: Callable[[S], Awaitable[T]], window: int
) -> AsyncIterator[T]:
    """What `handle` makes of each item, in the order of finishing.

    The source is read only while fewer than `window` items are unfinished or not yet taken.
    """

    async def read() -> Any:
        return await anext(source, _END)

    async def work(item: S) -> T:
        return await handle(item)

    running: set[asyncio.Task[T]] = set()
    reading: asyncio.Task[Any] | None = asyncio.create_task(read())
    ended = False
    try:
        while running or reading:
            done, _ = await asyncio.wait(_tasks(running, reading), return_when=asyncio.FIRST_COMPLETED)
            if reading in done and reading is not None:
                item, reading = reading.result(), None
                ended = item is _END
                if not ended:
                    running.add(asyncio.create_task(work(item)))
            for task in running & done:
                running.discard(task)
                yield task.result()
            if reading is None and not ended and len(running) < window:
                reading = asyncio.create_task(read())
    finally:
        left = _tasks(running, reading)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _tasks(running: set[asyncio.Task[T]], reading: asyncio.Task[Any] | None) -> set[asyncio.Task[Any]]:
    return {*running} if reading is None else {*running, reading}

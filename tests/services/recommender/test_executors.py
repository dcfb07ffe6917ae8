"""Threads for blocking work: what may wait for them is bounded (S-4)."""

import asyncio
import threading

import pytest

from services.recommender.executors import MOST_READING, Executors
from services.runtime.context import entered, open_call
from services.runtime.errors import ResourceExhausted


def test_calls_that_wait_to_read_are_bounded_and_the_services_own_reads_are_not() -> None:
    """When MOST_READING calls wait for a hanging disk, the next is refused with a time to retry; own reads
    are not (S-4).
    """
    gate = threading.Event()

    async def scenario() -> list[bool]:
        executors = Executors()
        with entered(open_call({}, 60.0)):
            waiting = [
                asyncio.create_task(executors.read(lambda: gate.wait(10))) for _ in range(MOST_READING)
            ]
            await asyncio.sleep(0)
            with pytest.raises(ResourceExhausted, match=f"the limit is {MOST_READING}") as refused:
                await executors.read(lambda: True)
            assert refused.value.retry_after_s
        waiting.append(asyncio.create_task(executors.read(lambda: True)))
        gate.set()
        answers = await asyncio.gather(*waiting)
        executors.close()
        return answers

    assert all(asyncio.run(scenario()))


def test_large_messages_are_taken_apart_on_a_thread_of_their_own() -> None:
    """A small one is read where it is; a large one holds neither the event loop nor a thread that reads."""

    async def scenario() -> list[str]:
        executors = Executors()
        names = [
            await executors.convert(lambda: threading.current_thread().name, size) for size in (99, 1 << 20)
        ]
        executors.close()
        return names

    small, large = asyncio.run(scenario())

    assert small == threading.current_thread().name
    assert large.startswith("prepare")

"""Work in turns: what finishes goes first, what would be late is rejected, and estimates heal."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from prometheus_client import CollectorRegistry

from services.runtime.admission.work_queue import WorkQueue
from services.runtime.errors import ResourceExhausted


class Clock:
    """A clock that only work moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class World:
    """A queue whose work takes as long as it is said to."""

    def __init__(self, longest_s: float = 10.0) -> None:
        self.clock, self.registry = Clock(), CollectorRegistry()
        self.queue = WorkQueue(longest_s, self.registry, self.clock)
        self.log: list[str] = []

    async def work(self, name: str, cost: int, seconds: float, *, finishes: bool = False) -> None:
        async with self.queue.turn(cost, finishes=finishes):
            self.log.append(f"{name} begins")
            await asyncio.sleep(0)
            self.clock.now += seconds
            self.log.append(f"{name} ends")

    def rejected(self) -> float | None:
        return self.registry.get_sample_value("atelier_refused_requests_total", {"reason": "QUEUE_FULL"})


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 10))


def test_pieces_take_turns_and_those_that_finish_go_first() -> None:
    """One at a time, in the order of arrival, except that what finishes a request goes before what begins."""
    world = World()

    async def story() -> None:
        pieces = [("a", False), ("b", False), ("c", True), ("d", True)]
        await asyncio.gather(*(world.work(name, 1, 1.0, finishes=last) for name, last in pieces))

    run(story)

    assert world.log == [f"{name} {what}" for name in "acdb" for what in ("begins", "ends")]


def test_what_would_be_late_is_rejected_with_a_time_to_retry() -> None:
    """At half a second to begin a unit and as much to finish it, five ahead and two more take seven seconds:
    too many for a deadline in 9.9 s, not for that in 10.1 s (S-12)."""
    world = World()

    async def story() -> None:
        await world.work("begun", 3, 1.5)
        await world.work("finished", 3, 1.5, finishes=True)
        with world.queue.admit(5, 60.0):
            with pytest.raises(ResourceExhausted, match=r"7\.00 s .* limit is 6\.93 s") as caught:
                world.queue.admit(2, 9.9)
            assert (caught.value.reason, caught.value.retry_after_s) == ("QUEUE_FULL", pytest.approx(0.07))
            with pytest.raises(ResourceExhausted, match=r"limit is 10\.00 s"):
                world.queue.admit(6, 60.0)
            with world.queue.admit(2, 10.1):
                assert world.registry.get_sample_value("atelier_queued_work_seconds") == pytest.approx(7.0)
            with world.queue.admit(0, 0.1):  # brings no work
                pass

    run(story)

    assert world.rejected() == 2
    assert world.registry.get_sample_value("atelier_queued_work_seconds") == 0


def test_done_work_is_no_longer_ahead() -> None:
    """Each turn gives its cost back, the end of the request the rest, also after an error."""
    world = World()

    async def story() -> None:
        await world.work("begun", 1, 1.0)
        await world.work("finished", 1, 0.5, finishes=True)
        with suppress(ZeroDivisionError), world.queue.admit(8, 60.0) as admitted:
            assert world.queue.seconds() == pytest.approx(12.0)
            async with admitted.turn(3):
                world.clock.now += 3.0
            assert world.queue.seconds() == pytest.approx(9.0)
            async with admitted.turn(6, finishes=True):
                world.clock.now += 3.0
            assert world.queue.seconds() == pytest.approx(6.0)
            raise ZeroDivisionError
        assert world.registry.get_sample_value("atelier_queued_work_seconds") == 0

    run(story)


def test_an_estimate_that_is_far_too_high_heals() -> None:
    """One stalled second for a unit that takes a millisecond: a request alone is always admitted, and what it
    measures corrects the estimate (S-12)."""
    world = World()

    async def story() -> None:
        await world.work("stalled", 1, 100.0)
        with world.queue.admit(1, 60.0), pytest.raises(ResourceExhausted):
            world.queue.admit(1, 1.0)
        for _ in range(100):
            with world.queue.admit(1, 1.0) as admitted:
                async with admitted.turn(1):
                    world.clock.now += 0.001
        with world.queue.admit(1, 1.0), world.queue.admit(1, 1.0):
            pass

    run(story)


def test_a_wait_counts_from_the_end_of_the_turn_before() -> None:
    """What the loop does between two turns slows the work down, so it is measured with it."""
    world = World()

    async def story() -> None:
        async def late() -> None:
            async with world.queue.turn(1):
                pass

        async with world.queue.turn(1):
            waiting = asyncio.create_task(late())
            await asyncio.sleep(0)
        world.clock.now += 4.0  # others have the loop
        await waiting

    run(story)

    assert world.queue.seconds(1) == pytest.approx(4.0 / 1.9)


def test_a_request_that_is_cancelled_while_it_waits_blocks_nobody() -> None:
    """Also one whose turn came at the moment of its end."""
    world = World()

    async def story() -> None:
        async with world.queue.turn(1):
            tasks = [asyncio.create_task(world.work(name, 1, 1.0)) for name in "abc"]
            await asyncio.sleep(0)
            tasks[0].cancel()
        tasks[1].cancel()  # its turn is given already
        await asyncio.gather(*tasks, return_exceptions=True)
        await world.work("d", 1, 1.0)

    run(story)

    assert world.log == ["c begins", "c ends", "d begins", "d ends"]

"""Waits that somebody else ends, and turns at reads."""

import asyncio
from typing import Any

import pytest

from services.runtime.admission.waits import Turns, Turnstile, Wait


def test_a_wait_ends_when_somebody_says_so() -> None:
    """It is a TimeoutError with `expired` set; the task goes on as if nothing had been cancelled."""

    async def scenario() -> tuple[bool, int]:
        wait = Wait()
        asyncio.get_running_loop().call_soon(wait.expire)
        with pytest.raises(TimeoutError), wait:
            await asyncio.sleep(60)
        task = asyncio.current_task()
        assert task is not None
        return wait.expired, task.cancelling()

    assert asyncio.run(scenario()) == (True, 0)


def test_a_cancelled_wait_stays_cancelled() -> None:
    """What cancels the task itself is no expiry, even where both come at once (S-7)."""

    async def scenario() -> list[Any]:
        waits: list[Wait] = []

        async def waiting() -> None:
            waits.append(Wait())
            with waits[-1]:
                await asyncio.sleep(60)

        tasks = [asyncio.create_task(waiting()) for _ in range(2)]
        await asyncio.sleep(0)
        waits[1].expire()
        for task in tasks:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second = asyncio.run(scenario())

    assert isinstance(first, asyncio.CancelledError)
    assert isinstance(second, asyncio.CancelledError)


def test_a_wait_that_is_busy_is_asked_again_later() -> None:
    """A timer does not end a wait while there is work, and does once there is none (S-4)."""

    async def scenario() -> int:
        answers = [True, True, False]
        with pytest.raises(TimeoutError), Wait().expire_in(0.01, lambda: answers.pop(0)):
            await asyncio.sleep(60)
        return len(answers)

    assert asyncio.run(scenario()) == 0


def test_peers_have_turns_of_their_own() -> None:
    """A peer whose reads bring nothing waits for itself; what another has there is read at once (S-4)."""

    async def nothing() -> bytes:
        await asyncio.sleep(60)
        return b""

    async def there() -> bytes:
        return b"message"

    async def scenario() -> tuple[list[Any], bytes, float]:
        loop = asyncio.get_running_loop()
        turns = Turns(seconds=0.2, most=4, of_peer=2, waiting_s=0.1)
        flood = [asyncio.create_task(turns.read(nothing, "mute")) for _ in range(200)]
        await asyncio.sleep(0)
        began = loop.time()
        data = await turns.read(there, "honest")
        took_s = loop.time() - began
        return await asyncio.gather(*flood, return_exceptions=True), data, took_s

    flood, data, took_s = asyncio.run(scenario())

    assert all(isinstance(outcome, TimeoutError) for outcome in flood)
    assert data == b"message"
    assert took_s < 0.1


def test_one_task_passes_a_turnstile_at_each_turn_of_the_loop() -> None:
    """Between two long steps what is ready runs; a task that is cancelled gives up its turn (S-12)."""

    async def scenario() -> tuple[list[int], list[int]]:
        turnstile, turn, passed = Turnstile(), 0, []

        async def step() -> None:
            await turnstile.turn()
            passed.append(turn)

        tasks = [asyncio.create_task(step()) for _ in range(6)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            turn += 1
            if turn == 1:
                tasks[3].cancel()
        before, passed = passed, []
        for _ in range(4):
            await asyncio.sleep(0)
        await step()
        return before, passed

    first, later = asyncio.run(scenario())

    assert len(first) == len(set(first)) == 5
    assert len(later) == 1

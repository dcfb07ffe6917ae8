"""A window of unfinished work."""

import asyncio

import pytest

from services.embedder.flow import as_they_finish


async def numbers(count):
    for n in range(count):
        yield n


def test_results_come_as_they_finish_and_none_is_lost():
    """A slow first item is overtaken; each item gives one result."""

    async def scene():
        async def handle(n):
            await asyncio.sleep(0.05 if n == 0 else 0)
            return n

        return [result async for result in as_they_finish(numbers(20), handle, 4)]

    results = asyncio.run(scene())

    assert sorted(results) == list(range(20))
    assert results[0] != 0


def test_no_more_than_the_window_is_unfinished_or_untaken():
    """The source is read no further than the window while results are not taken."""

    async def scene():
        started = 0

        async def handle(n):
            nonlocal started
            started += 1

        results = as_they_finish(numbers(100), handle, 5)
        most = 0
        taken = 0
        async for _ in results:
            await asyncio.sleep(0.001)
            taken += 1
            most = max(most, started - taken)
        return most, taken

    most, taken = asyncio.run(scene())

    assert most <= 5
    assert taken == 100


def test_leaving_early_cancels_what_runs():
    """Whoever stops listening leaves no work behind."""

    async def scene():
        cancelled = []

        async def handle(n):
            try:
                await asyncio.sleep(60 if n else 0)
            except asyncio.CancelledError:
                cancelled.append(n)
                raise

        results = as_they_finish(numbers(4), handle, 4)
        await anext(results)
        await asyncio.sleep(0.01)
        await results.aclose()
        return cancelled

    assert asyncio.run(scene())


def test_a_failing_source_fails_the_stream():
    """An error of the source is not taken for its end."""

    async def broken():
        yield 1
        raise ValueError("broken")

    async def scene():
        async def handle(n):
            return n

        return [result async for result in as_they_finish(broken(), handle, 4)]

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(scene())

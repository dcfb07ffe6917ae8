import asyncio

import pytest
from starlette.requests import Request

from services.gateway.web.bodies import BodyReader, UploadMemory
from services.runtime.errors import ResourceExhausted
from services.runtime.limits import Limits


def test_memory_is_given_in_the_order_of_asking():
    """A body that finds too little memory waits; a small one behind it does not overtake. (S-4)"""

    async def scenario():
        memory, order = UploadMemory(100), []

        async def use(name, size, until):
            async with memory.hold(size, 5):
                order.append((name, memory.held))
                await until.wait()

        first, rest = asyncio.Event(), asyncio.Event()
        rest.set()
        tasks = [asyncio.create_task(use("first", 80, first))]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(use("large", 90, rest)), asyncio.create_task(use("small", 10, rest))]
        await asyncio.sleep(0)
        assert order == [("first", 80)]
        first.set()
        await asyncio.gather(*tasks)
        return order, memory.held

    order, held = asyncio.run(scenario())

    assert [name for name, _ in order] == ["first", "large", "small"]
    assert max(count for _, count in order) <= 100
    assert held == 0


def test_waiting_for_memory_has_an_end():
    """A body whose turn does not come is RESOURCE_EXHAUSTED with a time to retry, and holds nothing. (S-4)"""

    async def scenario():
        memory = UploadMemory(10)
        async with memory.hold(10, 1):
            with pytest.raises(ResourceExhausted) as caught:
                async with memory.hold(5, 0.01):
                    raise AssertionError("it was admitted")
        async with memory.hold(10, 0.01):
            return caught.value, memory.held

    error, held = asyncio.run(scenario())

    assert error.reason == "HELD_BYTES"
    assert error.retry_after_s
    assert held == 10


def test_a_body_that_is_given_up_leaves_its_place():
    """A caller that goes away while waiting keeps nobody behind it from memory."""

    async def scenario():
        memory = UploadMemory(10)
        async with memory.hold(10, 1):
            waiting = asyncio.create_task(_enter(memory, 10))
            behind = asyncio.create_task(_enter(memory, 2))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.sleep(0)
        await behind
        return memory.held

    assert asyncio.run(scenario()) == 0


async def _enter(memory, size):
    async with memory.hold(size, 5):
        pass


def test_more_than_there_is_counts_as_all_of_it():
    """A body that would take more than the whole memory is read alone rather than never. (S-4)"""

    async def scenario():
        memory = UploadMemory(10)
        async with memory.hold(1_000, 1):
            return memory.held

    assert asyncio.run(scenario()) == 10


@pytest.mark.parametrize(
    ("headers", "held"), [({}, 0), ({"content-length": "0"}, 0), ({"transfer-encoding": "chunked"}, 4 << 20)]
)
def test_a_request_without_a_body_holds_no_memory(headers, held):
    """Only a body in chunks, whose length is unknown, counts as the largest. (S-4)"""

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def scenario():
        memory = UploadMemory(8 << 20)
        named = {"content-type": "application/json", **headers}
        scope = {"type": "http", "headers": [(k.encode(), v.encode()) for k, v in named.items()]}
        async with BodyReader(Limits(), 1 << 20, memory, 1.0).open(Request(scope, receive)):
            return memory.held

    assert asyncio.run(scenario()) == held

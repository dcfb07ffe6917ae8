"""Requests' bodies: what is not admitted is never read (S-4)."""

import asyncio
import time
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.limits import MIB

from .conftest import SERVICE, TEXT, Serve


class Gate:
    """A handler that answers once it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.waiting = 0

    async def __call__(self, request: Any, context: Any) -> TEXT:
        self.waiting += 1
        await self.opened.wait()
        return TEXT(value=str(len(request.value)))


async def code(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_a_flood_is_refused_unread_while_accepted_calls_finish(serve: Serve) -> None:
    """Beyond the bound calls are refused at once, health stays SERVING, and there is room again afterwards.

    # proves S-4"""
    body = TEXT(value="x" * (8 * MIB))

    async def scenario() -> None:
        gate = Gate()
        async with serve(settings={"held_bytes": 16 * MIB, "receiving": 2}, UnaryUnary=gate) as it:
            accepted = [asyncio.create_task(code(it.stub.UnaryUnary(body))) for _ in range(2)]
            async with asyncio.timeout(20):
                while gate.waiting < 2:  # noqa: ASYNC110 - the handler counts, it tells nobody
                    await asyncio.sleep(0.01)
            started = time.monotonic()
            refused = await asyncio.gather(*(code(it.stub.UnaryUnary(body)) for _ in range(30)))
            took_s = time.monotonic() - started
            health = await health_pb2_grpc.HealthStub(it.channel).Check(
                health_pb2.HealthCheckRequest(service="")
            )
            gate.opened.set()
            finished = await asyncio.gather(*accepted)
            again = await code(it.stub.UnaryUnary(body))

        assert set(refused) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert took_s < 2.0
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        assert finished == [grpc.StatusCode.OK] * 2
        assert again is grpc.StatusCode.OK

    asyncio.run(scenario())


def test_a_body_that_is_not_one_message_is_refused(serve: Serve) -> None:
    """No message and a garbled one are INVALID_ARGUMENT, as a stream's are; nothing stays held."""

    async def scenario() -> None:
        gate = Gate()
        gate.opened.set()
        async with serve(UnaryUnary=gate, StreamUnary=gate) as it:
            raw = it.channel.stream_unary(f"/{SERVICE}/UnaryUnary")
            assert await code(raw(iter([]))) is grpc.StatusCode.INVALID_ARGUMENT
            assert await code(raw(iter([b"\xff\xff"]))) is grpc.StatusCode.INVALID_ARGUMENT
            metric = it.server.registry.get_sample_value("atelier_held_body_bytes")
            assert metric == 0

    asyncio.run(scenario())


def test_a_caller_who_gives_up_while_sending_holds_nothing(serve: Serve) -> None:
    """Calls that never send their message end with their deadline and free their turn.  # proves S-4"""

    async def scenario() -> None:
        gate = Gate()
        gate.opened.set()
        async with serve(settings={"receiving": 1}, UnaryUnary=gate) as it:

            async def never() -> Any:
                await asyncio.sleep(60)
                yield b""

            mute = it.channel.stream_unary(f"/{SERVICE}/UnaryUnary")(never(), timeout=0.3)
            assert await code(mute) is grpc.StatusCode.DEADLINE_EXCEEDED
            assert await code(it.stub.UnaryUnary(TEXT(value="x"), timeout=5)) is grpc.StatusCode.OK

    asyncio.run(scenario())

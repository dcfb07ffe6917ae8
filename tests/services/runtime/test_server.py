"""The server: health, reflection, ready file, metrics, bounds, drain."""

import asyncio
import json
import os
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import ServiceDescriptor
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from services.runtime.limits import MIB
from services.runtime.server import CannotListen, ServerContext, Service, running
from services.runtime.settings import ServiceSettings

from .conftest import SERVICE, TEXT, Serve, shape_service, shape_stub

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def echo(request: Any, context: Any) -> TEXT:
    return request


async def health(channel: Any, name: str) -> int:
    request = health_pb2.HealthCheckRequest(service=name)
    reply = await health_pb2_grpc.HealthStub(channel).Check(request)
    return int(reply.status)


def test_health_tells_the_process_from_the_service(serve: Serve) -> None:
    """'' is alive from the start; the service's name only once it says so, and back (S-1)."""

    async def scenario() -> list[tuple[int, int]]:
        async with serve(UnaryUnary=echo) as it:
            states = [(await health(it.channel, ""), await health(it.channel, SERVICE))]
            for serving in (True, False):
                await it.server.set_serving(serving)
                states.append((await health(it.channel, ""), await health(it.channel, SERVICE)))
            return states

    assert asyncio.run(scenario()) == [(SERVING, NOT_SERVING), (SERVING, SERVING), (SERVING, NOT_SERVING)]


def test_a_service_may_be_ready_before_it_listens(descriptor: ServiceDescriptor) -> None:
    """What was said of health while building holds once the port is open."""
    inner = shape_service(descriptor, {"UnaryUnary": echo})

    @asynccontextmanager
    async def build(server: ServerContext) -> AsyncIterator[None]:
        async with inner.build(server):
            await server.set_serving(True)
            yield

    async def scenario() -> int:
        service = Service(name="early", build=build, port=0)
        async with (
            running(ServiceSettings(), service) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            return await health(channel, SERVICE)

    assert asyncio.run(scenario()) == SERVING


def test_reflection_lists_every_service(serve: Serve) -> None:
    """A caller without the protos finds what there is (S-1)."""

    async def scenario() -> set[str]:
        async with serve(UnaryUnary=echo) as it:
            stub = reflection_pb2_grpc.ServerReflectionStub(it.channel)
            answers = stub.ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            )
            async for answer in answers:
                return {service.name for service in answer.list_services_response.service}
        raise AssertionError("no answer")

    assert asyncio.run(scenario()) == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.slow
def test_the_ready_file_is_there_while_the_port_listens(
    descriptor: ServiceDescriptor, tmp_path: Path
) -> None:
    """It names the addresses and the process, is written at once, and goes with the process."""
    path = tmp_path / "deep" / "ready.json"

    async def scenario() -> tuple[dict[str, Any], str]:
        service = shape_service(descriptor, {"UnaryUnary": echo}, metrics_port=0)
        async with running(ServiceSettings(ready_file=path), service) as server:
            body = json.loads(path.read_text())
            async with grpc.aio.insecure_channel(body["address"]) as channel:
                assert await health(channel, "") == SERVING
            url = f"http://{body['metrics_address']}/metrics"
            metrics = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
            assert body["address"] == server.address
            return body, metrics

    body, metrics = asyncio.run(scenario())

    assert (body["service"], body["pid"]) == ("shape", os.getpid())
    assert body["address"].startswith("127.0.0.1:")
    assert "grpc_server_in_flight 0.0" in metrics
    assert not path.exists()
    assert not list(path.parent.iterdir())


def test_a_ready_file_that_cannot_be_written_keeps_nobody_from_being_served(
    descriptor: ServiceDescriptor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On a full disk the service answers all the same, and the log says what is missing (S-8)."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "ready.json"

    async def scenario() -> None:
        service = shape_service(descriptor, {"UnaryUnary": echo})
        async with (
            running(ServiceSettings(ready_file=path), service) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            assert await health(channel, "") == SERVING

    asyncio.run(scenario())

    assert "the ready file was not written" in caplog.text


def test_a_taken_port_is_said_and_not_shared(descriptor: ServiceDescriptor) -> None:
    """Two processes never answer on one port by turns."""

    async def scenario() -> None:
        service = shape_service(descriptor, {"UnaryUnary": echo})
        async with running(ServiceSettings(), service) as server:
            port = int(server.address.rpartition(":")[2])
            again = Service(name="again", build=service.build, port=port)
            with pytest.raises(CannotListen, match=server.address):
                await running(ServiceSettings(), again).__aenter__()

    asyncio.run(scenario())


@pytest.mark.slow
def test_messages_up_to_the_bound_pass_both_ways(serve: Serve) -> None:
    """64 MiB fit in both directions; more is refused and the server lives on (S-5)."""

    async def scenario() -> tuple[int, grpc.StatusCode, str]:
        async with serve(UnaryUnary=echo) as it:
            whole = await it.stub.UnaryUnary(TEXT(value="x" * 64 * MIB))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await it.stub.UnaryUnary(TEXT(value="x" * 66 * MIB))
            small = await it.stub.UnaryUnary(TEXT(value="x"))
            return len(whole.value), caught.value.code(), small.value

    assert asyncio.run(scenario()) == (64 * MIB, grpc.StatusCode.RESOURCE_EXHAUSTED, "x")


@pytest.mark.slow
def test_draining_finishes_accepted_calls_and_refuses_new_ones(descriptor: ServiceDescriptor) -> None:
    """NOT_SERVING first; what was accepted is answered; what comes later is told to retry (S-1)."""
    entered, release = asyncio.Event(), asyncio.Event()

    async def slow(request: Any, context: Any) -> TEXT:
        entered.set()
        await release.wait()
        return TEXT(value="finished")

    async def scenario() -> None:
        holder = running(ServiceSettings(), shape_service(descriptor, {"UnaryUnary": slow}))
        server = await holder.__aenter__()
        await server.set_serving(True)
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = shape_stub(channel)
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
            states = aiter(watch)
            assert (await anext(states)).status == SERVING
            accepted = asyncio.ensure_future(stub.UnaryUnary(TEXT()))
            await entered.wait()

            leaving = asyncio.create_task(holder.__aexit__(None, None, None))
            assert (await anext(states)).status == NOT_SERVING
            await server.set_serving(True)
            assert await health(channel, SERVICE) == NOT_SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.UnaryUnary(TEXT())
            status = status_pb2.Status.FromString(
                dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
            )
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)
            assert not leaving.done()

            release.set()
            assert (await accepted).value == "finished"
            await asyncio.wait_for(leaving, 3)

    asyncio.run(scenario())


@pytest.mark.parametrize("hurried", [False, True])
@pytest.mark.slow
def test_a_drain_ends_by_its_time_or_by_a_second_signal(descriptor: ServiceDescriptor, hurried: bool) -> None:
    """A call that never ends does not keep the process: `drain_s`, or `end_drain`, ends it."""
    entered = asyncio.Event()

    async def endless(request: Any, context: Any) -> AsyncIterator[TEXT]:
        entered.set()
        while True:
            yield TEXT()
            await asyncio.sleep(0.01)

    async def scenario() -> float:
        end_drain = asyncio.Event()
        settings = ServiceSettings(drain_s=30.0 if hurried else 0.3)
        service = shape_service(descriptor, {"UnaryStream": endless})
        async with (
            running(settings, service, end_drain) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            replies = aiter(shape_stub(channel).UnaryStream(TEXT()))
            await anext(replies)
            started = time.monotonic()
            if hurried:
                end_drain.set()
            await server.stop(end_drain)
            return time.monotonic() - started

    took_s = asyncio.run(scenario())

    assert took_s < (0.3 if hurried else 1.5)

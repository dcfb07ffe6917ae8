"""More than the embedder can do, over the wire: what is accepted is finished, the rest is refused unread."""

import asyncio

import grpc
import pytest
from atelier.embedder.v1 import embedder_pb2
from grpc_health.v1 import health_pb2
from PIL import Image

from tests.services.embedder.conftest import (
    PICTURES,
    SIDE,
    encoded,
    failure,
    image_input,
    picture,
    publish_slow,
    request,
)

GOOD = picture(1)
SERVING = health_pb2.HealthCheckResponse.SERVING


async def failure_or_reply(call):
    """A call's reply, or its error."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return error


@pytest.mark.slow
def test_overload_is_refused_quickly_and_accepted_work_is_finished(place):
    """Beyond the bound calls get RESOURCE_EXHAUSTED while the accepted ones are still computed; health
    stays SERVING (S-4)."""
    publish_slow(place)
    ended = []

    async def scene():
        async with place.serving(embedder_queue_cost=24) as served:
            await served.serving()
            await served.stub.Embed(request("slow-image", [image_input(GOOD)], no_store=True))

            async def call(n):
                inputs = [image_input(picture(100 * n + k, (SIDE, SIDE), "PNG")) for k in range(4)]
                ended.append(await failure_or_reply(served.stub.Embed(request("slow-image", inputs))))
                return ended[-1]

            calls = [asyncio.create_task(call(n)) for n in range(12)]
            await asyncio.sleep(0.05)
            healthy = await served.health()
            return await asyncio.gather(*calls), healthy

    answers, healthy = asyncio.run(scene())
    refused = [a for a in answers if isinstance(a, grpc.aio.AioRpcError)]
    answered = [a for a in answers if not isinstance(a, grpc.aio.AioRpcError)]

    assert healthy == SERVING
    assert refused
    assert answered
    assert {e.code() for e in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert ended[0] in refused
    assert ended[-1] in answered
    assert all(len(reply.results) == 4 and reply.results[3].HasField("vector") for reply in answered)


def test_a_request_dearer_than_the_queue_names_the_bound(place):
    """What could never be accepted is INVALID_ARGUMENT rather than worth a retry (S-4)."""

    async def scene():
        async with place.serving(embedder_queue_cost=7) as served:
            inputs = [image_input(picture(n)) for n in range(4)]
            return await failure(served.stub.Embed(request(PICTURES, inputs)))

    failed = asyncio.run(scene())

    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_TOO_DEAR")
    assert "costs 8 patch tokens, the whole interactive queue takes 7" in failed.message


@pytest.mark.slow
def test_what_a_caller_abandons_is_not_computed(place):
    """After a cancelled call the engine drops what was not yet running, and the queue is free again (S-7)."""
    publish_slow(place)

    async def scene():
        async with place.serving(embedder_batch_cost=2) as served:
            await served.stub.Embed(request("slow-image", [image_input(GOOD)], no_store=True))
            inputs = [image_input(picture(n, (SIDE, SIDE), "PNG")) for n in range(128)]
            call = served.stub.Embed(request("slow-image", inputs, no_store=True))
            await asyncio.sleep(0.3)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await served.stub.Embed(request("slow-image", [image_input(picture(500))], no_store=True))
            computed = served.metric("atelier_engine_batch_size_sum", engine="compute")
            await asyncio.sleep(0.3)
            later = served.metric("atelier_engine_batch_size_sum", engine="compute")
            held = served.metric("atelier_accepted_cost"), served.metric("atelier_accepted_bytes")
            return computed, later, held

    computed, later, held = asyncio.run(scene())

    assert computed == later < 128
    assert held == (0, 0)


@pytest.mark.slow
def test_a_deadline_that_cannot_be_met_is_refused_at_once(place):
    """With the speed measured, 128 slow inputs in half a second are refused before any is computed (S-7)."""
    publish_slow(place)

    async def scene():
        async with place.serving(embedder_batch_cost=2) as served:
            for n in range(3):
                warm = [image_input(picture(n * 10 + k, (SIDE, SIDE), "PNG")) for k in range(4)]
                await served.stub.Embed(request("slow-image", warm))
            before = served.metric("atelier_engine_batch_size_sum", engine="compute")
            inputs = [image_input(picture(1000 + n, (SIDE, SIDE), "PNG")) for n in range(128)]
            failed = await failure(served.stub.Embed(request("slow-image", inputs), timeout=0.5))
            return failed, served.metric("atelier_engine_batch_size_sum", engine="compute") - before

    failed, computed = asyncio.run(scene())

    assert (failed.code, failed.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_UNMEETABLE")
    assert computed == 0


def blank_webp(size):
    """A lossless WEBP of one colour: some tens of bytes, however large it is."""
    return encoded(Image.new("RGB", size, "teal"), "WEBP", lossless=True, method=0)


@pytest.mark.slow
def test_large_pictures_do_not_keep_small_ones_out(place):
    """After some bytes that decode to many megapixels, small pictures are accepted as before (S-12)."""

    async def scene():
        async with place.serving() as served:
            large = [image_input(blank_webp((6_000, 1_000 + n))) for n in range(4)]
            await served.stub.Embed(request(PICTURES, large))
            small = [image_input(picture(n)) for n in range(100)]
            return await served.stub.Embed(request(PICTURES, small), timeout=5)

    reply = asyncio.run(scene())

    assert len(reply.results) == 100
    assert all(result.HasField("vector") for result in reply.results)


@pytest.mark.slow
def test_bulk_calls_wait_for_room_where_they_were_refused(place):
    """More bulk calls at once than the queue takes are all answered, one after the other (S-4)."""

    async def scene():
        async with place.serving(embedder_queue_cost=24) as served:
            await served.serving()
            calls = [
                served.stub.Embed(
                    request(
                        PICTURES,
                        [image_input(picture(10 * n + k)) for k in range(6)],
                        priority=embedder_pb2.PRIORITY_BULK,
                    )
                )
                for n in range(12)
            ]
            replies = await asyncio.gather(*calls)
            return replies, served.metric("atelier_accepted_cost"), served.metric("atelier_accepted_bytes")

    replies, *held = asyncio.run(scene())

    assert all(reply.results[5].HasField("vector") for reply in replies)
    assert held == [0, 0]


@pytest.mark.slow
def test_overload_is_refused_before_anything_is_decoded(place):
    """Of what is refused nothing is decoded, so that refusing costs next to nothing (S-12)."""
    publish_slow(place)

    async def scene():
        async with place.serving(embedder_queue_cost=24, embedder_batch_cost=2) as served:
            await served.serving()
            calls = [
                failure_or_reply(served.stub.Embed(request("slow-image", inputs)))
                for inputs in ([image_input(picture(100 * n + k)) for k in range(8)] for n in range(20))
            ]
            ended = await asyncio.gather(*calls)
            return ended, served.metric("atelier_engine_batch_size_sum", engine="decode")

    ended, decoded = asyncio.run(scene())
    refused = [error for error in ended if isinstance(error, grpc.aio.AioRpcError)]

    assert 0 < len(refused) < len(ended)
    assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert decoded == 8 * (len(ended) - len(refused))

"""Embedding through the client: several messages, failures of single inputs, streams."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from atelier.types.v1 import types_pb2
from google.rpc import code_pb2

from services.client.embedder import AsyncEmbedderClient, EmbedderClient, attributes_input, image_input
from services.runtime.errors import InvalidArgument

from .conftest import Bounds, fail, serving, status

REGISTER = embedder_pb2_grpc.add_EmbedderServiceServicer_to_server
SPACE = "a" * 64


class Lengths(embedder_pb2_grpc.EmbedderServiceServicer):
    """The vector of a picture is its length; an empty one is bad. As the service: all bad fails the call."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.options: list[tuple[Any, ...]] = []

    def Embed(self, request: embedder_pb2.EmbedRequest, context: Any) -> embedder_pb2.EmbedResponse:
        self.sizes.append(len(request.inputs))
        kind = dict(context.invocation_metadata()).get("x-atelier-priority", "")
        self.options.append((request.no_store, request.priority, kind))
        response = embedder_pb2.EmbedResponse(model=types_pb2.ModelIdentity(name="lengths"))
        response.timings.queue_ms = 1.0
        items = []
        for index, item in enumerate(request.inputs):
            result = response.results.add(index=index, id=item.id)
            if item.image:
                result.vector.values.append(len(item.image))
            else:
                result.error.CopyFrom(status(code_pb2.INVALID_ARGUMENT, f"empty {item.id}"))
                items.append(types_pb2.ItemError(index=index, id=item.id, status=result.error))
        if len(items) == len(request.inputs):
            # Fewer than there are: as where not all of them fit into the trailer.
            fail(context, status(code_pb2.INVALID_ARGUMENT, "all bad", *items[:2]))
        return response

    def EmbedStream(
        self, requests: Iterator[Any], context: Any
    ) -> Iterator[embedder_pb2.EmbedStreamResponse]:
        for index, request in enumerate(requests):
            self.options.append((request.no_store, len(request.space_id)))
            yield embedder_pb2.EmbedStreamResponse(result=embedder_pb2.EmbedResult(index=index))

    def PrepareModel(self, request: Any, context: Any) -> embedder_pb2.PrepareModelResponse:
        return embedder_pb2.PrepareModelResponse(model=types_pb2.ServedModel(detail=request.space_id[:3]))


def pictures(*sizes: int) -> list[embedder_pb2.EmbedInput]:
    return [image_input(b"x" * size, f"p{index}") for index, size in enumerate(sizes)]


def outcome(result: embedder_pb2.EmbedResult) -> float | str:
    return result.vector.values[0] if result.HasField("vector") else result.error.message


def test_more_inputs_than_a_message_holds_go_in_several() -> None:
    """One reply, in order, indices over all inputs, times added up (S-7)."""
    servicer = Lengths()
    with serving(REGISTER, servicer) as address, EmbedderClient(address) as client:
        reply = client.embed(
            pictures(*range(1, 301)), space_id=SPACE, no_store=True, priority=embedder_pb2.PRIORITY_BULK
        )

    assert servicer.sizes == [128, 128, 44]
    assert set(servicer.options) == {(True, embedder_pb2.PRIORITY_BULK, "bulk")}
    assert [result.index for result in reply.results] == list(range(300))
    assert [outcome(result) for result in reply.results] == [float(size) for size in range(1, 301)]
    assert (reply.model.name, reply.timings.queue_ms) == ("lengths", 3.0)


def test_a_message_of_bad_inputs_does_not_lose_the_others() -> None:
    """When all of one message fail, those of the other messages are still answered (S-5)."""
    inputs = pictures(*[0] * 128, 7)
    with serving(REGISTER, Lengths()) as address, EmbedderClient(address) as client:
        reply = client.embed(inputs, space_id=SPACE)

    outcomes = [outcome(result) for result in reply.results]
    assert outcomes == [*(f"empty p{n}" for n in range(128)), 7.0]
    assert reply.results[128].index == 128


def test_all_bad_raises_outermost_and_is_reported_item_by_item_inside() -> None:
    """The blocking client raises; a service gets the failures to put beside its other items (S-5)."""

    async def inner(address: str) -> embedder_pb2.EmbedResponse:
        client = AsyncEmbedderClient(address)
        reply = await client.embed(pictures(0, 0, 0), space_id=SPACE)
        await client.close()
        return reply

    with serving(REGISTER, Lengths()) as address, EmbedderClient(address) as client:
        with pytest.raises(InvalidArgument, match="empty p0") as caught:
            client.embed(pictures(0, 0, 0), space_id=SPACE)
        reply = asyncio.run(inner(address))

    assert [item.index for item in caught.value.item_errors] == [0, 1, 2]
    assert [outcome(result) for result in reply.results] == ["empty p0", "empty p1", "empty p2"]


def test_streams_name_their_options_once() -> None:
    """The first message of a stream carries space and options."""
    servicer = Lengths()
    with serving(REGISTER, servicer) as address, EmbedderClient(address) as client:
        replies = client.embed_stream(iter(pictures(1, 2, 3)), space_id=SPACE, no_store=True)
        assert [reply.result.index for reply in replies] == [0, 1, 2]
        assert client.prepare_model(SPACE).detail == "aaa"

    assert servicer.options == [(True, 64), (False, 0), (False, 0)]


def test_an_attribute_record_travels_as_it_is() -> None:
    """Strings, lists and null survive the message."""
    item = attributes_input({"category": "코트", "material": ["데님", "레이스"], "fit": None}, "i1")

    assert item.id == "i1"
    assert item.attributes["category"] == "코트"
    assert list(item.attributes["material"]) == ["데님", "레이스"]
    assert item.attributes["fit"] is None


class Bounded(Lengths):
    """Takes as many inputs as its bounds say."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__()
        self.bounds = bounds

    def Embed(self, request: embedder_pb2.EmbedRequest, context: Any) -> embedder_pb2.EmbedResponse:
        self.bounds.check(len(request.inputs), context)
        return super().Embed(request, context)

    def GetLimits(self, request: Any, context: Any) -> embedder_pb2.GetLimitsResponse:
        return embedder_pb2.GetLimitsResponse(limits=self.bounds.limits())


def embed_blocking(address: str, lower: Callable[[], None]) -> list[float | str]:
    with EmbedderClient(address) as client:
        outcomes = [outcome(r) for r in client.embed(pictures(*range(1, 41)), space_id=SPACE).results]
        lower()
        return outcomes + [outcome(r) for r in client.embed(pictures(*range(1, 11)), space_id=SPACE).results]


def embed_inside(address: str, lower: Callable[[], None]) -> list[float | str]:
    async def scenario() -> list[float | str]:
        client = AsyncEmbedderClient(address)
        first = await client.embed(pictures(*range(1, 41)), space_id=SPACE)
        lower()
        second = await client.embed(pictures(*range(1, 11)), space_id=SPACE)
        await client.close()
        return [outcome(result) for reply in (first, second) for result in reply.results]

    return asyncio.run(scenario())


@pytest.mark.parametrize("embed", [embed_blocking, embed_inside])
def test_the_service_s_own_bound_is_asked_for_once_and_again_when_it_changed(
    embed: Callable[[str, Callable[[], None]], list[float | str]],
) -> None:
    """Messages hold what GetLimits says; a service that came back with a lower bound is asked again (S-7)."""
    bounds = Bounds(16)
    servicer = Bounded(bounds)
    with serving(REGISTER, servicer) as address:
        outcomes = embed(address, lambda: setattr(bounds, "image_count", 4))

    assert servicer.sizes == [16, 16, 8, 4, 4, 2]
    assert (bounds.asked, bounds.refused) == (2, 1)
    assert outcomes == [float(size) for size in (*range(1, 41), *range(1, 11))]


def test_another_refusal_is_not_tried_again() -> None:
    """A wrong request within the bounds is refused once; a lone input asks for no bounds (S-7)."""
    bounds = Bounds(16)

    class Wrong(Bounded):
        def Embed(self, request: embedder_pb2.EmbedRequest, context: Any) -> embedder_pb2.EmbedResponse:
            self.sizes.append(len(request.inputs))
            fail(context, status(code_pb2.INVALID_ARGUMENT, "wrong"))
            raise AssertionError("abort raises")

    servicer = Wrong(bounds)
    with serving(REGISTER, servicer) as address, EmbedderClient(address) as client:
        with pytest.raises(InvalidArgument, match="wrong"):
            client.embed(pictures(1, 2), space_id=SPACE)
        assert servicer.sizes == [2]

    with serving(REGISTER, Bounded(bounds)) as address, EmbedderClient(address) as client:
        bounds.asked = 0
        client.embed(pictures(1), space_id=SPACE)
        assert bounds.asked == 0

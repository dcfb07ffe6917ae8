"""The client of a service that pins models: vectors or errors, times, and a first release without it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from atelier.types.v1 import types_pb2
from google.rpc import code_pb2, status_pb2

from services.client.embedder import AsyncEmbedderClient, EmbeddedInputs
from services.runtime.errors import Internal, ResourceExhausted, Unavailable

from .conftest import fail, serving, status

REGISTER = embedder_pb2_grpc.add_EmbedderServiceServicer_to_server
SPACE = "a" * 64


class Pinned:
    """As much of a version as a service that pins it looks at."""

    space_id = SPACE

    class manifest:  # noqa: N801
        dimension = 3


class Vectors(embedder_pb2_grpc.EmbedderServiceServicer):
    """Answers each input with the vector that is set, and PrepareModel with the error that is set."""

    def __init__(self, vector: tuple[float, ...] = (1, 2, 3), error: status_pb2.Status | None = None) -> None:
        self.vector, self.error = vector, error
        self.asked: list[embedder_pb2.EmbedRequest] = []
        self.seconds: list[float] = []
        self.classes: list[str] = []

    def Embed(self, request: embedder_pb2.EmbedRequest, context: Any) -> embedder_pb2.EmbedResponse:
        self.asked.append(request)
        self.classes.append(dict(context.invocation_metadata()).get("x-atelier-priority", ""))
        self.seconds.append(context.time_remaining())
        time.sleep(0.05)
        vector = types_pb2.SpaceVector(space_id=SPACE, values=self.vector)
        return embedder_pb2.EmbedResponse(
            results=[embedder_pb2.EmbedResult(vector=vector) for _ in request.inputs],
            timings=types_pb2.Timings(queue_ms=1, decode_ms=2, compute_ms=3),
        )

    def PrepareModel(
        self, request: embedder_pb2.PrepareModelRequest, context: Any
    ) -> embedder_pb2.PrepareModelResponse:
        self.seconds.append(context.time_remaining())
        if self.error is not None:
            fail(context, self.error)
        return embedder_pb2.PrepareModelResponse(model=types_pb2.ServedModel(detail=request.space_id[:1]))


def run(embedder: Vectors, work: Callable[[Any], Awaitable[Any]]) -> Any:
    async def scenario(address: str) -> Any:
        client = AsyncEmbedderClient(address)
        try:
            return await work(client)
        finally:
            await client.close()

    with serving(REGISTER, embedder) as address:
        return asyncio.run(scenario(address))


@pytest.mark.parametrize("bulk", [False, True])
def test_pictures_become_vectors(bulk: bool) -> None:
    """One vector a picture, of the pinned space, in the queue and the class that was asked for (S-4)."""
    embedder = Vectors()
    embedded = run(embedder, lambda it: it.pictures([b"x", b"y"], Pinned(), no_store=True, bulk=bulk))

    assert [vector.tolist() for vector in embedded.outcomes] == [[1, 2, 3]] * 2
    (asked,) = embedder.asked
    assert [entry.image for entry in asked.inputs] == [b"x", b"y"]
    assert (asked.space_id, asked.no_store) == (SPACE, True)
    assert asked.priority == (embedder_pb2.PRIORITY_BULK if bulk else embedder_pb2.PRIORITY_INTERACTIVE)
    assert embedder.classes == ["bulk" if bulk else ""]
    assert embedder.seconds == [pytest.approx(600 if bulk else 60, abs=10)]


def test_records_become_vectors_and_are_not_kept() -> None:
    """An attribute record of a query is embedded without a trace in the cache."""
    embedder = Vectors()
    embedded = run(embedder, lambda it: it.records([{"category": "coat"}], Pinned()))

    assert isinstance(embedded.outcomes[0], np.ndarray)
    assert embedder.asked[0].inputs[0].attributes["category"] == "coat"
    assert embedder.asked[0].no_store


def test_nothing_is_asked_for_nothing() -> None:
    """Without inputs there is no call and no time."""
    embedder = Vectors()

    assert run(embedder, lambda it: it.records([], Pinned())) == EmbeddedInputs()
    assert not embedder.asked


def test_the_hop_is_the_wait_beyond_the_embedders_own_stages() -> None:
    """Queue, decode and compute are the embedder's; the hop is what is left of the wait."""
    times = run(Vectors(), lambda it: it.records([{}], Pinned())).times

    assert (times.queue_ms, times.decode_ms, times.compute_ms) == (1, 2, 3)
    assert 40 <= times.hop_ms <= times.total_ms - 6 + 1e-6


def test_a_vector_that_is_not_finite_is_an_error() -> None:
    """Whatever service asks, it never sees NaN (S-9)."""
    embedded = run(Vectors((1.0, float("nan"), 3.0)), lambda it: it.records([{}], Pinned()))

    assert isinstance(embedded.outcomes[0], Internal)
    assert embedded.outcomes[0].reason == "BAD_OUTPUT"


def test_a_prepared_model_is_remembered() -> None:
    """What the embedder answered about a model can be shown later."""

    async def scenario(client: AsyncEmbedderClient) -> tuple[Any, Any]:
        before = client.served(SPACE)
        await client.prepare([Pinned()], deadline_s=7.0)  # type: ignore[list-item]
        return before, client.served(SPACE)

    embedder = Vectors()
    before, after = run(embedder, scenario)

    assert (before, after.detail) == (None, "a")
    assert embedder.seconds == [pytest.approx(7, abs=3)]


def test_a_first_release_does_without_an_embedder_that_is_away() -> None:
    """Where the models are not required, UNAVAILABLE is logged and passed over; nothing else is (S-8)."""
    gone = Vectors(error=status(code_pb2.UNAVAILABLE, "gone"))
    full = Vectors(error=status(code_pb2.RESOURCE_EXHAUSTED, "full"))

    run(gone, lambda it: it.prepare([Pinned()], required=False))
    with pytest.raises(Unavailable):
        run(gone, lambda it: it.prepare([Pinned()]))
    with pytest.raises(ResourceExhausted):
        run(full, lambda it: it.prepare([Pinned()], required=False))

"""The embedder of a service that pins models: vectors or errors, times, and a first release without it."""

import asyncio
from typing import Any

import numpy as np
import pytest
from atelier.embedder.v1 import embedder_pb2
from atelier.types.v1 import types_pb2

from services.client.pinned_models import EmbeddedInputs, PinnedModels
from services.runtime.errors import Internal, ResourceExhausted, ServiceError, Unavailable

DIMENSION = 3
SPACE = "a" * 64


class Pinned:
    """As much of a version as a service that pins it looks at."""

    space_id = SPACE

    class manifest:  # noqa: N801
        dimension = DIMENSION


class FakeEmbedder:
    """Answers each input with the vector that is set, or raises what is set."""

    def __init__(
        self, vector: tuple[float, ...] = (1.0, 2.0, 3.0), error: ServiceError | None = None
    ) -> None:
        self.vector, self.error = vector, error
        self.asked: list[dict[str, Any]] = []
        self.inputs: list[embedder_pb2.EmbedInput] = []

    async def embed(self, inputs: Any, **options: Any) -> embedder_pb2.EmbedResponse:
        self.asked.append(options)
        self.inputs += inputs
        await asyncio.sleep(0.05)
        vector = types_pb2.SpaceVector(space_id=SPACE, values=self.vector)
        return embedder_pb2.EmbedResponse(
            results=[embedder_pb2.EmbedResult(vector=vector) for _ in inputs],
            timings=types_pb2.Timings(queue_ms=1, decode_ms=2, compute_ms=3),
        )

    async def prepare_model(self, space_id: str, *, deadline_s: float) -> types_pb2.ServedModel:
        self.asked.append({"deadline_s": deadline_s})
        if self.error is not None:
            raise self.error
        return types_pb2.ServedModel(detail=space_id[:1])


def run(embedder: FakeEmbedder, work: Any) -> Any:
    return asyncio.run(work(PinnedModels(embedder)))  # type: ignore[arg-type]


@pytest.mark.parametrize("bulk", [False, True])
def test_pictures_become_vectors(bulk: bool) -> None:
    """One vector a picture, of the pinned space, in the queue that was asked for."""
    embedder = FakeEmbedder()
    embedded = run(embedder, lambda it: it.pictures([b"x", b"y"], Pinned(), no_store=True, bulk=bulk))

    assert [vector.tolist() for vector in embedded.outcomes] == [[1, 2, 3]] * 2
    assert [entry.image for entry in embedder.inputs] == [b"x", b"y"]
    (asked,) = embedder.asked
    assert (asked["space_id"], asked["no_store"]) == (SPACE, True)
    assert asked["priority"] == (embedder_pb2.PRIORITY_BULK if bulk else embedder_pb2.PRIORITY_INTERACTIVE)
    assert asked["deadline_s"] == (600.0 if bulk else 60.0)


def test_records_become_vectors_and_are_not_kept() -> None:
    """An attribute record of a query is embedded without a trace in the cache."""
    embedder = FakeEmbedder()
    embedded = run(embedder, lambda it: it.records([{"category": "coat"}], Pinned()))

    assert isinstance(embedded.outcomes[0], np.ndarray)
    assert embedder.inputs[0].attributes["category"] == "coat"
    assert embedder.asked[0]["no_store"]


def test_nothing_is_asked_for_nothing() -> None:
    """Without inputs there is no call and no time."""
    embedder = FakeEmbedder()

    assert run(embedder, lambda it: it.records([], Pinned())) == EmbeddedInputs()
    assert not embedder.asked


def test_the_hop_is_the_wait_beyond_the_embedders_own_stages() -> None:
    """Queue, decode and compute are the embedder's; the hop is what is left of the wait."""
    times = run(FakeEmbedder(), lambda it: it.records([{}], Pinned())).times

    assert (times.queue_ms, times.decode_ms, times.compute_ms) == (1, 2, 3)
    assert 40 <= times.hop_ms <= times.total_ms - 6 + 1e-6


def test_a_vector_that_is_not_finite_is_an_error() -> None:
    """Whatever service asks, it never sees NaN (S-9)."""
    embedded = run(FakeEmbedder((1.0, float("nan"), 3.0)), lambda it: it.records([{}], Pinned()))

    assert isinstance(embedded.outcomes[0], Internal)
    assert embedded.outcomes[0].reason == "BAD_OUTPUT"


def test_a_prepared_model_is_remembered() -> None:
    """What the embedder answered about a model can be shown later."""

    async def scenario(models: PinnedModels) -> tuple[Any, Any]:
        before = models.served(SPACE)
        await models.prepare([Pinned()], deadline_s=7.0)  # type: ignore[list-item]
        return before, models.served(SPACE)

    embedder = FakeEmbedder()
    before, after = run(embedder, scenario)

    assert (before, after.detail) == (None, "a")
    assert embedder.asked == [{"deadline_s": 7.0}]


def test_a_first_release_does_without_an_embedder_that_is_away() -> None:
    """Where the models are not required, UNAVAILABLE is logged and passed over; nothing else is (S-8)."""
    gone, full = FakeEmbedder(error=Unavailable("gone")), FakeEmbedder(error=ResourceExhausted("full"))

    run(gone, lambda it: it.prepare([Pinned()], required=False))
    with pytest.raises(Unavailable):
        run(gone, lambda it: it.prepare([Pinned()]))
    with pytest.raises(ResourceExhausted):
        run(full, lambda it: it.prepare([Pinned()], required=False))

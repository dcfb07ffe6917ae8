"""Which models are in memory, over the wire and on a real store."""

import asyncio
import itertools
import shutil
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc
import pytest
from atelier.embedder.v1 import embedder_pb2
from atelier.types.v1 import types_pb2

from inference.errors import RefusedModel
from services.embedder.errors import MemoryBound, ModelRefused, QueueFull
from services.embedder.loaded_space import LoadedSpace
from services.embedder.models import MOST_PREPARING, LoadedModels, Retention
from services.embedder.store_reader import MOST_LISTING, MOST_RESOLVING
from tests.services.embedder.conftest import (
    ATTRIBUTES,
    HEAD,
    IMAGE_FIELDS,
    PICTURES,
    failure,
    image_graph,
    image_input,
    picture,
    publish,
    request,
)

GOOD = picture(1)
AVAILABLE, PREPARING = types_pb2.MODEL_STATE_AVAILABLE, types_pb2.MODEL_STATE_PREPARING
ON, REFUSED, ORPHANED = (
    types_pb2.MODEL_STATE_SERVING,
    types_pb2.MODEL_STATE_REFUSED,
    types_pb2.MODEL_STATE_ORPHANED,
)


def prepare(served, space_id):
    return served.stub.PrepareModel(embedder_pb2.PrepareModelRequest(space_id=space_id))


def embed(served, target):
    return served.stub.Embed(request(target, [image_input(GOOD)]))


async def listed(served):
    reply = await served.stub.ListModels(embedder_pb2.ListModelsRequest())
    return {(m.identity.name, m.identity.version, m.alias): m for m in reply.models}


@pytest.mark.parametrize("file", ["manifest.json", "model.onnx", "golden.npz"])
def test_a_flipped_byte_is_refused_by_name_while_the_version_before_serves(place, file):
    """A flipped byte in any file of a new version refuses it, naming the file; the old one answers (M-4)."""
    old = place.version(PICTURES)
    new = publish(place.store, PICTURES, image_graph(2), IMAGE_FIELDS, place.cache / "new")
    path = new.path(file)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    async def scene():
        async with place.serving() as served:
            await prepare(served, old.space_id)
            return (
                await failure(prepare(served, new.space_id)),
                await failure(embed(served, PICTURES)),
                await embed(served, old.space_id),
                await listed(served),
            )

    prepared, named, reply, models = asyncio.run(scene())

    for failed in (prepared, named):
        assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED")
        assert f"{PICTURES}/2/{file}" in failed.message
        assert str(place.root) not in failed.message
    assert reply.model.version == 1
    assert models[PICTURES, 2, "production"].state == REFUSED
    assert file in models[PICTURES, 2, "production"].detail
    assert models[PICTURES, 1, ""].state == ON


def test_the_list_tells_what_aliases_reach_and_its_state_here(place):
    """Pictures and attributes are listed with their state; a head is not the embedder's to serve."""

    async def scene():
        async with place.serving() as served:
            before = await listed(served)
            await embed(served, PICTURES)
            return before, await listed(served)

    before, after = asyncio.run(scene())

    assert {name for name, _, _ in before} == {PICTURES, ATTRIBUTES}
    assert {model.state for model in before.values()} == {AVAILABLE}
    assert after[PICTURES, 1, "production"].state == ON
    assert after[ATTRIBUTES, 1, "production"].state == AVAILABLE
    assert HEAD not in {name for name, _, _ in after}


def test_a_damaged_alias_takes_no_other_model_away(place):
    """Another model is listed and loaded; the damaged alias is listed as refused, with the reason (S-8)."""
    (place.root / ATTRIBUTES / "aliases" / "production.json").write_bytes(b"garbage")

    async def scene():
        async with place.serving() as served:
            space_id = place.version(PICTURES).space_id
            await prepare(served, space_id)
            return await embed(served, space_id), await listed(served)

    reply, models = asyncio.run(scene())

    assert reply.results[0].HasField("vector")
    assert models[PICTURES, 1, "production"].state == ON
    assert models[ATTRIBUTES, 0, "production"].state == REFUSED
    assert "is damaged" in models[ATTRIBUTES, 0, "production"].detail


def test_a_version_that_is_deleted_serves_from_memory_as_orphaned(place):
    """A loaded version answers on when the store has lost it, and the list says so."""

    async def scene():
        async with place.serving() as served:
            space_id = place.version(PICTURES).space_id
            await prepare(served, space_id)
            shutil.rmtree(place.root / PICTURES / "1")
            return await embed(served, space_id), await listed(served)

    reply, models = asyncio.run(scene())

    assert reply.results[0].HasField("vector")
    assert models[PICTURES, 1, "production"].state == ORPHANED


def test_a_space_that_nothing_reaches_is_not_loaded(place):
    """Only what an alias or its history reaches loads, also where its files are still there."""

    async def scene():
        async with place.serving() as served:
            space_id = place.version(ATTRIBUTES).space_id
            (place.root / ATTRIBUTES / "aliases" / "production.json").unlink()
            return [await failure(prepare(served, s)) for s in (space_id, "f" * 64)], await failure(
                prepare(served, "")
            )

    failures, empty = asyncio.run(scene())

    assert {failed.code for failed in failures} == {grpc.StatusCode.NOT_FOUND}
    assert empty.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.slow
def test_a_flood_of_unknown_spaces_is_refused_quickly(place):
    """Only so many spaces are looked for at once; other calls get a retry time, and pictures go on (S-4)."""

    async def scene():
        async with place.serving() as served:
            await embed(served, PICTURES)
            flood = [asyncio.ensure_future(failure(prepare(served, f"{n:064x}"))) for n in range(500)]
            reply = await embed(served, PICTURES)
            return reply, await asyncio.gather(*flood)

    reply, failures = asyncio.run(scene())

    assert reply.results[0].HasField("vector")
    codes = Counter(failed.code for failed in failures)
    assert set(codes) == {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert codes[grpc.StatusCode.NOT_FOUND] >= MOST_PREPARING
    assert {failed.reason for failed in failures} == {"UNKNOWN_MODEL", "QUEUE_FULL"}


@pytest.mark.parametrize("listing", [False, True])
def test_calls_that_wait_for_the_store_are_bounded(place, listing):
    """A store that hangs is waited for by so many calls at most, the next one is told to come back; once it
    answers all that waited are answered (S-4)."""
    gate, bound = threading.Event(), MOST_LISTING if listing else MOST_RESOLVING

    class Hanging:
        place = "nowhere"

        def resolve(self, name, alias):
            gate.wait(10)
            return place.store.resolve(name, alias)

        def names(self):
            gate.wait(10)
            return []

        def reachable(self):
            return []

    async def scene():
        models = LoadedModels(Hanging(), HeldLoader(), Retention(memory_bytes=1000))
        ask = models.listings if listing else lambda: models.store.resolve(PICTURES, "production")
        waiting = [asyncio.create_task(ask()) for _ in range(bound)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match=f"the bound is {bound}"):
            await ask()
        gate.set()
        answers = await asyncio.gather(*waiting)
        await ask()
        await models.close()
        return answers

    assert len(asyncio.run(scene())) == bound


@pytest.mark.slow
def test_an_alias_that_moves_back_finds_the_earlier_version_again(place):
    """After promotion and rollback, within the poll, calls are answered by what the alias means (S-3)."""
    publish(place.store, PICTURES, image_graph(2), IMAGE_FIELDS, place.cache / "new")

    async def scene():
        async with place.serving() as served:
            second = await embed(served, PICTURES)
            place.store.aliases.rollback(PICTURES, "production")
            for _ in range(500):
                first = await embed(served, PICTURES)
                if first.model.version == 1:
                    break
                await asyncio.sleep(0.01)
            return second, first

    second, first = asyncio.run(scene())

    assert (second.model.version, first.model.version) == (2, 1)
    assert second.results[0].vector.space_id != first.results[0].vector.space_id


def test_a_model_beyond_the_memory_bound_is_refused_and_the_loaded_one_stays(place):
    """No room is RESOURCE_EXHAUSTED naming both numbers; what is in use is not evicted."""
    size = place.version(PICTURES).manifest.files["model.onnx"].size
    new = publish(place.store, PICTURES, image_graph(2), IMAGE_FIELDS, place.cache / "new")
    bound = 3 * size

    async def scene():
        async with place.serving(embedder_memory_bytes=bound) as served:
            old = place.store.open(PICTURES, 1).space_id
            await prepare(served, old)
            return await failure(prepare(served, new.space_id)), await embed(served, old)

    failed, reply = asyncio.run(scene())

    assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MEMORY_BOUND")
    assert f"needs about {2 * size} bytes; {2 * size} of {bound} are taken" in failed.message
    assert reply.results[0].HasField("vector")


@pytest.mark.slow
def test_a_model_that_nobody_asks_for_leaves_memory(place):
    """Unasked and idle past the time, a model is dropped; asking for it brings it back."""

    async def scene():
        async with place.serving(embedder_idle_s=0.2) as served:
            space_id = place.version(PICTURES).space_id
            await prepare(served, space_id)
            for _ in range(4):
                await asyncio.sleep(0.1)
                await embed(served, space_id)
            kept = served.metric("atelier_loaded_models")
            await asyncio.sleep(0.7)
            dropped = served.metric("atelier_loaded_models")
            return kept, dropped, await failure(embed(served, space_id)), await embed(served, PICTURES)

    kept, dropped, failed, reply = asyncio.run(scene())

    assert (kept, dropped, failed.reason) == (1, 0, "MODEL_NOT_LOADED")
    assert reply.results[0].HasField("vector")


def test_a_store_that_goes_away_leaves_what_is_loaded_in_service(place, caplog):
    """Without a store, what is in memory answers, by alias too; what is not says what is missing (S-8)."""

    async def scene():
        async with place.serving() as served:
            await served.serving()
            space_id = place.version(PICTURES).space_id
            await embed(served, PICTURES)
            place.root.rename(place.root.with_name("gone"))
            for _ in range(500):
                if "aliases keep their versions" in caplog.text:
                    break
                await asyncio.sleep(0.01)
            return (
                await embed(served, space_id),
                await embed(served, PICTURES),
                await prepare(served, space_id),
                await failure(embed(served, ATTRIBUTES)),
                await listed(served),
            )

    reply, by_alias, _, failed, models = asyncio.run(scene())

    assert reply.results[0].HasField("vector")
    assert by_alias.results[0].HasField("vector")
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert failed.retry_after_s is not None
    assert models[PICTURES, 1, ""].state == ON


@dataclass
class HeldLoader:
    """A loader that waits for a gate and counts; what it loads is never run."""

    gate: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    count: int = 0
    bytes_each: int = 100
    failure: Exception | None = None

    def sizes(self, manifest):
        return (2 * self.bytes_each, self.bytes_each)

    def load(self, version, memory_bytes):
        self.count += 1
        self.begun.set()
        assert self.gate.wait(20)
        if self.failure is not None:
            raise self.failure
        return LoadedSpace(version=version, encoder=None, lone_encoder=None, memory_bytes=memory_bytes)


def test_callers_that_ask_at_once_share_one_load(place):
    """Twenty prepares of one space load it once; a caller that gives up takes it from nobody (S-3)."""

    async def scene():
        loader = HeldLoader()
        models = LoadedModels(place.store, loader, Retention(memory_bytes=1000))
        space_id = place.version(PICTURES).space_id
        asks = [asyncio.create_task(models.prepare(space_id)) for _ in range(20)]
        while not loader.begun.is_set():  # noqa: ASYNC110  # set by a thread
            await asyncio.sleep(0.005)
        states = {(r.name, r.state) for r in await models.listings()}
        asks[0].cancel()
        loader.gate.set()
        results = await asyncio.gather(*asks, return_exceptions=True)
        await models.close()
        return loader.count, states, results

    count, states, results = asyncio.run(scene())

    assert count == 1
    assert (PICTURES, "preparing") in states
    assert isinstance(results[0], asyncio.CancelledError)
    assert len(set(map(id, results[1:]))) == 1


def test_where_memory_is_short_a_model_is_loaded_the_smaller_way(place):
    """The first model takes the larger form, the next one the smaller, and a third is refused."""

    async def scene():
        loader = HeldLoader()
        loader.gate.set()
        models = LoadedModels(place.store, loader, Retention(memory_bytes=399))
        publish(place.store, "third-image", image_graph(3), IMAGE_FIELDS, place.cache / "third")
        names = (PICTURES, ATTRIBUTES)
        sizes = [(await models.prepare(place.version(name).space_id)).memory_bytes for name in names]
        with pytest.raises(MemoryBound, match="needs about 100 bytes; 300 of 399 are taken"):
            await models.prepare(place.version("third-image").space_id)
        await models.close()
        return sizes

    assert asyncio.run(scene()) == [200, 100]


def test_a_load_that_fails_unexpectedly_leaves_room_and_may_be_tried_again(place):
    """A crash while loading reaches every caller, frees the booked memory, and the next ask loads anew."""

    async def scene():
        loader = HeldLoader(failure=OSError("disk"), bytes_each=700)
        loader.gate.set()
        models = LoadedModels(place.store, loader, Retention(memory_bytes=1000))
        space_id = place.version(PICTURES).space_id
        with pytest.raises(OSError, match="disk"):
            await models.prepare(space_id)
        loader.failure = None
        space = await models.prepare(space_id)
        await models.close()
        return space

    assert asyncio.run(scene()).memory_bytes == 700


def test_a_model_in_use_is_not_dropped_however_long_it_runs(place):
    """What a call holds stays, though nobody has asked for it in a long while."""

    async def scene():
        loader = HeldLoader()
        loader.gate.set()
        models = LoadedModels(place.store, loader, Retention(memory_bytes=1000, idle_s=0.01))
        space_id = place.version(PICTURES).space_id
        await models.prepare(space_id)
        with models.hold(space_id) as space:
            await asyncio.sleep(0.05)
            models.drop_idle()
            held = models.loaded
        models.drop_idle()
        left = models.loaded
        await models.close()
        return space, held, left

    space, held, left = asyncio.run(scene())

    assert held == (space,)
    assert left == ()
    assert time.monotonic() > space.asked_at


def test_a_version_that_stays_bad_is_verified_ever_less_often(place, monkeypatch, caplog):
    """The wait until it is verified again doubles, callers get the reason, the log once (M-4)."""
    version, clock, loads = place.version(PICTURES), [0.0], []

    class Refusing(HeldLoader):
        def load(self, version, memory_bytes):
            loads.append(clock[0])
            raise RefusedModel(f"{version}: model.onnx is damaged")

    async def scene():
        models = LoadedModels(place.store, Refusing(), Retention(memory_bytes=1000))
        monkeypatch.setattr("services.embedder.models.time.monotonic", lambda: clock[0])
        for second in range(2_000):
            clock[0] = float(second)
            with pytest.raises(ModelRefused, match=r"model\.onnx is damaged"):
                await models.prepare_version(version)
        await models.close()

    asyncio.run(scene())

    waits = [later - earlier for earlier, later in itertools.pairwise(loads)]
    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert [record.message for record in caplog.records] == ["model refused"]

"""The calls over the wire, on a real server with real graphs."""

import asyncio
import random
import threading

import grpc
import numpy as np
import pytest
from atelier.embedder.v1 import embedder_pb2
from atelier.types.v1 import types_pb2
from google.rpc import code_pb2, error_details_pb2
from grpc_health.v1 import health_pb2
from PIL import Image

from inference.vector_cache import VectorCache
from services.embedder import wire
from services.embedder.servicer import as_they_finish
from tests.services.embedder.conftest import (
    ATTRIBUTES,
    DIMENSION,
    HEAD,
    PICTURES,
    SIDE,
    Failure,
    attribute_input,
    encoded,
    failure,
    image_input,
    picture,
    publish_slow,
    request,
)

pytestmark = pytest.mark.slow  # servers with models and catalogs

SERVING = health_pb2.HealthCheckResponse.SERVING
GOOD = picture(1)
BLACK = encoded(Image.new("RGB", (SIDE, SIDE)), "PNG")


def frames(count):
    pictures = [Image.new("RGB", (8, 8), (n, 0, 0)) for n in range(count)]
    return encoded(pictures[0], "GIF", save_all=True, append_images=pictures[1:])


BAD_PICTURES = {
    "empty": b"",
    "text": b"not a picture at all",
    "truncated": picture(2, (200, 200))[:2000],
    "animated-gif": frames(3),
    "bomb": encoded(Image.new("1", (20_000, 20_000)), "PNG"),
}
BAD_RECORDS = {
    "unknown-field": {"colour": "red"},
    "number": {"category": 3},
    "nested": {"material": {"a": "b"}},
    "long": {"material": ["코트"] * 1001},
    "large": {"category": "가" * 100_000},
}


def vectors(reply):
    return [np.array(result.vector.values, np.float32) for result in reply.results]


def test_pictures_become_unit_vectors_with_their_provenance(place):
    """Each input gets a unit vector in order, with its id, its space, its model and the times (S-2)."""

    async def scene():
        async with place.serving() as served:
            inputs = [image_input(picture(n), f"p{n}") for n in range(5)]
            return await served.stub.Embed(request(PICTURES, inputs))

    reply = asyncio.run(scene())
    version = place.version(PICTURES)

    assert [(r.index, r.id) for r in reply.results] == [(n, f"p{n}") for n in range(5)]
    assert {r.vector.space_id for r in reply.results} == {version.space_id}
    assert all(abs(np.linalg.norm(v) - 1) < 1e-5 and len(v) == DIMENSION for v in vectors(reply))
    assert reply.model == types_pb2.ModelIdentity(
        name=PICTURES, version=1, digest=version.digest, space_id=version.space_id, trained=True
    )
    assert reply.timings.decode_ms > 0
    assert reply.timings.compute_ms > 0


def test_attribute_records_become_vectors(place):
    """A record of strings, lists and nulls is embedded; fields left out and null are the same."""

    async def scene():
        async with place.serving() as served:
            records = [
                {"category": "니트", "material": ["코트", "셔츠"]},
                {"material": ["셔츠", "코트"], "category": "니트"},
                {"category": "니트", "material": None},
                {"category": "니트"},
            ]
            return await served.stub.Embed(request(ATTRIBUTES, [attribute_input(r) for r in records]))

    first, second, third, fourth = vectors(asyncio.run(scene()))

    np.testing.assert_allclose(first, second, atol=1e-6)
    np.testing.assert_array_equal(third, fourth)
    assert not np.allclose(first, third)


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_bad_picture_fails_alone(place, kind):
    """A bad picture carries its own status; its neighbours are answered and the server lives on (S-5)."""

    async def scene():
        async with place.serving() as served:
            inputs = [
                image_input(GOOD, "a"),
                image_input(BAD_PICTURES[kind], "bad"),
                image_input(picture(3), "b"),
            ]
            reply = await served.stub.Embed(request(PICTURES, inputs))
            again = await served.stub.Embed(request(PICTURES, [image_input(GOOD)]))
            return reply, again

    reply, again = asyncio.run(scene())

    assert [r.WhichOneof("outcome") for r in reply.results] == ["vector", "error", "vector"]
    bad = reply.results[1]
    assert (bad.index, bad.id, bad.error.code) == (1, "bad", code_pb2.INVALID_ARGUMENT)
    assert bad.error.message
    assert "/" not in bad.error.message
    np.testing.assert_array_equal(vectors(again)[0], vectors(reply)[0])


@pytest.mark.parametrize("kind", BAD_RECORDS)
def test_a_bad_record_fails_alone(place, kind):
    """A record that does not fit the schema carries its own status; the others are answered (S-5)."""

    async def scene():
        async with place.serving() as served:
            inputs = [attribute_input(BAD_RECORDS[kind], "bad"), attribute_input({"category": "코트"})]
            return await served.stub.Embed(request(ATTRIBUTES, inputs))

    bad, good = asyncio.run(scene()).results

    assert bad.error.code == code_pb2.INVALID_ARGUMENT
    assert good.HasField("vector")


def test_a_message_full_of_words_is_read_beside_the_event_loop(place, monkeypatch):
    """What takes long to read is read on another thread, so that others are answered meanwhile (S-4)."""
    readers = []
    read = wire.read_embed
    monkeypatch.setattr(wire, "read_embed", lambda *a: (readers.append(threading.get_ident()), read(*a))[1])
    large = {"material": [f"{n} {'x' * 180}" for n in range(1_000)]}

    async def scene():
        async with place.serving() as served:
            await served.stub.Embed(request(ATTRIBUTES, [attribute_input({})]))
            await served.stub.Embed(request(ATTRIBUTES, [attribute_input(large)] * 2))
            return threading.get_ident()

    here = asyncio.run(scene())

    assert readers[0] == here
    assert readers[1] != here


@pytest.mark.parametrize(
    ("model", "good", "wrong"),
    [
        (PICTURES, image_input(GOOD), attribute_input({"category": "코트"})),
        (ATTRIBUTES, attribute_input({"category": "코트"}), image_input(GOOD)),
        (PICTURES, image_input(GOOD), embedder_pb2.EmbedInput()),
    ],
)
def test_an_input_of_the_wrong_kind_fails_alone_and_names_both_sides(place, model, good, wrong):
    """A picture for a model of attributes fails alone, and the other way round; so does no content (S-5)."""

    async def scene():
        async with place.serving() as served:
            mixed = await served.stub.Embed(request(model, [wrong, good]))
            return mixed, await failure(served.stub.Embed(request(model, [wrong])))

    mixed, alone = asyncio.run(scene())

    assert mixed.results[0].error.code == code_pb2.INVALID_ARGUMENT
    assert mixed.results[1].HasField("vector")
    assert (alone.code, alone.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "WRONG_KIND")
    if wrong.WhichOneof("content"):
        assert "a picture" in alone.message
        assert "an attribute record" in alone.message


def test_when_every_input_fails_so_does_the_call(place):
    """The call fails with the first input's code; its details carry the failure of each input (S-5)."""

    async def scene():
        async with place.serving() as served:
            inputs = [image_input(data, name) for name, data in BAD_PICTURES.items()]
            return await failure(served.stub.Embed(request(PICTURES, inputs)))

    failed = asyncio.run(scene())
    items = []
    for detail in failed.status.details:
        item = types_pb2.ItemError()
        if detail.Unpack(item):
            items.append(item)

    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_IMAGE")
    assert "all 5 inputs failed; input 0 ('empty')" in failed.message
    assert [(item.index, item.id) for item in items] == list(enumerate(BAD_PICTURES))
    assert {item.status.code for item in items} == {code_pb2.INVALID_ARGUMENT}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (embedder_pb2.EmbedRequest(inputs=[image_input(GOOD)]), "names no target"),
        (embedder_pb2.EmbedRequest(model={"alias": "x"}, inputs=[image_input(GOOD)]), "names no target"),
        (request(PICTURES, []), "has 0 inputs, a message takes 1 to 128"),
        (request(PICTURES, [image_input(b"x")] * 129), "has 129 inputs, a message takes 1 to 128"),
    ],
)
def test_a_malformed_request_is_refused_as_a_whole(place, message, words):
    """Without a target, without inputs or with too many, a call is refused, naming both sides (S-5, S-7)."""

    async def scene():
        async with place.serving() as served:
            return await failure(served.stub.Embed(message))

    failed = asyncio.run(scene())

    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in failed.message


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("no-such-model", grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL"),
        ("../../etc", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"),
        ("0" * 64, grpc.StatusCode.FAILED_PRECONDITION, "MODEL_NOT_LOADED"),
        (HEAD, grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED"),
    ],
)
def test_a_model_that_cannot_answer_is_named(place, name, code, reason):
    """Unknown names, spaces that are not in memory and heads are told apart."""

    async def scene():
        async with place.serving() as served:
            return await failure(served.stub.Embed(request(name, [image_input(GOOD)])))

    failed = asyncio.run(scene())

    assert (failed.code, failed.reason) == (code, reason)


def test_a_space_is_served_once_it_is_prepared(place):
    """A space that is not in memory is refused; once prepared it answers; preparing again is free (S-3)."""
    space_id = place.version(PICTURES).space_id

    async def scene():
        async with place.serving() as served:
            before = await failure(served.stub.Embed(request(space_id, [image_input(GOOD)])))
            prepare = embedder_pb2.PrepareModelRequest(space_id=space_id)
            models = [(await served.stub.PrepareModel(prepare)).model for _ in range(2)]
            return before, models, await served.stub.Embed(request(space_id, [image_input(GOOD)]))

    before, models, reply = asyncio.run(scene())

    assert before.reason == "MODEL_NOT_LOADED"
    assert models[0] == models[1]
    assert models[0].state == types_pb2.MODEL_STATE_SERVING
    assert (models[0].requested_provider, models[0].actual_provider) == ("cpu", "CPUExecutionProvider")
    assert (models[0].fell_back, models[0].precision, models[0].dimension) == (False, "fp32", DIMENSION)
    assert reply.results[0].vector.space_id == space_id


def test_vectors_are_bit_equal_whatever_the_batch_mates(place):
    """Alone on every core, in a crowd on one, in any order and through the cache: the same bits (A-7)."""
    pictures = [picture(n) for n in range(24)]
    records = [{"category": "코트", "material": ["니트", "셔츠"][: n % 3]} for n in range(9)]

    async def scene():
        async with place.serving(threads=2) as served:

            async def embed(model, inputs, **options):
                return vectors(await served.stub.Embed(request(model, inputs, **options)))

            image_inputs, record_inputs = (
                [image_input(p) for p in pictures],
                [attribute_input(r) for r in records],
            )
            alone = [(await embed(PICTURES, [one], no_store=True))[0] for one in image_inputs]
            order = random.Random(7).sample(range(24), 24)
            shuffled = await embed(PICTURES, [image_inputs[n] for n in order], no_store=True)
            crowd = await asyncio.gather(*(embed(PICTURES, image_inputs, no_store=True) for _ in range(4)))
            stored = [await embed(PICTURES, image_inputs) for _ in range(2)]
            words = [(await embed(ATTRIBUTES, [one], no_store=True))[0] for one in record_inputs]
            together = await embed(ATTRIBUTES, record_inputs, no_store=True)
            return alone, order, shuffled, crowd, stored, words, together

    alone, order, shuffled, crowd, stored, words, together = asyncio.run(scene())

    np.testing.assert_array_equal(np.stack(shuffled), np.stack(alone)[order])
    for answer in (*crowd, *stored):
        np.testing.assert_array_equal(np.stack(answer), np.stack(alone))
    np.testing.assert_array_equal(np.stack(words), np.stack(together))


def test_equal_inputs_of_one_request_are_computed_once(place):
    """Ten copies of one picture cost one run of one input, and every copy gets its vector."""

    async def scene():
        async with place.serving() as served:
            reply = await served.stub.Embed(request(PICTURES, [image_input(GOOD)] * 10, no_store=True))
            return reply, served.metric("atelier_engine_batch_size_sum", engine="compute")

    reply, computed = asyncio.run(scene())

    assert computed == 1
    assert len({tuple(r.vector.values) for r in reply.results}) == 1
    assert [r.index for r in reply.results] == list(range(10))


def test_large_pictures_are_looked_up_like_small_ones(place):
    """Pictures of some megabytes, hashed off the event loop, are found again in the cache."""

    async def scene():
        async with place.serving() as served:
            inputs = [image_input(picture(n, (600, 600), "PNG")) for n in range(2)]
            replies = [await served.stub.Embed(request(PICTURES, inputs)) for _ in range(2)]
            return replies, served.metric("atelier_vector_cache_lookups_total", result="hit")

    (first, second), hits = asyncio.run(scene())

    assert hits == 2
    np.testing.assert_array_equal(vectors(first), vectors(second))


def test_a_message_beyond_the_byte_bound_is_refused_naming_both(place):
    """The bound on a message is told by name, with the size that came (S-7)."""

    async def scene():
        async with place.serving(limits={"message_bytes": 5000}) as served:
            return await failure(served.stub.Embed(request(PICTURES, [image_input(b"x" * 6000)])))

    failed = asyncio.run(scene())

    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "bytes, the bound is 5000" in failed.message


def test_without_a_usable_cache_directory_everything_is_computed(place):
    """Losing the cache costs only time."""
    (place.cache / "vectors").write_text("in the way")

    async def scene():
        async with place.serving() as served:
            for _ in range(2):
                reply = await served.stub.Embed(request(PICTURES, [image_input(GOOD)]))
            return reply, served.metric("atelier_engine_batch_size_sum", engine="compute")

    reply, computed = asyncio.run(scene())

    assert reply.results[0].HasField("vector")
    assert computed == 2


def test_a_vector_is_remembered_unless_the_caller_forbids_it(place):
    """A second call finds the vectors of the first; `no_store` neither writes nor reads the cache."""

    async def scene():
        async with place.serving() as served:

            async def embed(data, *, no_store):
                await served.stub.Embed(request(PICTURES, [image_input(data)], no_store=no_store))
                hits, misses = (
                    served.metric("atelier_vector_cache_lookups_total", result=r) for r in ("hit", "miss")
                )
                return hits, misses, served.metric("atelier_engine_batch_size_sum", engine="compute")

            secret = picture(9)
            return [
                await embed(GOOD, no_store=False),
                await embed(GOOD, no_store=False),
                await embed(secret, no_store=True),
                await embed(secret, no_store=True),
                await embed(secret, no_store=False),
            ]

    assert asyncio.run(scene()) == [(0, 1, 1), (1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 4)]


@pytest.mark.parametrize(("recent_bytes", "disk_reads"), [(1 << 20, 1), (0, 2)])
def test_a_recent_vector_is_answered_from_memory(place, monkeypatch, recent_bytes, disk_reads):
    """A second call for the same input waits for no disk, within the bytes that memory may hold (S-1)."""
    reads = []
    read = VectorCache.get_many
    monkeypatch.setattr(VectorCache, "get_many", lambda cache, keys: reads.append(1) or read(cache, keys))

    async def scene():
        async with place.serving(embedder_recent_bytes=recent_bytes) as served:
            return [await served.stub.Embed(request(PICTURES, [image_input(GOOD)])) for _ in range(2)]

    first, second = asyncio.run(scene())

    assert list(first.results) == list(second.results)
    assert len(reads) == disk_reads


def test_a_restarted_service_answers_from_disk_and_then_from_memory(place, monkeypatch):
    """What another process computed is read from disk once (A-15)."""
    reads = []
    read = VectorCache.get_many
    monkeypatch.setattr(VectorCache, "get_many", lambda cache, keys: reads.append(1) or read(cache, keys))

    async def scene():
        async with place.serving() as served:
            await served.stub.Embed(request(PICTURES, [image_input(GOOD)]))
        async with place.serving() as served:
            for _ in range(3):
                await served.stub.Embed(request(PICTURES, [image_input(GOOD)]))
            return served.metric("atelier_vector_cache_lookups_total", result="hit")

    assert asyncio.run(scene()) == 3
    assert len(reads) == 2


def test_a_bad_output_is_withheld_counted_and_never_cached(place):
    """A vector out of its norm range is an INTERNAL failure of its input alone, each time anew (S-9)."""

    async def scene():
        async with place.serving() as served:
            message = request(PICTURES, [image_input(BLACK, "black"), image_input(GOOD)])
            replies = [await served.stub.Embed(message) for _ in range(2)]
            return replies, served.metric("atelier_bad_outputs_total", model=PICTURES)

    replies, counted = asyncio.run(scene())

    for reply in replies:
        info = error_details_pb2.ErrorInfo()
        assert reply.results[0].error.code == code_pb2.INTERNAL
        assert reply.results[0].error.details[0].Unpack(info)
        assert info.reason == "BAD_OUTPUT"
        assert reply.results[1].HasField("vector")
    assert counted == 2


def stream(inputs, target=None):
    async def messages():
        for n, one in enumerate(inputs):
            message = embedder_pb2.EmbedStreamRequest(input=one)
            if n == 0:
                message.model.CopyFrom(target or embedder_pb2.ModelReference(name=PICTURES))
            yield message

    return messages()


def test_a_stream_answers_every_input_with_its_index(place):
    """More inputs than the window and the message bound: one answer each; a bad input is an answer too."""

    async def scene():
        async with place.serving(embedder_stream_window=8) as served:
            inputs = [image_input(picture(n, (20, 20)), f"p{n}") for n in range(150)]
            inputs[70] = image_input(b"nothing", "p70")
            return [response async for response in served.stub.EmbedStream(stream(inputs))]

    responses = asyncio.run(scene())
    by_index = {response.result.index: response.result for response in responses}

    assert len(responses) == 150
    assert sorted(by_index) == list(range(150))
    assert all(result.id == f"p{index}" for index, result in by_index.items())
    assert by_index.pop(70).error.code == code_pb2.INVALID_ARGUMENT
    assert all(result.HasField("vector") for result in by_index.values())
    assert {response.model.name for response in responses} == {PICTURES}


def test_a_stream_that_is_abandoned_leaves_no_work_behind(place):
    """After a cancelled stream nothing of it is computed any more, and the queue is empty (S-7)."""
    publish_slow(place)

    async def scene():
        async with place.serving(embedder_batch_cost=2) as served:
            inputs = [image_input(picture(n, (SIDE, SIDE), "PNG")) for n in range(100)]
            target = embedder_pb2.ModelReference(name="slow-image")
            call = served.stub.EmbedStream(stream(inputs, target))
            await call.read()
            call.cancel()
            await asyncio.sleep(0.3)
            settled = served.metric("atelier_engine_batch_size_sum", engine="compute")
            await asyncio.sleep(0.3)
            later = served.metric("atelier_engine_batch_size_sum", engine="compute")
            held = served.metric("atelier_accepted_cost"), served.metric("atelier_accepted_bytes")
            return settled, later, held

    settled, later, held = asyncio.run(scene())

    assert settled == later < 100
    assert held == (0, 0)


def test_a_stream_counts_what_it_has_not_answered(place):
    """Messages that a stream reads ahead are held: it stops at the bytes, not at its window (S-4)."""
    publish_slow(place)
    large = image_input(picture(1, (SIDE, SIDE), "PNG") + bytes(1 << 20))

    async def scene():
        async with place.serving(embedder_batch_cost=2, held_bytes=8 << 20) as served:
            target = embedder_pb2.ModelReference(name="slow-image")
            call = served.stub.EmbedStream(stream([large] * 32, target))
            async for _ in call:
                read, sent = (
                    served.metric(
                        f"grpc_server_msg_{what}_total",
                        grpc_type="bidi_stream",
                        grpc_service="atelier.embedder.v1.EmbedderService",
                        grpc_method="EmbedStream",
                    )
                    for what in ("received", "sent")
                )
                seen.append((read - sent, served.metric("atelier_held_body_bytes")))
            return served.metric("atelier_held_body_bytes")

    seen = []
    left = asyncio.run(scene())

    assert len(seen) == 32
    assert max(ahead for ahead, _ in seen) <= 5  # half of 8 MiB in messages of 1 MiB, and the last
    assert max(held for _, held in seen) > 2 << 20
    assert left == 0


def test_a_stream_without_a_target_is_refused(place):
    """The first message must name the model."""

    async def scene():
        async def messages():
            yield embedder_pb2.EmbedStreamRequest(input=image_input(GOOD))

        async with place.serving() as served:
            call = served.stub.EmbedStream(messages())
            return await failure(call.read())

    failed: Failure = asyncio.run(scene())

    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "names no target" in failed.message


def test_a_first_message_may_only_name_the_model(place):
    """A first message without an input starts the stream; the first input has the index 0."""

    async def scene():
        async def messages():
            yield embedder_pb2.EmbedStreamRequest(model=embedder_pb2.ModelReference(name=PICTURES))
            yield embedder_pb2.EmbedStreamRequest(input=image_input(GOOD, "only"))

        async with place.serving() as served:
            return [response.result async for response in served.stub.EmbedStream(messages())]

    (result,) = asyncio.run(scene())

    assert (result.index, result.id) == (0, "only")


def test_an_interactive_call_is_answered_while_a_stream_runs(place):
    """A long stream does not keep a person waiting for its end (S-4)."""

    async def scene():
        async with place.serving() as served:
            finished, begun = [], asyncio.Event()

            async def run_stream():
                inputs = [image_input(picture(n, (20, 20))) for n in range(400)]
                async for _ in served.stub.EmbedStream(stream(inputs)):
                    finished.append(1)
                    begun.set()

            running = asyncio.create_task(run_stream())
            await begun.wait()
            await served.stub.Embed(request(PICTURES, [image_input(GOOD)], no_store=True))
            during = len(finished)
            await running
            return during, len(finished)

    during, all_of_them = asyncio.run(scene())

    assert during < all_of_them == 400


def test_the_limits_are_published(place):
    """GetLimits tells the bounds of this service's settings (S-7)."""

    async def scene():
        async with place.serving() as served:
            return (await served.stub.GetLimits(embedder_pb2.GetLimitsRequest())).limits

    limits = asyncio.run(scene())

    assert (limits.image_bytes, limits.message_images, limits.default_deadline_ms) == (10 << 20, 128, 60_000)


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

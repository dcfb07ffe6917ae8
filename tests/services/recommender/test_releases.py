import shutil
import threading
import time
from types import SimpleNamespace

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.messages.contents import write_record
from services.recommender.release import collection
from services.runtime import errors
from tests.services.recommender.conftest import until
from tests.services.recommender.world import ids, item, vector_of


def next_models(shelf, embedder, graph="tower 2", **changes):
    image = shelf.image(graph, **changes)
    lead = shelf.attributes(image, "encoder 2")
    embedder.fake.aligned[lead.space_id] = image.space_id
    return lead, image


def serves(recommender, version):
    return lambda: recommender.recommend(image=b"knit").models[0].digest == version.digest


def health(recommender, service="atelier.recommender.v1.RecommenderService"):
    with grpc.insecure_channel(recommender.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status


def test_a_lead_of_the_same_space_is_taken_up_without_re_embedding(recommender, models, shelf, embedder):
    """A promoted attribute encoder serves within seconds; no picture is embedded again."""  # proves S-3
    recommender.upsert(item("a", "knit red"))
    embedder.fake.requests.clear()

    lead = shelf.attributes(models[1], "encoder 2")
    embedder.fake.aligned[lead.space_id] = models[1].space_id
    until(serves(recommender, lead))

    assert all(request.no_store for request in embedder.fake.requests)
    assert ids(recommender.recommend(attributes=write_record({"style": "knit"}))) == ["a"]


@pytest.mark.slow
def test_upgrade_to_another_space(recommender, models, shelf, embedder):
    """A lead of another space re-embeds every kept picture; then every answer is of the new space."""
    # proves S-2, S-3
    names = [f"item-{n}" for n in range(70)]
    recommender.upsert(*(item(name, f"knit {name}") for name in names))

    lead, image = next_models(shelf, embedder)
    until(serves(recommender, lead))

    reply = recommender.recommend(image=b"knit item-7", item_count=1)
    assert ids(reply) == ["item-7"]
    assert reply.space_id == image.space_id
    assert recommender.status().live_count == 70
    assert recommender.status().detail == ""
    old = vector_of(["knit"], models[1].space_id)
    with pytest.raises(errors.FailedPrecondition):
        recommender.recommend(vector={"space_id": models[1].space_id, "values": old})


@pytest.mark.slow
def test_during_an_upgrade_everything_goes_on(recommender, models, shelf, embedder):
    """Until the last picture is embedded the old release answers; upserts and deletes of that time count."""
    # proves S-3, S-8
    recommender.upsert(*(item(f"item-{n}", f"knit item-{n}") for n in range(40)))
    lead, image = next_models(shelf, embedder)
    # The alias of the encoder is moved already; its embeddings wait at the gate.
    embedder.fake.slow_spaces.add(image.space_id)
    embedder.fake.gate.clear()
    until(lambda: any(r.space_id == image.space_id for r in embedder.fake.requests))

    assert recommender.recommend(image=b"knit").models[0].digest == models[0].digest
    assert "re-embedding for fashion-image/2" in recommender.status().detail
    recommender.delete("item-3")
    writer = threading.Thread(target=lambda: recommender.upsert(item("late", "boots late")))
    writer.start()
    time.sleep(0.2)
    embedder.fake.gate.set()
    writer.join()
    until(serves(recommender, lead))

    assert ids(recommender.recommend(image=b"boots late", item_count=1)) == ["late"]
    assert "item-3" not in ids(recommender.recommend(image=b"knit", item_count=100))
    assert recommender.status().live_count == 40


@pytest.fixture
def last_moment(monkeypatch):
    """Holds every collection between the end of its upgrade and its swap."""
    reached, go = threading.Event(), threading.Event()

    def hold(*_):
        reached.set()
        go.wait(30)

    yield SimpleNamespace(
        hold=lambda: monkeypatch.setattr(collection, "forget_indexes", hold), reached=reached, go=go
    )
    go.set()


def test_an_upsert_at_the_last_moment_is_in_both_spaces(recommender, models, shelf, embedder, last_moment):
    """Between the end of an upgrade and the swap, writes reach the present index and the next one."""
    recommender.upsert(item("a", "knit red"), item("b", "knit blue"))
    last_moment.hold()
    lead, _ = next_models(shelf, embedder)
    last_moment.reached.wait(10)

    recommender.upsert(item("late", "boots"))
    recommender.delete("a")
    before = recommender.recommend(image=b"boots")
    last_moment.go.set()
    until(serves(recommender, lead))

    after = recommender.recommend(image=b"boots")
    assert before.models[0].digest == models[0].digest
    assert ids(before) == ids(after) == ["late", "b"]
    assert recommender.status().live_count == 2


def test_an_upsert_that_was_embedded_before_the_move_is_embedded_again(
    recommender, models, shelf, embedder, last_moment
):
    """An upsert that began before an upgrade and is written after it has a vector of the new space."""
    recommender.upsert(item("a", "knit red"))
    embedder.fake.slow_spaces.add(models[1].space_id)
    embedder.fake.gate.clear()
    writer = threading.Thread(target=lambda: recommender.upsert(item("late", "boots")))
    writer.start()
    until(lambda: any(b"boots" in one.image for r in embedder.fake.requests for one in r.inputs))
    last_moment.hold()
    lead, image = next_models(shelf, embedder)
    last_moment.reached.wait(10)

    embedder.fake.gate.set()
    writer.join()
    last_moment.go.set()
    until(serves(recommender, lead))

    assert ids(recommender.recommend(image=b"boots", item_count=1)) == ["late"]
    again = [r.space_id for r in embedder.fake.requests for one in r.inputs if one.image == b"boots"]
    assert again[:2] == [models[1].space_id, image.space_id]


@pytest.mark.slow
def test_no_request_fails_while_releases_change_under_load(recommender, models, shelf, embedder):
    """Under constant writing and asking, an upgrade and a rollback lose no item and fail no call."""
    # proves S-3
    recommender.upsert(*(item(f"base-{n}", f"knit base-{n}") for n in range(50)))
    stop, failures, written = threading.Event(), [], []

    def write():
        recommender.upsert(item(f"w-{len(written)}", f"skirt w-{len(written)}"))
        found = ids(recommender.recommend(image=f"skirt w-{len(written)}".encode(), item_count=1))
        assert found == [f"w-{len(written)}"]
        written.append(found)

    def ask():
        assert ids(recommender.recommend(image=b"knit base-7"))[0] == "base-7"

    threads = [threading.Thread(target=repeat, args=(work, stop, failures)) for work in (write, ask, ask)]
    for thread in threads:
        thread.start()
    lead, _ = next_models(shelf, embedder)
    until(serves(recommender, lead), 30)
    shelf.store.aliases.rollback("fashion-attributes", "production")
    until(serves(recommender, models[0]), 30)
    shelf.promote(lead)
    until(serves(recommender, lead), 30)
    stop.set()
    for thread in threads:
        thread.join()

    assert failures == []
    assert written
    assert recommender.status().live_count == 50 + len(written)


def repeat(work, stop, failures):
    while not stop.is_set():
        try:
            work()
        except (AssertionError, errors.ServiceError) as error:
            failures.append(repr(error))


@pytest.mark.slow
def test_rollback_is_a_load(recommender, models, shelf, embedder):
    """Going back embeds only what came since; vectors of the earlier space were kept."""  # proves S-3
    recommender.upsert(*(item(f"item-{n}", f"knit item-{n}") for n in range(40)))
    lead, _ = next_models(shelf, embedder)
    until(serves(recommender, lead))
    recommender.upsert(item("since", "boots"))
    embedder.fake.requests.clear()

    shelf.store.aliases.rollback("fashion-attributes", "production")
    until(serves(recommender, models[0]))

    made = [r for r in embedder.fake.requests if not r.no_store]
    assert [one.image for request in made for one in request.inputs] == [b"boots"]
    assert ids(recommender.recommend(image=b"boots", item_count=1)) == ["since"]
    assert recommender.status().live_count == 41


@pytest.mark.slow
def test_bare_vectors_block_an_upgrade(recommender, models, shelf, embedder):
    """The status counts the items that cannot follow; without them the upgrade goes on by itself."""
    space_id = models[1].space_id
    recommender.upsert(item("v", vector=(space_id, vector_of(["knit"], space_id))), item("a", "knit red"))

    lead, _ = next_models(shelf, embedder)
    until(lambda: "1 items of fashion are bare vectors" in recommender.status().detail)

    status = recommender.status()
    assert (status.vector_only_count, status.space_id) == (1, space_id)
    assert set(ids(recommender.recommend(image=b"knit"))) == {"a", "v"}
    recommender.delete("v")
    until(serves(recommender, lead))
    assert ids(recommender.recommend(image=b"knit")) == ["a"]


def test_a_picture_that_cannot_follow_is_named(recommender, models, shelf, embedder):
    """A picture that the new model refuses keeps the old release in service and is named."""
    lead, image = next_models(shelf, embedder)
    recommender.upsert(item("odd", f"knit broken-{image.space_id[:6]}"))
    until(lambda: "item odd cannot follow" in recommender.status().detail)

    assert ids(recommender.recommend(image=b"knit")) == ["odd"]
    assert recommender.recommend(image=b"knit").models[0].digest == models[0].digest
    recommender.upsert(item("odd", "knit"))
    until(serves(recommender, lead))


def test_a_refused_model_leaves_the_present_one(recommender, models, shelf, embedder):
    """A lead that the embedder refuses is told of; the present release answers."""  # proves M-4, S-3
    image = shelf.image("tower 2")
    embedder.fake.refused_spaces.add(image.space_id)
    shelf.attributes(image, "encoder 2")

    until(lambda: "the golden set failed" in recommender.status().detail)

    assert recommender.recommend(image=b"knit").models[0].digest == models[0].digest
    assert health(recommender) == health_pb2.HealthCheckResponse.SERVING


def test_a_lead_that_cannot_lead_is_refused(recommender, models, shelf):
    """A head over vectors cannot lead a collection; the reason names it."""
    shelf.publish(
        "fashion-attributes",
        graph="head",
        preprocessing={"kind": "vector", "dimension": 64},
        pixel_path=None,
    )

    until(lambda: "takes neither pictures nor attributes" in recommender.status().detail)
    assert recommender.recommend(image=b"knit").models[0].digest == models[0].digest


def test_a_shop_that_gets_attributes_goes_over(shelf, serve, embedder):
    """Following fashion-image, the collection goes over to fashion-attributes when that is promoted."""
    image = shelf.image()
    recommender = serve()
    recommender.upsert(item("a", "knit red"))
    lead = shelf.attributes(image)
    embedder.fake.aligned[lead.space_id] = image.space_id

    until(serves(recommender, lead))

    assert ids(recommender.recommend(attributes=write_record({"style": "knit"}))) == ["a"]
    assert [m.identity.name for m in recommender.models()] == ["fashion-attributes", "fashion-image"]


def test_without_a_store_the_service_waits(serve, shelf, embedder):
    """Store gone at start: NOT_SERVING, calls UNAVAILABLE naming it; once it is there, all is well."""
    # proves S-8
    recommender = serve(wait=False)
    assert health(recommender) == health_pb2.HealthCheckResponse.NOT_SERVING
    with pytest.raises(errors.Unavailable, match="no release yet") as caught:
        recommender.recommend(image=b"knit")
    assert caught.value.retry_after_s
    with pytest.raises(errors.Unavailable):
        recommender.upsert(item("a", "knit"))
    assert recommender.list().total_count == 0
    assert recommender.models()[0].identity.name == "fashion-attributes"
    assert recommender.status().detail

    shelf.image()
    until(lambda: health(recommender) == health_pb2.HealthCheckResponse.SERVING, 3)
    assert ids(recommender.recommend(image=b"knit")) == []


def test_a_store_that_goes_leaves_what_is_loaded(recommender, models, shelf):
    """Store gone later: what is loaded serves, and the status says so."""  # proves S-8
    recommender.upsert(item("a", "knit"))
    shutil.rmtree(shelf.root)

    until(lambda: "serves from memory" in recommender.status().detail)

    assert ids(recommender.recommend(image=b"knit")) == ["a"]


def test_a_first_start_without_the_embedder(models, serve, embedder):
    """Without an embedder the service serves what needs none, and pictures once it is there."""  # proves S-8
    embedder.stop()
    recommender = serve()

    until(lambda: health(recommender) == health_pb2.HealthCheckResponse.SERVING, 2)
    space_id = models[1].space_id
    vector = vector_of(["knit"], space_id)
    recommender.upsert(item("v", vector=(space_id, vector)))
    assert ids(recommender.recommend(vector={"space_id": space_id, "values": vector})) == ["v"]
    with pytest.raises(errors.Unavailable):
        recommender.recommend(image=b"knit")


def test_a_restart_serves_without_anybody(models, serve, embedder, shelf):
    """After a restart in the middle of an upgrade, embedder gone, the last release serves at once."""
    # proves S-8
    first = serve()
    first.upsert(item("a", "knit red"), item("b", "knit blue"))
    first.close()
    next_models(shelf, embedder)
    embedder.stop()

    second = serve()

    reply = second.recommend(items={"item_ids": ["a"]})
    assert ids(reply) == ["b"]
    assert reply.models[0].digest == models[0].digest


@pytest.mark.slow
def test_an_interrupted_upgrade_goes_on(models, serve, embedder, shelf):
    """What was embedded before a restart is not embedded again."""
    first = serve()
    first.upsert(*(item(f"item-{n}", f"knit item-{n}") for n in range(64)))
    lead, image = next_models(shelf, embedder, promote=True)
    embedder.fake.slow_spaces.add(image.space_id)
    until(lambda: sum(r.space_id == image.space_id for r in embedder.fake.requests) >= 1)
    first.close()
    embedder.fake.requests.clear()

    second = serve()
    until(serves(second, lead))

    pictures = [
        one.image
        for request in embedder.fake.requests
        if request.space_id == image.space_id and not request.no_store
        for one in request.inputs
    ]
    assert len(pictures) == len(set(pictures)) <= 64
    assert second.status().live_count == 64

"""Which release a collection serves, and what it does while models, store or embedder are away."""

import shutil
import threading

import pytest
from grpc_health.v1 import health_pb2

from services.messages.contents import write_record
from services.runtime import errors
from tests.services.recommender.conftest import until
from tests.services.recommender.release.conftest import health, next_models, serves
from tests.services.recommender.world import ids, item, vector_of

pytestmark = pytest.mark.slow  # servers with models and catalogs


def test_a_lead_of_the_same_space_is_taken_up_without_re_embedding(recommender, models, shelf, embedder):
    """A promoted attribute encoder serves within seconds; no picture is embedded again (S-3)."""
    recommender.upsert(item("a", "knit red"))
    embedder.fake.requests.clear()

    lead = shelf.attributes(models[1], "encoder 2")
    embedder.fake.aligned[lead.space_id] = models[1].space_id
    until(serves(recommender, lead))

    assert all(request.no_store for request in embedder.fake.requests)
    assert ids(recommender.recommend(attributes=write_record({"style": "knit"}))) == ["a"]


def test_no_request_fails_while_releases_change_under_load(recommender, models, shelf, embedder):
    """Under constant writing and asking, an upgrade and a rollback lose no item and fail no call (S-3)."""
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


def test_a_refused_model_leaves_the_present_one(recommender, models, shelf, embedder):
    """A lead that the embedder refuses is told of; the present release answers (M-4, S-3)."""
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
    """Store gone at start: NOT_SERVING, calls UNAVAILABLE naming it; once it is there, all is well (S-8)."""
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


@pytest.mark.parametrize("trouble", ["file", "loop"])
def test_an_unreadable_store_at_start_ends_nothing(models, serve, shelf, trouble):
    """A store that cannot be read leaves the process waiting; once it can, the last release serves (S-8)."""
    first = serve()
    first.upsert(item("a", "knit"))
    first.close()
    shelf.root.rename(shelf.root.with_name("away"))
    if trouble == "file":
        shelf.root.write_bytes(b"not a store")
    else:
        shelf.root.symlink_to(shelf.root)

    second = serve(wait=False)
    assert health(second) == health_pb2.HealthCheckResponse.NOT_SERVING
    with pytest.raises(errors.Unavailable, match="no release yet"):
        second.recommend(image=b"knit")
    shelf.root.unlink()
    shelf.root.with_name("away").rename(shelf.root)

    until(lambda: health(second) == health_pb2.HealthCheckResponse.SERVING)
    assert ids(second.recommend(image=b"knit")) == ["a"]


def test_a_store_that_goes_leaves_what_is_loaded(recommender, models, shelf):
    """Store gone later: what is loaded serves, and the status says so (S-8)."""
    recommender.upsert(item("a", "knit"))
    shutil.rmtree(shelf.root)

    until(lambda: "serves from memory" in recommender.status().detail)

    assert ids(recommender.recommend(image=b"knit")) == ["a"]


def test_a_first_start_without_the_embedder(models, serve, embedder):
    """Without an embedder the service serves what needs none, and pictures once it is there (S-8)."""
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
    """After a restart in the middle of an upgrade, embedder gone, the last release serves at once (S-8)."""
    first = serve()
    first.upsert(item("a", "knit red"), item("b", "knit blue"))
    first.close()
    next_models(shelf, embedder)
    embedder.stop()

    second = serve()

    reply = second.recommend(items={"item_ids": ["a"]})
    assert ids(reply) == ["b"]
    assert reply.models[0].digest == models[0].digest

"""What the recommender does while others are away, slow or missing."""

import sys
import time

import pytest
from atelier.recommender.v1 import recommender_pb2, resources_pb2
from atelier.types.v1 import types_pb2

from services.messages.contents import write_record
from services.recommender.__main__ import SWITCH_S
from services.runtime import errors
from tests.services.recommender.world import example, ids, item, vector_of

pytestmark = pytest.mark.slow  # servers with models and catalogs


@pytest.fixture
def stocked(recommender):
    recommender.upsert(item("knit-retro", "knit retro red"), item("knit-retro-2", "knit retro blue"))
    return recommender


def of_items(*item_ids):
    return resources_pb2.ItemIds(item_ids=item_ids)


@pytest.mark.timed
def test_without_the_embedder_the_catalog_still_answers(stocked, models, embedder):
    """Embedder gone: items and vectors answer; pictures and attributes fail within 1 s, with RetryInfo
    (S-8)."""
    embedder.stop()

    values = vector_of(["knit"], models[1].space_id)
    assert ids(stocked.recommend(items=of_items("knit-retro")))[0] == "knit-retro-2"
    assert ids(stocked.recommend(positive_examples=[example(item_id="knit-retro")]))
    assert ids(stocked.recommend(vector=types_pb2.SpaceVector(space_id=models[1].space_id, values=values)))
    for fields in ({"image": b"knit"}, {"attributes": write_record({"category": "knit"})}):
        started = time.monotonic()
        with pytest.raises(errors.Unavailable) as caught:
            stocked.recommend(**fields)
        assert time.monotonic() - started < 1
        assert caught.value.retry_after_s

    embedder.start()
    started = time.monotonic()
    while time.monotonic() - started < 5:
        try:
            stocked.recommend(image=b"knit")
            break
        except errors.Unavailable:
            time.sleep(0.05)
    assert time.monotonic() - started < 2


def test_a_model_that_the_embedder_dropped_is_prepared_at_once(stocked, embedder):
    """MODEL_NOT_LOADED after a restart of the embedder is mended within the call (S-8)."""
    embedder.fake.prepared.clear()
    embedder.fake.needs_preparing = True

    assert ids(stocked.recommend(image=b"knit retro red"))[0] == "knit-retro"


def test_what_is_pinned_is_prepared_again_and_again(models, serve, embedder):
    """Every interval the embedder is asked to keep the lead and the image model."""
    serve(prepare_every_s=0.05)
    embedder.fake.preparations.clear()
    time.sleep(0.5)

    assert set(embedder.fake.preparations) == {model.space_id for model in models}


def test_threads_hand_the_interpreter_over_quickly_while_the_service_runs(recommender):
    """A search does not wait 5 ms for each turn of the event loop while items are written (R-6)."""
    assert sys.getswitchinterval() == pytest.approx(SWITCH_S)


def test_an_empty_collection_recommends_nothing(recommender):
    """Without items the answer is empty, not an error."""
    assert ids(recommender.recommend(image=b"knit")) == []


def test_overload_is_reported_at_once(models, serve, embedder):
    """Beyond the bound calls get RESOURCE_EXHAUSTED with a time to retry; those inside are answered (S-4)."""
    recommender = serve(recommend_queue=1)
    embedder.fake.slow_spaces.add(models[1].space_id)
    embedder.fake.gate.clear()
    waiting = recommender.stubs.recommender.Recommend.future(recommender_pb2.RecommendRequest(image=b"knit"))
    while not embedder.fake.requests:
        time.sleep(0.01)

    with pytest.raises(errors.ResourceExhausted, match="the limit is 1") as caught:
        recommender.recommend(image=b"knit")

    assert caught.value.retry_after_s
    embedder.fake.gate.set()
    assert waiting.result(10).collection == "fashion"


def test_a_shop_without_attributes(shelf, serve):
    """Following fashion-image, pictures answer and attributes are FAILED_PRECONDITION naming the lead."""
    image = shelf.image()
    recommender = serve()
    recommender.upsert(item("a", "knit red", attributes={"style": "retro"}))

    assert ids(recommender.recommend(image=b"knit")) == ["a"]
    assert [m.digest for m in recommender.recommend(image=b"knit").models] == [image.digest]
    with pytest.raises(errors.FailedPrecondition, match="fashion-image, which reads no attributes"):
        recommender.recommend(attributes=write_record({"style": "retro"}))

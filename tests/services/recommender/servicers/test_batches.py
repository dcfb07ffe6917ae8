"""BatchRecommend, and answers of a revision that the caller names."""

import threading

import pytest
from atelier.recommender.v1 import recommender_pb2
from atelier.types.v1 import types_pb2

from services.messages.contents import write_record
from services.runtime import errors
from tests.services.recommender.world import call, example, ids, item, vector_of

pytestmark = pytest.mark.slow  # servers with models and catalogs

Request = recommender_pb2.RecommendRequest


def batch(recommender, *requests, **fields):
    request = recommender_pb2.BatchRecommendRequest(requests=requests, **fields)
    return call(recommender.stubs.recommender.BatchRecommend, request)


def of_items(*item_ids, **fields):
    return Request(items={"item_ids": item_ids}, **fields)


def test_a_batch_answers_as_its_requests_alone(stocked, shop):
    """Pictures, items, attributes, vectors, examples and filters: each as Recommend, of one state (R-11)."""
    space_id = shop.models[1].space_id
    vector = types_pb2.SpaceVector(space_id=space_id, values=vector_of(["knit", "retro"], space_id))
    requests = [
        Request(image=b"knit retro red"),
        of_items("knit-retro"),
        of_items("knit-retro", "skirt-sold", item_count=1),
        Request(attributes=write_record({"category": "skirt"})),
        Request(vector=vector, filter={"in_stock": True}),
        Request(positive_examples=[example(item_id="skirt-resort"), example("broken")]),
        of_items("old", filter={"any_of": write_record({"category": "none"})}),
    ]

    reply = batch(stocked, *requests)

    assert [result.index for result in reply.results] == list(range(len(requests)))
    for request, result in zip(requests, reply.results, strict=True):
        alone = call(stocked.stubs.recommender.Recommend, request)
        assert list(result.answer.recommendations) == list(alone.recommendations)
        assert list(result.answer.errors) == list(alone.errors)
        assert list(reply.models) == list(alone.models)
        assert (reply.collection, reply.space_id) == (alone.collection, alone.space_id)
        assert (reply.catalogue_revision, reply.generation) == (alone.catalogue_revision, alone.generation)
    assert reply.timings.compute_ms > 0
    assert not reply.results[-1].answer.recommendations


def test_a_bad_request_fails_alone(stocked):
    """Unreadable, unknown, contradictory: each has its status, with its place; the others are answered."""
    reply = batch(
        stocked,
        Request(),
        of_items("nobody"),
        of_items("knit-retro", item_count=2),
        Request(image=b"broken"),
        of_items("old", filter={"missing_fields": ["colur"]}),
        of_items("old", collection="items"),
    )

    codes = [result.error.code for result in reply.results]
    assert codes == [3, 5, 0, 3, 3, 3]
    assert reply.results[2].answer.recommendations[0].item.item_id == "knit-retro-2"
    assert "no item nobody" in reply.results[1].error.message
    assert reply.results[2].WhichOneof("outcome") == "answer"


def test_when_every_request_fails_the_call_fails(stocked):
    """The first error, with all of them within (S-5)."""
    with pytest.raises(errors.NotFound, match="all 2 requests failed; request 0") as refused:
        batch(stocked, of_items("nobody"), Request())

    assert [error.index for error in refused.value.item_errors] == [0, 1]


@pytest.mark.parametrize(("count", "collection"), [(0, ""), (65, ""), (1, "hats")])
def test_a_malformed_batch_is_refused(stocked, count, collection):
    """No request, too many, or an unknown collection."""
    kind = errors.NotFound if collection else errors.InvalidArgument
    with pytest.raises(kind):
        batch(stocked, *[of_items("old")] * count, collection=collection)


def test_replies_name_the_state_that_they_come_from(recommender):
    """A reply has the revision of the last write, and one flip so far (S-2)."""
    written = recommender.upsert(item("a", "knit"), item("b", "knit"))

    reply = recommender.recommend(items={"item_ids": ["a"]}, min_revision=written.catalogue_revision)

    assert ids(reply) == ["b"]
    assert (reply.catalogue_revision, reply.generation) == (written.catalogue_revision, 1)
    assert reply.manifest_digest == ""


def test_a_call_waits_for_a_revision_within_its_deadline(recommender):
    """It is answered once that is written; otherwise STALE_REVISION names both revisions."""
    revision = recommender.upsert(item("a", "knit"), item("b", "knit")).catalogue_revision
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(
            recommender.recommend(items={"item_ids": ["a"]}, min_revision=revision + 1)
        )
    )
    waiting.start()
    recommender.upsert(item("c", "knit"))
    waiting.join(30)

    assert answers[0].catalogue_revision == revision + 1
    request = Request(items={"item_ids": ["a"]}, min_revision=99)
    with pytest.raises(errors.Unavailable, match=f"at revision {revision + 1}, min_revision is 99") as stale:
        call(recommender.stubs.recommender.Recommend, request, timeout=0.6)
    assert stale.value.reason == "STALE_REVISION"


def test_products_are_kept_and_shown(recommender):
    """An item says which product it shows; a malformed product is refused with the item (R-10)."""
    recommender.upsert(item("a", "knit red", product_id="p-1"), item("b", "knit", product_id=""))

    with pytest.raises(errors.InvalidArgument, match="product_id"):
        recommender.upsert(item("c", "knit", product_id="../x"))

    assert recommender.get("a").item.product_id == "p-1"
    reply = recommender.recommend(items={"item_ids": ["b"]})
    assert [each.item.product_id for each in reply.recommendations] == ["p-1"]

"""Requests into questions: bounds, and what fails alone (S-5)."""

import pytest
from atelier.recommender.v1 import recommender_pb2

from services.recommender.recommend.query import Question
from services.recommender.wire.query import read_question, read_questions, read_revision
from services.runtime.errors import InvalidArgument
from services.runtime.limits import Limits

LIMITS = Limits()


def test_an_unreadable_example_is_its_error() -> None:
    """The other examples are read; the query must be readable."""
    request = recommender_pb2.RecommendRequest()
    request.items.item_ids.append("a")
    request.positive_examples.add()
    request.negative_examples.add().item_id = "b"

    question = read_question(request, LIMITS)

    (error,) = question.positives
    assert isinstance(error, InvalidArgument)
    assert error.reason == "NO_CONTENT"
    assert question.named_count == 2


def test_new_products_of_long_ago_are_a_contradiction() -> None:
    """A filter for releases before the days in which an item counts as new is refused (S-5, R-3)."""
    request = recommender_pb2.RecommendRequest(new_products_only=True)
    request.items.item_ids.append("a")
    request.filter.released_before.seconds = 10**7

    with pytest.raises(InvalidArgument, match="the 30 days in which an item counts as new") as refused:
        read_question(request, LIMITS)

    assert (refused.value.reason, refused.value.field) == ("CONTRADICTORY_FILTER", "filter.released_before")


def batch(*requests, **fields):
    return recommender_pb2.BatchRecommendRequest(requests=requests, **fields)


def of_item(**fields):
    return recommender_pb2.RecommendRequest(items={"item_ids": ["a"]}, **fields)


def test_a_bad_request_of_a_batch_fails_alone() -> None:
    """Each has a question or its own error: of another collection, with a revision, with too many items."""
    request = batch(
        of_item(),
        of_item(collection="fashion", item_count=3),
        of_item(collection="items"),
        of_item(min_revision=1),
        of_item(item_count=1_001),
    )

    questions = read_questions(request, "fashion", LIMITS)

    assert [isinstance(question, Question) for question in questions] == [True, True, False, False, False]
    assert [error.field for error in questions[2:]] == ["collection", "min_revision", "item_count"]


@pytest.mark.parametrize("count", [0, 65])
def test_a_batch_has_1_to_64_requests(count: int) -> None:
    """The error names the field and the bound (R-11)."""
    with pytest.raises(InvalidArgument, match=f"the request has {count} requests, it may have 1 to 64"):
        read_questions(batch(*[of_item()] * count), "fashion", LIMITS)


def test_pictures_of_a_batch_are_counted_together() -> None:
    """128 pictures in all."""
    pictures = [recommender_pb2.RecommendRequest(image=b"x")] * 64
    for request in pictures:
        request.positive_examples.add(image=b"y")
        request.positive_examples.add(image=b"z")

    with pytest.raises(InvalidArgument, match="pictures, the bound is 128") as refused:
        read_questions(batch(*pictures), "fashion", LIMITS)
    assert refused.value.field == "requests"


def test_a_negative_revision_is_refused() -> None:
    """The error names the field."""
    with pytest.raises(InvalidArgument, match="min_revision is -1, it must be 0 or more") as refused:
        read_revision(recommender_pb2.RecommendRequest(min_revision=-1))
    assert refused.value.field == "min_revision"

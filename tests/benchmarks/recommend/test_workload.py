"""The data of the benchmark of recommendations, and how it counts what was found."""

import numpy as np
import pytest
from atelier.recommender.v1 import catalog_pb2, recommender_pb2

from benchmarks.recommend.workload import CONDITIONS, NEAREST, Workload, numbers_of


@pytest.fixture
def workload() -> Workload:
    return Workload(400, "ab" * 32, query_count=20)


def exact(workload: Workload, condition: str = "") -> list[list[int]]:
    """The numbers of the ten nearest items of each asked item."""
    allowed_N = CONDITIONS[condition].mask(np.arange(400)) if condition else np.ones(400, bool)
    replies = []
    for number in workload.asked:
        order = np.argsort(-(workload.vectors @ workload.vectors[number]))
        replies.append([int(n) for n in order if n != number and allowed_N[n]][:NEAREST])
    return replies


@pytest.mark.parametrize("condition", ["", "half"])
def test_exact_answers_have_a_recall_of_one(workload: Workload, condition: str) -> None:
    """The ten nearest items that satisfy the filter, without the query's own, are a recall of 1."""
    assert workload.recall_of_items(workload.asked, exact(workload, condition), condition) == 1.0


def test_items_that_are_wrong_or_absent_lower_the_recall(workload: Workload) -> None:
    """The query's own item and an item that the filter leaves out count as not found."""
    with_own = [
        [int(own), *numbers[1:]] for own, numbers in zip(workload.asked, exact(workload), strict=True)
    ]
    unfiltered = exact(workload)

    assert workload.recall_of_items(workload.asked, with_own) == 0.9
    assert workload.recall_of_items(workload.asked, unfiltered, "half") < 0.9
    assert workload.recall_of_items(workload.asked, [[] for _ in workload.asked]) == 0.0


def test_every_item_is_upserted_as_the_filters_expect(workload: Workload) -> None:
    """What a filter's mask says of an item follows from the attributes that the item is sent with."""
    parts = map(catalog_pb2.UpsertItemsRequest.FromString, workload.upserts(workload.vectors))
    items = [item for part in parts for item in part.items]

    assert [item.item_id for item in items] == [f"i{number}" for number in range(400)]
    for name in ("half", "twentieth", "two_hundredth"):
        [(field, word)] = CONDITIONS[name].message.any_of.items()
        sent = [item.attributes[field] == word for item in items]
        assert sent == CONDITIONS[name].mask(np.arange(400)).tolist()


def test_a_reply_names_its_items_in_order() -> None:
    """The numbers of a reply's items come nearest first."""
    reply = recommender_pb2.RecommendResponse()
    for number in (7, 3):
        reply.recommendations.add().item.item_id = f"i{number}"

    assert numbers_of(reply.SerializeToString()) == [7, 3]

"""Distinct products, diversity, explanations and new products, through the service."""

import time

import numpy as np
import pytest
from google.protobuf import timestamp_pb2

from services.messages.contents import read_record
from services.runtime import errors
from tests.services.recommender.world import DIMENSION, example, ids, item

pytestmark = pytest.mark.slow  # servers with models and catalogs

DAY_S = 86_400


@pytest.fixture
def shop(recommender, models):
    """60 items of 20 products, three views each, and what is needed to ask for them."""
    rows = np.random.default_rng(3).normal(size=(20, DIMENSION))
    space_id = models[1].space_id
    rng = np.random.default_rng(4)
    upserts = [
        item(
            f"p{product}-{view}",
            vector=(space_id, rows[product] + 0.05 * rng.normal(size=DIMENSION)),
            product_id=f"p{product}",
            attributes={"colour": ["red" if product % 2 else "blue"], "view": f"v{view}"},
        )
        for product in range(20)
        for view in range(3)
    ]
    recommender.upsert(*upserts)
    recommender.vector = lambda product: {"space_id": space_id, "values": rows[product]}
    return recommender


def products(reply):
    return [item_id.partition("-")[0] for item_id in ids(reply)]


@pytest.mark.parametrize("count", [1, 5, 20])
def test_as_many_distinct_products_come_back_as_exist(shop, count):
    """k products for k asked, each once, though their views crowd the neighbourhood (R-10)."""
    reply = shop.recommend(vector=shop.vector(7), item_count=count)

    assert len(set(products(reply))) == len(reply.recommendations) == count
    assert products(reply)[0] == "p7"


def test_the_best_view_of_a_product_is_named(shop):
    """Of the views that satisfy the filter the nearest one stands for its product (R-10)."""
    best = shop.recommend(vector=shop.vector(7), item_count=1)
    others = {"any_of": {"view": ["v0", "v1", "v2"]}}
    all_views = [
        shop.recommend(vector=shop.vector(7), item_count=1, filter={"any_of": {"view": f"v{view}"}})
        for view in range(3)
    ]

    similarity = max(reply.recommendations[0].similarity for reply in all_views)
    assert best.recommendations[0].similarity == similarity
    assert ids(shop.recommend(vector=shop.vector(7), item_count=1, filter=others)) == ids(best)


def test_a_filter_leaves_distinct_products(shop):
    """All ten products of a colour come back, and none more (R-10)."""
    reply = shop.recommend(vector=shop.vector(7), item_count=20, filter={"any_of": {"colour": "red"}})

    assert sorted(products(reply)) == sorted(f"p{number}" for number in range(1, 20, 2))


def test_other_views_of_what_was_seen_do_not_come_back(shop):
    """The query's product, those of examples and those excluded are left out with every view (R-2)."""
    reply = shop.recommend(
        items={"item_ids": ["p7-0"]},
        positive_examples=[example(item_id="p8-1")],
        excluded_item_ids=["p9-2"],
        item_count=20,
    )

    assert sorted(products(reply)) == sorted(f"p{n}" for n in range(20) if n not in (7, 8, 9))


def test_diverse_results_differ_more(shop, models):
    """With diversity the mean likeness among the results falls, and the first result stays (R-3)."""
    space_id = models[1].space_id
    row = np.array(shop.vector(7)["values"])
    twins = [item(f"twin{n}", vector=(space_id, row + 0.01 * n)) for n in range(5)]
    shop.upsert(*twins)

    plain = ids(shop.recommend(vector=shop.vector(7), item_count=5))
    varied = ids(shop.recommend(vector=shop.vector(7), item_count=5, diversity=0.7))

    assert plain[0] == varied[0]
    assert sum(name.startswith("twin") for name in varied) < sum(name.startswith("twin") for name in plain)


def test_explanations_add_up(shop):
    """Shares of query and examples add up to the similarity, and shared values are named (R-3)."""
    reply = shop.recommend(
        items={"item_ids": ["p1-0"]},
        positive_examples=[example(item_id="p3-0"), example(item_id="no-such-item")],
        negative_examples=[example(item_id="p2-0")],
        explain=True,
    )

    assert [error.index for error in reply.errors] == [1]
    for each in reply.recommendations:
        shares = each.explanation.shares
        assert len(shares) == 4
        assert shares[2] == 0
        assert sum(shares) == pytest.approx(each.similarity, abs=1e-4)
        shared = read_record(each.explanation.shared_attributes)
        red = read_record(each.item.attributes)["colour"] == ["red"]
        assert shared.get("colour") == (["red"] if red else None)
    assert not shop.recommend(items={"item_ids": ["p1-0"]}).recommendations[0].HasField("explanation")


def test_only_new_products_are_kept(recommender, models):
    """Items released within the days of the setting, in addition to the filter (R-3)."""

    def ago(days):
        return timestamp_pb2.Timestamp(seconds=int(time.time()) - days * DAY_S)

    recommender.upsert(
        item("new", "knit", released_at=ago(29)),
        item("old", "skirt", released_at=ago(32)),
        item("sold", "coat", released_at=ago(1), in_stock=False),
    )

    assert sorted(ids(recommender.recommend(image=b"knit", new_products_only=True))) == ["new", "sold"]
    assert ids(recommender.recommend(image=b"knit", new_products_only=True, filter={"in_stock": True})) == [
        "new"
    ]
    later = {"released_after": ago(5)}
    assert ids(recommender.recommend(image=b"knit", new_products_only=True, filter=later)) == ["sold"]


@pytest.mark.parametrize("diversity", [-0.1, 1.5, float("nan")])
def test_diversity_beyond_its_bounds_is_refused(recommender, diversity):
    """The status names the field (S-5)."""
    with pytest.raises(errors.InvalidArgument, match="diversity is"):
        recommender.recommend(image=b"knit", diversity=diversity)

"""New products near the shop's bestsellers, by each source, through the service."""

import time

import numpy as np
import pytest
from google.protobuf import timestamp_pb2

from services.runtime import errors
from tests.services.recommender.world import DIMENSION, ids, item

pytestmark = pytest.mark.slow  # servers with models and catalogs

DAY_S = 86_400
OLD, NEW = 400, 2


def ago(days):
    return timestamp_pb2.Timestamp(seconds=int(time.time()) - days * DAY_S)


@pytest.fixture
def shop(recommender, models):
    """40 old items and 20 new ones around two directions, red and blue."""
    rng = np.random.default_rng(5)
    centres = {"red": np.eye(DIMENSION)[0], "blue": np.eye(DIMENSION)[1]}
    recommender.upsert(
        *(
            item(
                f"{age}-{colour}-{n}",
                vector=(models[1].space_id, centres[colour] + 0.1 * rng.normal(size=DIMENSION)),
                attributes={"style": [colour], "size": f"s{n}"},
                released_at=ago(days),
            )
            for age, days, count in (("old", OLD, 20), ("new", NEW, 10))
            for colour in ("red", "blue")
            for n in range(count)
        )
    )
    return recommender


@pytest.mark.parametrize("colour", ["red", "blue"])
def test_items_that_sell_best_find_new_ones_like_them(shop, colour):
    """New products of the bestsellers' kind come back; old ones and the bestsellers never do (R-1)."""
    best = [f"old-{colour}-{n}" for n in range(5)] + [f"new-{colour}-0"]

    reply = shop.bestsellers(items={"item_ids": best}, item_count=9)

    assert sorted(ids(reply)) == sorted(f"new-{colour}-{n}" for n in range(1, 10))
    assert (reply.source, reply.bestseller_count) == (1, 6)
    assert list(reply.bestseller_item_ids) == best
    assert reply.models
    assert reply.catalogue_revision == shop.status().catalogue_revision


def test_trends_compare_bestsellers_with_new_products(shop):
    """By value: its share among bestsellers, results and all new products (R-1)."""
    reply = shop.bestsellers(
        items={"item_ids": ["old-red-0", "old-red-1", "old-blue-0"]}, item_count=4, trend_fields=["style"]
    )

    red, blue = reply.trends
    assert (red.field, red.value, blue.value) == ("style", "red", "blue")
    assert red.bestseller_share == pytest.approx(2 / 3)
    assert red.new_share == blue.new_share == 0.5
    assert red.result_share + blue.result_share == pytest.approx(1)
    assert {each.field for each in shop.bestsellers(items={"item_ids": ["old-red-0"]}).trends} == {"style"}


def test_a_sales_table_gives_the_tenth_with_the_most_units(shop):
    """Rows of an item are added up; unknown items and items without sales do not count (R-8)."""
    rows = [{"item_id": f"old-blue-{n}", "units": 10 - 0.1 * n} for n in range(19)]
    rows += [{"item_id": "old-red-0", "units": 6}, {"item_id": "old-red-0", "units": 6}]
    rows += [{"item_id": "gone", "units": 1e9}, {"item_id": "old-red-1", "units": 0}]

    reply = shop.bestsellers(sales={"rows": rows})

    assert reply.source == 3
    assert list(reply.bestseller_item_ids) == ["old-red-0", "old-blue-0"]


def test_without_sales_the_anchors_stand_for_bestsellers(shop):
    """The tenth nearest to the mean of all items, kept current; also the default (R-8)."""
    reply = shop.bestsellers(use_proxy=True)

    assert (reply.source, reply.bestseller_count) == (4, 6)
    assert list(shop.bestsellers().bestseller_item_ids) == list(reply.bestseller_item_ids)
    assert not set(ids(reply)) & set(reply.bestseller_item_ids)
    shop.delete(reply.bestseller_item_ids[0])
    assert reply.bestseller_item_ids[0] not in shop.bestsellers().bestseller_item_ids


def test_pictures_of_bestsellers_find_new_products(recommender, models):
    """Pictures are embedded and not kept; a bad one is named and the others are used (R-1)."""
    recommender.upsert(item("near", "knit"), item("far", "boots"), item("old", "knit", released_at=ago(OLD)))

    reply = recommender.bestsellers(pictures={"images": [b"knit", b"broken"]})

    assert ids(reply) == ["near", "far"]
    assert [error.index for error in reply.errors] == [1]
    assert (reply.source, reply.bestseller_count, list(reply.trends)) == (2, 1, [])
    assert len(recommender.list().items) == 3


def test_a_date_and_a_filter_take_the_place_of_the_setting(shop):
    """An explicit date widens what is new; other conditions hold as everywhere (R-3)."""
    reply = shop.bestsellers(
        items={"item_ids": ["old-red-0"]},
        filter={"released_after": ago(OLD + 1), "any_of": {"size": "s7"}},
        excluded_item_ids=["new-red-7"],
        diversity=0.3,
    )

    assert sorted(ids(reply)) == ["new-blue-7", "old-blue-7", "old-red-7"]


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"items": {"item_ids": ["gone"]}}, errors.NotFound, "no item gone"),
        ({"items": {}}, errors.InvalidArgument, "0 items"),
        ({"pictures": {}}, errors.InvalidArgument, "0 pictures"),
        ({"pictures": {"images": [b""]}}, errors.InvalidArgument, "picture is empty"),
        ({"sales": {}}, errors.InvalidArgument, "0 sales"),
        ({"sales": {"rows": [{"item_id": "a", "units": -1}]}}, errors.InvalidArgument, "rows.0..units is -1"),
        (
            {"sales": {"rows": [{"item_id": "a", "units": float("nan")}]}},
            errors.InvalidArgument,
            "units is nan",
        ),
        ({"sales": {"rows": [{"item_id": "gone", "units": 1}]}}, errors.FailedPrecondition, "no item of the"),
        ({"item_count": 0}, errors.InvalidArgument, "item_count is 0"),
        ({"diversity": 2}, errors.InvalidArgument, "diversity is 2"),
        ({"trend_fields": [""]}, errors.InvalidArgument, "trend_fields has"),
        ({"collection": "shoes"}, errors.NotFound, "no collection"),
        ({"min_revision": 10**9}, errors.Unavailable, "min_revision is"),
    ],
)
def test_bad_requests_have_a_canonical_status(recommender, fields, error, message):
    """The status names what is wrong (S-5)."""
    with pytest.raises(error, match=message):
        recommender.bestsellers(timeout=1, **fields)


def test_an_empty_collection_has_no_bestsellers(recommender):
    """Without an item there is no proxy: FAILED_PRECONDITION."""
    with pytest.raises(errors.FailedPrecondition, match="no item of the bestsellers"):
        recommender.bestsellers()

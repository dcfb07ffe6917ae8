import pytest
from google.protobuf import timestamp_pb2

from tests.services.recommender.conftest import until
from tests.services.recommender.world import World, item


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """One shop for every test that changes nothing."""
    made = World(tmp_path_factory.mktemp("shop"))
    until(lambda: made.recommender.status().space_id)
    stock(made.recommender)
    yield made
    made.close()


@pytest.fixture
def stocked(shop):
    return shop.recommender


def stock(recommender):
    """Five garments; the words of a picture decide what is near."""
    recommender.upsert(
        item("knit-retro", "knit retro red", attributes={"category": "knit", "style": ["retr0"]}),
        item(
            "knit-retro-2", "knit retro blue", attributes={"category": "knit", "style": ["retro", "resort"]}
        ),
        item("skirt-resort", "skirt resort green", attributes={"category": "skirt", "style": ["resort"]}),
        item("skirt-sold", "skirt resort white", in_stock=False, attributes={"category": "skirt"}),
        item(
            "old",
            "boots leather black",
            released_at=timestamp_pb2.Timestamp(seconds=1_000_000),
            attributes={"brand": "Nord", "price": 12.5},
        ),
    )

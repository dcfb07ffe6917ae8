"""Services with bounds of their own: clients and services follow those that they talk to (S-7)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from atelier.recommender.v1 import catalog_pb2

from model_store.store import ModelStore
from services.client.embedder import EmbedderClient, image_input
from services.client.ranker import RankerClient, picture
from services.client.recommender import RecommenderClient
from tests.integration.conftest import drawing
from tests.integration.row import FULL_NAMES, Row
from tests.integration.test_promotion import promote, wait_until

pytestmark = pytest.mark.slow

PICTURES = [drawing(seed) for seed in range(40)]


@pytest.fixture
def row(own_store: Path, tmp_path: Path) -> Iterator[Row]:
    """The three services, whose messages hold at most 16 pictures."""
    row = Row(own_store, tmp_path / "data", {"ATELIER_LIMITS__MESSAGE_IMAGES": "16"})
    try:
        for name in FULL_NAMES:
            row.start(name)
        for name in FULL_NAMES:
            row.await_serving(name)
        yield row
    finally:
        row.close()


def test_more_pictures_than_a_message_holds_are_embedded_ranked_upserted_and_moved(
    row: Row, own_store: Path
) -> None:
    """With 16 pictures a message, 40 go through every client, and an upgrade of 40 items ends (S-3, S-7)."""
    store = ModelStore.at(own_store)
    with EmbedderClient(row.addresses["embedder"]) as embedder:
        space_id = store.open("fashion-image", 1).space_id
        vectors = embedder.embed([image_input(data) for data in PICTURES], space_id=space_id).results
    with RankerClient(row.addresses["ranker"]) as ranker:
        ranking = ranker.rank([picture(data, str(n)) for n, data in enumerate(PICTURES)])
    with RecommenderClient(row.addresses["recommender"]) as recommender:
        items = (catalog_pb2.UpsertItem(item_id=f"i{n}", image=data) for n, data in enumerate(PICTURES))
        written = recommender.upsert_items(items).results
        for name in ("fashion-image", "fashion-attributes"):
            promote(store, name, 2)
        moved = store.open("fashion-image", 2).space_id
        assert wait_until(lambda: recommender.get_status().space_id == moved, 60)
        assert recommender.get_status().live_count == 40

    assert [result.HasField("vector") for result in vectors] == [True] * 40
    assert len(ranking.placements) == 40
    assert [result.HasField("revision") for result in written] == [True] * 40

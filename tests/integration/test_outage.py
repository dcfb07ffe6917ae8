"""A process dies and comes back: what needs it fails fast, the rest goes on, nothing is lost (S-8)."""

import os
import signal
import time
from pathlib import Path

import pytest
from atelier.recommender.v1 import catalog_pb2, recommender_pb2, resources_pb2

from services.client.channel import Connection
from services.client.ranker import picture
from services.runtime.errors import Unavailable
from tests.integration.conftest import drawing, running_house
from tests.integration.test_promotion import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that try once, so that what one attempt takes is seen."""
    monkeypatch.setattr("services.client.channel.RETRIES", 0)
    assert Connection is not None


def by_item(item_id: str) -> recommender_pb2.RecommendRequest:
    return recommender_pb2.RecommendRequest(items=resources_pb2.ItemIds(item_ids=[item_id]), item_count=3)


@pytest.mark.usefixtures("impatient")
@pytest.mark.timed
def test_the_house_without_its_embedder(published: Path, tmp_path: Path) -> None:
    """kill -9 of the embedder: pictures are UNAVAILABLE with RetryInfo within 1 s, item queries answer;
    restarted at its old port, everything answers again within 2 s of it listening (S-8)."""
    with (
        running_house(published, tmp_path / "data") as house,
        house.ranker() as ranker,
        house.recommender() as shop,
    ):
        shop.upsert_items(catalog_pb2.UpsertItem(item_id=f"g{n}", image=drawing(n)) for n in range(5))
        candidates = [picture(drawing(50)), picture(drawing(51))]
        ranker.rank(candidates)
        os.kill(house.supervisor.process_id("embedder"), signal.SIGKILL)
        house.supervisor._children["embedder"].process.wait(5)

        started = time.monotonic()
        with pytest.raises(Unavailable) as no_rank:
            ranker.rank([picture(drawing(60)), picture(drawing(61))])
        with pytest.raises(Unavailable) as no_picture:
            shop.recommend(recommender_pb2.RecommendRequest(image=drawing(62)))
        assert time.monotonic() - started < 2.0
        assert no_rank.value.retry_after_s
        assert no_picture.value.retry_after_s
        assert len(shop.recommend(by_item("g1")).recommendations) == 3

        house.supervisor.watch(lambda _line: None)
        assert wait_until(lambda: restarted(house.supervisor), 10)
        ready = house.data / "run" / "embedder.ready.json"
        assert wait_until(ready.exists, 20)
        listening = time.monotonic()
        assert wait_until(
            lambda: answers(lambda: ranker.rank([picture(drawing(63)), picture(drawing(64))])), 10
        )
        assert wait_until(
            lambda: answers(lambda: shop.recommend(recommender_pb2.RecommendRequest(image=drawing(65)))), 10
        )
        assert time.monotonic() - listening < 2.0


def restarted(supervisor: object) -> bool:
    supervisor.watch(lambda _line: None)  # type: ignore[attr-defined]
    return supervisor._children["embedder"].process.poll() is None  # type: ignore[attr-defined]


def answers(call: object) -> bool:
    try:
        call()  # type: ignore[operator]
    except Unavailable:
        return False
    return True


def test_acknowledged_items_survive_a_killed_recommender(published: Path, tmp_path: Path) -> None:
    """kill -9 right after an acknowledged upsert: the new process has items and pictures (R-4)."""
    with running_house(published, tmp_path / "data") as house, house.recommender() as shop:
        reply = shop.upsert_items(
            catalog_pb2.UpsertItem(item_id=f"g{n}", image=drawing(n)) for n in range(20)
        )
        os.kill(house.supervisor.process_id("recommender"), signal.SIGKILL)
        house.supervisor._children["recommender"].process.wait(5)
        ready = house.data / "run" / "recommender.ready.json"
        ready.unlink(missing_ok=True)

        def back() -> bool:
            house.supervisor.watch(lambda _line: None)
            return ready.exists()

        assert wait_until(back, 20)
        assert wait_until(lambda: answers(lambda: shop.recommend(by_item("g0"))), 20)
        listed = {item.item_id for item in shop.list_items()}
        kept = shop.get_item("g7", include_picture=True)

    assert listed == {f"g{n}" for n in range(20)}
    assert kept.picture == drawing(7)
    assert reply.catalogue_revision > 0

import threading

import numpy as np
import pytest
from atelier.recommender.v1 import index_pb2

from services.runtime import errors
from tests.services.recommender.conftest import until
from tests.services.recommender.world import DIMENSION, ids, item


def test_status_tells_what_the_index_holds(recommender, models):
    """The status counts rows where they lie and names space, dimension and revision."""
    recommender.upsert(item("a", "knit"), item("b", "skirt"))
    recommender.delete("a")

    status = recommender.status()

    assert (status.collection, status.space_id) == ("fashion", models[1].space_id)
    assert (status.dimension, status.live_count, status.delta_rows) == (DIMENSION, 1, 1)
    assert (status.segment_rows, status.dead_rows, status.catalogue_revision) == (0, 0, 4)
    assert status.detail == ""


def test_the_status_states_the_recall_of_recent_queries(serve, models):
    """What was asked is measured in the background, by kind of query and share of items (R-3)."""
    recommender = serve(recall_every_s=0.05)
    recommender.upsert(item("a", "knit", attributes={"style": ["retro"]}), item("b", "skirt"))
    recommender.recommend(image=b"knit")
    recommender.recommend(items={"item_ids": ["a"]}, filter={"any_of": {"style": "retro"}})

    until(lambda: len(recommender.status().recalls) == 2)

    measured = {(each.query_kind, each.item_share): each for each in recommender.status().recalls}
    kinds = index_pb2.QueryKind
    assert {*measured} == {(kinds.QUERY_KIND_PICTURE, 1.0), (kinds.QUERY_KIND_ITEMS, 0.2)}
    assert {(each.recall, each.query_count) for each in measured.values()} == {(1.0, 1)}
    assert recommender.status().detail == ""


@pytest.mark.slow
def test_rebuild_answers_meanwhile_and_after(recommender, models):
    """While the index is built anew every search is whole, and writes of that time are in it."""
    space_id = models[1].space_id
    rows = np.random.default_rng(42).normal(size=(1200, DIMENSION)).astype(np.float32)
    for start in range(0, 1200, 100):
        recommender.upsert(*(item(f"v{n}", vector=(space_id, rows[n])) for n in range(start, start + 100)))
    stop, failures = threading.Event(), []

    def ask():
        while not stop.is_set():
            query = {"space_id": space_id, "values": rows[7]}
            if ids(recommender.recommend(vector=query, item_count=1)) != ["v7"]:
                failures.append("v7 is not found")

    reader = threading.Thread(target=ask)
    reader.start()
    replies = []
    builder = threading.Thread(target=lambda: replies.append(recommender.rebuild()))
    builder.start()
    for n in range(20):
        recommender.upsert(item(f"late{n}", vector=(space_id, -rows[n])))
    builder.join()
    stop.set()
    reader.join()

    assert failures == []
    assert 1200 <= replies[0].live_count <= 1220
    status = recommender.status()
    assert (status.live_count, status.catalogue_revision) == (1220, 1221)
    assert ids(recommender.recommend(vector={"space_id": space_id, "values": -rows[3]}, item_count=1)) == [
        "late3"
    ]


def test_rebuild_needs_a_release(serve):
    """Without a release there is nothing to build: UNAVAILABLE."""
    recommender = serve(wait=False)

    with pytest.raises(errors.Unavailable) as caught:
        recommender.rebuild()

    assert caught.value.reason == "NO_RELEASE"

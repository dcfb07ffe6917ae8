"""Upgrades to another space: everything goes on, nothing is lost, blocked ones say why."""

import sqlite3
import threading
import time
from types import SimpleNamespace

import pytest

from services.recommender.catalog.store import Catalog
from services.recommender.release import serving
from services.runtime import errors
from tests.services.recommender.conftest import until
from tests.services.recommender.release.conftest import next_lead, next_models, serves
from tests.services.recommender.world import ids, item, vector_of

pytestmark = pytest.mark.slow  # servers with models and catalogs


def test_upgrade_to_another_space(recommender, models, shelf, embedder):
    """A lead of another space re-embeds every kept picture; then every answer is of the new space (S-2,
    S-3)."""
    names = [f"item-{n}" for n in range(70)]
    recommender.upsert(*(item(name, f"knit {name}") for name in names))

    lead, image = next_models(shelf, embedder)
    until(serves(recommender, lead))

    reply = recommender.recommend(image=b"knit item-7", item_count=1)
    assert ids(reply) == ["item-7"]
    assert reply.space_id == image.space_id
    assert recommender.status().live_count == 70
    assert recommender.status().detail == ""
    old = vector_of(["knit"], models[1].space_id)
    with pytest.raises(errors.FailedPrecondition):
        recommender.recommend(vector={"space_id": models[1].space_id, "values": old})


def test_during_an_upgrade_everything_goes_on(recommender, models, shelf, embedder):
    """Until the last picture is embedded the old release answers; upserts and deletes of that time count
    (S-3, S-8)."""
    recommender.upsert(*(item(f"item-{n}", f"knit item-{n}") for n in range(40)))
    lead, image = next_models(shelf, embedder)
    # The alias of the encoder is moved already; its embeddings wait at the gate.
    embedder.fake.slow_spaces.add(image.space_id)
    embedder.fake.gate.clear()
    until(lambda: any(r.space_id == image.space_id for r in embedder.fake.requests))

    assert recommender.recommend(image=b"knit").models[0].digest == models[0].digest
    assert "re-embedding for fashion-image/2" in recommender.status().detail
    recommender.delete("item-3")
    writer = threading.Thread(target=lambda: recommender.upsert(item("late", "boots late")))
    writer.start()
    time.sleep(0.2)
    embedder.fake.gate.set()
    writer.join()
    until(serves(recommender, lead))

    assert ids(recommender.recommend(image=b"boots late", item_count=1)) == ["late"]
    assert "item-3" not in ids(recommender.recommend(image=b"knit", item_count=100))
    assert recommender.status().live_count == 40


@pytest.fixture
def last_moment(monkeypatch):
    """Holds every collection between the end of its upgrade and its swap."""
    reached, go = threading.Event(), threading.Event()

    def hold(*_):
        reached.set()
        go.wait(30)

    yield SimpleNamespace(
        hold=lambda: monkeypatch.setattr(serving, "forget_indexes", hold), reached=reached, go=go
    )
    go.set()


def test_an_upsert_at_the_last_moment_is_in_both_spaces(recommender, models, shelf, embedder, last_moment):
    """Between the end of an upgrade and the swap, writes reach the present index and the next one."""
    recommender.upsert(item("a", "knit red"), item("b", "knit blue"))
    last_moment.hold()
    lead, _ = next_models(shelf, embedder)
    last_moment.reached.wait(10)

    recommender.upsert(item("late", "boots"))
    recommender.delete("a")
    before = recommender.recommend(image=b"boots")
    last_moment.go.set()
    until(serves(recommender, lead))

    after = recommender.recommend(image=b"boots")
    assert before.models[0].digest == models[0].digest
    assert ids(before) == ids(after) == ["late", "b"]
    assert recommender.status().live_count == 2


def test_an_upsert_that_was_embedded_before_the_move_is_embedded_again(
    recommender, models, shelf, embedder, last_moment
):
    """An upsert that began before an upgrade and is written after it has a vector of the new space."""
    recommender.upsert(item("a", "knit red"))
    embedder.fake.slow_spaces.add(models[1].space_id)
    embedder.fake.gate.clear()
    writer = threading.Thread(target=lambda: recommender.upsert(item("late", "boots")))
    writer.start()
    until(lambda: any(b"boots" in one.image for r in embedder.fake.requests for one in r.inputs))
    last_moment.hold()
    lead, image = next_models(shelf, embedder)
    last_moment.reached.wait(10)

    embedder.fake.gate.set()
    writer.join()
    last_moment.go.set()
    until(serves(recommender, lead))

    assert ids(recommender.recommend(image=b"boots", item_count=1)) == ["late"]
    again = [r.space_id for r in embedder.fake.requests for one in r.inputs if one.image == b"boots"]
    assert again[:2] == [models[1].space_id, image.space_id]


def test_bare_vectors_block_an_upgrade(recommender, models, shelf, embedder):
    """The status counts the items that cannot follow; without them the upgrade goes on by itself."""
    space_id = models[1].space_id
    recommender.upsert(item("v", vector=(space_id, vector_of(["knit"], space_id))), item("a", "knit red"))

    lead, _ = next_models(shelf, embedder)
    until(lambda: "1 items of fashion are bare vectors" in recommender.status().detail)

    status = recommender.status()
    assert (status.vector_only_count, status.space_id) == (1, space_id)
    assert set(ids(recommender.recommend(image=b"knit"))) == {"a", "v"}
    recommender.delete("v")
    until(serves(recommender, lead))
    assert ids(recommender.recommend(image=b"knit")) == ["a"]


def test_a_picture_that_cannot_follow_is_named(recommender, models, shelf, embedder):
    """A picture that the new model refuses keeps the old release in service and is named."""
    image = shelf.image("tower 2")
    # Before the lead moves: an upsert during the upgrade would be refused itself.
    recommender.upsert(item("odd", f"knit broken-{image.space_id[:6]}"))
    lead = next_lead(shelf, embedder, image)
    until(lambda: "an item cannot follow" in recommender.status().detail)
    assert "in the way: odd" in recommender.status().detail

    assert ids(recommender.recommend(image=b"knit")) == ["odd"]
    assert recommender.recommend(image=b"knit").models[0].digest == models[0].digest
    recommender.upsert(item("odd", "knit"))
    until(serves(recommender, lead))


def test_an_interrupted_upgrade_goes_on(models, serve, embedder, shelf):
    """A process that ends in the middle of an upgrade leaves what it embedded; the next one embeds only the
    rest (S-8)."""
    first = serve()
    first.upsert(*(item(f"item-{n}", f"knit item-{n}") for n in range(64)))
    image = shelf.image("tower 2")
    embedder.fake.slow_spaces.add(image.space_id)
    embedder.fake.slow_after = 1
    embedder.fake.gate.clear()
    lead = next_lead(shelf, embedder, image)
    until(lambda: first.status().upgrade_done_count == 32)
    until(lambda: len(embedded_in(embedder, image.space_id)) == 64)
    status = first.status()
    before = embedded_in(embedder, image.space_id)
    first.close()
    embedder.fake.requests.clear()
    embedder.fake.gate.set()

    second = serve()
    until(serves(second, lead))

    assert (status.upgrade_left_count, status.space_id) == (32, models[1].space_id)
    assert len(before) == 64  # the second half was asked for, and never answered
    again = embedded_in(embedder, image.space_id)
    assert len(again) == 32
    assert set(again) == set(before[32:])
    assert second.status().live_count == 64


def embedded_in(embedder, space_id):
    """The pictures that were sent to be embedded in a space and kept, in order."""
    return [
        one.image
        for request in embedder.fake.requests
        if request.space_id == space_id and not request.no_store
        for one in request.inputs
    ]


def test_upserts_go_on_while_an_upgrade_is_blocked(recommender, models, shelf, embedder):
    """With an upgrade blocked and the next model gone from the embedder, upserts still succeed (S-8)."""
    space_id = models[1].space_id
    recommender.upsert(item("v-1", vector=(space_id, vector_of(["knit"], space_id))))
    _, image = next_models(shelf, embedder)
    until(lambda: "bare vectors" in recommender.status().detail)
    embedder.fake.refused_spaces.add(image.space_id)
    embedder.fake.prepared.discard(image.space_id)
    embedder.fake.needs_preparing = True
    embedder.fake.prepared.add(space_id)

    recommender.upsert(item("a", "knit red"))
    recommender.upsert(item("w", vector=(space_id, vector_of(["boots"], space_id))))

    assert set(ids(recommender.recommend(image=b"knit"))) == {"a", "v-1", "w"}
    assert recommender.status().space_id == space_id


def test_what_blocks_an_upgrade_is_named_and_dropped(recommender, models, shelf, embedder, caplog):
    """The status names the first bare vectors, the log names none; dropping them lets the upgrade go on
    (S-11)."""
    space_id = models[1].space_id
    bare = [item(f"bare-{n:02}", vector=(space_id, vector_of([f"w{n}"], space_id))) for n in range(12)]
    assert recommender.drop_blocking().deleted_count == 0
    recommender.upsert(*bare, item("a", "knit red"))
    generation = recommender.status().generation
    lead, _ = next_models(shelf, embedder)
    until(lambda: "12 items of fashion are bare vectors" in recommender.status().detail)

    named = list(recommender.status().blocking_item_ids)
    reply = recommender.drop_blocking()
    until(serves(recommender, lead))

    assert named == [f"bare-{n:02}" for n in range(10)]
    assert reply.deleted_count == 12
    assert ids(recommender.recommend(image=b"knit")) == ["a"]
    status = recommender.status()
    assert (status.generation, status.catalogue_revision) == (generation + 1, reply.catalogue_revision + 1)
    assert (status.detail, list(status.blocking_item_ids)) == ("", [])
    assert recommender.drop_blocking().deleted_count == 0
    assert "bare-0" not in "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)


def test_a_blocked_upgrade_is_looked_at_again_after_a_write(
    recommender, models, shelf, embedder, monkeypatch
):
    """While nothing is written, what blocks is not counted again and again."""
    space_id = models[1].space_id
    recommender.upsert(item("v", vector=(space_id, vector_of(["knit"], space_id))))
    counted = []
    count = Catalog.missing_count
    monkeypatch.setattr(Catalog, "missing_count", lambda *a, **k: counted.append(1) or count(*a, **k))
    lead, image = next_models(shelf, embedder)
    until(lambda: embedder.fake.preparations.count(image.space_id) >= 3)

    assert len(counted) == 1
    recommender.delete("v")
    until(serves(recommender, lead))


def test_a_damaged_bare_vector_keeps_no_lead_away(models, serve, shelf, embedder, tmp_path):
    """An item whose only vector is damaged cannot be found; everything else serves, and the next lead of the
    space is taken up (M-4)."""
    space_id = models[1].space_id
    first = serve()
    bare = [item(name, vector=(space_id, vector_of([name], space_id))) for name in ("v1", "v2")]
    first.upsert(item("a", "knit red"), item("b", "boots"), *bare)
    first.close()
    with sqlite3.connect(tmp_path / "catalogue" / "catalogue.db") as connection:
        connection.execute(
            "UPDATE vectors SET vector = zeroblob(256) WHERE source IN"
            " (SELECT source FROM items WHERE item_id IN ('a', 'v1'))"
        )
    connection.close()

    second = serve()
    lead = shelf.attributes(models[1], "encoder 2")
    embedder.fake.aligned[lead.space_id] = space_id
    until(serves(second, lead))

    assert set(ids(second.recommend(image=b"knit red"))) == {"a", "b", "v2"}
    assert second.status().detail == ""
    second.upsert(bare[0])
    assert ids(second.recommend(items={"item_ids": ["v1"]}))

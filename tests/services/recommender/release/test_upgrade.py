"""Upgrades to another space: everything goes on, nothing is lost, blocked ones say why."""

import threading
import time
from types import SimpleNamespace

import pytest

from services.recommender.release import collection
from services.runtime import errors
from tests.services.recommender.conftest import until
from tests.services.recommender.release.conftest import next_lead, next_models, serves
from tests.services.recommender.world import ids, item, vector_of


@pytest.mark.slow
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


@pytest.mark.slow
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
        hold=lambda: monkeypatch.setattr(collection, "forget_indexes", hold), reached=reached, go=go
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


@pytest.mark.slow
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
    until(lambda: "item odd cannot follow" in recommender.status().detail)

    assert ids(recommender.recommend(image=b"knit")) == ["odd"]
    assert recommender.recommend(image=b"knit").models[0].digest == models[0].digest
    recommender.upsert(item("odd", "knit"))
    until(serves(recommender, lead))


@pytest.mark.slow
def test_an_interrupted_upgrade_goes_on(models, serve, embedder, shelf):
    """What was embedded before a restart is not embedded again."""
    first = serve()
    first.upsert(*(item(f"item-{n}", f"knit item-{n}") for n in range(64)))
    lead, image = next_models(shelf, embedder, promote=True)
    embedder.fake.slow_spaces.add(image.space_id)
    until(lambda: sum(r.space_id == image.space_id for r in embedder.fake.requests) >= 1)
    first.close()
    embedder.fake.requests.clear()

    second = serve()
    until(serves(second, lead))

    pictures = [
        one.image
        for request in embedder.fake.requests
        if request.space_id == image.space_id and not request.no_store
        for one in request.inputs
    ]
    assert len(pictures) == len(set(pictures)) <= 64
    assert second.status().live_count == 64

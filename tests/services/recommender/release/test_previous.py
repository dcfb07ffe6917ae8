"""The space that a collection left is fed for a while, so that a rollback is a load, and then removed."""

import pytest

from tests.services.recommender.conftest import until
from tests.services.recommender.release.conftest import next_models, serves
from tests.services.recommender.world import ids, item

pytestmark = pytest.mark.slow  # servers with models and catalogs


def spaces(recommender, *names):
    """The spaces in which the contents of these items have a vector."""
    sources = [each.source for each in recommender.catalog.find("fashion", names).values()]
    with recommender.catalog._database.reading() as connection:
        rows = connection.exec_driver_sql("select source, space_id from vectors").all()
    return {source: {space for s, space in rows if s == source} for source in sources}


def test_what_is_upserted_after_a_move_is_embedded_in_the_space_before(recommender, models, shelf, embedder):
    """A rollback finds every vector made already: nothing is embedded in its course (S-3)."""
    recommender.upsert(*(item(f"item-{n}", f"knit item-{n}") for n in range(3)))
    lead, _ = next_models(shelf, embedder)
    until(serves(recommender, lead))
    recommender.upsert(item("since", "boots"))
    until(lambda: all(len(each) == 2 for each in spaces(recommender, "since").values()))
    embedder.fake.requests.clear()

    shelf.store.aliases.rollback("fashion-attributes", "production")
    until(serves(recommender, models[0]))

    assert [request for request in embedder.fake.requests if not request.no_store] == []
    assert ids(recommender.recommend(image=b"boots", item_count=1)) == ["since"]
    assert recommender.status().live_count == 4
    assert recommender.status().generation == 3


def test_an_embedder_without_the_old_model_delays_no_upsert(recommender, models, shelf, embedder):
    """What the space before misses costs a rollback time and an upsert nothing (S-8)."""
    lead, image = next_models(shelf, embedder)
    until(serves(recommender, lead))
    embedder.fake.slow_spaces.add(models[1].space_id)
    embedder.fake.gate.clear()

    for number in range(3):
        recommender.upsert(item(f"item-{number}", f"knit item-{number}"))

    until(lambda: any(request.space_id == models[1].space_id for request in embedder.fake.requests))
    assert ids(recommender.recommend(image=b"knit item-1", item_count=1)) == ["item-1"]
    assert set(*spaces(recommender, "item-1").values()) == {image.space_id}
    embedder.fake.gate.set()
    until(lambda: len(*spaces(recommender, "item-1").values()) == 2)


def test_a_space_is_removed_after_its_time(models, serve, shelf, embedder, tmp_path):
    """Beyond ATELIER_KEEP_PREVIOUS vectors and index files of the space before are gone (S-3)."""
    recommender = serve(keep_previous=0)
    recommender.upsert(item("a", "knit"), item("b", "skirt"))
    lead, image = next_models(shelf, embedder)
    until(serves(recommender, lead))

    until(lambda: all(each == {image.space_id} for each in spaces(recommender, "a", "b").values()))

    folder = tmp_path / "catalogue" / "index" / "fashion"
    until(lambda: [path.name for path in folder.glob("*")] in ([], [image.space_id[:16]]))
    assert set(ids(recommender.recommend(image=b"knit"))) == {"a", "b"}

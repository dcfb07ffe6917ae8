import hashlib
import sqlite3
import time

import numpy as np
import pytest
from atelier.recommender.v1 import catalog_pb2
from google.protobuf import timestamp_pb2
from google.protobuf.json_format import MessageToDict

from services.messages.contents import write_record
from services.runtime import errors
from tests.services.recommender.world import DIMENSION, ids, item, vector_of

pytestmark = pytest.mark.slow  # servers with models and catalogs


def test_an_upserted_item_is_found_at_once(recommender, models):
    """What is acknowledged can be recommended, fetched and listed (R-4, R-6)."""
    for number in range(20):
        reply = recommender.upsert(item(f"item-{number}", f"knit number{number}"))

        found = recommender.recommend(image=f"knit number{number}".encode(), item_count=1)
        assert ids(found) == [f"item-{number}"]
        assert found.catalogue_revision == reply.catalogue_revision == number + 2
    assert [m.name for m in reply.models] == ["fashion-attributes", "fashion-image"]


def test_item_comes_back_as_it_was_given(recommender):
    """Attributes come back in the preferred spelling, metadata beside them, the picture as received (R-4)."""
    record = {
        "category": " knit ",
        "style": ["retr0", "resort", "retro"],
        "brand": "Cafe\u0301",
        "tags": ["a", "b"],
        "price": 12.5,
        "units": 3,
        "new": True,
        "none": None,
    }
    released = timestamp_pb2.Timestamp(seconds=1_600_000_000, nanos=5_000)
    recommender.upsert(item("a.b:C_1-", "knit", attributes=record, released_at=released, in_stock=False))

    reply = recommender.get("a.b:C_1-", include_picture=True)

    assert MessageToDict(reply.item.attributes) == {
        "category": "knit",
        "style": ["retro", "resort"],
        "brand": "Caf\u00e9",
        "tags": ["a", "b"],
        "price": 12.5,
        "units": 3.0,
        "new": True,
    }
    assert reply.item.released_at == released
    assert not reply.item.in_stock
    assert reply.picture == b"knit"
    assert reply.item.picture_digest == hashlib.sha256(b"knit").hexdigest()
    assert recommender.get("a.b:C_1-").picture == b""


def test_the_vector_comes_back_when_asked_for(recommender, models):
    """In the collection's space: a bare vector as it was sent, a picture's as it was embedded (R-4, R-12)."""
    space_id = models[1].space_id
    values = (np.arange(DIMENSION, dtype=np.float32) + np.float32(0.1)) * np.float32(0.3)
    recommender.upsert(item("bare", vector=(space_id, values)), item("a", "knit red"))

    bare, pictured = (recommender.get(name, include_vector=True).vector for name in ("bare", "a"))

    assert (bare.space_id, pictured.space_id) == (space_id, space_id)
    assert np.array_equal(np.array(bare.values, dtype=np.float32), values)
    assert np.array_equal(
        np.array(pictured.values, dtype=np.float32), vector_of(["knit", "red"], models[1].space_id)
    )
    assert not recommender.get("bare").HasField("vector")


def test_a_damaged_vector_is_not_given_away(recommender):
    """DATA_LOSS names the item; without the vector it can still be read (R-12)."""
    recommender.upsert(item("a", "knit"))
    source = recommender.catalog.find("fashion", ["a"])["a"].source
    recommender.catalog.drop_vectors([source], recommender.status().space_id)

    with pytest.raises(errors.DataLoss, match="the vector of item a is missing or damaged"):
        recommender.get("a", include_vector=True)
    assert recommender.get("a").item.item_id == "a"


def test_defaults(recommender):
    """An item is in stock and released now unless the request says otherwise; a later upsert keeps the
    release, not the stock.
    """
    before = time.time()
    recommender.upsert(item("a", "knit", in_stock=False))
    first = recommender.get("a").item
    recommender.upsert(item("a", "skirt"))

    second = recommender.get("a").item
    assert before - 1 < first.released_at.ToMicroseconds() / 1e6 < time.time() + 1
    assert second.released_at == first.released_at
    assert (first.in_stock, second.in_stock) == (False, True)


def test_upserting_the_same_again_changes_nothing(recommender, embedder):
    """The same item with the same content keeps its revision and is not embedded again (S-7)."""
    garment = item("a", "knit", attributes={"style": "retro"})
    first = recommender.upsert(garment)
    asked = len(embedder.fake.requests)

    again = recommender.upsert(garment)

    assert again.results[0].revision == first.results[0].revision == 2
    assert again.catalogue_revision == 2
    assert len(embedder.fake.requests) == asked


def test_changed_words_keep_the_vector(recommender, embedder):
    """A change of stock or words takes a revision but neither a new vector nor a new row of the index."""
    recommender.upsert(item("a", "knit", attributes={"style": "retro"}))
    asked = len(embedder.fake.requests)

    reply = recommender.upsert(item("a", "knit", attributes={"style": "resort"}, in_stock=False))

    assert reply.results[0].revision == 3
    assert len(embedder.fake.requests) == asked
    assert recommender.status().live_count == 1
    found = recommender.recommend(items={"item_ids": ["a"]}).catalogue_revision
    assert found == 3


def test_a_new_picture_replaces_the_old(recommender):
    """The item is found by its new picture alone; the old picture is collected."""
    recommender.upsert(item("a", "knit red"), item("b", "boots black"))
    recommender.upsert(item("a", "skirt green"))

    assert recommender.recommend(image=b"skirt green").recommendations[0].similarity > 0.99
    assert recommender.recommend(image=b"knit red").recommendations[0].similarity < 0.9
    assert kept_pictures(recommender) == {b"skirt green", b"boots black"}


def kept_pictures(recommender):
    recommender.catalog.collect_pictures(grace_s=0)
    return {path.read_bytes() for path in recommender.catalog.pictures._root.glob("*/*")}


def test_a_shared_picture_stays_until_the_last_item_goes(recommender):
    """Two items of one picture keep one file and one vector; it goes with the second."""
    recommender.upsert(item("a", "knit"), item("b", "knit"))
    assert kept_pictures(recommender) == {b"knit"}

    recommender.delete("a")
    assert kept_pictures(recommender) == {b"knit"}
    assert ids(recommender.recommend(image=b"knit")) == ["b"]

    recommender.delete("b")
    assert kept_pictures(recommender) == set()


def test_bad_items_fail_alone(recommender, models):
    """Each bad item carries its own status with its place and identifier; the others are written (S-5)."""
    space_id = models[1].space_id
    reply = recommender.upsert(
        item("good", "knit"),
        item("../../etc/passwd", "knit"),
        item("broken", "broken"),
        item("empty"),
        item("short", vector=(space_id, [1.0, 2.0])),
        item("nan", vector=(space_id, [float("nan")] * DIMENSION)),
        item("other", vector=("f" * 64, [1.0] * DIMENSION)),
        item("number", "knit", attributes={"style": 3}),
        item("nested", "knit", attributes={"extra": {"a": 1}}),
        item("huge", "x" * ((10 << 20) + 1)),
        item("time", "knit", released_at=timestamp_pb2.Timestamp(seconds=-(10**15))),
        item(".hidden", "knit"),
        item("", "knit"),
    )

    codes = [(r.index, r.item_id, r.error.code) for r in reply.results]
    assert codes[0] == (0, "good", 0)
    assert [code for _, _, code in codes[1:]] == [3, 3, 3, 3, 3, 9, 3, 3, 3, 3, 3, 3]
    assert [index for index, _, _ in codes] == list(range(13))
    messages = {r.item_id: r.error.message for r in reply.results}
    assert "vector.values has 2 components, the collection fashion takes 64" in messages["short"]
    assert "f" * 64 in messages["other"]
    assert space_id in messages["other"]
    assert "field 'style' is a number" in messages["number"]
    assert ids(recommender.recommend(image=b"knit")) == ["good"]
    assert kept_pictures(recommender) == {b"knit"}


def test_when_every_item_is_bad_the_call_fails(recommender):
    """The call fails with the first item's error and all of them in its details (S-5)."""
    with pytest.raises(
        errors.InvalidArgument, match=r"all 3 items failed; item 0 \('a'\): the picture cannot be decoded"
    ) as caught:
        recommender.upsert(item("a", "broken"), item("b", "broken"), item("c"))

    assert [one.index for one in caught.value.item_errors] == [0, 1, 2]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "has 0 items"),
        ([item(f"a{n}", "x") for n in range(129)], "has 129 items"),
        ([item("a", "x"), item("a", "y")], "item 1 has the identifier 'a' of an earlier item"),
    ],
)
def test_malformed_upserts_are_refused_whole(recommender, items, message):
    """Too few, too many or repeated items refuse the call; nothing is written (S-5)."""
    with pytest.raises(errors.InvalidArgument, match=message):
        recommender.upsert(*items)

    assert recommender.list().total_count == 0


def test_items_by_vector(recommender, models):
    """A bare vector in the collection's space is an item without a picture."""
    space_id = models[1].space_id
    recommender.upsert(item("v", vector=(space_id, 3 * vector_of(["knit"], space_id))))

    reply = recommender.recommend(image=b"knit")
    assert ids(reply) == ["v"]
    assert reply.recommendations[0].similarity == pytest.approx(1, abs=1e-6)
    assert reply.recommendations[0].item.picture_digest == ""
    assert recommender.status().vector_only_count == 1
    assert recommender.upsert(item("v", vector=(space_id, 3 * vector_of(["knit"], space_id))))
    assert recommender.get("v").item.revision == 2


@pytest.mark.parametrize("length", [0.0, 1e-45, 1e-30, 1e-13])
def test_a_vector_without_direction_is_never_written(recommender, models, serve, length):
    """One that is too short for the index is refused before it is in the catalog, which opens again (S-5)."""
    space_id = models[1].space_id
    short = (length * vector_of(["knit"], space_id)).astype(np.float32)
    with pytest.raises(errors.InvalidArgument, match="no direction"):
        recommender.upsert(item("short", vector=(space_id, short)))

    with pytest.raises(errors.NotFound):
        recommender.get("short")
    recommender.close()
    assert serve().upsert(item("good", "knit")).results[0].revision == 2


def test_deleted_items_are_gone(recommender):
    """Deleted items are neither found nor fetched; deleting them again does no harm (R-4, S-7)."""
    recommender.upsert(item("a", "knit"), item("b", "skirt"))

    first = recommender.delete("a", "nobody")
    again = recommender.delete("a")

    assert (first.deleted_count, again.deleted_count) == (1, 0)
    assert first.catalogue_revision == again.catalogue_revision == 4
    assert ids(recommender.recommend(image=b"knit")) == ["b"]
    with pytest.raises(errors.NotFound, match="no item a"):
        recommender.get("a")
    with pytest.raises(errors.InvalidArgument):
        recommender.delete("../a")
    with pytest.raises(errors.InvalidArgument):
        recommender.delete()


def test_an_item_that_returns_takes_a_new_revision(recommender):
    """Revisions grow over deletions: none is ever given twice."""
    revisions = []
    for _ in range(3):
        revisions.append(recommender.upsert(item("a", "knit")).results[0].revision)
        recommender.delete("a")

    assert revisions == [2, 4, 6]


def test_listing_pages_in_order(recommender):
    """Pages come in the order of identifiers, each item once, with the total (R-4)."""
    names = [f"item-{n:03}" for n in range(25)]
    recommender.upsert(*(item(name, f"p {name}") for name in reversed(names)))

    seen, token = [], ""
    while True:
        page = recommender.list(page_size=10, page_token=token)
        seen += [one.item_id for one in page.items]
        assert page.total_count == 25
        token = page.next_page_token
        if not token:
            break

    assert seen == names
    assert len(recommender.list().items) == 25
    for bad in ({"page_size": 1001}, {"page_size": -1}, {"page_token": "%%%"}, {"page_token": "Li4v"}):
        with pytest.raises(errors.InvalidArgument):
            recommender.list(**bad)


def test_unknown_collections_are_not_found(recommender):
    """Every call names a collection that the settings know; the error names those that there are (R-3)."""
    for request in (
        lambda: recommender.upsert(item("a", "x"), collection="nope"),
        lambda: recommender.delete("a", collection="nope"),
        lambda: recommender.list(collection="nope"),
        lambda: recommender.get("a", collection="nope"),
        lambda: recommender.status("nope"),
    ):
        with pytest.raises(errors.NotFound, match="no collection 'nope'; there are fashion"):
            request()


def test_collections_are_apart(models, serve):
    """The same identifier in two collections is two items (R-3)."""
    recommender = serve(collections="fashion=fashion-attributes,shoes=fashion-image")
    while not recommender.status("shoes").space_id:
        time.sleep(0.01)
    recommender.upsert(item("a", "knit"))
    recommender.upsert(item("a", "boots"), collection="shoes")
    recommender.delete("a")

    assert ids(recommender.recommend(image=b"boots", collection="shoes")) == ["a"]
    assert ids(recommender.recommend(image=b"boots")) == []


def test_without_the_embedder_pictures_are_not_written(recommender, embedder, models):
    """Embedder gone: upserts of pictures are UNAVAILABLE with nothing written, vectors go on (S-8)."""
    embedder.stop()
    with pytest.raises(errors.Unavailable) as caught:
        recommender.upsert(item("a", "knit"))

    assert caught.value.retry_after_s
    assert recommender.list().total_count == 0
    assert kept_pictures(recommender) == set()
    space_id = models[1].space_id
    recommender.upsert(item("v", vector=(space_id, vector_of(["knit"], space_id))))
    assert recommender.list().total_count == 1


def test_an_oversized_message_is_refused_with_both_sizes(recommender):
    """A message beyond 64 MiB is INVALID_ARGUMENT naming both sizes (S-7)."""
    items = [item(f"a{n}", "x" * (10 << 20) if n else "x" * ((4 << 20) + 1000)) for n in range(7)]

    with pytest.raises(errors.InvalidArgument, match="the bound is 67108864"):
        recommender.upsert(*items)


def test_a_caller_who_leaves_does_not_break_a_write(recommender, embedder, models):
    """A cancelled upsert is written whole or not at all, and the next one works."""
    embedder.fake.slow_spaces.add(models[1].space_id)
    embedder.fake.gate.clear()
    request = catalog_pb2.UpsertItemsRequest(items=[item("a", "knit")])
    call = recommender.stubs.catalog.UpsertItems.future(request)
    while not embedder.fake.requests:
        time.sleep(0.01)
    call.cancel()
    embedder.fake.gate.set()

    recommender.upsert(item("b", "skirt"))
    assert set(ids(recommender.recommend(image=b"skirt"))) <= {"a", "b"}
    assert recommender.list().total_count == recommender.status().live_count


def test_many_items_go_through_segments(recommender, models):
    """Three thousand items in messages of 128 are all there; a filter and a large answer are complete
    (R-6)."""
    space_id = models[1].space_id
    rng = np.random.default_rng(42)
    rows = rng.normal(size=(3000, DIMENSION)).astype(np.float32)
    for start in range(0, 3000, 125):
        recommender.upsert(
            *(
                item(
                    f"v{n}",
                    vector=(space_id, rows[n]),
                    attributes={"style": "retro" if n % 100 == 0 else "resort"},
                )
                for n in range(start, start + 125)
            )
        )

    reply = recommender.recommend(vector={"space_id": space_id, "values": rows[7]}, item_count=1000)
    assert len(ids(reply)) == 1000
    assert ids(reply)[0] == "v7"
    few = recommender.recommend(
        vector={"space_id": space_id, "values": rows[7]},
        item_count=50,
        filter={"any_of": write_record({"style": "retro"})},
    )
    assert set(ids(few)) == {f"v{n}" for n in range(0, 3000, 100)}
    assert recommender.status().live_count == 3000


def test_small_writes_and_imports_wait_in_queues_of_their_own(models, serve, embedder):
    """With the one full, the other goes on; a refusal names its bound and when to try again (S-4)."""
    space_id = models[1].space_id
    recommender = serve(small_write_queue=1, upsert_queue_bytes=1)
    bare = [item(f"v{n}", vector=(space_id, vector_of([f"w{n}"], space_id))) for n in range(9)]
    embedder.fake.slow_spaces.add(space_id)
    embedder.fake.gate.clear()

    small = waiting_upsert(recommender, embedder, [item("a", "knit")])
    with pytest.raises(errors.ResourceExhausted, match="1 small writes are held") as caught:
        recommender.delete("v1")
    assert caught.value.retry_after_s
    recommender.upsert(*bare)
    large = waiting_upsert(recommender, embedder, [item(f"p{n}", f"p{n}") for n in range(9)])
    with pytest.raises(errors.ResourceExhausted, match="bytes of UpsertItems calls are held"):
        recommender.upsert(*bare)
    embedder.fake.gate.set()
    small.result()
    large.result()

    assert recommender.delete("v1").deleted_count == 1
    assert recommender.list().total_count == 18


def waiting_upsert(recommender, embedder, items):
    """An upsert that waits for the embedder."""
    asked = len(embedder.fake.requests)
    call = recommender.stubs.catalog.UpsertItems.future(catalog_pb2.UpsertItemsRequest(items=items))
    while len(embedder.fake.requests) == asked:
        time.sleep(0.01)
    return call


def test_a_damaged_item_ends_no_listing(recommender, tmp_path):
    """Pages go on beyond a damaged row, which is left out; asked for by name it is DATA_LOSS (R-4)."""
    recommender.upsert(*(item(f"item-{n}", f"knit {n}") for n in range(5)))
    with sqlite3.connect(tmp_path / "catalogue" / "catalogue.db") as connection:
        connection.execute("UPDATE items SET released_at = 1 WHERE item_id = 'item-2'")
    connection.close()

    seen, token = [], ""
    while True:
        page = recommender.list(page_size=2, page_token=token)
        seen.append([each.item_id for each in page.items])
        token = page.next_page_token
        if not token:
            break

    assert seen == [["item-0", "item-1"], ["item-3", "item-4"]]
    with pytest.raises(errors.DataLoss, match="item-2"):
        recommender.get("item-2")


def test_a_product_of_several_items_comes_back(recommender):
    """product_id is kept as it was given, and a change of it takes a revision (R-10)."""
    recommender.upsert(item("a", "knit", product_id="look-1"), item("b", "skirt"))
    before = recommender.get("a").item
    recommender.upsert(item("a", "knit", product_id="look-2"))

    after = recommender.get("a").item
    assert (before.product_id, after.product_id) == ("look-1", "look-2")
    assert after.revision > before.revision
    assert recommender.get("b").item.product_id == ""
    with pytest.raises(errors.InvalidArgument, match="product_id"):
        recommender.upsert(item("a", "knit", product_id="../x"))

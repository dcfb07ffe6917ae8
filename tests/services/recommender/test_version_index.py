"""A collection that follows item vectors: the version in production is what it serves (I-6, S-3)."""

import threading

import numpy as np
import pytest
from atelier.recommender.v1 import recommender_pb2, resources_pb2
from atelier.types.v1 import types_pb2

from model_store.item_vectors import RECORDS_FILE
from services.messages.contents import read_record, write_record
from services.runtime import errors
from tests.services.recommender.conftest import until
from tests.services.recommender.world import call, example, ids, item, vector_of
from vector_index.building import Stopped

pytestmark = pytest.mark.slow  # servers with models and catalogs

ROWS = {
    "shaft-1": ("steel long thin", {"kind": "shaft", "length": 120.0, "alloys": ["steel"]}),
    "shaft-2": ("steel long thick", {"kind": "shaft", "length": 125.0}),
    "cover": ("abs flat", {"kind": "cover", "length": 80.0}),
}
MORE = {**ROWS, "cover-2": ("abs flat white", {"kind": "cover", "length": 81.0})}
MANY = {f"part-{n}": (f"part {n}", {}) for n in range(1_100)}  # enough for a segment
ONLY = {"collections": {"items": ("items",)}}


@pytest.fixture
def version(shelf):
    return shelf.items(ROWS)


@pytest.fixture
def parts(version, serve):
    made = serve(wait=False, **ONLY)
    until(lambda: made.status("items").live_count)
    return made


def nearest(recommender, item_id="shaft-1", **fields):
    asked = resources_pb2.ItemIds(item_ids=[item_id])
    return recommender.recommend(collection="items", items=asked, **fields)


def follows(recommender, version):
    return lambda: nearest(recommender).models[0].digest == version.digest


def shown(row):
    return {"weight": 1.0, **ROWS[row][1]}


def test_items_like_this_one_are_answered(parts, version, embedder):
    """By identifier and by vector, with the version's records; no embedder is asked or prepared (I-6)."""
    reply = nearest(parts)
    wanted = types_pb2.SpaceVector(space_id=version.space_id, values=vector_of(["abs", "flat"], "items"))
    by_vector = parts.recommend(collection="items", vector=wanted)

    assert ids(reply) == ["shaft-2", "cover"]
    assert read_record(reply.recommendations[0].item.attributes) == shown("shaft-2")
    assert reply.recommendations[0].similarity == pytest.approx(
        float(vector_of(["steel", "long", "thin"], "items") @ vector_of(["steel", "long", "thick"], "items")),
        abs=1e-5,
    )
    assert ids(by_vector)[0] == "cover"
    assert by_vector.recommendations[0].similarity == pytest.approx(1, abs=1e-5)
    assert [(m.name, m.version, m.digest) for m in reply.models] == [("items", 1, version.digest)]
    assert (reply.space_id, reply.generation, reply.catalogue_revision) == (version.space_id, 1, 1)
    assert (embedder.fake.requests, embedder.fake.preparations) == ([], [])


def test_filters_and_batches_are_answered(parts):
    """Filters read the records' attributes and weight; a batch answers each request (I-6, R-5)."""
    words = resources_pb2.ItemFilter(any_of=write_record({"kind": ["cover"]}))
    assert ids(nearest(parts, filter=words)) == ["cover"]

    requests = [
        recommender_pb2.RecommendRequest(items=resources_pb2.ItemIds(item_ids=[name])) for name in ROWS
    ]
    batch = recommender_pb2.BatchRecommendRequest(collection="items", requests=requests)
    results = call(parts.stubs.recommender.BatchRecommend, batch).results

    assert [len(result.answer.recommendations) for result in results] == [2, 2, 2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [({"image": b"steel"}, "NO_PICTURES"), ({"attributes": {"kind": "shaft"}}, "NO_ATTRIBUTES")],
)
def test_what_needs_an_encoder_is_refused(parts, embedder, content, reason):
    """Pictures and attribute records fail, naming the model, without a call of the embedder."""
    if "attributes" in content:
        content = {"attributes": write_record(content["attributes"])}
    with pytest.raises(errors.FailedPrecondition, match="follows items, which") as caught:
        parts.recommend(collection="items", **content)

    assert caught.value.reason == reason
    liked = parts.recommend(
        collection="items",
        items=resources_pb2.ItemIds(item_ids=["cover"]),
        positive_examples=[example("steel")],
    )
    assert [error.index for error in liked.errors] == [0]
    assert ids(liked) == ["shaft-1", "shaft-2"] or ids(liked) == ["shaft-2", "shaft-1"]
    assert embedder.fake.requests == []


def test_no_call_writes_the_items(parts):
    """Upserts and deletions are FAILED_PRECONDITION, naming the version; nothing changes."""
    for write in (
        lambda: parts.upsert(item("new", "steel"), collection="items"),
        lambda: parts.delete("cover", collection="items"),
    ):
        with pytest.raises(errors.FailedPrecondition, match="items are those of items/1") as caught:
            write()
        assert caught.value.reason == "READ_ONLY"

    assert parts.status("items").live_count == 3


def test_items_are_read_from_the_version(parts, version):
    """GetItem and ListItems show the version's items in the order of their identifiers."""
    got = parts.get("shaft-1", collection="items").item
    first = parts.list(collection="items", page_size=2)
    rest = parts.list(collection="items", page_size=2, page_token=first.next_page_token)

    assert read_record(got.attributes) == shown("shaft-1")
    assert (got.revision, got.in_stock, got.picture_digest) == (0, True, "")
    assert got.released_at.ToDatetime().year == 2026
    assert [one.item_id for one in (*first.items, *rest.items)] == ["cover", "shaft-1", "shaft-2"]
    assert (first.total_count, rest.next_page_token) == (3, "")
    with pytest.raises(errors.NotFound, match="no item gone"):
        parts.get("gone", collection="items")


def test_the_vector_of_an_item_is_the_versions(parts, version):
    """GetItem returns the published vector in the version's space."""
    vector = parts.get("shaft-1", collection="items", include_vector=True).vector

    assert vector.space_id == version.space_id
    assert np.array_equal(np.float32(vector.values), vector_of(["steel", "long", "thin"], "items"))


def test_status_and_models_name_the_version(parts, version):
    """GetStatus, ListModels and Rebuild speak of the version's rows (I-6)."""
    status = parts.status("items")

    assert (status.space_id, status.dimension, status.live_count) == (version.space_id, 64, 3)
    assert (status.generation, status.catalogue_revision, status.detail) == (1, 1, "")
    assert [(m.identity.name, m.identity.version) for m in parts.models()] == [("items", 1)]
    assert parts.rebuild("items").live_count == 3
    assert ids(nearest(parts)) == ["shaft-2", "cover"]


def test_a_rollback_is_a_load(parts, shelf, tmp_path):
    """Versions of one space replace each other; the segments of each stay, and revisions only grow (S-3)."""
    version = shelf.items({**ROWS, **MANY})
    until(follows(parts, version))
    second = shelf.items({**MORE, **MANY})
    assert second.space_id == version.space_id
    until(follows(parts, second))
    moved = nearest(parts, "cover")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "catalogue/index/items").rglob("*.hnsw")}
    shelf.store.aliases.rollback("items", "production")
    until(follows(parts, version))
    back = nearest(parts)

    assert ids(moved)[0] == "cover-2"
    assert (moved.generation, moved.catalogue_revision) == (3, 3)
    assert (back.generation, back.catalogue_revision) == (4, 4)
    assert "cover-2" not in ids(back)
    assert parts.status("items").live_count == 1_103
    assert back.manifest_digest
    assert len(files) == 2
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert {path.parent.name for path in files} == {version.digest[:16], second.digest[:16]}


def test_no_call_fails_while_versions_change(parts, version, shelf):
    """Promotion and rollback under calls: every call is answered, from one version each (S-3)."""
    stop, failures, answers = threading.Event(), [], []

    def ask():
        while not stop.is_set():
            try:
                reply = nearest(parts, "cover")
                answers.append((reply.models[0].version, "cover-2" in ids(reply)))
                parts.list(collection="items")
            except errors.ServiceError as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    second = shelf.items(MORE)
    until(follows(parts, second))
    shelf.store.aliases.rollback("items", "production")
    until(follows(parts, version))
    stop.set()
    for thread in threads:
        thread.join()

    assert failures == []
    assert set(answers) == {(1, False), (2, True)}


def test_a_restart_serves_without_the_embedder(parts, serve, embedder, shelf):
    """The last version answers after a restart, in the same generation and from the same files (S-8)."""
    version = shelf.items({**ROWS, **MANY})
    until(follows(parts, version))
    parts.rebuild("items")
    digest = nearest(parts).manifest_digest
    parts.close()
    embedder.stop()
    again = serve(wait=False, **ONLY)

    reply = nearest(again)
    embedder.start()

    assert digest
    assert (reply.generation, reply.catalogue_revision, reply.manifest_digest) == (2, 2, digest)
    assert reply.models[0].digest == version.digest


def test_the_service_ends_while_an_index_is_built(shelf, serve, monkeypatch):
    """A graph that takes long is abandoned; the process does not wait for it (S-8)."""
    begun, stops = threading.Event(), []

    def build(rows, folder, settings, stopped):
        begun.set()
        stops.append(stopped.wait(20))
        raise Stopped

    monkeypatch.setattr("vector_index.files.build_graph", build)
    shelf.items(MANY)
    parts = serve(wait=False, **ONLY)
    assert begun.wait(20)

    parts.close()

    assert stops == [True]


def test_a_damaged_version_is_refused(parts, version, shelf):
    """A version whose files changed is not taken up; the status names the file (M-4)."""
    second = shelf.items(MORE, promote=False)
    path = second.path(RECORDS_FILE)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"cover", b"covfr"))
    shelf.promote(second)

    until(lambda: "records.jsonl is not what was published" in parts.status("items").detail)
    assert nearest(parts).models[0].version == 1


def test_a_record_that_is_no_attribute_record_is_refused(parts, shelf):
    """The refusal names version and item; the version before serves on."""
    shelf.items({"odd": ("abs", {"nested": {"a": 1}})})

    until(lambda: "items/2: the record of odd: field 'nested'" in parts.status("items").detail)
    assert nearest(parts).models[0].version == 1


def test_a_collection_with_items_of_its_own_does_not_move(models, shelf, serve):
    """Items that calls wrote are not hidden: the move is refused until they are deleted."""
    recommender = serve(collections={"fashion": ("items", "fashion-attributes", "fashion-image")})
    recommender.upsert(item("a", "knit red"))
    version = shelf.items(ROWS)

    until(lambda: "fashion holds 1 items of its own" in recommender.status().detail)
    assert ids(recommender.recommend(image=b"knit")) == ["a"]
    recommender.delete("a")
    until(lambda: recommender.status().space_id == version.space_id, 15)
    assert recommender.list().total_count == 3

import asyncio
import json
import shutil
import threading

import numpy as np
import pytest

from services.recommender.catalog.items import ItemEntry, SourceVector
from services.recommender.catalog.log import Change
from services.recommender.catalog.store import Catalog
from services.recommender.catalog.writes import Destination
from services.recommender.space_index import SpaceIndex, forget_indexes
from vector_index.protocol import Filter

pytestmark = pytest.mark.slow  # servers with models and catalogs

SPACE = "a" * 64


@pytest.fixture
def catalog(tmp_path):
    made = Catalog(tmp_path / "catalogue")
    yield made
    made.close()


@pytest.fixture
def open_index(catalog, tmp_path):
    opened = []

    def _open():
        index = SpaceIndex(catalog, tmp_path / "index", collection="fashion", space_id=SPACE, dimension=8)
        opened.append(index)
        index.open()
        return index

    yield _open
    for index in opened:
        index.close()


def fill(catalog, count, start=0, in_stock=True):
    rows = np.random.default_rng(start + 1).normal(size=(count, 8)).astype(np.float32)
    entries, vectors = [], []
    for number, row in enumerate(rows, start=start):
        entries.append(
            ItemEntry(
                item_id=f"i{number}",
                attributes={},
                released_us=1,
                in_stock=in_stock,
                picture_digest="",
                source=f"v:{number}",
            )
        )
        vectors.append(SourceVector(source=f"v:{number}", space_id=SPACE, vector_D=row))
    change = catalog.upsert("fashion", entries, new_vectors=vectors, pictures={})
    return change, {one.source: one.vector_D for one in vectors}


def files(tmp_path):
    return sorted((tmp_path / "index" / "fashion" / SPACE[:16]).glob("*"))


def test_an_index_follows_the_catalog(catalog, open_index):
    """Additions and removals are seen at the revision of the write, in rows and catalog alike."""
    index = open_index()
    change, vectors = fill(catalog, 10)
    index.apply(change, vectors)
    index.apply(change, vectors)  # once more does no harm

    assert states(index) == (10, 10, 10, 10)
    index.apply(catalog.delete("fashion", ["i3"]), {})
    assert states(index) == (9, 9, 11, 11)
    assert index.view().attached.label_of("i3") is None


def states(index):
    """Rows and items, revision of the rows and of the catalog."""
    view = index.view()
    return view.counts.live, len(view.attached), view.revision, view.attached.revision


def test_an_edit_keeps_the_row(catalog, open_index):
    """A change of stock swaps the catalog alone (R-4)."""
    index = open_index()
    index.apply(*fill(catalog, 3))
    before = index.view()
    index.apply(*fill(catalog, 3, in_stock=False))

    after = index.view()

    assert after.delta is before.delta
    assert (after.revision, after.attached.allowed(Filter(in_stock=True)).count) == (6, 0)
    assert before.attached.allowed(Filter(in_stock=True)).count == 3


def test_a_write_that_was_missed_is_taken_from_the_log(catalog, open_index):
    """A gap between the view and a write is folded first; the order of labels stays right."""
    index = open_index()
    fill(catalog, 3)
    change, vectors = fill(catalog, 2, start=10)

    index.apply(change, vectors)

    assert states(index) == (5, 5, 5, 5)


def test_vectors_that_the_writer_does_not_have_are_read(catalog, open_index):
    """An entry whose content has a vector in the catalog already needs none from the caller."""
    index = open_index()
    change, _ = fill(catalog, 2)

    index.apply(change, {})

    assert states(index) == (2, 2, 2, 2)


def test_a_log_that_was_cut_gives_the_whole_state(catalog, open_index):
    """Where the log no longer reaches back, the view follows a snapshot in one step."""
    index = open_index()
    index.apply(*fill(catalog, 5))
    catalog.delete("fashion", ["i1"])
    catalog.delete("fashion", ["i2"])
    fill(catalog, 2, start=20)
    catalog.prune_log(older_than_s=-10)

    assert index.reconcile() == []

    assert states(index) == (5, 5, 9, 9)
    assert index.view().attached.label_of("i1") is None


def test_a_flip_counts_generations(catalog, open_index):
    """The generation of the view is the number of flips at its revision."""
    index = open_index()
    index.apply(*fill(catalog, 1))
    to = Destination(space_id=SPACE, lead_name="lead", lead_version=1, lead_digest="d" * 64)
    entry = catalog.flip("fashion", to)

    index.apply(Change(revision=entry.revision, entries=(entry,)), {})

    assert (index.view().revision, index.view().attached.generation) == (2, 1)


def test_a_call_waits_for_a_revision(catalog, open_index):
    """It goes on when another thread has folded it, and not before."""
    index = open_index()
    change, vectors = fill(catalog, 1)

    async def ask():
        await index.reached(0)
        waiting = asyncio.ensure_future(index.reached(1))
        await asyncio.sleep(0)
        assert not waiting.done()
        thread = threading.Thread(target=lambda: index.apply(change, vectors))
        thread.start()
        await asyncio.wait_for(waiting, 10)
        thread.join()

    asyncio.run(ask())
    assert not len(index._waiters)


@pytest.mark.parametrize("written", ["before the start", "after the start"])
def test_a_backup_beside_newer_files_finds_its_own_items(tmp_path, written):
    """Labels that the restored catalog gives to other contents are not those of the files (600 of 600)."""
    catalog = Catalog(tmp_path / "catalogue")
    fill(catalog, 600)
    catalog.checkpoint()
    catalog.close()
    shutil.copytree(tmp_path / "catalogue", tmp_path / "backup")
    later = Catalog(tmp_path / "catalogue")
    index = opened(later, tmp_path)
    index.apply(*fill(later, 600, start=5_000))
    index._index.settle()
    index.close()
    later.close()
    shutil.rmtree(tmp_path / "catalogue")
    (tmp_path / "backup").rename(tmp_path / "catalogue")

    restored = Catalog(tmp_path / "catalogue")
    fill(restored, 600, in_stock=False)  # the revision is that of the files again
    if written == "before the start":
        _, vectors = fill(restored, 600, start=9_000)
        index = opened(restored, tmp_path)
    else:
        index = opened(restored, tmp_path)
        change, vectors = fill(restored, 600, start=9_000)
        index.apply(change, vectors)

    assert index.view().counts.live == 1_200
    for number in (9_000, 9_599):
        (label,) = index.view().search(vectors[f"v:{number}"], 1).labels.tolist()
        assert label == index.view().attached.label_of(f"i{number}")
    index.close()
    restored.close()


def opened(catalog, tmp_path):
    index = SpaceIndex(catalog, tmp_path / "index", collection="fashion", space_id=SPACE, dimension=8)
    index.open()
    return index


def test_kept_segments_are_loaded_and_the_rest_is_taken_from_the_catalog(catalog, open_index, tmp_path):
    """After a restart the index is whole: files, later rows, later deletions."""
    change, found = fill(catalog, 1500)
    first = open_index()
    first._index.settle()
    first.close()
    assert len(files(tmp_path)) == 3
    fill(catalog, 5, start=2000)
    catalog.delete("fashion", ["i7", "i8"])

    second = open_index()

    counts = second.view().counts
    assert (counts.live, counts.segment, counts.delta, counts.dead) == (1503, 1500, 5, 2)
    assert second.view().revision == catalog.state("fashion").revision == 1507
    assert change.revision == 1500
    assert found


@pytest.mark.parametrize("damage", ["flip", "lose", "other"])
def test_damaged_files_are_made_again(catalog, open_index, tmp_path, damage):
    """A flipped bit, a lost file or one of another build costs time and no answer (S-10)."""
    fill(catalog, 1500)
    first = open_index()
    first._index.settle()
    first.close()
    _, graph, manifest = files(tmp_path)
    if damage == "flip":
        data = bytearray(graph.read_bytes())
        data[1000] ^= 1
        graph.write_bytes(data)
    elif damage == "lose":
        graph.unlink()
    else:
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema_version": 99}))

    second = open_index()
    second._index.settle()

    assert second.view().counts.live == 1500
    second.close()
    assert len(files(tmp_path)) == 3


def test_contents_without_a_readable_vector_are_named(catalog, open_index):
    """Reconciling tells which contents cannot be found by this index."""
    fill(catalog, 3)
    catalog.drop_vectors(["v:1"], SPACE)
    index = open_index()

    assert index.reconcile() == ["v:1"]
    assert index.view().counts.live == 2


def test_rebuilding_swaps_in_what_the_catalog_has(catalog, open_index):
    """A rebuilt index holds every live row in one segment."""
    fill(catalog, 1500)
    index = open_index()
    catalog.delete("fashion", ["i0"])

    assert index.rebuild() == 1499
    counts = index.view().counts
    assert (counts.segment, counts.delta, counts.dead) == (1499, 0, 0)


def test_files_of_earlier_spaces_are_forgotten(tmp_path):
    """Only the directories of the spaces that are named stay."""
    for name in ("a" * 16, "b" * 16, "c" * 16):
        (tmp_path / "fashion" / name).mkdir(parents=True)

    forget_indexes(tmp_path, "fashion", ["a" * 64, "c" * 64])
    forget_indexes(tmp_path, "absent", [])

    assert sorted(path.name for path in (tmp_path / "fashion").iterdir()) == ["a" * 16, "c" * 16]

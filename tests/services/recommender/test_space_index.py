import json

import numpy as np
import pytest

from services.recommender.catalog.items import ItemEntry, SourceVector
from services.recommender.catalog.store import Catalog
from services.recommender.space_index import SpaceIndex, forget_indexes
from tests.vector_index.drawing import settle

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


def fill(catalog, count, start=0):
    rows = np.random.default_rng(start + 1).normal(size=(count, 8)).astype(np.float32)
    entries, vectors = [], []
    for number, row in enumerate(rows, start=start):
        entries.append(
            ItemEntry(
                item_id=f"i{number}",
                attributes={},
                released_us=1,
                in_stock=True,
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
    """Additions and removals are seen at the revision of the write."""
    index = open_index()
    change, found = fill(catalog, 10)
    index.apply(change, found)
    index.apply(change, found)  # once more does no harm

    assert (index.view().counts.live, index.view().revision) == (10, 10)
    index.apply(catalog.delete("fashion", ["i3"]), {})
    assert (index.view().counts.live, index.view().revision) == (9, 11)


def test_kept_segments_are_loaded_and_the_rest_is_taken_from_the_catalog(catalog, open_index, tmp_path):
    """After a restart the index is whole: files, later rows, later deletions."""
    change, found = fill(catalog, 1500)
    first = open_index()
    settle(first._index)
    first.close()
    assert len(files(tmp_path)) == 2
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
    settle(first._index)
    first.close()
    graph, sidecar = files(tmp_path)
    if damage == "flip":
        data = bytearray(graph.read_bytes())
        data[1000] ^= 1
        graph.write_bytes(data)
    elif damage == "lose":
        graph.unlink()
    else:
        sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"schema_version": 99}))

    second = open_index()
    settle(second._index)

    assert second.view().counts.live == 1500
    second.close()
    assert len(files(tmp_path)) == 2


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

"""Items, revisions, vectors and conditions."""

import hashlib

import numpy as np
import pytest

from services.recommender.catalog.items import CollectionState, ItemEntry, SourceVector
from services.recommender.catalog.log import joined
from services.recommender.catalog.writes import Destination, NeedsSpace, Write
from services.recommender.errors import DamagedCatalog, LacksVector
from tests.services.recommender.catalog.conftest import SPACE, reopened, tamper, write


def test_labels_follow_content_and_revisions_follow_everything(catalog):
    """A changed word takes a revision, a changed picture a new label as well; nothing is reused."""
    first = write(catalog, "a")
    words = write(catalog, "a", attributes={"style": ["retro"]})
    picture = write(catalog, "a", "skirt")
    gone = catalog.delete("fashion", ["a"])
    back = write(catalog, "a")

    assert list(first.added) == [1]
    assert (words.revisions, words.added, words.removed) == ({"a": 2}, {}, ())
    assert (picture.revisions, list(picture.added), picture.removed) == ({"a": 3}, [2], (1,))
    assert (gone.revision, gone.removed) == (4, (2,))
    assert (back.revisions, list(back.added)) == ({"a": 5}, [3])


def test_each_collection_counts_for_itself(catalog):
    """Revisions and labels of one collection do not move with writes to another (R-3)."""
    write(catalog, "a")
    write(catalog, "b", "skirt")
    other = write(catalog, "a", collection="items")

    assert (other.revision, list(other.added)) == (1, [1])
    assert catalog.state("fashion").revision == 2
    assert write(catalog, "a").revisions == {"a": 1}


def test_several_writes_are_committed_together(catalog):
    """Each write has its own result, and sees those before it (R-4)."""
    space = np.arange(1, 5, dtype=np.float32)
    entries = [bare("a"), bare("b")]
    given = [SourceVector(source=entry.source, space_id=SPACE, vector_D=space) for entry in entries]

    first, gone, again = catalog.commit(
        [
            Write(collection="fashion", entries=entries, vectors=given),
            Write(collection="fashion", deleted=["a", "absent"]),
            Write(collection="fashion", entries=[bare("a")], vectors=given[:1]),
        ]
    )

    assert first.revisions == {"a": 1, "b": 2}
    assert (gone.revision, gone.removed) == (3, (1,))
    assert again.added == {3: "v:a"}
    merged = joined([first, gone, again])
    assert (merged.revision, merged.added, merged.removed) == (4, {2: "v:b", 3: "v:a"}, ())
    assert [entry.revision for entry in merged.entries] == [1, 2, 3, 4]


def test_a_write_without_the_vectors_of_its_collection_is_left_out(catalog):
    """Which space an item needs is read in the transaction; the other writes go through (S-2)."""
    write(catalog, "a")
    assert catalog.flip("fashion", destination()).revision == 2
    vector = SourceVector(source="v:b", space_id="b" * 64, vector_D=np.ones(4, np.float32))

    lacks, written = catalog.commit(
        [
            Write(collection="fashion", entries=[bare("b")], vectors=[vector]),
            Write(collection="other", entries=[bare("b")], vectors=[vector]),
        ]
    )

    assert lacks == NeedsSpace(space_id=SPACE)
    assert written.revisions == {"b": 1}
    assert list(catalog.find("fashion", ["a", "b"])) == ["a"]
    with pytest.raises(LacksVector, match="no vector in the space aaaa"):
        catalog.upsert("fashion", [bare("b")], new_vectors=[vector], pictures={})


def bare(item_id):
    return ItemEntry(
        item_id=item_id,
        attributes={},
        released_us=1,
        in_stock=True,
        picture_digest="",
        source=f"v:{item_id}",
    )


def destination(space_id=SPACE, version=1):
    return Destination(space_id=space_id, lead_name="lead", lead_version=version, lead_digest="d" * 64)


def test_a_collection_flips_once_every_item_has_a_vector(catalog):
    """A flip takes a revision and a generation; while an item lacks a vector it is refused (S-2, S-3)."""
    write(catalog, "a")
    write(catalog, "b", "skirt")
    first = catalog.flip("fashion", destination())
    (missing, _) = catalog.flip("fashion", destination("b" * 64, 2))

    assert (first.revision, first.flip.generation) == (3, 1)
    assert missing.item_id == "a"
    assert catalog.state("fashion").space_id == SPACE
    assert catalog.flip("fashion", destination()) == first
    for source in catalog.contents("fashion").sources:
        catalog.add_vectors([SourceVector(source=source, space_id="b" * 64, vector_D=np.ones(4, np.float32))])
    second = catalog.flip("fashion", destination("b" * 64, 2))
    assert (second.revision, second.flip.generation) == (4, 2)
    assert catalog.state("fashion") == CollectionState(
        revision=4,
        last_label=2,
        generation=2,
        space_id="b" * 64,
        lead_name="lead",
        lead_version=2,
        lead_digest="d" * 64,
    )
    assert [space for space, _ in catalog.left_spaces("fashion")] == [SPACE]


def test_a_left_space_is_forgotten(catalog):
    """Its vectors go, those of the present space and of other collections in it stay."""
    for collection in ("fashion", "other"):
        write(catalog, "a", collection=collection)
    write(catalog, "b", "skirt")
    sources = catalog.contents("fashion").sources
    catalog.add_vectors(
        [SourceVector(source=each, space_id="b" * 64, vector_D=np.ones(4, np.float32)) for each in sources]
    )
    catalog.flip("fashion", destination())
    catalog.flip("other", destination())
    catalog.flip("fashion", destination("b" * 64, 2))

    assert catalog.forget_space("fashion", SPACE) == 1
    assert catalog.forget_space("fashion", SPACE) == 0

    assert catalog.vectors_of(sources, SPACE).keys() == {sources[0]}
    assert catalog.vectors_of(sources, "b" * 64).keys() == set(sources)


def test_missing_vectors_are_paged_by_label(catalog):
    """Pictures and bare vectors apart, each page after the label of the one before."""
    for number in range(5):
        write(catalog, f"i{number}", f"knit {number}")
    catalog.commit([Write(collection="fashion", entries=[bare("v")])])

    first = catalog.missing("fashion", "b" * 64, 3)
    rest = catalog.missing("fashion", "b" * 64, 3, after=first[-1].label)

    assert [each.item_id for each in first + rest] == ["i0", "i1", "i2", "i3", "i4"]
    assert [each.item_id for each in catalog.missing("fashion", "b" * 64, 3, bare=True)] == ["v"]
    assert catalog.missing_count("fashion", "b" * 64, pictures=True) == 5
    assert catalog.missing_count("fashion", SPACE, pictures=False) == 1


def test_revisions_go_on_after_a_restart(catalog, open_catalog):
    """A deletion of the last item is remembered: its revision is not given again."""
    write(catalog, "a")
    catalog.delete("fashion", ["a"])

    again = reopened(catalog, open_catalog)

    assert write(again, "a").revisions == {"a": 3}


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE items SET attributes = \'{"style": "resort"}\'',
        "UPDATE items SET in_stock = 0",
        "UPDATE items SET released_at = released_at + 1",
        "UPDATE items SET revision = 7",
        "UPDATE items SET checksum = 'x'",
    ],
)
def test_a_damaged_row_is_found_when_it_is_read(catalog, tmp_path, statement):
    """A changed column is an error that names the item; listings and snapshots leave it out; writing it anew
    mends it."""
    write(catalog, "a", attributes={"style": "retro"})
    write(catalog, "b", "skirt")
    tamper(tmp_path, f"{statement} WHERE item_id = 'a'")

    with pytest.raises(DamagedCatalog, match="item a is not what was written"):
        catalog.find("fashion", ["a"])
    assert [item.item_id for item in catalog.page("fashion", "", 10)[0]] == ["b"]
    assert [item.item_id for item in catalog.snapshot("fashion").items] == ["b"]
    assert [entry.item for entry in catalog.changes("fashion", 0, 10) if entry.item_id == "a"] == [None]
    assert catalog.damaged_count == 1
    write(catalog, "a", attributes={"style": "retro"})
    assert catalog.find("fashion", ["a"])["a"].attributes == {"style": "retro"}


@pytest.mark.parametrize("column", ["item_id", "source", "attributes", "checksum", "product_id"])
@pytest.mark.parametrize("value", ["CAST(x'ff41' AS TEXT)", "x'00'", "7.5"])
def test_a_row_of_wrong_types_never_ends_a_listing(catalog, open_catalog, tmp_path, column, value):
    """Text that is not UTF-8 and values of other types are damage of their row alone, also at a start."""
    for name in ("a", "b", "c"):
        write(catalog, name, f"knit {name}")
    tamper(tmp_path, f"UPDATE items SET {column} = {value} WHERE item_id = 'b'")

    again = reopened(catalog, open_catalog)

    assert [item.item_id for item in again.page("fashion", "", 10)[0]] == ["a", "c"]
    assert [item.item_id for item in again.page("fashion", "", 2)[0]] == ["a", "c"]
    assert [item.item_id for item in again.page("fashion", "a", 1)[0]] == ["c"]
    assert [item.item_id for item in again.snapshot("fashion").items] == ["a", "c"]
    assert len(again.contents("fashion").labels) == 3


def test_a_damaged_vector_counts_as_none_and_is_made_again(catalog, tmp_path):
    """A vector whose checksum differs is never used; the next write of its content replaces it."""
    source = f"p:{hashlib.sha256(b'knit').hexdigest()}"
    write(catalog, "a")
    tamper(tmp_path, "UPDATE vectors SET vector = zeroblob(16)")
    assert catalog.vectors_of([source], SPACE) == {}

    write(catalog, "b")

    assert catalog.vectors_of([source], SPACE)[source].tolist() == [1, 2, 3, 4]


def test_vectors_are_never_overwritten(catalog):
    """A second vector of the same content and space leaves the first."""
    write(catalog, "a")
    source = f"p:{hashlib.sha256(b'knit').hexdigest()}"
    other = SourceVector(source=source, space_id=SPACE, vector_D=np.ones(4, np.float32))

    catalog.add_vectors([other])

    assert catalog.vectors_of([source], SPACE)[source].tolist() == [1, 2, 3, 4]


def test_vectors_of_contents_that_are_gone_are_not_kept(catalog):
    """A vector that arrives after its item was deleted is dropped."""
    write(catalog, "a")
    source = f"p:{hashlib.sha256(b'knit').hexdigest()}"
    catalog.delete("fashion", ["a"])

    catalog.add_vectors([SourceVector(source=source, space_id="b" * 64, vector_D=np.ones(4, np.float32))])

    assert catalog.vectors_of([source], "b" * 64) == {}
    assert catalog.vectors_of([source], SPACE) == {}

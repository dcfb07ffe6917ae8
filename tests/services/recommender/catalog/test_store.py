"""Items, revisions, vectors and conditions."""

import hashlib
import time

import numpy as np
import pytest

from services.recommender.catalog.items import ItemConditions, ItemEntry, SourceVector
from services.recommender.errors import DamagedCatalog
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
    assert (list(picture.added), picture.removed) == ([3], (1,))
    assert (gone.revision, gone.removed) == (4, (3,))
    assert list(back.added) == [5]


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
    """A changed column is told, naming the item; in a search it is left out; writing it anew mends it."""
    write(catalog, "a", attributes={"style": "retro"})
    write(catalog, "b", "skirt")
    tamper(tmp_path, f"{statement} WHERE item_id = 'a'")

    with pytest.raises(DamagedCatalog, match="item a is not what was written"):
        catalog.find("fashion", ["a"])
    with pytest.raises(DamagedCatalog, match="item a"):
        catalog.page("fashion", "", 10)
    assert [one.item_id for one in catalog.by_labels("fashion", np.array([1, 2])).values()] == ["b"]
    write(catalog, "a", attributes={"style": "retro"})
    assert catalog.find("fashion", ["a"])["a"].attributes == {"style": "retro"}


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


def test_conditions_are_joined(catalog):
    """Words of one field are alternatives, fields and other conditions must all hold (R-3)."""
    write(catalog, "a", "1", attributes={"style": ["retro", "resort"], "category": "knit"})
    write(catalog, "b", "2", attributes={"style": ["retro"]}, in_stock=False, released_us=10)
    write(catalog, "c", "3", attributes={"category": "knit"}, collection="other")

    def matching(**conditions):
        return catalog.matching("fashion", ItemConditions(**conditions)).tolist()

    assert matching(words={"style": ("retro", "none")}) == [1, 2]
    assert matching(words={"style": ("retro",), "category": ("knit",)}) == [1]
    assert matching(words={"style": ("retro",)}, in_stock=False) == [2]
    assert matching(released_from_us=11) == [1]
    assert matching(released_from_us=10, in_stock=False) == [2]
    assert matching(words={"'; DROP TABLE items; --": ("x",)}) == []


def test_words_of_a_changed_or_deleted_item_are_gone(catalog):
    """A filter finds an item by its present words only."""
    write(catalog, "a", attributes={"style": ["retro"]})
    write(catalog, "a", attributes={"style": ["resort"]})
    assert catalog.matching("fashion", ItemConditions(words={"style": ("retro",)})).tolist() == []
    catalog.delete("fashion", ["a"])
    with catalog._database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM terms").scalar() == 0


@pytest.mark.slow
@pytest.mark.timed
def test_speed_of_filters_at_scale(catalog):
    """A filter over 20,000 items takes well below a second."""
    entries, vectors = [], []
    for number in range(20_000):
        entries.append(
            ItemEntry(
                item_id=f"i{number}",
                attributes={"style": ["retro" if number % 10 else "resort"]},
                released_us=number,
                in_stock=True,
                picture_digest="",
                source=f"v:{number}",
            )
        )
    for start in range(0, 20_000, 2000):
        catalog.upsert("fashion", entries[start : start + 2000], new_vectors=vectors, pictures={})

    started = time.perf_counter()
    found = catalog.matching("fashion", ItemConditions(words={"style": ("resort",)}, in_stock=True))

    assert len(found) == 2000
    assert time.perf_counter() - started < 1

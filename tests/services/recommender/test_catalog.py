import errno
import hashlib
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from services.recommender.catalog import database, schema
from services.recommender.catalog.items import ItemConditions, ItemEntry, SourceVector
from services.recommender.catalog.pictures import Pictures
from services.recommender.catalog.store import Catalog
from services.recommender.errors import CatalogHeld, DamagedCatalog, DiskFull, NewerSchema

SPACE = "a" * 64


@pytest.fixture
def open_catalog(tmp_path):
    opened = []

    def _open():
        opened.append(Catalog(tmp_path / "catalogue"))
        return opened[-1]

    yield _open
    for one in opened:
        one.close()


@pytest.fixture
def catalog(open_catalog):
    return open_catalog()


def reopened(catalog, open_catalog):
    catalog.close()
    catalog._database.close = lambda: None
    return open_catalog()


def write(catalog, item_id, picture="knit", collection="fashion", **fields):
    data = picture.encode()
    digest = hashlib.sha256(data).hexdigest()
    entry = ItemEntry(
        **{
            "item_id": item_id,
            "attributes": {},
            "released_us": None,
            "in_stock": True,
            "picture_digest": digest,
            "source": f"p:{digest}",
        }
        | fields
    )
    vector = SourceVector(source=entry.source, space_id=SPACE, vector_D=np.arange(1, 5, dtype=np.float32))
    return catalog.upsert(collection, [entry], new_vectors=[vector], pictures={digest: data})


def tamper(tmp_path, statement):
    with sqlite3.connect(tmp_path / "catalogue" / database.FILE) as connection:
        connection.execute(statement)
    connection.close()


def test_migrations_make_the_tables_that_the_code_uses(catalog, tmp_path):
    """After every migration the schema is that of the table definitions, to the last column."""
    # proves S-10
    engine = create_engine(f"sqlite:///{tmp_path / 'catalogue' / database.FILE}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == "0001"
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_a_newer_schema_is_refused_naming_both(catalog, tmp_path, open_catalog):
    """A catalog of a newer build is not touched; both schemas are named."""  # proves S-10
    catalog.close()
    tamper(tmp_path, "UPDATE alembic_version SET version_num = '0007'")

    with pytest.raises(NewerSchema, match="has schema 0007, this build reads up to 0001"):
        Catalog(tmp_path / "catalogue")
    catalog._database.close = lambda: None


def test_an_older_schema_is_backed_up_before_it_is_migrated(catalog, tmp_path, monkeypatch):
    """Before a migration the file is copied beside, whole."""  # proves S-10
    write(catalog, "a")
    catalog.close()
    catalog._database.close = lambda: None
    monkeypatch.setattr(
        "alembic.script.ScriptDirectory.get_current_head", lambda self, *_: "not the present one"
    )

    Catalog(tmp_path / "catalogue").close()

    backup = tmp_path / "catalogue" / "catalogue.db.schema-0001.backup"
    with sqlite3.connect(backup) as connection:
        assert connection.execute("SELECT item_id FROM items").fetchall() == [("a",)]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_catalog_has_one_holder(catalog, tmp_path):
    """Opening it twice is refused, naming the process that holds it."""
    with pytest.raises(CatalogHeld, match=r"held by process \d+"):
        Catalog(tmp_path / "catalogue")


def test_a_file_that_is_no_database_is_refused(tmp_path):
    """Garbage where the catalog should be is told, not overwritten."""
    root = tmp_path / "catalogue"
    root.mkdir()
    (root / database.FILE).write_bytes(b"garbage" * 1000)

    with pytest.raises(DamagedCatalog, match="is not a catalog"):
        Catalog(root)

    assert (root / database.FILE).read_bytes() == b"garbage" * 1000


@pytest.mark.parametrize("left", [None, b""])
def test_pictures_of_a_lost_catalog_are_not_swept(catalog, open_catalog, tmp_path, left):
    """Where the rows are gone but their pictures are there, the catalog is refused, not begun anew."""
    write(catalog, "a")
    catalog.close()
    catalog._database.close = lambda: None
    for path in (tmp_path / "catalogue").glob(f"{database.FILE}*"):
        path.unlink()
    if left is not None:
        (tmp_path / "catalogue" / database.FILE).write_bytes(left)

    for _ in range(2):
        with pytest.raises(DamagedCatalog, match="missing or empty, but pictures"):
            Catalog(tmp_path / "catalogue")

    assert [path.read_bytes() for path in catalog.pictures._root.glob("*/*")] == [b"knit"]


def test_a_damaged_schema_is_told_as_damage(catalog, tmp_path):
    """Names that are no longer UTF-8 in the schema are DamagedCatalog too, not a decoding error."""
    catalog.close()
    catalog._database.close = lambda: None
    file = tmp_path / "catalogue" / database.FILE
    data = file.read_bytes()
    assert data.count(b"CREATE TABLE items") == 1
    file.write_bytes(data.replace(b"CREATE TABLE items", b"CR\xffATE TABLE items"))

    with pytest.raises(DamagedCatalog):
        Catalog(tmp_path / "catalogue")


def test_damaged_pages_are_told_as_damage(catalog, open_catalog, tmp_path):
    """What SQLite cannot read is DamagedCatalog, without a statement or a path in its text."""
    for number in range(200):
        write(catalog, f"item-{number}", f"knit {number}")
    catalog.close()
    catalog._database.close = lambda: None
    file = tmp_path / "catalogue" / database.FILE
    with sqlite3.connect(file) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'items'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    data = bytearray(file.read_bytes())
    data[(root - 1) * size : root * size] = b"\x55" * size
    file.write_bytes(data)

    again = open_catalog_unswept(tmp_path)
    try:
        with pytest.raises(DamagedCatalog, match="is damaged") as caught:
            again.contents("fashion")
        with pytest.raises(DamagedCatalog, match="is damaged"):
            write(again, "new", "knit new")
    finally:
        again.close()
    assert "SELECT" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def open_catalog_unswept(tmp_path):
    """The catalog, without the look at every row that opening it takes."""
    made = Catalog.__new__(Catalog)
    made.pictures = Pictures(tmp_path / "catalogue" / "pictures")
    made._database = database.Database(tmp_path / "catalogue")
    return made


def test_durability_settings(catalog):
    """The writing connection syncs every commit, keeps foreign keys, and is the only one that checkpoints."""
    with catalog._database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    with catalog._database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA query_only").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar() == 0


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


def test_a_damaged_picture_is_told_and_mended_by_its_return(catalog):
    """A picture whose hash differs is an error; upserting it again writes it anew."""
    write(catalog, "a")
    (path,) = catalog.pictures._root.glob("*/*")
    path.write_bytes(b"other")
    digest = path.name

    with pytest.raises(DamagedCatalog, match="hash differs"):
        catalog.pictures.read(digest)
    write(catalog, "b")
    assert catalog.pictures.read(digest) == b"knit"
    path.unlink()
    with pytest.raises(DamagedCatalog, match="cannot be read"):
        catalog.pictures.read(digest)


def test_what_a_crash_leaves_is_swept_at_the_start(catalog, open_catalog):
    """Pictures without a row and half-written ones go at the next start; the others stay."""
    write(catalog, "a")
    root = catalog.pictures._root
    (root / "ab").mkdir()
    (root / "ab" / ("ab" * 32)).write_bytes(b"orphan")
    (root / "ab" / ".staged-1").write_bytes(b"half")

    again = reopened(catalog, open_catalog)

    assert [path.read_bytes() for path in root.glob("*/*")] == [b"knit"]
    assert again.find("fashion", ["a"])


def test_a_full_disk_refuses_writes_and_keeps_what_is_there(catalog, monkeypatch):
    """No room for a picture: DiskFull, nothing half-written, reads and deletes go on."""
    write(catalog, "a")
    with monkeypatch.context() as patch:
        patch.setattr(
            "model_store.durable.os.fsync",
            lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")),
        )
        with pytest.raises(DiskFull):
            write(catalog, "b", "skirt")

    assert [path.read_bytes() for path in catalog.pictures._root.glob("*/*")] == [b"knit"]
    assert list(catalog.find("fashion", ["a", "b"])) == ["a"]
    assert write(catalog, "b", "skirt").revisions == {"b": 2}


def test_a_full_database_refuses_writes_and_keeps_what_is_there(catalog):
    """No room for a row: DiskFull, the picture is removed again, reads go on, room makes it work."""
    write(catalog, "a")
    with catalog._database.writing() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def fill():
        for number in range(200):
            write(catalog, f"b{number}", f"skirt {number}", attributes={"note": "x" * 4000})

    with pytest.raises(DiskFull):
        fill()

    assert catalog.find("fashion", ["a"])
    with catalog._database.writing() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    write(catalog, "c", "boots")
    total = catalog.page("fashion", "", 1000)[1]
    assert len(list(catalog.pictures._root.glob("*/*"))) == total


def test_readers_see_one_state_while_a_write_is_going_on(catalog):
    """A read transaction is not moved by commits, and no read waits for a write."""
    write(catalog, "a")
    with catalog._database.reading() as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM items").scalar()
        write(catalog, "b", "skirt")
        assert connection.exec_driver_sql("SELECT count(*) FROM items").scalar() == before == 1
    with catalog._database.writing(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(catalog.page, "fashion", "", 10).result(5)[1] == 2


def test_conditions_are_joined(catalog):
    """Words of one field are alternatives, fields and other conditions must all hold."""  # proves R-3
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

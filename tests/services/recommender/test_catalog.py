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
from services.recommender.catalog.items import Entry, ItemConditions, SourceVector
from services.recommender.catalog.pictures import Pictures
from services.recommender.catalog.store import Catalogue
from services.recommender.errors import CatalogueHeld, DamagedCatalogue, DiskFull, NewerSchema

SPACE = "a" * 64


@pytest.fixture
def open_catalogue(tmp_path):
    opened = []

    def _open():
        opened.append(Catalogue(tmp_path / "catalogue"))
        return opened[-1]

    yield _open
    for one in opened:
        one.close()


@pytest.fixture
def catalogue(open_catalogue):
    return open_catalogue()


def reopened(catalogue, open_catalogue):
    catalogue.close()
    catalogue._database.close = lambda: None
    return open_catalogue()


def write(catalogue, item_id, picture="knit", collection="fashion", **fields):
    data = picture.encode()
    digest = hashlib.sha256(data).hexdigest()
    entry = Entry(
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
    return catalogue.upsert(collection, [entry], found=[vector], pictures={digest: data})


def tamper(tmp_path, statement):
    with sqlite3.connect(tmp_path / "catalogue" / database.FILE) as connection:
        connection.execute(statement)
    connection.close()


def test_migrations_make_the_tables_that_the_code_uses(catalogue, tmp_path):
    """After every migration the schema is that of the table definitions, to the last column."""
    # proves S-10
    engine = create_engine(f"sqlite:///{tmp_path / 'catalogue' / database.FILE}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == "0001"
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_a_newer_schema_is_refused_naming_both(catalogue, tmp_path, open_catalogue):
    """A catalogue of a newer build is not touched; both schemas are named."""  # proves S-10
    catalogue.close()
    tamper(tmp_path, "UPDATE alembic_version SET version_num = '0007'")

    with pytest.raises(NewerSchema, match="has schema 0007, this build reads up to 0001"):
        Catalogue(tmp_path / "catalogue")
    catalogue._database.close = lambda: None


def test_an_older_schema_is_backed_up_before_it_is_migrated(catalogue, tmp_path, monkeypatch):
    """Before a migration the file is copied beside, whole."""  # proves S-10
    write(catalogue, "a")
    catalogue.close()
    catalogue._database.close = lambda: None
    monkeypatch.setattr(
        "alembic.script.ScriptDirectory.get_current_head", lambda self, *_: "not the present one"
    )

    Catalogue(tmp_path / "catalogue").close()

    backup = tmp_path / "catalogue" / "catalogue.db.schema-0001.backup"
    with sqlite3.connect(backup) as connection:
        assert connection.execute("SELECT item_id FROM items").fetchall() == [("a",)]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_catalogue_has_one_holder(catalogue, tmp_path):
    """Opening it twice is refused, naming the process that holds it."""
    with pytest.raises(CatalogueHeld, match=r"held by process \d+"):
        Catalogue(tmp_path / "catalogue")


def test_a_file_that_is_no_database_is_refused(tmp_path):
    """Garbage where the catalogue should be is told, not overwritten."""
    root = tmp_path / "catalogue"
    root.mkdir()
    (root / database.FILE).write_bytes(b"garbage" * 1000)

    with pytest.raises(DamagedCatalogue, match="is not a catalogue"):
        Catalogue(root)

    assert (root / database.FILE).read_bytes() == b"garbage" * 1000


@pytest.mark.parametrize("left", [None, b""])
def test_pictures_of_a_lost_catalogue_are_not_swept(catalogue, open_catalogue, tmp_path, left):
    """Where the rows are gone but their pictures are there, the catalogue is refused, not begun anew."""
    write(catalogue, "a")
    catalogue.close()
    catalogue._database.close = lambda: None
    for path in (tmp_path / "catalogue").glob(f"{database.FILE}*"):
        path.unlink()
    if left is not None:
        (tmp_path / "catalogue" / database.FILE).write_bytes(left)

    for _ in range(2):
        with pytest.raises(DamagedCatalogue, match="missing or empty, but pictures"):
            Catalogue(tmp_path / "catalogue")

    assert [path.read_bytes() for path in catalogue.pictures._root.glob("*/*")] == [b"knit"]


def test_a_damaged_schema_is_told_as_damage(catalogue, tmp_path):
    """Names that are no longer UTF-8 in the schema are DamagedCatalogue too, not a decoding error."""
    catalogue.close()
    catalogue._database.close = lambda: None
    file = tmp_path / "catalogue" / database.FILE
    data = file.read_bytes()
    assert data.count(b"CREATE TABLE items") == 1
    file.write_bytes(data.replace(b"CREATE TABLE items", b"CR\xffATE TABLE items"))

    with pytest.raises(DamagedCatalogue):
        Catalogue(tmp_path / "catalogue")


def test_damaged_pages_are_told_as_damage(catalogue, open_catalogue, tmp_path):
    """What SQLite cannot read is DamagedCatalogue, without a statement or a path in its text."""
    for number in range(200):
        write(catalogue, f"item-{number}", f"knit {number}")
    catalogue.close()
    catalogue._database.close = lambda: None
    file = tmp_path / "catalogue" / database.FILE
    with sqlite3.connect(file) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'items'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    data = bytearray(file.read_bytes())
    data[(root - 1) * size : root * size] = b"\x55" * size
    file.write_bytes(data)

    again = open_catalogue_unswept(tmp_path)
    try:
        with pytest.raises(DamagedCatalogue, match="is damaged") as caught:
            again.contents("fashion")
        with pytest.raises(DamagedCatalogue, match="is damaged"):
            write(again, "new", "knit new")
    finally:
        again.close()
    assert "SELECT" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def open_catalogue_unswept(tmp_path):
    """The catalogue, without the look at every row that opening it takes."""
    made = Catalogue.__new__(Catalogue)
    made.pictures = Pictures(tmp_path / "catalogue" / "pictures")
    made._database = database.Database(tmp_path / "catalogue")
    return made


def test_durability_settings(catalogue):
    """The writing connection syncs every commit, keeps foreign keys, and is the only one that checkpoints."""
    with catalogue._database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    with catalogue._database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA query_only").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar() == 0


def test_labels_follow_content_and_revisions_follow_everything(catalogue):
    """A changed word takes a revision, a changed picture a new label as well; nothing is reused."""
    first = write(catalogue, "a")
    words = write(catalogue, "a", attributes={"style": ["retro"]})
    picture = write(catalogue, "a", "skirt")
    gone = catalogue.delete("fashion", ["a"])
    back = write(catalogue, "a")

    assert list(first.added) == [1]
    assert (words.revisions, words.added, words.removed) == ({"a": 2}, {}, ())
    assert (list(picture.added), picture.removed) == ([3], (1,))
    assert (gone.revision, gone.removed) == (4, (3,))
    assert list(back.added) == [5]


def test_revisions_go_on_after_a_restart(catalogue, open_catalogue):
    """A deletion of the last item is remembered: its revision is not given again."""
    write(catalogue, "a")
    catalogue.delete("fashion", ["a"])

    again = reopened(catalogue, open_catalogue)

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
def test_a_damaged_row_is_found_when_it_is_read(catalogue, tmp_path, statement):
    """A changed column is told, naming the item; in a search it is left out; writing it anew mends it."""
    write(catalogue, "a", attributes={"style": "retro"})
    write(catalogue, "b", "skirt")
    tamper(tmp_path, f"{statement} WHERE item_id = 'a'")

    with pytest.raises(DamagedCatalogue, match="item a is not what was written"):
        catalogue.find("fashion", ["a"])
    with pytest.raises(DamagedCatalogue, match="item a"):
        catalogue.page("fashion", "", 10)
    assert [one.item_id for one in catalogue.by_labels("fashion", np.array([1, 2])).values()] == ["b"]
    write(catalogue, "a", attributes={"style": "retro"})
    assert catalogue.find("fashion", ["a"])["a"].attributes == {"style": "retro"}


def test_a_damaged_vector_counts_as_none_and_is_made_again(catalogue, tmp_path):
    """A vector whose checksum differs is never used; the next write of its content replaces it."""
    source = f"p:{hashlib.sha256(b'knit').hexdigest()}"
    write(catalogue, "a")
    tamper(tmp_path, "UPDATE vectors SET vector = zeroblob(16)")
    assert catalogue.vectors_of([source], SPACE) == {}

    write(catalogue, "b")

    assert catalogue.vectors_of([source], SPACE)[source].tolist() == [1, 2, 3, 4]


def test_vectors_are_never_overwritten(catalogue):
    """A second vector of the same content and space leaves the first."""
    write(catalogue, "a")
    source = f"p:{hashlib.sha256(b'knit').hexdigest()}"
    other = SourceVector(source=source, space_id=SPACE, vector_D=np.ones(4, np.float32))

    catalogue.add_vectors([other])

    assert catalogue.vectors_of([source], SPACE)[source].tolist() == [1, 2, 3, 4]


def test_vectors_of_contents_that_are_gone_are_not_kept(catalogue):
    """A vector that arrives after its item was deleted is dropped."""
    write(catalogue, "a")
    source = f"p:{hashlib.sha256(b'knit').hexdigest()}"
    catalogue.delete("fashion", ["a"])

    catalogue.add_vectors([SourceVector(source=source, space_id="b" * 64, vector_D=np.ones(4, np.float32))])

    assert catalogue.vectors_of([source], "b" * 64) == {}
    assert catalogue.vectors_of([source], SPACE) == {}


def test_a_damaged_picture_is_told_and_mended_by_its_return(catalogue):
    """A picture whose hash differs is an error; upserting it again writes it anew."""
    write(catalogue, "a")
    (path,) = catalogue.pictures._root.glob("*/*")
    path.write_bytes(b"other")
    digest = path.name

    with pytest.raises(DamagedCatalogue, match="hash differs"):
        catalogue.pictures.read(digest)
    write(catalogue, "b")
    assert catalogue.pictures.read(digest) == b"knit"
    path.unlink()
    with pytest.raises(DamagedCatalogue, match="cannot be read"):
        catalogue.pictures.read(digest)


def test_what_a_crash_leaves_is_swept_at_the_start(catalogue, open_catalogue):
    """Pictures without a row and half-written ones go at the next start; the others stay."""
    write(catalogue, "a")
    root = catalogue.pictures._root
    (root / "ab").mkdir()
    (root / "ab" / ("ab" * 32)).write_bytes(b"orphan")
    (root / "ab" / ".staged-1").write_bytes(b"half")

    again = reopened(catalogue, open_catalogue)

    assert [path.read_bytes() for path in root.glob("*/*")] == [b"knit"]
    assert again.find("fashion", ["a"])


def test_a_full_disk_refuses_writes_and_keeps_what_is_there(catalogue, monkeypatch):
    """No room for a picture: DiskFull, nothing half-written, reads and deletes go on."""
    write(catalogue, "a")
    with monkeypatch.context() as patch:
        patch.setattr(
            "services.recommender.catalog.pictures.os.fsync",
            lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")),
        )
        with pytest.raises(DiskFull):
            write(catalogue, "b", "skirt")

    assert [path.read_bytes() for path in catalogue.pictures._root.glob("*/*")] == [b"knit"]
    assert list(catalogue.find("fashion", ["a", "b"])) == ["a"]
    assert write(catalogue, "b", "skirt").revisions == {"b": 2}


def test_a_full_database_refuses_writes_and_keeps_what_is_there(catalogue):
    """No room for a row: DiskFull, the picture is removed again, reads go on, room makes it work."""
    write(catalogue, "a")
    with catalogue._database.writing() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def fill():
        for number in range(200):
            write(catalogue, f"b{number}", f"skirt {number}", attributes={"note": "x" * 4000})

    with pytest.raises(DiskFull):
        fill()

    assert catalogue.find("fashion", ["a"])
    with catalogue._database.writing() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    write(catalogue, "c", "boots")
    total = catalogue.page("fashion", "", 1000)[1]
    assert len(list(catalogue.pictures._root.glob("*/*"))) == total


def test_readers_see_one_state_while_a_write_is_going_on(catalogue):
    """A read transaction is not moved by commits, and no read waits for a write."""
    write(catalogue, "a")
    with catalogue._database.reading() as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM items").scalar()
        write(catalogue, "b", "skirt")
        assert connection.exec_driver_sql("SELECT count(*) FROM items").scalar() == before == 1
    with catalogue._database.writing(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(catalogue.page, "fashion", "", 10).result(5)[1] == 2


def test_conditions_are_joined(catalogue):
    """Words of one field are alternatives, fields and other conditions must all hold."""  # proves R-3
    write(catalogue, "a", "1", attributes={"style": ["retro", "resort"], "category": "knit"})
    write(catalogue, "b", "2", attributes={"style": ["retro"]}, in_stock=False, released_us=10)
    write(catalogue, "c", "3", attributes={"category": "knit"}, collection="other")

    def matching(**conditions):
        return catalogue.matching("fashion", ItemConditions(**conditions)).tolist()

    assert matching(words={"style": ("retro", "none")}) == [1, 2]
    assert matching(words={"style": ("retro",), "category": ("knit",)}) == [1]
    assert matching(words={"style": ("retro",)}, in_stock=False) == [2]
    assert matching(released_from_us=11) == [1]
    assert matching(released_from_us=10, in_stock=False) == [2]
    assert matching(words={"'; DROP TABLE items; --": ("x",)}) == []


def test_words_of_a_changed_or_deleted_item_are_gone(catalogue):
    """A filter finds an item by its present words only."""
    write(catalogue, "a", attributes={"style": ["retro"]})
    write(catalogue, "a", attributes={"style": ["resort"]})
    assert catalogue.matching("fashion", ItemConditions(words={"style": ("retro",)})).tolist() == []
    catalogue.delete("fashion", ["a"])
    with catalogue._database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM terms").scalar() == 0


@pytest.mark.slow
@pytest.mark.timed
def test_speed_of_filters_at_scale(catalogue):
    """A filter over 20,000 items takes well below a second."""
    entries, vectors = [], []
    for number in range(20_000):
        entries.append(
            Entry(
                item_id=f"i{number}",
                attributes={"style": ["retro" if number % 10 else "resort"]},
                released_us=number,
                in_stock=True,
                picture_digest="",
                source=f"v:{number}",
            )
        )
    for start in range(0, 20_000, 2000):
        catalogue.upsert("fashion", entries[start : start + 2000], found=vectors, pictures={})

    started = time.perf_counter()
    found = catalogue.matching("fashion", ItemConditions(words={"style": ("resort",)}, in_stock=True))

    assert len(found) == 2000
    assert time.perf_counter() - started < 1

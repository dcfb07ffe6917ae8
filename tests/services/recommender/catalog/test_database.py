"""The catalog's file: its schema, its holder, damage, full disks and transactions."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from services.recommender.catalog import database, schema
from services.recommender.catalog.pictures import Pictures
from services.recommender.catalog.store import Catalog
from services.recommender.errors import CatalogError, CatalogHeld, DamagedCatalog, DiskFull, NewerSchema
from tests.services.recommender.catalog.conftest import tamper, write


def test_migrations_make_the_tables_that_the_code_uses(catalog, tmp_path):
    """After every migration the schema is that of the table definitions, to the last column (S-10)."""
    engine = create_engine(f"sqlite:///{tmp_path / 'catalogue' / database.FILE}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == database.HEAD
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_the_head_is_the_last_migration():
    """The code's own constant, which a start compares with, is the head of the migrations."""
    scripts = ScriptDirectory(str(database._MIGRATIONS))
    assert scripts.get_current_head() == database.HEAD


def test_a_newer_schema_is_refused_naming_both(catalog, tmp_path, open_catalog):
    """A catalog of a newer build is not touched; both schemas are named (S-10)."""
    catalog.close()
    tamper(tmp_path, "UPDATE alembic_version SET version_num = '0007'")

    with pytest.raises(NewerSchema, match="has schema 0007, this build reads up to 0002"):
        Catalog(tmp_path / "catalogue")
    catalog._database.close = lambda: None


def test_an_older_schema_is_backed_up_before_it_is_migrated(catalog, tmp_path, monkeypatch):
    """Before a migration the file is copied beside, whole (S-10)."""
    write(catalog, "a")
    catalog.close()
    catalog._database.close = lambda: None
    monkeypatch.setattr(database, "HEAD", "not the present one")

    Catalog(tmp_path / "catalogue").close()

    backup = tmp_path / "catalogue" / "catalogue.db.schema-0002.backup"
    with sqlite3.connect(backup) as connection:
        assert connection.execute("SELECT item_id FROM items").fetchall() == [("a",)]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_directory_in_place_of_the_file_is_refused(tmp_path):
    """A directory named like the database is an error that says so, and is left alone."""
    (tmp_path / "catalogue" / database.FILE / "inside").mkdir(parents=True)

    with pytest.raises(DamagedCatalog, match=r"catalogue\.db is a directory"):
        Catalog(tmp_path / "catalogue")

    assert (tmp_path / "catalogue" / database.FILE / "inside").is_dir()


def test_a_database_that_another_program_has_locked_is_refused(catalog, tmp_path, monkeypatch):
    """What keeps SQLite from opening the file is an error of the catalog, with SQLite's reason."""
    catalog.close()
    catalog._database.close = lambda: None
    holder = sqlite3.connect(tmp_path / "catalogue" / database.FILE, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(database, "_BUSY_S", 0.01)

    with pytest.raises(CatalogError, match=r"catalogue\.db cannot be opened: database is locked"):
        Catalog(tmp_path / "catalogue")

    holder.close()


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


def test_a_damaged_schema_is_reported_as_damage(catalog, tmp_path):
    """Names that are no longer UTF-8 in the schema are DamagedCatalog too, not a decoding error."""
    catalog.close()
    catalog._database.close = lambda: None
    file = tmp_path / "catalogue" / database.FILE
    data = file.read_bytes()
    assert data.count(b'CREATE TABLE "items"') == 1
    file.write_bytes(data.replace(b'CREATE TABLE "items"', b'CR\xffATE TABLE "items"'))

    with pytest.raises(DamagedCatalog):
        Catalog(tmp_path / "catalogue")


def test_damaged_pages_are_reported_as_damage(catalog, open_catalog, tmp_path):
    """What SQLite cannot read is DamagedCatalog, without a statement or a path in its text."""
    for number in range(40):
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.recommender.catalog.store.fetch", lambda *_: [])
        patch.setattr(Pictures, "sweep", lambda *_: 0)
        return Catalog(tmp_path / "catalogue")


def test_durability_settings(catalog):
    """The writing connection syncs every commit, keeps foreign keys, and is the only one that checkpoints."""
    with catalog._database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA page_size").scalar() == 8192
    with catalog._database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA query_only").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar() == 0


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
    catalog.collect_pictures(grace_s=0)
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

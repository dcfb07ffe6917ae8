"""A catalog of schema 0001 gives the same answers after its migration (S-10)."""

import json
import shutil
import sqlite3
import time

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from services.recommender.catalog import database
from services.recommender.catalog.items import CollectionState
from services.recommender.catalog.schema import item_checksum
from services.recommender.catalog.store import Catalog
from services.recommender.errors import LogTruncated
from tests.golden.make import GOLDEN
from tests.services.recommender.catalog.conftest import write

OLD = GOLDEN / "catalogue-0001-two"
SPACES = ("a" * 64, "b" * 64)
FIELDS = (
    "item_id",
    "attributes",
    "released_us",
    "in_stock",
    "picture_digest",
    "source",
    "label",
    "revision",
)


@pytest.fixture
def migrated(tmp_path):
    shutil.copytree(OLD, tmp_path / "catalogue")
    catalog = Catalog(tmp_path / "catalogue")
    yield catalog
    catalog.close()


def answers(catalog, collection):
    contents, state = catalog.contents(collection), catalog.state(collection)
    items, _ = catalog.page(collection, "", 100)
    missing = catalog.missing(collection, SPACES[1], 10)
    return {
        "state": [state.revision, state.space_id, state.lead_name, state.lead_version],
        "items": [{name: getattr(item, name) for name in FIELDS} for item in items],
        "labels": contents.labels.tolist(),
        "sources": list(contents.sources),
        "revision": contents.revision,
        "counts": list(catalog.counts(collection)),
        "vectors": {
            space: {source: v.tolist() for source, v in catalog.vectors_of(contents.sources, space).items()}
            for space in SPACES
        },
        "missing": sorted(each.item_id for each in missing),
        "missing_count": [catalog.missing_count(collection, SPACES[1], pictures=p) for p in (True, False)],
    }


@pytest.mark.parametrize("collection", ["fashion", "items"])
def test_the_answers_are_those_of_before(migrated, collection):
    """Items, labels, contents, vectors and what is missing are what the build of schema 0001 answered."""
    before = json.loads((OLD / "answers.json").read_text(encoding="utf-8"))[collection]
    before["missing"] = sorted(item_id for item_id, _, _ in before.pop("missing_in_next"))

    assert answers(migrated, collection) == before
    assert all(item.product_id == "" for item in migrated.snapshot(collection).items)
    assert migrated.damaged_count == 0


def test_revisions_and_labels_go_on(migrated):
    """Nothing is numbered twice: the next label follows every label that was ever given."""
    head = migrated.state("fashion")
    change = write(migrated, "new", "boots")
    again = write(migrated, "knit-1", "boots")

    assert change.revisions == {"new": head.revision + 1}
    assert list(change.added) == [head.revision + 1]
    assert list(again.added) == [head.revision + 2]
    assert write(migrated, "new", "boots", collection="items").revision == (migrated.state("items").revision)


def test_the_log_begins_with_the_migration(migrated):
    """Deletions of before left no trace, so a follower of an earlier revision takes a snapshot."""
    head = migrated.state("fashion")
    write(migrated, "new", "boots")

    assert [entry.item_id for entry in migrated.changes("fashion", head.revision, 10)] == ["new"]
    with pytest.raises(LogTruncated, match="holds the changes after"):
        migrated.changes("fashion", head.revision - 1, 10)
    assert head == CollectionState(
        revision=head.revision,
        last_label=head.revision,
        space_id=SPACES[0],
        lead_name="fashion-attributes",
        lead_version=3,
    )


def test_a_backup_of_before_is_kept(migrated, tmp_path):
    """The copy beside is a whole catalog of schema 0001, with every row."""
    backup = tmp_path / "catalogue" / f"{database.FILE}.schema-0001.backup"
    rows = {}
    for path in (backup, OLD / database.FILE):
        with sqlite3.connect(path) as connection:
            rows[path] = connection.execute("SELECT * FROM items ORDER BY label").fetchall()
        connection.close()

    assert rows[backup] == rows[OLD / database.FILE]
    assert len(migrated.catalogue_id) == 32


def test_a_damaged_row_stays_damaged(tmp_path):
    """A migration neither mends nor drops what it cannot vouch for."""
    shutil.copytree(OLD, tmp_path / "catalogue")
    with sqlite3.connect(tmp_path / "catalogue" / database.FILE) as connection:
        connection.execute("UPDATE items SET released_at = 1 WHERE item_id = 'knit-2'")
    connection.close()

    catalog = Catalog(tmp_path / "catalogue")

    assert "knit-2" not in {item.item_id for item in catalog.page("fashion", "", 100)[0]}
    assert (catalog.damaged_count, catalog.counts("fashion")) == (1, (4, 1))
    catalog.close()


def test_a_kill_in_the_migration_leaves_schema_0001(tmp_path, monkeypatch):
    """The migration is one transaction: it is there whole or not at all, and runs again."""
    shutil.copytree(OLD, tmp_path / "catalogue")
    with monkeypatch.context() as patch:
        patch.setattr("alembic.op.create_index", lambda *_, **__: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            Catalog(tmp_path / "catalogue")
    with sqlite3.connect(tmp_path / "catalogue" / database.FILE) as connection:
        assert connection.execute("SELECT count(*) FROM terms").fetchone()[0]
    connection.close()

    catalog = Catalog(tmp_path / "catalogue")

    assert len(catalog.snapshot("fashion").items) == 4
    catalog.close()


@pytest.mark.slow
@pytest.mark.timed
def test_time_for_100_000_rows(tmp_path):
    """A catalog of 100,000 items migrates in seconds; the time is printed."""
    root = tmp_path / "catalogue"
    root.mkdir()
    fill_schema_0001(root / database.FILE, 100_000)

    started = time.perf_counter()
    catalog = Catalog(root)
    took = time.perf_counter() - started

    print(f"migration of 100,000 rows, backup included: {took:.1f} s")
    assert catalog.counts("fashion") == (100_000, 100_000)
    catalog.close()
    assert took < 30


def fill_schema_0001(path, count):
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(database._MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    rows = []
    for number in range(1, count + 1):
        words = '{"style": ["retro", "resort"]}'
        covered = ("fashion", f"i{number}", number, number, f"v:{number:064}", "", words, number, 1, "")
        rows.append((*covered[:-1], item_checksum(covered)))
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO collections VALUES ('fashion', ?, '', '', 0)", (count,))
        connection.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        for word in ("retro", "resort"):
            connection.executemany(
                "INSERT INTO terms VALUES ('fashion', 'style', ?, ?)", [(word, row[1]) for row in rows]
            )
    connection.close()

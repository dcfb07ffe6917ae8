"""Backups of a served catalog, and what is put back."""

import json
import os
import sqlite3
import threading
from contextlib import closing

import numpy as np
import pytest
from atelier.recommender.v1 import insight_pb2

from model_store.durable import observing
from services.recommender.backup import back_up, examine, move_entries, restore
from services.recommender.catalog.store import Catalog
from services.recommender.errors import CatalogError, CatalogHeld, DamagedCatalog, NewerSchema
from tests.services.recommender.conftest import until
from tests.services.recommender.world import DIMENSION, item

pytestmark = pytest.mark.slow  # servers with models and catalogs

QUERIES = (b"knit retro", b"skirt resort white", b"boots")


@pytest.fixture
def stocked(recommender):
    """Items of every kind and some clicks."""
    space_id = recommender.status().space_id
    recommender.upsert(
        *(
            item(f"i{number}", f"{kind} number{number}", attributes={"category": kind})
            for number, kind in enumerate(["knit retro", "skirt resort", "boots black"] * 5)
        ),
        item("sold", "skirt resort white", in_stock=False, product_id="p"),
        item("bare", vector=(space_id, np.arange(1, DIMENSION + 1))),
    )
    recommender.delete("i3")
    recommender.feedback(
        *(insight_pb2.FeedbackEvent(event_id=f"e{n}", item_id="i1", kind=2) for n in range(5))
    )
    return recommender


def answers(recommender):
    """What it says to queries by picture, by item and by items that sell, and what it lists."""
    return (
        [
            recommender.recommend(image=query, item_count=8, diversity=0.3).recommendations
            for query in QUERIES
        ],
        recommender.recommend(items={"item_ids": ["bare"]}, item_count=8).recommendations,
        recommender.bestsellers(use_proxy=True, item_count=5).recommendations,
        recommender.list().items,
        recommender.get("i1", include_picture=True, include_vector=True),
        recommender.trends(days=7, period_days=7).series,
        recommender.recommend(image=b"knit").catalogue_revision,
    )


def test_a_restored_catalog_gives_the_same_answers(stocked, serve, tmp_path, embedder):
    """A backup made while the service runs, put back elsewhere, answers alike and embeds nothing (R-12)."""
    made = back_up(tmp_path / "catalogue", tmp_path / "backup")
    expected = answers(stocked)
    kept = restore(tmp_path / "backup", tmp_path / "restored")
    embedder.fake.requests.clear()

    again = serve(catalogue=tmp_path / "restored")

    until(lambda: again.status().live_count == 16)
    assert made == kept
    assert (made.item_count, made.picture_count) == (16, 15)
    assert not any(request.inputs for request in embedder.fake.requests if len(request.inputs) > 1)
    assert answers(again) == expected
    event = insight_pb2.FeedbackEvent(event_id="e0", item_id="i1", kind=2)
    assert again.feedback(event).recorded_count == 0
    assert again.upsert(item("new", "knit new")).results[0].revision == expected[-1] + 1


def test_a_backup_goes_on_beside_writes(stocked, tmp_path):
    """What was acknowledged before is in it, and every picture that its rows name."""
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            stocked.upsert(item(f"w{number % 20}", f"knit write{number}"))
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        made = back_up(tmp_path / "catalogue", tmp_path / "backup")
    finally:
        stop.set()
        thread.join()
    restore(tmp_path / "backup", tmp_path / "restored")

    assert made.item_count >= 16
    catalog = Catalog(tmp_path / "restored")
    with closing(catalog):
        assert {"i0", "sold", "bare"} <= catalog.find("fashion", ["i0", "sold", "bare"]).keys()


def test_the_pictures_of_a_backup_are_links_and_its_databases_are_not(stocked, tmp_path):
    """Pictures are never written in place; a database is, so a restored one is a file of its own (R-12)."""
    back_up(tmp_path / "catalogue", tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "restored")

    names = sorted(path.name for path in (tmp_path / "backup").iterdir())
    assert names == ["backup.json", "catalogue.db", "feedback.db", "pictures"]
    inodes = [
        {path.name: path.stat().st_ino for path in (tmp_path / folder / "pictures").glob("*/*")}
        for folder in ("catalogue", "backup", "restored")
    ]
    assert inodes[0].items() >= inodes[1].items()
    assert inodes[1] == inodes[2]
    databases = [(tmp_path / folder / "catalogue.db").stat().st_ino for folder in ("backup", "restored")]
    assert databases[0] != databases[1]


def test_pictures_are_copied_where_links_are_refused(stocked, tmp_path, monkeypatch):
    """As on another file system."""

    def refuse(*_args, **_options):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)

    made = back_up(tmp_path / "catalogue", tmp_path / "backup")

    assert len(list((tmp_path / "backup" / "pictures").glob("*/*"))) == made.picture_count == 15


def test_a_held_catalog_is_not_restored_over(stocked, tmp_path):
    """The error names the process that holds it (R-12)."""
    back_up(tmp_path / "catalogue", tmp_path / "backup")

    with pytest.raises(CatalogHeld, match=f"is held by process {os.getpid()}"):
        restore(tmp_path / "backup", tmp_path / "catalogue")


def test_only_an_empty_directory_is_restored_into(stocked, tmp_path):
    """Another is refused as it is; an empty one is filled. A backup goes by the same rule (R-12)."""
    back_up(tmp_path / "catalogue", tmp_path / "backup")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").touch()
    (tmp_path / "empty").mkdir()

    with pytest.raises(CatalogError, match="mine is not empty"):
        restore(tmp_path / "backup", tmp_path / "mine")
    with pytest.raises(CatalogError, match="backup is not empty"):
        back_up(tmp_path / "catalogue", tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "empty")

    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes"]
    Catalog(tmp_path / "empty").close()


def _change(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()  # the catalog's own picture may be the same file
    path.write_bytes(data)


def _link(path):
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("file", ["catalogue.db", "feedback.db", "picture"])
@pytest.mark.parametrize("harm", [_change, lambda path: path.unlink(), _link])
def test_a_backup_with_any_damage_is_not_restored(stocked, tmp_path, file, harm):
    """A changed byte, a lost file and a link end it; there is no catalog that looks whole (R-12)."""
    backup = tmp_path / "backup"
    back_up(tmp_path / "catalogue", backup)
    harm(next((backup / "pictures").glob("*/*")) if file == "picture" else backup / file)

    with pytest.raises(DamagedCatalog, match=file):
        restore(backup, tmp_path / "restored")

    assert not (tmp_path / "restored").exists()
    assert not list(tmp_path.glob(".restored*"))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"format": 2}, NewerSchema),
        ({"schema": "9999"}, NewerSchema),
        ({"files": {"../x": ""}}, DamagedCatalog),
        ({"more": 1}, DamagedCatalog),
    ],
)
def test_a_description_is_checked(stocked, tmp_path, body, error):
    """A newer format or schema, and a description that this build does not write, are refused."""
    path = tmp_path / "backup" / "backup.json"
    back_up(tmp_path / "catalogue", tmp_path / "backup")
    path.write_text(json.dumps(json.loads(path.read_text()) | body))

    with pytest.raises(error):
        restore(tmp_path / "backup", tmp_path / "restored")


def test_a_directory_that_is_no_catalog_or_backup_is_named(tmp_path):
    """Both directions say what is missing."""
    with pytest.raises(CatalogError, match="there is no catalog in"):
        back_up(tmp_path, tmp_path / "backup")
    with pytest.raises(CatalogError, match=r"is not a backup: it has no backup\.json"):
        restore(tmp_path, tmp_path / "restored")


def test_damage_in_the_catalog_stops_a_backup(stocked, tmp_path):
    """A backup is whole or there is none: a damaged picture, vector and item are named."""
    root = tmp_path / "catalogue"
    picture = next((root / "pictures").glob("*/*"))
    data = picture.read_bytes()
    picture.write_bytes(b"other")
    with pytest.raises(DamagedCatalog, match=picture.name[:12]):
        back_up(root, tmp_path / "backup")
    picture.write_bytes(data)
    stocked.close()
    for statement, named in (
        ("update vectors set vector = 'x'", "the vector of content"),
        ("update items set in_stock = 7 where item_id = 'sold'", "item 'sold'"),
    ):
        with closing(sqlite3.connect(root / "catalogue.db")) as connection, connection:
            connection.execute(statement)
        with pytest.raises(DamagedCatalog, match=named):
            back_up(root, tmp_path / "backup")

    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("moment", ["before backup", "before restore"])
def test_what_was_cut_short_leaves_nothing(stocked, tmp_path, moment):
    """Backup and restored catalog appear by one rename."""

    def stop(name):
        if name == moment:
            raise KeyboardInterrupt

    def copy_and_put_back():
        back_up(tmp_path / "catalogue", tmp_path / "backup")
        restore(tmp_path / "backup", tmp_path / "restored")

    with observing(stop), pytest.raises(KeyboardInterrupt):
        copy_and_put_back()

    assert not (tmp_path / "restored").exists()
    assert (tmp_path / "backup").exists() == (moment == "before restore")
    assert not list(tmp_path.glob(".backup*")) + list(tmp_path.glob(".restored*"))


def test_a_volume_is_filled_with_the_database_last(stocked, tmp_path):
    """A mounted directory cannot be replaced; cut short, what is there is no catalog that would start."""
    back_up(tmp_path / "catalogue", tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "staged")
    (tmp_path / "volume").mkdir()

    def stop(name):
        if name == "moved feedback.db":
            raise KeyboardInterrupt

    with observing(stop), pytest.raises(KeyboardInterrupt):
        move_entries(tmp_path / "staged", tmp_path / "volume")
    with pytest.raises(DamagedCatalog, match="is missing"):
        Catalog(tmp_path / "volume")
    (tmp_path / "volume" / "catalogue.db").unlink(missing_ok=True)
    move_entries(tmp_path / "staged", tmp_path / "volume")

    with closing(Catalog(tmp_path / "volume")) as catalog:
        assert catalog.counts("fashion") == (16, 1)


def test_a_served_catalog_can_be_examined(stocked, tmp_path):
    """Rows and pictures are counted and checked while it serves; a damaged or missing picture is named."""
    root = tmp_path / "catalogue"
    held = examine(root)

    assert (held.item_count, held.picture_count) == (len(stocked.list().items), 15)
    picture = next(path for path in (root / "pictures").rglob("*") if path.is_file())
    content = picture.read_bytes()
    picture.chmod(0o644)
    picture.write_bytes(b"other")
    with pytest.raises(DamagedCatalog, match="is not what was stored"):
        examine(root)
    picture.unlink()
    with pytest.raises(DamagedCatalog, match="is missing"):
        examine(root)
    picture.write_bytes(content)
    assert examine(root) == held

"""Pictures are on disk before their rows, whole or gone."""

import errno
import os

import pytest

from model_store.durable import observing
from services.recommender.errors import DamagedCatalog, DiskFailed, DiskFull
from tests.services.recommender.catalog.conftest import reopened, tamper, write


def test_a_damaged_picture_is_reported_and_mended_by_its_return(catalog):
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


def test_nothing_is_swept_while_a_named_picture_is_missing(catalog, open_catalog, tmp_path, caplog):
    """A damaged row names no picture that exists: the one that it showed is not taken for garbage."""
    write(catalog, "a")
    write(catalog, "b", "skirt")
    tamper(tmp_path, f"UPDATE items SET picture_digest = '{'0' * 64}' WHERE item_id = 'a'")

    again = reopened(catalog, open_catalog)

    assert {path.read_bytes() for path in again.pictures._root.glob("*/*")} == {b"knit", b"skirt"}
    assert "pictures that no item shows are kept" in caplog.text
    with pytest.raises(DamagedCatalog, match="cannot be read"):
        again.pictures.read("0" * 64)
    with pytest.raises(DamagedCatalog, match="the name of a picture is damaged"):
        again.pictures.read("../../etc/passwd")


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFull), (errno.EIO, DiskFailed)])
def test_a_disk_that_fails_refuses_writes_and_keeps_what_is_there(catalog, monkeypatch, caplog, number, kind):
    """No room for a picture, or a broken disk: an error that says so and a line in the log, nothing
    half-written, reads and deletes go on (S-8)."""
    write(catalog, "a")
    with monkeypatch.context() as patch:
        patch.setattr(
            "model_store.durable.os.fsync",
            lambda _: (_ for _ in ()).throw(OSError(number, "it broke", "/secret/place")),
        )
        with pytest.raises(kind) as caught:
            write(catalog, "b", "skirt")
    assert "/secret" not in str(caught.value)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "the catalog's disk failed"
    ]

    catalog.collect_pictures(grace_s=0)
    assert [path.read_bytes() for path in catalog.pictures._root.glob("*/*")] == [b"knit"]
    assert list(catalog.find("fashion", ["a", "b"])) == ["a"]
    assert write(catalog, "b", "skirt").revisions == {"b": 2}


def test_a_freed_picture_goes_after_the_grace_time(catalog):
    """Within the grace time it stays, for a write under way may name it; after it, only if none does."""
    write(catalog, "a", "knit")
    write(catalog, "b", "skirt")
    digests = {name: item.picture_digest for name, item in catalog.find("fashion", ["a", "b"]).items()}
    catalog.delete("fashion", ["a", "b"])

    catalog.collect_pictures(grace_s=60)
    assert catalog.pictures.read(digests["a"]) == b"knit"
    write(catalog, "c", "knit")
    catalog.collect_pictures(grace_s=0)

    assert catalog.pictures.read(digests["a"]) == b"knit"
    with pytest.raises(DamagedCatalog, match="cannot be read"):
        catalog.pictures.read(digests["b"])


def test_a_picture_that_is_stored_again_begins_its_grace_time_anew(catalog):
    """A collection that decided on an old picture leaves it if it was stored meanwhile."""
    write(catalog, "a", "knit")
    (path,) = catalog.pictures._root.glob("*/*")
    os.utime(path, (0, 0))

    catalog.store_pictures({path.name: b"knit"})
    catalog.pictures.remove([path.name], grace_s=60)
    assert path.read_bytes() == b"knit"

    os.utime(path, (0, 0))
    catalog.pictures.remove([path.name, "0" * 64], grace_s=60)
    assert not path.exists()


def test_pictures_are_on_disk_before_their_rows(catalog):
    """Where a crash follows the pictures, no row names one that is not there (R-4)."""
    seen = []

    def note(name):
        if name in ("after pictures", "before commit"):
            seen.append((name, len(list(catalog.pictures._root.glob("*/*")))))

    with observing(note):
        write(catalog, "a", "knit")

    assert seen == [("after pictures", 1), ("before commit", 1)]

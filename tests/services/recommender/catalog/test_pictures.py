"""Pictures are on disk before their rows, whole or gone."""

import errno

import pytest

from services.recommender.errors import DamagedCatalog, DiskFull
from tests.services.recommender.catalog.conftest import reopened, write


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

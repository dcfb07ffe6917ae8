"""A directory as a store: staging, commits, conditional alias writes, refusals."""

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from model_store.durable import acquire
from model_store.errors import AliasConflict, NoStore, NotInStore, StoreNotWritable, UnsupportedLocation
from model_store.storage import LocalStorage
from model_store.store import Draft, ModelStore
from tests.model_store.conftest import accept


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "store")


def commit(storage: LocalStorage, content: bytes = b"graph") -> int:
    with storage.staging() as staged:
        (staged / "model.onnx").write_bytes(content)
        return storage.commit("fashion-image", staged)


@pytest.mark.parametrize("address", ["s3://bucket/models", "gs://bucket"])
def test_an_address_of_another_kind_is_refused_by_its_scheme(address: str) -> None:
    """It is never taken for a relative path."""
    with pytest.raises(UnsupportedLocation, match=rf"{address.split(':')[0]} stores are not built in"):
        LocalStorage(Path(address))


def test_the_leavings_of_a_dead_publisher_are_swept(storage: LocalStorage) -> None:
    """The next staging removes directories whose lock is free, and their lock files (M-1)."""
    left = storage.root / ".staging" / "dead"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half")
    left.with_suffix(".lock").write_text("")

    with storage.staging() as staged:
        assert sorted(path.name for path in staged.parent.iterdir()) == [staged.name, f"{staged.name}.lock"]

    assert list((storage.root / ".staging").iterdir()) == []


def test_staging_of_a_living_publisher_stays(storage: LocalStorage) -> None:
    """Publishers at work do not sweep one another away (M-1)."""
    with storage.staging() as first:
        (first / "model.onnx").write_bytes(b"in the making")
        with storage.staging() as second:
            assert second != first
        commit(storage)

        assert (first / "model.onnx").read_bytes() == b"in the making"


def test_a_lock_file_without_a_directory_is_swept(storage: LocalStorage) -> None:
    """A publisher that died between its lock and its directory leaves nothing; a living one stays."""
    folder = storage.root / ".staging"
    folder.mkdir(parents=True)
    (folder / "dead.lock").write_text("")
    living = acquire(folder / "living.lock")

    commit(storage)

    assert [path.name for path in folder.iterdir()] == ["living.lock"]
    living.release()


def test_every_file_reaches_the_disk_before_its_version_appears(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, directory and highest number are synced first, then the rename, then the parent (M-1)."""
    synced: list[tuple[str, bool]] = []
    version = storage.root / "fashion-image" / "1"

    def fsync(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, version.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    commit(storage)

    before = [name for name, there in synced if not there]
    assert "model.onnx" in before
    assert [name for name, there in synced if there] == ["fashion-image", "store"]


def test_an_alias_changes_only_against_its_present_content(storage: LocalStorage) -> None:
    """An earlier content, or none where there is content, is a conflict (M-3)."""
    number = commit(storage)
    storage.swap_alias("fashion-image", "production", b"one", None, number)
    one = storage.read_alias("fashion-image", "production")
    assert one is not None
    storage.swap_alias("fashion-image", "production", b"two", one, number)

    for stale in (None, one):
        with pytest.raises(AliasConflict, match="another process moved alias fashion-image@production"):
            storage.swap_alias("fashion-image", "production", b"three", stale, number)
    assert storage.read_alias("fashion-image", "production") == b"two"
    assert storage.aliases("fashion-image") == ["production"]


def test_an_alias_never_means_a_version_that_is_not_there(storage: LocalStorage) -> None:
    """The version is looked up under the lock that its removal takes (M-7)."""
    commit(storage)

    with pytest.raises(NotInStore, match="no version fashion-image/2"):
        storage.swap_alias("fashion-image", "production", b"x", None, 2)

    assert storage.read_alias("fashion-image", "production") is None


def test_sizes_and_times_are_those_of_the_files(storage: LocalStorage) -> None:
    """A version's size is that of all its files; of a version that is not there it is refused."""
    number = commit(storage, b"12345")

    assert storage.byte_count("fashion-image", number) == 5
    assert storage.published_at("fashion-image", number).tzinfo is not None
    for ask in (storage.byte_count, storage.published_at):
        with pytest.raises(NotInStore, match="no version fashion-image/9"):
            ask("fashion-image", 9)


def test_a_store_that_cannot_be_written_says_so(
    store: ModelStore, make_draft: Callable[..., Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removing versions from a read-only store names the store, and removes nothing (M-7)."""
    store.publish(make_draft(), accept)
    storage = LocalStorage(Path(store.place))

    def read_only() -> AbstractContextManager[Path]:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(storage, "staging", read_only)
    with pytest.raises(StoreNotWritable, match=r"the model store at .+ is not writable"):
        storage.discard(lambda: [("fashion-image", 1)])

    assert storage.numbers("fashion-image") == [1]


def test_a_store_that_is_not_there_is_not_made_by_reading(storage: LocalStorage) -> None:
    """Reading creates nothing on the disk."""
    with pytest.raises(NoStore, match="no model store at"):
        storage.names()

    assert storage.numbers("fashion-image") == []
    assert not storage.root.exists()

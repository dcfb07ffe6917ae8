"""Versions from one store into another."""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from model_store import transfer
from model_store.errors import CorruptVersion, NotInStore
from model_store.manifest import Manifest, VersionReference
from model_store.store import Draft, ModelStore, Version
from model_store.transfer import copy_version
from tests.model_store.conftest import accept


@pytest.fixture
def target(tmp_path: Path) -> ModelStore:
    (tmp_path / "target").mkdir()
    return ModelStore.at(tmp_path / "target")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _derived(store: ModelStore, make_draft: Callable[..., Draft], origin: Version) -> Version:
    reference = VersionReference(name=origin.name, version=origin.number, digest=origin.digest)
    return store.publish(make_draft(graph=b"small", derived_from=reference, precision="int8"), accept)


def test_a_copy_is_the_same_version(
    store: ModelStore, target: ModelStore, make_draft: Callable[..., Draft]
) -> None:
    """Files, meaning and digest are those of the original; a second copy is not made (M-1)."""
    version = store.publish(make_draft(), accept)

    copy = copy_version(version, target, accept)

    assert (copy.digest, copy.space_id) == (version.digest, version.space_id)
    target.verify(copy)
    assert copy_version(version, target, accept) == copy
    assert target.numbers("fashion-image") == [1]


def test_what_a_version_was_derived_from_keeps_its_meaning_under_another_number(
    store: ModelStore, target: ModelStore, make_draft: Callable[..., Draft]
) -> None:
    """The target has versions of its own, so the origin gets number 2 there, and the reference says so."""
    origin = store.publish(make_draft(), accept)
    derived = _derived(store, make_draft, origin)
    target.publish(make_draft(graph=b"the owner's"), accept)

    copy = copy_version(derived, target, accept)

    moved = copy_version(origin, target, accept)
    assert (moved.number, copy.number) == (2, 3)
    assert copy.manifest.derived_from == VersionReference(
        name="fashion-image", version=2, digest=moved.digest
    )
    assert copy.space_id == derived.space_id
    assert copy_version(derived, target, accept) == copy


def test_a_copy_without_its_origin_says_what_was_left_out(
    store: ModelStore, target: ModelStore, make_draft: Callable[..., Draft]
) -> None:
    """Small stores carry the eight bits alone; the digest of what they were made of stays in the card."""
    origin = store.publish(make_draft(), accept)
    derived = _derived(store, make_draft, origin)

    copy = copy_version(derived, target, accept, with_origin=False)

    assert target.numbers("fashion-image") == [1]
    assert copy.manifest.derived_from is None
    assert copy.space_id == derived.space_id
    assert any(origin.digest in note for note in copy.manifest.provenance.notes)
    assert copy_version(derived, target, accept, with_origin=False) == copy
    onwards = copy_version(copy, ModelStore.at(_made(Path(target.place).parent / "onwards")), accept)
    assert onwards.digest == copy.digest


def test_a_version_whose_origin_is_gone_is_not_copied(
    store: ModelStore, target: ModelStore, make_draft: Callable[..., Draft]
) -> None:
    """A copy whose origin cannot be traced is not made."""
    derived = _derived(store, make_draft, store.publish(make_draft(), accept))
    shutil.rmtree(Path(store.place) / "fashion-image" / "1")

    with pytest.raises(NotInStore, match="fashion-image/1"):
        copy_version(derived, target, accept)
    assert target.names() == []


def test_a_damaged_version_is_not_copied(
    store: ModelStore, target: ModelStore, make_draft: Callable[..., Draft]
) -> None:
    """A flipped byte would otherwise get a digest of its own (M-4)."""
    version = store.publish(make_draft(), accept)
    version.path("model.onnx").write_bytes(b"other")

    with pytest.raises(CorruptVersion, match=r"fashion-image/1/model\.onnx"):
        copy_version(version, target, accept)
    assert target.names() == []


def test_a_copy_is_checked_like_anything_published(
    store: ModelStore, target: ModelStore, make_draft: Callable[..., Draft]
) -> None:
    """What its new home refuses does not appear there."""

    def refuse(_directory: Path, _manifest: Manifest) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        copy_version(store.publish(make_draft(), accept), target, refuse)
    assert target.names() == []


def test_two_copies_at_once_make_one_version(
    store: ModelStore, target: ModelStore, make_draft: Callable[..., Draft]
) -> None:
    """Both look before either has published; the second waits and takes what the first made (M-1)."""
    version = store.publish(make_draft(), accept)
    both_looked = threading.Barrier(2)
    find, waited = transfer._find_copy, threading.local()

    def look(*args: Any) -> Version | None:
        copy = find(*args)
        if not hasattr(waited, "once"):
            waited.once = both_looked.wait(10)
        return copy

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as executor:
        patch.setattr(transfer, "_find_copy", look)
        copies = list(executor.map(lambda _: copy_version(version, target, accept), range(2)))

    assert [copy.number for copy in copies] == [1, 1]
    assert target.numbers(version.name) == [1]

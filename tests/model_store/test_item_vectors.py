"""Versions of kind `vectors`: what their files hold, and how damage is found (I-6, M-1, M-2)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.child_check import check_in_child
from model_store.errors import CorruptVersion, UnsupportedSchema
from model_store.item_vectors import (
    IDS_FILE,
    OFFSETS_FILE,
    PAYLOAD,
    RECORDS_FILE,
    VECTORS_FILE,
    check_item_vectors,
    open_item_vectors,
)
from model_store.manifest import Manifest
from model_store.store import Draft, ModelStore, Version
from model_store.transfer import copy_version
from tests.model_store.conftest import manifest_fields
from tests.model_store.vector_files import write_item_vectors

IDS = ("a", "b", "c")


def _write(folder: Path, ids: tuple[str, ...] = IDS, seed: int = 1) -> None:
    vector_ND = np.random.default_rng(seed).standard_normal((len(ids), 4)).astype(np.float32)
    vector_ND /= np.linalg.norm(vector_ND, axis=1, keepdims=True)
    write_item_vectors(folder, ids, vector_ND, [{"이름": f"부품 {item_id}"} for item_id in ids])


@pytest.fixture
def publish(store: ModelStore, tmp_path: Path) -> Callable[..., Version]:
    def make(
        change: Callable[[Path], Any] = lambda _: None, validate: Any = check_item_vectors, **how: Any
    ) -> Version:
        folder = tmp_path / "files"
        _write(folder, **how)
        change(folder)
        fields = manifest_fields(
            "items",
            kind="vectors",
            format="none",
            preprocessing={"kind": "vector", "dimension": 4},
            pixel_path=None,
            metrics={"layout": 1},
        )
        payload = {name: folder / name for name in PAYLOAD}
        draft = Draft(
            manifest=fields, graph={"pipeline.json": folder / "pipeline.json"}, golden={}, payload=payload
        )
        return store.publish(draft, validate)

    return make


def test_a_version_is_read_as_it_was_written(store: ModelStore, publish: Callable[..., Version]) -> None:
    """Identifiers, unit vectors that are mapped and cannot be written, records by position (I-6, M-1)."""
    items = open_item_vectors(store, publish())

    assert items.item_ids == IDS
    assert isinstance(items.vector_ND, np.memmap)
    assert not items.vector_ND.flags.writeable
    assert np.allclose(np.linalg.norm(items.vector_ND, axis=1), 1)
    assert items.records[1] == {"item_id": "b", "attributes": {"이름": "부품 b"}, "weight": 1.0}
    assert items.records[-1] == items.records[2]
    assert items.records[1:] == [items.records[1], items.records[2]]
    assert [record["item_id"] for record in items.records] == list(IDS)
    assert len(items.records) == 3
    with pytest.raises(IndexError, match=r"record 3 of 3"):
        items.records[3]


def test_the_space_is_that_of_the_pipeline(publish: Callable[..., Version]) -> None:
    """Other items of one pipeline share its space; another pipeline has another (M-2, S-2)."""
    first, more = publish(), publish(ids=(*IDS, "d"))
    other = publish(lambda folder: (folder / "pipeline.json").write_text('{"other": 1}'))

    assert first.space_id == more.space_id != other.space_id
    assert first.digest != more.digest


@pytest.mark.parametrize("file", [*PAYLOAD, "pipeline.json"])
def test_any_flipped_byte_is_found(store: ModelStore, publish: Callable[..., Version], file: str) -> None:
    """Each file is hashed before it is read (M-4)."""
    version = publish()
    path = version.path(file)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)

    with pytest.raises(CorruptVersion, match=rf"items/1/{file} is not what was published"):
        open_item_vectors(store, version)


def _offsets(folder: Path, *values: int) -> None:
    np.save(folder / OFFSETS_FILE, np.array(values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: np.save(f / VECTORS_FILE, np.ones((3, 4))),
            r"vectors.npy holds float64 \(3, 4\), expected",
        ),
        (
            lambda f: np.save(f / VECTORS_FILE, np.ones((2, 4), np.float32)),
            r"\(2, 4\), expected float32 \(3, 4\)",
        ),
        (
            lambda f: np.save(f / VECTORS_FILE, np.ones((3, 4), np.float32)),
            r"row 0 has norm 2, expected 0.999",
        ),
        (lambda f: np.save(f / VECTORS_FILE, np.full((3, 4), np.nan, np.float32)), r"row 0 has norm nan"),
        (lambda f: np.save(f / VECTORS_FILE, np.array([{}]), allow_pickle=True), r"cannot be read"),
        (
            lambda f: (f / IDS_FILE).write_text("a\nb\na\n"),
            r"item_ids.txt holds no identifiers or one of them",
        ),
        (lambda f: (f / IDS_FILE).write_text("a\nb\n가\n"), r"cannot be read"),
        (lambda f: (f / IDS_FILE).write_text("a\nc\nb\n"), r"the record of c is of another item"),
        (lambda f: _offsets(f, 0, 1), r"record_offsets.npy holds int64 \(2,\) for 3 items"),
        (lambda f: _offsets(f, 0, 9, 5, 200), r"record_offsets.npy does not fit records.jsonl of \d+ bytes"),
        (lambda f: (f / RECORDS_FILE).write_text("{}\n"), r"does not fit records.jsonl of 3 bytes"),
    ],
)
def test_files_that_do_not_fit_are_not_published(
    store: ModelStore, publish: Callable[..., Version], change: Callable[[Path], Any], message: str
) -> None:
    """Wrong types, shapes, norms, identifiers and offsets; the store stays without a version (M-1)."""
    with pytest.raises(CorruptVersion, match=message):
        publish(change)
    assert store.numbers("items") == []


def test_a_layout_of_another_build_is_refused(store: ModelStore, publish: Callable[..., Version]) -> None:
    """Both layouts are named (S-10)."""
    version = publish()
    newer = version.manifest.model_copy(update={"metrics": {"layout": 2}})

    with pytest.raises(UnsupportedSchema, match=r"items has layout 2, this build reads 1"):
        check_item_vectors(version.path(VECTORS_FILE).parent, newer)


def test_another_kind_is_refused(store: ModelStore, make_draft: Callable[..., Draft]) -> None:
    """A graph is no collection of items (M-1)."""
    version = store.publish(make_draft(), lambda _d, _m: None)

    with pytest.raises(CorruptVersion, match=r"fashion-image/1 is of kind graph, expected vectors"):
        open_item_vectors(store, version)


def test_a_version_is_copied_with_its_checks(publish: Callable[..., Version], tmp_path: Path) -> None:
    """`models copy` takes it to another store, space and files the same (M-1)."""
    version = publish()
    (tmp_path / "other").mkdir()
    target = ModelStore.at(tmp_path / "other")

    copied = copy_version(version, target, check_in_child)

    assert copied.space_id == version.space_id
    assert open_item_vectors(target, copied).item_ids == IDS


def test_a_missing_file_is_named(publish: Callable[..., Version]) -> None:
    """A staged folder without its offsets is refused (M-1)."""
    version = publish()
    path = version.path(OFFSETS_FILE)
    path.unlink()
    manifest: Manifest = version.manifest

    with pytest.raises(CorruptVersion, match=rf"items/{OFFSETS_FILE} is missing"):
        check_item_vectors(path.parent, manifest)

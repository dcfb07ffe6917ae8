"""The manifest, its digest and its space (M-2, S-2, S-10)."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.errors import CorruptVersion, UnsupportedSchema
from model_store.manifest import FileEntry, Manifest, decode, encode
from tests.model_store.conftest import manifest_fields

FILES = {
    "model.onnx": {"sha256": "a" * 64, "size": 5, "role": "graph"},
    "golden.npz": {"sha256": "b" * 64, "size": 6, "role": "golden"},
}


def make(**changes: object) -> Manifest:
    return Manifest.model_validate({**manifest_fields("fashion-image"), "files": FILES, **changes})


def test_a_manifest_comes_back_as_it_was_written() -> None:
    """`decode` undoes `encode`, metrics and Korean words included (M-2)."""
    manifest = make(metrics={"recall@10": 0.25, "note": "스커트"})

    assert decode(encode(manifest), "x/1") == manifest


@settings(max_examples=200)
@given(st.data())
def test_any_flipped_byte_is_found(data: st.DataObject) -> None:
    """Changing one byte of manifest.json makes it unreadable, whatever the byte (M-4)."""
    written = bytearray(encode(make(metrics={"a": 1.5})))
    position = data.draw(st.integers(0, len(written) - 1))
    written[position] ^= data.draw(st.integers(1, 255))

    with pytest.raises((CorruptVersion, UnsupportedSchema), match="x/1"):
        decode(bytes(written), "x/1")


def test_a_newer_schema_is_refused_naming_both() -> None:
    """Schema version 9 says 9 and 1 (S-10)."""
    body = json.loads(encode(make()))
    body["schema_version"] = 9

    with pytest.raises(UnsupportedSchema, match=r"schema version 9, this build reads 1"):
        decode(json.dumps(body).encode(), "x/1")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"\xff", b'{"schema_version": 1}', b"1"])
def test_what_is_no_manifest_is_named_corrupt(data: bytes) -> None:
    """Other JSON and other bytes raise CorruptVersion with the place."""
    with pytest.raises(CorruptVersion, match="x/1"):
        decode(data, "x/1")


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ({"metrics": {"recall": 0.5}}, False),
        ({"files": {**FILES, "golden.npz": {**FILES["golden.npz"], "sha256": "c" * 64}}}, False),
        ({"files": {**FILES, "model.onnx": {**FILES["model.onnx"], "sha256": "c" * 64}}}, True),
        ({"output": "feature_BD"}, True),
        ({"pixel_path": 2}, True),
        ({"preprocessing": {"kind": "image", "height": 8, "width": 8, "fit": "crop"}}, True),
    ],
)
def test_the_space_follows_the_function_and_nothing_else(change: dict[str, object], moves: bool) -> None:
    """Graph, preprocessing, output and pixel path make the space; metrics and golden files do not."""
    before, after = make(), make(**change)

    assert (before.space_id != after.space_id) is moves
    assert before.digest != after.digest


def test_a_manifest_is_frozen(make_draft: Callable[..., object]) -> None:
    """Neither a manifest nor a file entry can be changed after it is made."""
    with pytest.raises(ValueError, match="frozen"):
        make().files["model.onnx"].size = 3  # type: ignore[misc]
    assert isinstance(make().files["model.onnx"], FileEntry)

"""Flipped bytes and hostile JSON in the files of a store: refused by name, never served, never a failure.

`make fuzz` draws other JSON each time.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.errors import CorruptVersion, StoreError, UnsupportedSchema
from model_store.manifest import MANIFEST_FILE, decode
from model_store.store import ModelStore

GOLDEN = Path(__file__).parents[1] / "golden" / "store-1"
NAME = "fashion-image"
MANIFEST = (GOLDEN / NAME / "1" / MANIFEST_FILE).read_bytes()
ALIAS = (GOLDEN / NAME / "aliases" / "production.json").read_bytes()

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path_factory.mktemp("damage") / "store"))


@contextmanager
def holding(path: Path, data: bytes) -> Iterator[None]:
    """The file holds `data` until the block ends."""
    whole = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(whole)


@pytest.mark.slow
def test_every_flipped_byte_of_a_version_is_refused_by_the_name_of_its_file(root: Path) -> None:
    """Each byte of each file in turn: opening and verifying names the file; nothing is served wrong (M-4)."""
    store = ModelStore.at(root)
    for path in sorted((root / NAME / "1").iterdir()):
        whole = path.read_bytes()
        for position in range(len(whole)):
            changed = bytearray(whole)
            changed[position] ^= 0x55
            with holding(path, bytes(changed)), pytest.raises((CorruptVersion, UnsupportedSchema)) as caught:
                store.verify(store.open(NAME, 1))
            assert f"{NAME}/1/{path.name}" in str(caught.value), position


def test_every_flipped_byte_of_an_alias_is_refused_or_means_the_same(root: Path) -> None:
    """A flip in a time or a space changes no target; any other is refused, naming alias or version (M-3)."""
    path, store = root / NAME / "aliases" / "production.json", ModelStore.at(root)
    meant, refused = store.resolve(NAME), list[str]()
    for position in range(len(ALIAS)):
        changed = bytearray(ALIAS)
        changed[position] ^= 0x01
        with holding(path, bytes(changed)):
            try:
                assert store.resolve(NAME).digest == meant.digest, position
            except StoreError as error:
                refused.append(str(error))

    assert len(refused) > len(ALIAS) // 2
    assert all(NAME in message for message in refused)


@given(body=json_values)
def test_any_json_is_a_manifest_or_is_refused(body: Any) -> None:
    """No other error leaves the reader, whatever the values of its fields are (S-5)."""
    with pytest.raises((CorruptVersion, UnsupportedSchema)):
        decode(json.dumps(body).encode(), "x")


@given(key=st.sampled_from(sorted(json.loads(MANIFEST))), value=json_values)
@pytest.mark.slow
def test_a_manifest_with_any_other_value_is_refused(key: str, value: Any) -> None:
    """One field of a good manifest replaced (S-5)."""
    body = json.loads(MANIFEST)
    if json.dumps(body[key]) != json.dumps(value):
        with pytest.raises((CorruptVersion, UnsupportedSchema)):
            decode(json.dumps({**body, key: value}).encode(), "x")


@given(key=st.sampled_from(["target", "history", "schema_version", "other"]), value=json_values)
def test_an_alias_with_any_other_value_is_refused_or_read(root: Path, key: str, value: Any) -> None:
    """One field of a good alias replaced: a target, or an error of the store (S-5)."""
    path, store = root / NAME / "aliases" / "production.json", ModelStore.at(root)
    with holding(path, json.dumps({**json.loads(ALIAS), key: value}).encode()):
        try:
            outcome = f"{NAME} means {store.aliases.read(NAME, 'production').target.version}"
        except StoreError as error:
            outcome = str(error)
    assert NAME in outcome

"""A build reads its own schema and those before it; a newer one is refused naming both (S-10).

`tests/golden/store-1` was written by this schema, `tests/golden/next-store-2` by a next release that has a
field more in manifests, preprocessing and aliases.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from model_store import manifest as manifests
from model_store.errors import CorruptVersion, UnsupportedSchema
from model_store.garbage import collect
from model_store.manifest import MANIFEST_FILE
from model_store.schema import DEEPEST, Since, Versioned, read_body, schema_of
from model_store.storage import LocalStorage
from model_store.store import Draft, ModelStore
from tests.golden.next_schema import NextImage, NextManifest, next_schema
from tests.model_store.conftest import accept, manifest_fields

GOLDEN = Path(__file__).parents[1] / "golden"
REFUSED = r"schema version 2, this build reads 1$"


@pytest.fixture
def next_store(tmp_path: Path) -> Path:
    """Version 1 without the new fields, which `stable` means; version 2 and `production` with them."""
    return Path(shutil.copytree(GOLDEN / "next-store-2", tmp_path / "next"))


def test_the_next_build_reads_this_one_with_the_same_identity(tmp_path: Path) -> None:
    """Digest and space of an older manifest do not move when fields are added, and its alias still holds."""
    copy = Path(shutil.copytree(GOLDEN / "store-1", tmp_path / "copy"))
    now = ModelStore.at(copy).resolve("fashion-image")

    with next_schema():
        later = ModelStore.at(copy).resolve("fashion-image")

        assert isinstance(later.manifest, NextManifest)
        assert (later.manifest.usage, later.manifest.schema_version) == ("", 1)
        assert (later.digest, later.space_id) == (now.digest, now.space_id)


def test_the_next_build_reads_its_own(next_store: Path) -> None:
    """Fields that only schema 2 has come back, in a manifest, in a part of it and in an alias."""
    with next_schema():
        store = ModelStore.at(next_store)
        version = store.resolve("fashion-image")

        assert isinstance(version.manifest, NextManifest)
        assert isinstance(version.manifest.preprocessing, NextImage)
        assert (version.manifest.usage, version.manifest.preprocessing.sharpen) == ("catalog", True)
        assert version.manifest.schema_version == 2
        assert store.aliases.read("fashion-image", "production").model_dump()["moved_by"] == "a person"
        assert version.space_id != store.open("fashion-image", 1).space_id


def test_the_next_build_writes_what_this_one_reads(next_store: Path) -> None:
    """Where no new field is used, its files are byte for byte those of this build."""
    files = [path.relative_to(next_store / "fashion-image" / "1") for path in next_store.glob("*/1/*")]

    assert len(files) == 3
    for file in files:
        written = GOLDEN / "store-1" / "fashion-image" / "1" / file
        assert (next_store / "fashion-image" / "1" / file).read_bytes() == written.read_bytes()
    assert ModelStore.at(next_store).resolve("fashion-image", "stable").number == 1


def test_a_newer_file_is_refused_naming_both(next_store: Path) -> None:
    """A manifest and an alias of schema 2 are named with their schema and this build's."""
    store = ModelStore.at(next_store)

    with pytest.raises(UnsupportedSchema, match=rf"fashion-image/2/manifest.json has {REFUSED}"):
        store.open("fashion-image", 2)
    with pytest.raises(UnsupportedSchema, match=rf"alias fashion-image@production has {REFUSED}"):
        store.resolve("fashion-image")
    with pytest.raises(UnsupportedSchema, match=REFUSED):
        store.aliases.move("fashion-image", "production", 1, "0" * 64)


def test_a_newer_file_disturbs_no_other(next_store: Path) -> None:
    """While a newer release uses its fields, every version of this schema stays reachable here."""
    store = ModelStore.at(next_store)

    assert [version.number for version in store.reachable()] == [1]
    assert [version.number for version in store.readable("fashion-image")] == [1]
    assert store.find_space(store.open("fashion-image", 1).space_id).number == 1


def test_nothing_is_collected_past_a_newer_file(next_store: Path) -> None:
    """What a file of a newer schema keeps cannot be known, so garbage collection removes nothing (M-7)."""
    with pytest.raises(UnsupportedSchema, match=REFUSED):
        collect(LocalStorage(next_store))

    assert ModelStore.at(next_store).numbers("fashion-image") == [1, 2]


@pytest.mark.parametrize(
    ("changes", "schema"),
    [({}, 1), ({"usage": "catalog"}, 2), ({"preprocessing": {"kind": "image", "height": 8, "width": 8}}, 1)],
)
def test_a_new_version_states_the_lowest_schema_that_holds_it(
    store: ModelStore, make_draft: Callable[..., Draft], changes: dict[str, object], schema: int
) -> None:
    """A build of schema 2 states 2 only for a manifest that uses one of its fields."""
    with next_schema():
        version = store.publish(make_draft(**changes), accept)

        body = json.loads(version.path(MANIFEST_FILE).read_bytes())
        assert body["schema_version"] == version.manifest.schema_version == schema


@settings(max_examples=100)
@given(st.data())
def test_any_flipped_byte_of_a_newer_manifest_is_detected(data: st.DataObject) -> None:
    """The digest covers fields of every schema (M-4)."""
    with next_schema():
        fields = {"usage": "catalog", "files": {}}
        written = bytearray(
            manifests.encode(NextManifest.model_validate(manifest_fields("fashion-image") | fields))
        )
        position = data.draw(st.integers(0, len(written) - 1))
        written[position] ^= data.draw(st.integers(1, 255))

        with pytest.raises((CorruptVersion, UnsupportedSchema), match="x/1"):
            manifests.decode(bytes(written), "x/1")


def test_a_field_of_a_later_schema_under_an_earlier_number_is_corrupt() -> None:
    """A manifest that states schema 1 and uses a field of schema 2 was not written by any build."""
    with next_schema():
        manifest = NextManifest.model_validate(manifest_fields("fashion-image") | {"usage": "x", "files": {}})
        data = manifests.encode(manifest).replace(b'"schema_version": 2', b'"schema_version": 1')

        with pytest.raises(CorruptVersion, match="does not match its own digest"):
            manifests.decode(data, "x/1")


class _Part(Versioned):
    size: Annotated[int, Since(3)] = 0


class _Whole(Versioned):
    parts: tuple[_Part, ...] = ()
    by_name: dict[str, _Part] = Field(default_factory=dict)
    note: Annotated[str | None, Since(2)] = None


@pytest.mark.parametrize(
    ("whole", "schema", "written"),
    [
        (_Whole(), 1, {"parts": [], "by_name": {}}),
        (_Whole(note="n"), 2, {"parts": [], "by_name": {}, "note": "n"}),
        (_Whole(parts=(_Part(), _Part(size=1))), 3, {"parts": [{}, {"size": 1}], "by_name": {}}),
        (_Whole(by_name={"a": _Part(size=2)}, note="n"), 3, {"by_name": {"a": {"size": 2}}, "note": "n"}),
    ],
)
def test_the_schema_is_that_of_the_newest_field_in_use(
    whole: _Whole, schema: int, written: dict[str, object]
) -> None:
    """At any depth; fields that are not in use are not written."""
    assert schema_of(whole) == schema
    assert whole.model_dump(mode="json") == {"parts": [], **written}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[]", "not a JSON object"),
        (b'{"schema_version": "1"}', "schema_version is '1'"),
        (b"{", "Expecting property name"),
    ],
)
def test_what_states_no_schema_is_refused(data: bytes, message: str) -> None:
    """The message says what is wrong with the file."""
    with pytest.raises(ValueError, match=message):
        read_body(data, 1, "x")


@pytest.mark.parametrize("stated", [0, 4])
def test_the_range_that_is_read_is_named(stated: int) -> None:
    """A build of schema 3 reads 1 to 3, so those of its own release and of the one before."""
    assert read_body(b'{"schema_version": 2, "a": 1}', 3, "x") == {"a": 1}
    with pytest.raises(UnsupportedSchema, match=rf"x has schema version {stated}, this build reads 1 to 3"):
        read_body(b'{"schema_version": %d}' % stated, 3, "x")


@pytest.mark.parametrize("depth", [DEEPEST + 1, 500, 100_000])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_damage_and_not_a_failure(
    tmp_path: Path, depth: int, brackets: tuple[str, str]
) -> None:
    """An alias and a manifest that are nested deeper than anything that reads them are damaged, by name; as
    deep as the limit allows is read (S-5)."""
    opening, closing = brackets
    copy = Path(shutil.copytree(GOLDEN / "store-1", tmp_path / "copy"))
    store = ModelStore.at(copy)
    deep = (opening * depth + "1" + closing * depth).encode()

    with pytest.raises(ValueError, match=f"more than {DEEPEST} levels"):
        read_body(deep, 1, "x")
    alias = copy / "fashion-image" / "aliases" / "production.json"
    alias.write_bytes(b'{"target": ' + deep + b"}")
    with pytest.raises(CorruptVersion, match="fashion-image@production is damaged"):
        store.aliases.read("fashion-image", "production")
    (copy / "fashion-image" / "1" / MANIFEST_FILE).write_bytes(b'{"metrics": ' + deep + b"}")
    with pytest.raises(CorruptVersion, match=r"fashion-image/1/manifest.json is not a manifest"):
        store.open("fashion-image", 1)


def test_nesting_up_to_the_limit_is_read() -> None:
    """The body itself is the first level."""
    inner = "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)

    body = read_body(f'{{"a": {inner}}}'.encode(), 1, "x")

    assert json.dumps(body["a"]) == inner

"""Publish, open, verify, find (M-1, M-4, M-7)."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_store.errors import CorruptVersion, NotInStore
from model_store.manifest import Manifest
from model_store.store import Draft, ModelStore
from tests.model_store.conftest import accept


def root_of(store: ModelStore) -> Path:
    return Path(store.place)


def test_versions_count_from_one_and_hold_what_was_published(
    store: ModelStore, make_draft: Callable[..., Draft]
) -> None:
    """Two publishes give versions 1 and 2, each with its own bytes (M-1)."""
    first = store.publish(make_draft(graph=b"one"), accept)
    second = store.publish(make_draft(graph=b"two"), accept)

    assert (first.number, second.number) == (1, 2)
    assert store.numbers("fashion-image") == [1, 2]
    assert first.path("model.onnx").read_bytes() == b"one"
    assert store.open("fashion-image", 2) == second


@pytest.mark.parametrize("file", ["model.onnx", "golden.npz", "manifest.json"])
def test_one_flipped_byte_is_refused_with_the_file_named(
    store: ModelStore, make_draft: Callable[..., Draft], file: str
) -> None:
    """Whichever file is damaged, opening and verifying names it (M-4)."""
    version = store.publish(make_draft(), accept)
    path = version.path(file)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)

    with pytest.raises(CorruptVersion, match=re.escape(f"fashion-image/1/{file}")):
        store.verify(store.open("fashion-image", 1))


def test_a_missing_file_is_refused_with_its_name(store: ModelStore, make_draft: Callable[..., Draft]) -> None:
    """A deleted graph is named, not a traceback."""
    version = store.publish(make_draft(), accept)
    version.path("model.onnx").unlink()

    with pytest.raises(CorruptVersion, match=r"fashion-image/1/model\.onnx is missing"):
        store.verify(version)


def test_a_refused_draft_leaves_nothing(store: ModelStore, make_draft: Callable[..., Draft]) -> None:
    """When validation raises, no version and no staging directory remains (M-1)."""

    def refuse(_directory: Path, _manifest: Manifest) -> None:
        raise ValueError("fails its golden inputs")

    with pytest.raises(ValueError, match="fails its golden inputs"):
        store.publish(make_draft(), refuse)

    assert store.numbers("fashion-image") == []
    assert list((root_of(store) / ".staging").iterdir()) == []


def test_a_version_of_another_content_under_an_alias_is_refused(
    store: ModelStore, make_draft: Callable[..., Draft]
) -> None:
    """An alias remembers the digest: a version put in its place by hand is not served."""
    one = store.publish(make_draft(graph=b"one"), accept)
    two = store.publish(make_draft(graph=b"two"), accept)
    store.aliases.move("fashion-image", "production", 1, one.digest)
    for file in ("model.onnx", "manifest.json"):
        one.path(file).write_bytes(two.path(file).read_bytes())

    with pytest.raises(CorruptVersion, match="is not the version that fashion-image@production means"):
        store.resolve("fashion-image")


def test_a_deleted_number_is_never_reused(store: ModelStore, make_draft: Callable[..., Draft]) -> None:
    """After version 2 is removed the next is 3 (M-7)."""
    for graph in (b"one", b"two"):
        store.publish(make_draft(graph=graph), accept)
    folder = root_of(store) / "fashion-image" / "2"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()

    assert store.publish(make_draft(graph=b"three"), accept).number == 3


def test_concurrent_publishers_get_numbers_of_their_own(
    store: ModelStore, make_draft: Callable[..., Draft]
) -> None:
    """Eight publishers at once make versions 1 to 64, all whole, and leave no staging (M-1)."""
    draft = make_draft()
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda _: store.publish(draft, accept), range(64)))

    assert sorted(version.number for version in versions) == list(range(1, 65))
    assert list((root_of(store) / ".staging").iterdir()) == []
    for version in versions:
        store.verify(version)


def test_spaces_are_reached_through_aliases_history_and_accepts(
    store: ModelStore, make_draft: Callable[..., Draft]
) -> None:
    """A head under an alias makes the backbone that it accepts reachable; a stray version is not."""
    backbone = store.publish(make_draft("artwork-backbone", b"backbone"), accept)
    stray = store.publish(make_draft("artwork-backbone", b"stray"), accept)
    head = store.publish(make_draft("artwork-head", b"head", accepts=(backbone.space_id,)), accept)
    store.aliases.move("artwork-head", "production", head.number, head.digest)

    assert store.find_space(backbone.space_id) == backbone
    assert store.find_space(head.space_id) == head
    with pytest.raises(NotInStore, match="no alias reaches"):
        store.find_space(stray.space_id)


def test_the_last_three_before_the_present_stay_reachable(
    store: ModelStore, make_draft: Callable[..., Draft]
) -> None:
    """Of six promoted versions the last four are reachable."""
    for number in range(1, 7):
        version = store.publish(make_draft(graph=b"graph %d" % number), accept)
        store.aliases.move("fashion-image", "production", number, version.digest)

    assert sorted(version.number for version in store.reachable()) == [3, 4, 5, 6]


def test_a_damaged_alias_does_not_hide_the_others(
    store: ModelStore, make_draft: Callable[..., Draft]
) -> None:
    """What other aliases reach stays available; reading the damaged one raises (M-3)."""
    for name in ("artwork-head", "fashion-image"):
        version = store.publish(make_draft(name, name.encode()), accept)
        store.aliases.move(name, "production", 1, version.digest)
    alias = Path(store.place) / "artwork-head" / "aliases" / "production.json"
    alias.write_bytes(b"\xff")

    assert store.find_space(version.space_id) == version
    assert store.aliases.names("artwork-head") == ["production"]
    with pytest.raises(CorruptVersion, match="artwork-head@production is damaged"):
        store.aliases.read("artwork-head", "production")


def test_a_missing_store_is_named(tmp_path: Path) -> None:
    """Reading a store that is not there says where it was looked for."""
    with pytest.raises(NotInStore, match="no model store at"):
        ModelStore.at(tmp_path / "nowhere").names()


def test_a_missing_version_is_named(store: ModelStore, make_draft: Callable[..., Draft]) -> None:
    """An unknown version or model is NotInStore with its name."""
    store.publish(make_draft(), accept)

    with pytest.raises(NotInStore, match="no version fashion-image/9"):
        store.open("fashion-image", 9)
    with pytest.raises(NotInStore, match="no alias fashion-image@production"):
        store.resolve("fashion-image")


KILLS = max(8, int(os.environ.get("ATELIER_TEST_KILLS", "8")))
_PUBLISH_FOREVER = """
import sys
from pathlib import Path
from datetime import UTC, datetime
from model_store.store import Draft, ModelStore
root, source = Path(sys.argv[1]), Path(sys.argv[2])
fields = {"name": "fashion-image", "output": "vector_BD", "dimension": 4, "norm_range": (0.9, 1.1),
          "preprocessing": {"kind": "image", "height": 8, "width": 8}, "pixel_path": 1,
          "provenance": {"created_at": datetime(2026, 1, 2, tzinfo=UTC), "source": "test", "trained": False}}
print("started", flush=True)
while True:
    draft = Draft(manifest=fields, graph={"model.onnx": source}, golden={}, payload={})
    ModelStore.at(root).publish(draft, lambda directory, manifest: None)
"""


@pytest.mark.slow
@pytest.mark.timeout(300 + 2 * KILLS)
def test_a_publisher_killed_at_any_moment_leaves_whole_versions_only(
    store: ModelStore, make_draft: Callable[..., Draft], tmp_path: Path
) -> None:
    """Eight publishers, or more by `make crash`, killed -9 mid-way: every visible version verifies, staging
    is swept (M-1)."""
    source = tmp_path / "large.onnx"
    source.write_bytes(os.urandom(4 << 20))
    for attempt in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", _PUBLISH_FOREVER, str(store.place), str(source)], stdout=subprocess.PIPE
        ) as publisher:
            assert publisher.stdout is not None
            publisher.stdout.readline()
            time.sleep(0.013 * (attempt % 8 + 1))  # spreads the kills over the stages of a publish
            publisher.send_signal(signal.SIGKILL)
            publisher.wait()

    numbers = store.numbers("fashion-image")
    for number in numbers:
        store.verify(store.open("fashion-image", number))
    version = store.publish(make_draft(), accept)
    assert version.number > max(numbers, default=0)
    assert list((root_of(store) / ".staging").iterdir()) == []

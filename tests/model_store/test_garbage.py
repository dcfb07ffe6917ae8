"""Garbage collection keeps what is reachable and removes the rest, whole (M-7)."""

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from model_store.errors import CorruptVersion, NoStore, NotInStore
from model_store.garbage import collect, survey
from model_store.storage import LocalStorage
from model_store.store import Draft, ModelStore

from .conftest import accept

NOW = timedelta(0)


@pytest.fixture
def storage(store: ModelStore) -> LocalStorage:
    return LocalStorage(Path(store.place))


def publish(store: ModelStore, draft: Draft, *, alias: str = "") -> int:
    version = store.publish(draft, accept)
    if alias:
        store.aliases.move(version.name, alias, version.number, version.digest)
    return version.number


def kept(storage: LocalStorage) -> dict[tuple[str, int], str]:
    return {finding.key: finding.kept_because for finding in survey(storage, NOW) if finding.kept_because}


def test_what_aliases_mean_and_meant_stays(
    store: ModelStore, storage: LocalStorage, make_draft: Callable[..., Draft]
) -> None:
    """The target and the last three before it are kept, those before are not (M-7)."""
    for n in range(6):
        publish(store, make_draft(graph=b"%d" % n), alias="production")
    publish(store, make_draft(graph=b"never aliased"))

    findings = collect(storage, NOW)

    assert [finding.number for finding in findings if not finding.kept_because] == [1, 2, 7]
    assert store.numbers("fashion-image") == [3, 4, 5, 6]
    assert kept(storage)["fashion-image", 6] == "production means it"
    store.aliases.rollback("fashion-image", "production")
    store.verify(store.resolve("fashion-image"))


def test_what_a_kept_manifest_names_stays(
    store: ModelStore, storage: LocalStorage, make_draft: Callable[..., Draft]
) -> None:
    """The space that a head accepts, and what a version was derived from, however far (M-7)."""
    origin = store.open("fashion-image", publish(store, make_draft(graph=b"fp32")))
    reference = {"name": origin.name, "version": origin.number, "digest": origin.digest}
    small = store.open("fashion-image", publish(store, make_draft(graph=b"int8", derived_from=reference)))
    publish(store, make_draft(graph=b"other"))
    publish(store, make_draft("fashion-attributes", accepts=[small.space_id]), alias="production")

    collect(storage, NOW)

    assert store.numbers("fashion-image") == [1, 2]
    assert kept(storage) == {
        ("fashion-attributes", 1): "production means it",
        ("fashion-image", 2): "named by fashion-attributes/1",
        ("fashion-image", 1): "named by fashion-image/2",
    }


def test_what_was_published_lately_stays(
    store: ModelStore, storage: LocalStorage, make_draft: Callable[..., Draft]
) -> None:
    """A version whose alias may be on its way is left alone, with what it names (M-7)."""
    publish(store, make_draft())

    assert [finding.kept_because for finding in collect(storage)] == ["published lately"]
    assert store.numbers("fashion-image") == [1]


def test_numbers_are_never_used_again(
    store: ModelStore, storage: LocalStorage, make_draft: Callable[..., Draft]
) -> None:
    """After every version of a model has gone, the next is a new one (M-7)."""
    for n in range(3):
        publish(store, make_draft(graph=b"%d" % n))

    collect(storage, NOW)

    assert store.numbers("fashion-image") == []
    assert publish(store, make_draft()) == 4


def test_an_alias_that_cannot_be_read_stops_everything(
    store: ModelStore, storage: LocalStorage, make_draft: Callable[..., Draft]
) -> None:
    """Nobody knows what a damaged alias reaches, so nothing is removed (M-7)."""
    publish(store, make_draft(), alias="production")
    publish(store, make_draft(graph=b"unreached"))
    (storage.root / "fashion-image" / "aliases" / "production.json").write_text("{")

    with pytest.raises(CorruptVersion, match="fashion-image@production"):
        collect(storage, NOW)

    assert store.numbers("fashion-image") == [1, 2]


def test_an_alias_never_moves_to_what_has_gone(
    store: ModelStore, storage: LocalStorage, make_draft: Callable[..., Draft]
) -> None:
    """A promotion that was looked up before the collection is refused after it."""
    version = store.open("fashion-image", publish(store, make_draft()))
    collect(storage, NOW)

    with pytest.raises(NotInStore, match="no version fashion-image/1"):
        store.aliases.move(version.name, "production", version.number, version.digest)


def test_promotions_and_collections_at_once(
    store: ModelStore, storage: LocalStorage, make_draft: Callable[..., Draft]
) -> None:
    """While one thread publishes and promotes anything and another collects, the alias always resolves."""
    publish(store, make_draft(), alias="production")
    draw, done, failures = random.Random(7), threading.Event(), []

    def promote() -> None:
        while not done.is_set():
            try:
                publish(store, make_draft(graph=draw.randbytes(8)))
                version = store.open("fashion-image", draw.choice(store.numbers("fashion-image")))
                store.aliases.move("fashion-image", "production", version.number, version.digest)
            except NotInStore:
                continue  # it was collected before it could be promoted

    def sweep() -> None:
        for _ in range(25):
            collect(storage, NOW)
            target = store.aliases.read("fashion-image", "production").target.version
            try:
                store.open("fashion-image", target)
            except NotInStore as error:
                failures.append(error)
        done.set()

    threads = [threading.Thread(target=promote), threading.Thread(target=sweep)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    store.verify(store.resolve("fashion-image"))


@pytest.mark.slow
def test_a_killed_collection_leaves_whole_versions(
    store: ModelStore, storage: LocalStorage, make_draft: Callable[..., Draft]
) -> None:
    """kill -9 at any moment: what is still listed is complete, and the next publisher sweeps up."""
    publish(store, make_draft(), alias="production")
    for n in range(40):
        publish(store, make_draft(graph=b"%d" % n * 1_000))
    words = [sys.executable, "-m", "cli.main", "models", "gc", "--keep-days", "0", "--store", storage.root]
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and len(store.numbers("fashion-image")) == 41:
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()

    for number in store.numbers("fashion-image"):
        store.verify(store.open("fashion-image", number))
    collect(storage, NOW)
    publish(store, make_draft(graph=b"next"))
    assert store.numbers("fashion-image") == [1, 42]
    assert list((storage.root / ".staging").iterdir()) == []


def test_the_command_tells_what_goes_and_why_not(
    store: ModelStore, storage: LocalStorage, make_draft: Callable[..., Draft]
) -> None:
    """--dry-run lists every version with its reason and changes nothing; then it goes."""
    publish(store, make_draft(), alias="production")
    publish(store, make_draft(graph=b"unreached"))
    words = ["models", "gc", "--keep-days", "0", "--store", store.place]

    rehearsed = CliRunner().invoke(app, [*words, "--dry-run"])
    assert store.numbers("fashion-image") == [1, 2]
    done = CliRunner().invoke(app, words)

    assert "production means it" in rehearsed.stdout
    assert "1 of 2 versions" in done.stdout
    assert store.numbers("fashion-image") == [1]


def test_no_store_is_not_made(tmp_path: Path) -> None:
    """Collecting where there is no store says so and leaves no directory behind."""
    with pytest.raises(NoStore):
        collect(LocalStorage(tmp_path / "nowhere"), NOW)
    assert list(tmp_path.iterdir()) == []

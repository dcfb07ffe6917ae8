"""What fails around the services: the store, the disk, another holder, a killed embedder (S-8)."""

import errno
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from atelier.recommender.v1 import catalog_pb2, recommender_pb2, resources_pb2

from services.client.health import await_serving
from services.client.ranker import RankerClient, picture
from services.client.recommender import RecommenderClient
from services.runtime.errors import ResourceExhausted, Unavailable
from tests.integration.conftest import drawing
from tests.integration.load import KINDS, NEEDS, asking_everything
from tests.integration.row import FULL_NAMES, Row
from tests.integration.test_promotion import wait_until

pytestmark = pytest.mark.slow

KILLS = max(3, int(os.environ.get("ATELIER_TEST_KILLS", "3")) // 5)


@pytest.fixture
def rows() -> Iterator[list[Row]]:
    """Rows that end with the test."""
    made: list[Row] = []
    yield made
    for row in made:
        row.close()


def started(row: Row, rows: list[Row], *, serving: bool = True) -> Row:
    rows.append(row)
    for name in FULL_NAMES:
        row.start(name)
    for name in FULL_NAMES:
        if serving:
            row.await_serving(name)
        else:
            await_serving(row.addresses[name], "", timeout_s=30)
    return row


def by_item(item_id: str) -> recommender_pb2.RecommendRequest:
    return recommender_pb2.RecommendRequest(items=resources_pb2.ItemIds(item_ids=[item_id]), item_count=3)


def garments(count: int, prefix: str = "g") -> list[catalog_pb2.UpsertItem]:
    return [catalog_pb2.UpsertItem(item_id=f"{prefix}{n}", image=drawing(n)) for n in range(count)]


def test_a_store_that_comes_later_is_followed(published: Path, tmp_path: Path, rows: list[Row]) -> None:
    """Without a store processes live, are NOT_SERVING and say why; once it is there all serve, unrestarted
    (S-8)."""
    store = tmp_path / "models"
    row = started(Row(store, tmp_path / "data"), rows, serving=False)
    for name in ("ranker", "recommender"):
        with pytest.raises(Unavailable, match="NOT_SERVING"):
            await_serving(row.addresses[name], FULL_NAMES[name], timeout_s=0.2)
        assert wait_until(lambda name=name: "the model store is not" in row.log(name), 10), row.log(name)

    staged = Path(shutil.copytree(published, tmp_path / "staged"))
    staged.rename(store)

    for name in FULL_NAMES:
        row.await_serving(name)


def test_a_store_that_is_lost_later_takes_nothing_away(
    own_store: Path, tmp_path: Path, rows: list[Row]
) -> None:
    """What is loaded goes on to answer every kind of question; back again, a promotion is followed (S-8)."""
    row = started(Row(own_store, tmp_path / "data"), rows)
    with asking_everything(row.addresses) as load:
        load.await_each(time.monotonic(), 3, timeout_s=30)
        own_store.rename(tmp_path / "elsewhere")
        lost = time.monotonic()
        # Beyond some polls of the alias, so that the loss has been noticed.
        assert wait_until(lambda: time.monotonic() - lost > 3.0, 10)
        load.await_each(time.monotonic(), 3, timeout_s=30)
        failures = [answer for answer in load.between(lost, time.monotonic()) if answer.error]
        (tmp_path / "elsewhere").rename(own_store)
    assert failures == []
    for name in FULL_NAMES:
        await_serving(row.addresses[name], FULL_NAMES[name], timeout_s=5)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB of the test's own."""
    mount = tmp_path / "small"
    mount.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", mount], capture_output=True
        ).returncode
    ):
        pytest.skip("a small file system can be mounted by root alone")
    yield mount
    subprocess.run(["umount", "--lazy", mount], check=True)


def fill(path: Path) -> None:
    """Write until the file system has no room."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(descriptor, bytes(4096)):
            pass
    except OSError as error:
        assert error.errno == errno.ENOSPC  # noqa: PT017 - nothing else ends the loop
    finally:
        os.close(descriptor)


def test_a_full_disk_refuses_writes_and_answers_questions(
    published: Path, tmp_path: Path, small_disk: Path, rows: list[Row]
) -> None:
    """Upserts are RESOURCE_EXHAUSTED, everything else goes on; with room again upserts work, and each
    acknowledged item is there (S-8)."""
    environment = {"ATELIER_CATALOGUE": str(small_disk / "catalogue")}
    row = started(Row(published, tmp_path / "data", environment), rows)
    filler = small_disk / "filler"
    with RecommenderClient(row.addresses["recommender"]) as shop:
        shop.upsert_items(garments(5))
        fill(filler)
        acknowledged = {f"g{n}" for n in range(5)}
        refused: list[ResourceExhausted] = []
        for item in garments(50, "late"):
            try:
                shop.upsert_items([item])
                acknowledged.add(item.item_id)
            except ResourceExhausted as error:
                refused.append(error)
        assert {str(error) for error in refused} == {"the catalog's disk is full"}

        assert len(shop.recommend(by_item("g1")).recommendations) == 3
        assert shop.recommend(recommender_pb2.RecommendRequest(image=drawing(99))).recommendations
        filler.unlink()
        shop.upsert_items(garments(3, "after"))

        listed = {item.item_id for item in shop.list_items()}
    assert acknowledged | {"after0", "after1", "after2"} <= listed
    assert row.stop("recommender") == 0
    row.start("recommender")
    row.await_serving("recommender")
    with RecommenderClient(row.addresses["recommender"]) as shop:
        assert {item.item_id for item in shop.list_items()} == listed


def test_a_catalog_has_one_holder(published: Path, tmp_path: Path, rows: list[Row]) -> None:
    """A second recommender over the same catalog exits with 1 and names the process that holds it (S-8)."""
    first = Row(published, tmp_path / "data")
    second = Row(published, tmp_path / "data")
    rows += [first, second]
    first.start("recommender")
    await_serving(first.addresses["recommender"], "", timeout_s=30)

    second.start("recommender")

    assert second.exit_code("recommender") == 1
    assert re.search(rf"held by process {first.process_id('recommender')}\b", second.log("recommender"))
    assert first.stop("recommender") == 0


@pytest.mark.timed
@pytest.mark.timeout(300 + 20 * KILLS)
def test_a_killed_embedder_leaves_nothing_corrupt(published: Path, tmp_path: Path, rows: list[Row]) -> None:
    """kill -9 under load, three times or as `make crash` says: the cache is whole afterwards, and every kind
    is answered again (S-8)."""
    row = started(Row(published, tmp_path / "data"), rows)
    with asking_everything(row.addresses) as load:
        for _ in range(KILLS):
            load.await_each(time.monotonic(), 3, timeout_s=30)
            row.stop("embedder", signal.SIGKILL)
            for path in (tmp_path / "data" / "cache").rglob("*.sqlite"):
                copy = tmp_path / "copy"
                shutil.copytree(path.parent, copy)
                with sqlite3.connect(copy / path.name) as connection:
                    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                connection.close()
                shutil.rmtree(copy)
            row.start("embedder")
            back = load.first_good(KINDS, row.await_serving("embedder"), timeout_s=20)
            assert back < 2.0
        answers = load.between(0, time.monotonic())
    fine = {kind for kind, needs in NEEDS.items() if "embedder" not in needs}
    assert [a for a in answers if a.error and (a.kind in fine or not isinstance(a.error, Unavailable))] == []
    assert "cache failed" not in row.log("embedder")
    with RankerClient(row.addresses["ranker"]) as ranker:
        assert len(ranker.rank([picture(drawing(1)), picture(drawing(2))]).placements) == 2

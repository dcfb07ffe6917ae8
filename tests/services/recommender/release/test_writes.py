"""Writes that wait together are committed together, and each caller gets its own result."""

import asyncio
import contextlib
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from services.recommender.catalog.items import ItemEntry, SourceVector
from services.recommender.catalog.log import Change
from services.recommender.catalog.store import Catalog
from services.recommender.catalog.writes import Destination, NeedsSpace, Write
from services.recommender.errors import DiskFull
from services.recommender.executors import Executors
from services.recommender.release.writes import MOST_TOGETHER, CommitQueue

SPACE = "a" * 64


class FakeIndex:
    """Keeps what it is given; a broken one takes from the catalog instead."""

    def __init__(self):
        self.collection = "fashion"
        self.changes = []
        self.vectors = {}
        self.reconciled = 0
        self.broken = False

    def apply(self, change, vectors):
        if self.broken:
            raise RuntimeError("broken")
        self.changes.append(change)
        self.vectors |= vectors

    def reconcile(self):
        self.reconciled += 1


class Desk:
    """A queue over a real catalog, whose thread can be held up so that writes wait together."""

    def __init__(self, root):
        self.catalog = Catalog(root)
        self.executors = Executors()
        self.index = FakeIndex()
        release = SimpleNamespace(index=self.index, models=SimpleNamespace(space_id=SPACE))
        self.queue = CommitQueue(self.catalog, self.executors, lambda: [release])
        self.groups = []
        commit = self.catalog.commit

        def noted(writes):
            self.groups.append([size(write) for write in writes])
            return commit(writes)

        self.catalog.commit = noted

    @contextlib.asynccontextmanager
    async def held(self):
        """Writes that are sent within the block wait until it ends."""
        gate = threading.Event()
        held = asyncio.create_task(self.executors.write(lambda: gate.wait(10)))
        first = asyncio.create_task(self.queue.commit(write("first")))
        await until(lambda: self.queue._running is not None)
        yield
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(held, first)

    async def close(self):
        await self.queue.close()
        self.executors.close()
        self.catalog.close()


async def until(condition):
    while not condition():  # noqa: ASYNC110 - conditions of another thread
        await asyncio.sleep(0)


def size(write):
    return len(write.entries) + len(write.deleted)


def write(*names, space=SPACE):
    entries = [
        ItemEntry(
            item_id=name,
            attributes={},
            released_us=1,
            in_stock=True,
            picture_digest="",
            source=f"v:{name}",
        )
        for name in names
    ]
    vectors = [
        SourceVector(source=each.source, space_id=space, vector_D=np.ones(4, np.float32)) for each in entries
    ]
    return Write(collection="fashion", entries=entries, vectors=vectors)


def run(tmp_path, scenario):
    async def main():
        desk = Desk(tmp_path / "catalogue")
        try:
            await scenario(desk)
        finally:
            await desk.close()

    asyncio.run(main())


def test_writes_that_wait_together_are_one_commit(tmp_path):
    """Each caller gets the revisions of its own items; the index is changed once for all of them (R-4)."""

    async def scenario(desk):
        async with desk.held():
            calls = [asyncio.create_task(desk.queue.commit(write(f"i{n}"))) for n in range(20)]
        changes = await asyncio.gather(*calls)

        assert desk.groups == [[1], [1] * 20]
        assert [change.revisions for change in changes] == [{f"i{n}": n + 2} for n in range(20)]
        assert len(desk.index.changes) == 2
        assert [entry.revision for entry in desk.index.changes[1].entries] == list(range(2, 22))
        assert "v:i7" in desk.index.vectors

    run(tmp_path, scenario)


def test_a_small_write_does_not_wait_for_large_ones(tmp_path):
    """The oldest write comes first, then the smallest ones; no group grows beyond its bound (S-4)."""

    async def scenario(desk):
        large = [write(*(f"l{n}-{k}" for k in range(200))) for n in range(3)]
        async with desk.held():
            calls = [asyncio.create_task(desk.queue.commit(each)) for each in large]
            calls += [asyncio.create_task(desk.queue.commit(write("small")))]
        await asyncio.gather(*calls)

        assert desk.groups == [[1], [200, 1], [200], [200]]
        assert all(sum(group) <= MOST_TOGETHER for group in desk.groups)

    run(tmp_path, scenario)


def test_a_write_that_lacks_a_space_fails_alone(tmp_path):
    """Its caller learns which space is needed; the index hears of the others only (S-2)."""

    async def scenario(desk):
        to = Destination(space_id=SPACE, lead_name="l", lead_version=1, lead_digest="d")
        desk.catalog.flip("fashion", to)
        async with desk.held():
            calls = [write("a"), write("b", space="b" * 64), write("c")]
            calls = [asyncio.create_task(desk.queue.commit(each)) for each in calls]
        a, b, c = await asyncio.gather(*calls)

        assert b == NeedsSpace(space_id=SPACE)
        assert (a.revisions, c.revisions) == ({"a": 3}, {"c": 4})
        assert [entry.item_id for entry in desk.index.changes[-1].entries] == ["a", "c"]

    run(tmp_path, scenario)


def test_a_write_that_breaks_fails_alone(tmp_path):
    """An unforeseen error of one write leaves the others of its group written."""

    async def scenario(desk):
        broken = Write(collection="fashion", entries=[object()])
        async with desk.held():
            calls = [
                asyncio.create_task(desk.queue.commit(each)) for each in (write("a"), broken, write("c"))
            ]
        results = await asyncio.gather(*calls, return_exceptions=True)

        assert [type(result) for result in results] == [Change, AttributeError, Change]
        assert set(desk.catalog.find("fashion", ["a", "c"])) == {"a", "c"}

    run(tmp_path, scenario)


def test_a_full_disk_refuses_the_whole_group_once(tmp_path):
    """Every caller is refused, and nothing is tried again at once (S-4)."""

    async def scenario(desk):
        commit, tried = desk.catalog.commit, []

        def full(writes):
            tried.append(len(writes))
            if len(writes) > 1:
                raise DiskFull("the catalog's disk is full")
            return commit(writes)

        desk.catalog.commit = full
        async with desk.held():
            calls = [asyncio.create_task(desk.queue.commit(write(f"i{n}"))) for n in range(3)]
        results = await asyncio.gather(*calls, return_exceptions=True)

        assert [type(result) for result in results] == [DiskFull] * 3
        assert tried == [1, 3]

    run(tmp_path, scenario)


def test_a_caller_that_leaves_does_not_stop_its_write(tmp_path):
    """A cancelled write that waits is written all the same, with its group."""

    async def scenario(desk):
        async with desk.held():
            gone = asyncio.create_task(desk.queue.commit(write("gone")))
            stays = asyncio.create_task(desk.queue.commit(write("stays")))
            await until(lambda: len(desk.queue._waiting) >= 2)
            gone.cancel()
        await stays

        assert set(desk.catalog.find("fashion", ["gone", "stays"])) == {"gone", "stays"}

    run(tmp_path, scenario)


def test_an_index_that_breaks_takes_the_write_from_the_catalog(tmp_path):
    """The write is acknowledged, for it is durable; the index reconciles itself."""

    async def scenario(desk):
        desk.index.broken = True
        change = await desk.queue.commit(write("a"))

        assert change.revisions == {"a": 1}
        assert desk.index.reconciled == 1

    run(tmp_path, scenario)


def test_the_database_is_checkpointed_between_the_writes(tmp_path, monkeypatch):
    """After a pause, on the thread that writes; the next write finds the queue at work again."""
    monkeypatch.setattr("services.recommender.release.writes.IDLE_S", 0.01)

    async def scenario(desk):
        done = []
        checkpoint = desk.catalog.checkpoint
        desk.catalog.checkpoint = lambda: done.append(threading.current_thread().name) or checkpoint()
        for number in range(3):
            await desk.queue.commit(write(f"i{number}"))
            await until(lambda: len(done) == number + 1)  # noqa: B023 - awaited at once

        assert all(name.startswith("disk") for name in done)

    run(tmp_path, scenario)


@pytest.mark.parametrize("count", [0, 3])
def test_closing_finishes_what_waits(tmp_path, count):
    """No accepted write is lost when the service stops."""

    async def scenario(desk):
        calls = [asyncio.create_task(desk.queue.commit(write(f"i{n}"))) for n in range(count)]
        await asyncio.sleep(0)
        await desk.queue.close()

        assert [call.done() for call in calls] == [True] * count

    run(tmp_path, scenario)

"""Events count once, survive a kill, and become sums by day."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from services.recommender.errors import DamagedCatalog, NewerSchema
from services.recommender.insight.feedback import (
    DAY_US,
    FILE,
    DayCount,
    FeedbackEvent,
    FeedbackKind,
    FeedbackQueue,
    FeedbackStore,
)

TODAY = time.time_ns() // 1_000 // DAY_US


def event(number, kind=FeedbackKind.CLICKED, item_id="a", day=TODAY, lead="fashion-attributes/3"):
    return FeedbackEvent(event_id=f"e{number}", kind=kind, item_id=item_id, at_us=day * DAY_US + 5, lead=lead)


@pytest.fixture
def store(tmp_path):
    made = FeedbackStore(tmp_path)
    yield made
    made.close()


def test_an_event_counts_once(store):
    """A repeated identifier of the collection is not new, in one call or a later one (R-5)."""
    assert store.record([("fashion", [event(1), event(2), event(1)])]) == [2]
    assert store.record([("fashion", [event(2), event(3)]), ("items", [event(1)])]) == [1, 1]

    assert store.days("fashion", TODAY, TODAY) == [
        DayCount(day=TODAY, kind=FeedbackKind.CLICKED, item_id="a", lead="fashion-attributes/3", count=3)
    ]


def test_sums_are_by_day_kind_item_and_lead(store):
    """Each combination has a sum of its own, and a range of days is read with both ends."""
    events = [
        event(1),
        event(2, FeedbackKind.PURCHASED),
        event(3, item_id="b"),
        event(4, lead=""),
        event(5, day=TODAY - 1),
        event(6, day=TODAY - 2),
    ]
    store.record([("fashion", events)])

    assert len(store.days("fashion", TODAY - 1, TODAY)) == 5
    assert {each.count for each in store.days("fashion", TODAY - 9, TODAY)} == {1}


def test_an_acknowledged_event_is_synced(tmp_path, monkeypatch):
    """The connection that acknowledges waits for the disk at each commit (R-5)."""
    opened = []
    connect = sqlite3.connect

    def remembering(*arguments, **options):
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", remembering)
    store = FeedbackStore(tmp_path)

    (connection,) = opened
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_forgotten_identifiers_leave_their_sums(store):
    """After the retention an event's identifier is gone; the sums of its day stay."""
    store.record([("fashion", [event(1, day=TODAY - 91), event(2)])])

    assert store.forget(TODAY - 90) == 1
    assert sum(each.count for each in store.days("fashion", 0, TODAY)) == 2
    assert store.record([("fashion", [event(2)])]) == [0]


def test_a_newer_schema_is_refused_naming_both(tmp_path):
    """A database of a later build is not opened (S-10)."""
    FeedbackStore(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("PRAGMA user_version = 9")
    connection.close()

    with pytest.raises(NewerSchema, match="has schema 9, this build reads up to 1"):
        FeedbackStore(tmp_path)


def test_a_file_that_is_no_database_is_an_error(tmp_path):
    """Foreign bytes or a directory in its place are refused with the file named."""
    (tmp_path / FILE).write_bytes(b"no database " * 1_000)
    with pytest.raises(DamagedCatalog):
        FeedbackStore(tmp_path)

    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    with pytest.raises(DamagedCatalog, match="is a directory"):
        FeedbackStore(tmp_path)


def test_concurrent_calls_are_committed_together(tmp_path):
    """Calls that wait together share a commit, and each learns how many of its own events are new."""
    transactions = []

    class Counted(FeedbackStore):
        def record(self, batches):
            transactions.append(len(batches))
            return super().record(batches)

    async def run():
        queue = FeedbackQueue(Counted(tmp_path), 90)
        counts = await asyncio.gather(*(queue.record("fashion", [event(n), event(0)]) for n in range(1, 65)))
        await queue.close()
        return counts

    counts = asyncio.run(run())

    assert sum(counts) == 65
    assert sum(transactions) == 64
    assert len(transactions) <= 3


def test_a_failure_reaches_every_caller_and_the_next_call_goes_on(tmp_path):
    """An error of the disk fails the calls of its commit alone."""

    class Full(FeedbackStore):
        broken = True

        def record(self, batches):
            if self.broken:
                raise OSError(5, "input/output error")
            return super().record(batches)

    async def run():
        store = Full(tmp_path)
        queue = FeedbackQueue(store, 90)
        failed = await asyncio.gather(
            *(queue.record("fashion", [event(n)]) for n in range(3)), return_exceptions=True
        )
        store.broken = False
        recorded = await queue.record("fashion", [event(0)])
        await queue.close()
        return failed, recorded

    failed, recorded = asyncio.run(run())

    assert [type(each) for each in failed] == [OSError] * 3
    assert recorded == 1


WRITER = """
import sys, asyncio
from pathlib import Path
from tests.services.recommender.insight.test_feedback import event
from services.recommender.insight.feedback import FeedbackQueue, FeedbackStore

async def run():
    queue = FeedbackQueue(FeedbackStore(Path(sys.argv[1])), 90)
    async def ask(first):
        for number in range(first, 10**6, 8):
            await queue.record("fashion", [event(number)])
            print(number, flush=True)
    await asyncio.gather(*(ask(first) for first in range(8)))

asyncio.run(run())
"""


@pytest.mark.slow
def test_a_kill_loses_no_acknowledged_event(tmp_path):
    """After SIGKILL every acknowledged event is known, and none counts twice (R-5)."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        acknowledged = [int(child.stdout.readline()) for _ in range(300)]
        os.kill(child.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in child.stdout.read().split("\n")[:-1]]

    store = FeedbackStore(tmp_path)
    total = sum(each.count for each in store.days("fashion", TODAY - 1, TODAY + 1))
    again = store.record([("fashion", [event(number) for number in acknowledged])])
    store.close()

    assert len(acknowledged) >= 300
    assert again == [0]
    assert len(acknowledged) <= total <= len(acknowledged) + 8

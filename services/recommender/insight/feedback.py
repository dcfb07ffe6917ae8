"""What customers did with recommendations: events that count once, and their sums by day (R-5, R-1).

A database of its own, so that clicks never hold up the catalog. An event is known by its identifier for as
long as it is kept; the sums by day, item and model stay. Nothing names a person.
"""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from services.recommender.catalog.database import translated
from services.recommender.errors import DamagedCatalog, NewerSchema

FILE: Final = "feedback.db"
SCHEMA: Final = 1
DAY_US: Final = 86_400_000_000
# Events that are committed together at most.
MOST_TOGETHER: Final = 4_000
_TABLES: Final = """
CREATE TABLE events (
    event_id TEXT PRIMARY KEY, day INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_by_day ON events (day);
CREATE TABLE days (
    collection TEXT NOT NULL, day INTEGER NOT NULL, kind INTEGER NOT NULL, item_id TEXT NOT NULL,
    lead TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (collection, day, kind, item_id, lead)
) WITHOUT ROWID;
"""
_ADD: Final = """
INSERT INTO days (collection, day, kind, item_id, lead, count) VALUES (?, ?, ?, ?, ?, 1)
ON CONFLICT DO UPDATE SET count = count + 1
"""


class FeedbackKind(IntEnum):
    """What a customer did with an item; the numbers are stored."""

    SHOWN = 1
    CLICKED = 2
    LIKED = 3
    DISLIKED = 4
    PURCHASED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackEvent:
    """One event. at_us: µs since 1970, UTC. lead: the model version that recommended it, '' if unknown."""

    event_id: str
    kind: FeedbackKind
    item_id: str
    at_us: int
    lead: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCount:
    """How many events of a kind an item had on a day, a number of days since 1970, under a lead."""

    day: int
    kind: FeedbackKind
    item_id: str
    lead: str
    count: int


class FeedbackStore:
    """The database of events; its methods belong to one thread at a time.

    Raises NewerSchema: naming both schemas. Raises DamagedCatalog: if the file is not a database.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        if (root / FILE).is_dir():
            raise DamagedCatalog(f"{FILE} is a directory, not a database: move it away")
        with translated(opening=True):
            self._connection = sqlite3.connect(
                root / FILE, isolation_level=None, check_same_thread=False, timeout=5
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def record(self, batches: Sequence[tuple[str, Sequence[FeedbackEvent]]]) -> list[int]:
        """Add events of collections in one transaction, durable on return; how many of each batch are new.

        Raises DiskFull: then none was added.
        """
        with translated(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            return [self._add(collection, events) for collection, events in batches]

    def days(self, collection: str, first: int, last: int) -> list[DayCount]:
        """The sums of a collection's days from `first` to `last`, both included."""
        query = (
            "SELECT day, kind, item_id, lead, count FROM days WHERE collection = ? AND day BETWEEN ? AND ?"
        )
        with translated():
            rows = self._connection.execute(query, (collection, first, last)).fetchall()
        return [
            DayCount(day=day, kind=FeedbackKind(kind), item_id=item_id, lead=lead, count=count)
            for day, kind, item_id, lead, count in rows
        ]

    def forget(self, before_day: int) -> int:
        """Remove the identifiers of events before a day, whose sums stay; how many there were."""
        with translated(), self._connection:
            return self._connection.execute("DELETE FROM events WHERE day < ?", (before_day,)).rowcount

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def _prepare(self) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            self._connection.execute(f"PRAGMA {pragma}")
        (schema,) = self._connection.execute("PRAGMA user_version").fetchone()
        if schema > SCHEMA:
            raise NewerSchema(f"{FILE} has schema {schema}, this build reads up to {SCHEMA}")
        if schema < SCHEMA:
            with closing(self._connection.cursor()) as cursor:
                cursor.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")

    def _add(self, collection: str, events: Sequence[FeedbackEvent]) -> int:
        fresh = []
        for event in events:
            day = event.at_us // DAY_US
            added = self._connection.execute(
                "INSERT OR IGNORE INTO events VALUES (?, ?)", (f"{collection}\n{event.event_id}", day)
            )
            if added.rowcount:
                fresh.append((collection, day, int(event.kind), event.item_id, event.lead))
        self._connection.executemany(_ADD, fresh)
        return len(fresh)


class FeedbackQueue:
    """Commits together the events that wait together, on a thread of its own.

    kept_days: after so many days an identifier is forgotten. Its methods belong to one event loop.
    """

    def __init__(self, store: FeedbackStore, kept_days: int) -> None:
        self._store = store
        self._kept_days = kept_days
        self._tidied_on = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feedback")
        self._waiting: list[tuple[str, Sequence[FeedbackEvent], asyncio.Future[int]]] = []
        self._running: asyncio.Task[None] | None = None

    async def record(self, collection: str, events: Sequence[FeedbackEvent]) -> int:
        """How many of the events are new; all are durable. Raises DiskFull."""
        result: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((collection, events, result))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await result

    async def days(self, collection: str, first: int, last: int) -> list[DayCount]:
        """As `FeedbackStore.days`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._store.days, collection, first, last)

    async def close(self) -> None:
        """Finish what waits; close the database."""
        if self._running is not None:
            await self._running
        self._thread.shutdown(wait=True)
        self._store.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            group = self._group()
            batches = [(collection, events) for collection, events, _ in group]
            try:
                counts = await loop.run_in_executor(self._thread, self._record, batches)
            except Exception as error:  # noqa: BLE001 - each caller gets it
                for _, _, result in group:
                    if not result.done():
                        result.set_exception(error)
            else:
                for (_, _, result), count in zip(group, counts, strict=True):
                    if not result.done():
                        result.set_result(count)

    def _record(self, batches: Sequence[tuple[str, Sequence[FeedbackEvent]]]) -> list[int]:
        today = time.time_ns() // 1_000 // DAY_US
        if today != self._tidied_on:
            self._store.forget(today - self._kept_days)
            self._tidied_on = today
        return self._store.record(batches)

    def _group(self) -> list[tuple[str, Sequence[FeedbackEvent], "asyncio.Future[int]"]]:
        size = taken = 0
        for _, events, _ in self._waiting:
            if taken and size + len(events) > MOST_TOGETHER:
                break
            size, taken = size + len(events), taken + 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

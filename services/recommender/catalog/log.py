"""The log of a collection: what changed, in the order of its revisions.

Every change has a revision of its own: an item that was written, an item that was deleted, a flip to
another lead or space. The log is compacted: an item stands at its last change alone. So whoever holds the
state of a revision and applies what changed after it, in order, has the present state.
"""

import heapq
import itertools
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.recommender.catalog.items import Item
from services.recommender.catalog.rows import COLUMNS, Damage, Row, fetch
from services.recommender.errors import LogTruncated


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A collection's move to another lead or space; the `generation` counts them.

    space_id: the digest of the lead instead where that is a version of item vectors, which holds the items.
    """

    generation: int
    space_id: str
    lead_name: str
    lead_version: int
    lead_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """A change of a collection: of the item that it names, or a flip. Without both: the item was deleted."""

    revision: int
    item_id: str = ""
    item: Item | None = None
    flip: Flip | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every undamaged item of a collection at one revision, by label."""

    revision: int
    generation: int
    items: Sequence[Item]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The result of a write. entries: those of the log, in order.

    revisions: by item, of every item that the write names. added: new labels with their contents. removed:
    labels that are no item's any more.
    """

    revision: int
    revisions: Mapping[str, int] = field(default_factory=dict)
    added: Mapping[int, str] = field(default_factory=dict)
    removed: tuple[int, ...] = ()
    entries: tuple[LogEntry, ...] = ()


def joined(changes: Sequence[Change]) -> Change:
    """Several changes of one collection, in order, as one. Labels that came and went are in neither list."""
    added: dict[int, str] = {}
    removed: list[int] = []
    revisions: dict[str, int] = {}
    for change in changes:
        removed += [label for label in change.removed if added.pop(label, None) is None]
        added.update(change.added)
        revisions.update(change.revisions)
    return Change(
        revision=changes[-1].revision,
        revisions=revisions,
        added=added,
        removed=tuple(removed),
        entries=tuple(entry for change in changes for entry in change.entries),
    )


def read_snapshot(connection: sqlite3.Connection, collection: str, damage: Damage) -> Snapshot:
    """The state of a collection, within the read transaction of the connection."""
    query = f"select {COLUMNS} from items where collection = ? order by label"
    rows = fetch(connection, query, (collection,))
    revision, generation, _ = _head(connection, collection)
    return Snapshot(revision=revision, generation=generation, items=damage.items_of(rows))


def read_changes(
    connection: sqlite3.Connection, collection: str, *, after: int, limit: int, damage: Damage
) -> list[LogEntry]:
    """Up to `limit` entries after a revision, within the read transaction of the connection.

    A damaged item counts as deleted. Raises LogTruncated: if the log no longer holds every entry after
    `after`, or ends before it.
    """
    revision, _, log_start = _head(connection, collection)
    if after and not log_start <= after <= revision:
        raise LogTruncated(
            f"the log of {collection} holds the changes after {log_start} up to {revision}, not after {after}"
        )
    sources = (
        (_written(row, damage) for row in _after(connection, _ITEMS, collection, after, limit)),
        (_deleted(row) for row in _after(connection, _DELETIONS, collection, after, limit)),
        (_flipped(row) for row in _after(connection, _FLIPS, collection, after, limit)),
    )
    return list(itertools.islice(heapq.merge(*sources, key=lambda entry: entry.revision), limit))


_ITEMS: Final = f"select {COLUMNS} from items"
_DELETIONS: Final = "select revision, item_id from deletions"
_FLIPS: Final = "select revision, generation, space_id, lead_name, lead_version, lead_digest from flips"


def _after(
    connection: sqlite3.Connection, query: str, collection: str, after: int, limit: int
) -> Iterable[Row]:
    where = f"{query} where collection = ? and revision > ? order by revision limit ?"
    return fetch(connection, where, (collection, after, limit))


def _head(connection: sqlite3.Connection, collection: str) -> tuple[int, int, int]:
    query = "select revision, generation, log_start from collections where name = ?"
    head: tuple[int, int, int] | None = connection.execute(query, (collection,)).fetchone()
    return head or (0, 0, 0)


def _written(row: Row, damage: Damage) -> LogEntry:
    items = damage.items_of([row])
    return LogEntry(revision=row[3], item_id=row[1], item=items[0] if items else None)


def _deleted(row: Row) -> LogEntry:
    return LogEntry(revision=row[0], item_id=row[1])


def _flipped(row: Row) -> LogEntry:
    names = ("generation", "space_id", "lead_name", "lead_version", "lead_digest")
    return LogEntry(revision=row[0], flip=Flip(**dict(zip(names, row[1:], strict=True))))

"""What one write does to the catalog, within a transaction that the caller began.

Whether a write has the vectors that its collection needs, and whether a collection may move to another
space, is decided here: from rows that no other transaction can change meanwhile.
"""

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

from services.recommender.catalog.items import ItemEntry, MissingVector, SourceVector
from services.recommender.catalog.log import Change, Flip, LogEntry
from services.recommender.catalog.rows import (
    ITEM_ID,
    LABEL,
    REVISION,
    SOURCE,
    Row,
    fetch,
    is_whole,
    item_of,
    make_row,
)
from services.recommender.catalog.statements import (
    CollectionHead,
    add_vectors,
    collect_freed,
    delete_rows,
    lacking,
    read_state,
    rows_of,
    write_rows,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Items of a collection to insert or replace with the vectors of their contents, and items to delete."""

    collection: str
    entries: Sequence[ItemEntry] = ()
    vectors: Sequence[SourceVector] = ()
    deleted: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsSpace:
    """Why a write was left out: an item of it has no vector in the space that its collection is in."""

    space_id: str


def apply_write(connection: sqlite3.Connection, write: Write, freed: set[str]) -> Change | NeedsSpace:
    """The change that a write makes; an equal item is left as it is. freed: takes digests of pictures."""
    head = CollectionHead(connection, write.collection)
    wanted = {entry.source for entry in write.entries}
    if head.space_id and lacking(connection, wanted, head.space_id, write.vectors):
        return NeedsSpace(space_id=head.space_id)
    before = rows_of(connection, write.collection, [entry.item_id for entry in write.entries])
    changed = _changed_rows(head, write, before, _kept_rows(connection, head, write, before))
    add_vectors(connection, write.vectors)
    write_rows(connection, changed)
    deleted = _delete(connection, head, write, freed) if write.deleted else Change(revision=0)
    head.store()
    replaced = [before[row[ITEM_ID]] for row in changed if row[ITEM_ID] in before]
    freed |= collect_freed(connection, replaced) if replaced else set()
    fresh = [row for row in changed if _is_new(row, before)]
    entries = tuple(LogEntry(revision=r[REVISION], item_id=r[ITEM_ID], item=item_of(r)) for r in changed)
    return Change(
        revision=head.revision,
        revisions={row[ITEM_ID]: row[REVISION] for row in [*before.values(), *changed]},
        added={row[LABEL]: row[SOURCE] for row in fresh},
        removed=tuple(before[row[ITEM_ID]][LABEL] for row in fresh if row[ITEM_ID] in before)
        + deleted.removed,
        entries=entries + deleted.entries,
    )


def _kept_rows(
    connection: sqlite3.Connection, head: CollectionHead, write: Write, before: dict[str, Row]
) -> dict[str, Row]:
    """The rows that have a vector, without which content that returns is new to whoever follows the log."""
    if not head.space_id or not before:
        return before
    known = {entry.source for entry in write.entries if entry.item_id in before}
    lost = lacking(connection, known, head.space_id, ())
    return {item_id: row for item_id, row in before.items() if row[SOURCE] not in lost}


def _changed_rows(
    head: CollectionHead, write: Write, before: dict[str, Row], kept: dict[str, Row]
) -> list[Row]:
    """The rows to write. kept: rows of before that keep their label while their content is the same."""
    rows = []
    for entry in write.entries:
        old, same = before.get(entry.item_id), kept.get(entry.item_id)
        if same is not None and same[SOURCE] != entry.source:
            same = None
        if same is not None and is_whole(same):
            row = make_row(write.collection, entry, same, label=same[LABEL], revision=same[REVISION])
            if row == same:
                continue
        label = head.next_label() if same is None else same[LABEL]
        rows.append(make_row(write.collection, entry, old, label=label, revision=head.next_revision()))
    return rows


def _is_new(row: Row, before: dict[str, Row]) -> bool:
    """Whether the row has another content than the one before it, or there was none."""
    old = before.get(row[ITEM_ID])
    return old is None or bool(old[LABEL] != row[LABEL])


def _delete(connection: sqlite3.Connection, head: CollectionHead, write: Write, freed: set[str]) -> Change:
    rows = rows_of(connection, write.collection, write.deleted)
    entries = tuple(LogEntry(revision=head.next_revision(), item_id=item_id) for item_id in rows)
    delete_rows(connection, write.collection, rows)
    now = time.time_ns() // 1000
    connection.executemany(
        "insert into deletions (collection, revision, item_id, deleted_at) values (?, ?, ?, ?)",
        [(write.collection, entry.revision, entry.item_id, now) for entry in entries],
    )
    freed |= collect_freed(connection, list(rows.values()))
    return Change(revision=head.revision, removed=tuple(row[LABEL] for row in rows.values()), entries=entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a collection moves: a space and the lead that is followed there; `space_id` as in `Flip`."""

    space_id: str
    lead_name: str
    lead_version: int
    lead_digest: str


def apply_flip(
    connection: sqlite3.Connection, collection: str, to: Destination
) -> LogEntry | list[MissingVector]:
    """Move a collection, as an entry of its log with a revision of its own.

    The last entry again if the collection is there already. Up to 32 items without a vector in the space if
    there are any: then nothing changes. In the space that the collection is in, a vector that is missing was
    lost, and keeps no lead away.
    """
    state = read_state(connection, collection)
    if state.space_id != to.space_id:
        missing = missing_vectors(connection, collection, to.space_id, limit=32)
        if missing:
            return missing
    head = CollectionHead(connection, collection)
    if (state.space_id, state.lead_name, state.lead_version, state.lead_digest) == _place(to):
        query = "select max(revision) from flips where collection = ?"
        (revision,) = connection.execute(query, (collection,)).fetchone()
        return _flip_entry(revision or head.revision, state.generation, to)
    entry = _flip_entry(head.next_revision(), head.generation + 1, to)
    head.store()
    connection.execute(
        "update collections set generation = ?, space_id = ?, lead_name = ?, lead_version = ?,"
        " lead_digest = ? where name = ?",
        (head.generation + 1, *_place(to), collection),
    )
    connection.execute(
        "insert into flips (collection, revision, generation, space_id, lead_name, lead_version, lead_digest,"
        " flipped_at) values (?, ?, ?, ?, ?, ?, ?, ?)",
        (collection, entry.revision, head.generation + 1, *_place(to), time.time_ns() // 1000),
    )
    return entry


def _place(to: Destination) -> tuple[str, str, int, str]:
    return (to.space_id, to.lead_name, to.lead_version, to.lead_digest)


def _flip_entry(revision: int, generation: int, to: Destination) -> LogEntry:
    space_id, lead_name, lead_version, lead_digest = _place(to)
    flip = Flip(
        generation=generation,
        space_id=space_id,
        lead_name=lead_name,
        lead_version=lead_version,
        lead_digest=lead_digest,
    )
    return LogEntry(revision=revision, flip=flip)


def missing_vectors(
    connection: sqlite3.Connection,
    collection: str,
    space_id: str,
    *,
    limit: int,
    after: int = 0,
    bare: bool | None = None,
) -> list[MissingVector]:
    """Live items with a label above `after` that have no vector in a space, by label.

    bare: those upserted as a bare vector, those with a picture, or both (None).
    """
    kind = {None: "", True: " and picture_digest = ''", False: " and picture_digest <> ''"}[bare]
    query = (
        "select item_id, label, items.source, picture_digest"
        " from items indexed by items_by_label left join vectors"
        " on vectors.source = items.source and vectors.space_id = ?"
        f" where collection = ? and label > ? and vectors.source is null{kind} order by label limit ?"
    )
    rows = fetch(connection, query, (space_id, collection, after, limit))
    return [
        MissingVector(item_id=str(item_id), label=label, source=source, picture_digest=str(digest))
        for item_id, label, source, digest in rows
    ]

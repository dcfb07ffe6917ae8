"""The statements of the write path, on the driver's connection in a transaction that the caller began.

Statements are few and prepared: a call of 128 items takes as many as a call of one.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from services.recommender.catalog.items import CollectionState, SourceVector
from services.recommender.catalog.rows import COLUMNS, ITEM_ID, PICTURE, SOURCE, Row, among, fetch
from services.recommender.catalog.schema import vector_checksum

_LISTED: Final = "(select value from json_each(?))"
_UPSERT: Final = (
    f"insert into items ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " on conflict (collection, item_id) do update set "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS.split(", ")[2:])
)
_STATE: Final = "revision, last_label, generation, space_id, lead_name, lead_version, lead_digest"


class CollectionHead:
    """The head of a collection within a transaction; it hands out revisions and labels until `store`."""

    def __init__(self, connection: sqlite3.Connection, collection: str) -> None:
        query = "select revision, last_label, generation, space_id from collections where name = ?"
        row: tuple[int, int, int, str] | None = connection.execute(query, (collection,)).fetchone()
        if row is None:
            connection.execute(
                "insert into collections (name, revision, last_label, log_start, generation, space_id,"
                " lead_name, lead_version, lead_digest) values (?, 0, 0, 0, 0, '', '', 0, '')",
                (collection,),
            )
        self.revision, self.last_label, self.generation, self.space_id = row or (0, 0, 0, "")
        self._connection = connection
        self._collection = collection
        self._stored = (self.revision, self.last_label)

    def next_revision(self) -> int:
        """The next revision."""
        self.revision += 1
        return self.revision

    def next_label(self) -> int:
        """The next label."""
        self.last_label += 1
        return self.last_label

    def store(self) -> None:
        """Write what was handed out."""
        if (self.revision, self.last_label) != self._stored:
            self._connection.execute(
                "update collections set revision = ?, last_label = ? where name = ?",
                (self.revision, self.last_label, self._collection),
            )


def read_state(connection: sqlite3.Connection, collection: str) -> CollectionState:
    """The head of a collection; an empty one if it was never written."""
    row = connection.execute(f"select {_STATE} from collections where name = ?", (collection,)).fetchone()
    return CollectionState(**dict(zip(_STATE.split(", "), row, strict=True))) if row else CollectionState()


def rows_of(connection: sqlite3.Connection, collection: str, item_ids: Sequence[str]) -> dict[str, Row]:
    """The rows of the items that exist, by identifier."""
    query = f"select {COLUMNS} from items where collection = ? and item_id in {_LISTED}"
    return {row[ITEM_ID]: row for row in fetch(connection, query, (collection, among(item_ids)))}


def write_rows(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Insert or replace items."""
    connection.executemany(_UPSERT, rows)


def delete_rows(connection: sqlite3.Connection, collection: str, item_ids: Iterable[str]) -> None:
    """Delete items."""
    connection.execute(
        f"delete from items where collection = ? and item_id in {_LISTED}",
        (collection, among(item_ids)),
    )


def add_vectors(connection: sqlite3.Connection, new_vectors: Sequence[SourceVector]) -> None:
    """Insert vectors that are missing or damaged. The others stay: their labels were indexed with them."""
    if not new_vectors:
        return
    _drop_damaged(connection, [vector.source for vector in new_vectors])
    rows = []
    for vector in new_vectors:
        data = np.ascontiguousarray(vector.vector_D, dtype="<f4").tobytes()
        checksum = vector_checksum(vector.source, vector.space_id, data)
        rows.append((vector.source, vector.space_id, data, checksum))
    connection.executemany(
        "insert into vectors (source, space_id, vector, checksum) values (?, ?, ?, ?) on conflict do nothing",
        rows,
    )


def _drop_damaged(connection: sqlite3.Connection, sources: Sequence[str]) -> None:
    query = f"select source, space_id, vector, checksum from vectors where source in {_LISTED}"
    for source, space_id, data, checksum in fetch(connection, query, (among(sources),)):
        if vector_checksum(source, space_id, data) != checksum:
            connection.execute("delete from vectors where source = ? and space_id = ?", (source, space_id))


def lacking(
    connection: sqlite3.Connection, sources: set[str], space_id: str, given: Iterable[SourceVector]
) -> set[str]:
    """The contents that have no vector in a space, neither stored nor given."""
    left = sources - {vector.source for vector in given if vector.space_id == space_id}
    if not left:
        return left
    query = f"select source from vectors where space_id = ? and source in {_LISTED}"
    return left - {source for (source,) in connection.execute(query, (space_id, among(left)))}


def collect_freed(connection: sqlite3.Connection, replaced: Sequence[Row]) -> set[str]:
    """Delete vectors that no item needs any more; the digests of pictures that no item shows any more."""
    sources = {row[SOURCE] for row in replaced}
    digests = {row[PICTURE] for row in replaced} - {""}
    sources -= named(connection, "source", sources)
    digests -= named(connection, "picture_digest", digests)
    if sources:
        connection.execute(f"delete from vectors where source in {_LISTED}", (among(sources),))
    return digests


def named(connection: sqlite3.Connection, column: str, values: Iterable[str]) -> set[str]:
    """The values of `source` or `picture_digest` that some item has."""
    partial = " and picture_digest <> ''" if column == "picture_digest" else ""
    query = f"select distinct {column} from items where {column} in {_LISTED}{partial}"
    return {value for (value,) in fetch(connection, query, (among(values),))}


def delete_vectors(connection: sqlite3.Connection, sources: Sequence[str], space_id: str) -> None:
    """Delete the vectors of contents in a space."""
    connection.execute(
        f"delete from vectors where space_id = ? and source in {_LISTED}",
        (space_id, among(sources)),
    )


def forget_space(connection: sqlite3.Connection, collection: str, space_id: str, *, limit: int) -> int:
    """Delete up to `limit` vectors of a collection's items in a space that no collection of theirs is in."""
    query = (
        "select distinct vectors.source from items join vectors on vectors.source = items.source"
        " where collection = ? and vectors.space_id = ? and not exists (select 1 from items as other"
        " join collections on collections.name = other.collection"
        " where other.source = vectors.source and collections.space_id = vectors.space_id) limit ?"
    )
    sources = [source for (source,) in connection.execute(query, (collection, space_id, limit))]
    delete_vectors(connection, sources, space_id)
    return len(sources)


def read_spaces(connection: sqlite3.Connection, collection: str) -> list[tuple[str, float]]:
    """The spaces that a collection has left, the last first, and the Unix time at which it left each."""
    query = "select space_id, flipped_at from flips where collection = ? order by revision desc"
    spaces: dict[str, float] = {}
    left_at = 0.0
    for space_id, flipped_at in connection.execute(query, (collection,)):
        spaces.setdefault(space_id, left_at)
        left_at = flipped_at / 1e6
    return list(spaces.items())[1:]


def prune_deletions(connection: sqlite3.Connection, before_us: int) -> int:
    """Forget deletions of before a time; the logs of their collections begin after them."""
    connection.execute(
        "update collections set log_start = max(log_start, coalesce((select max(revision) from deletions"
        " where deletions.collection = collections.name and deleted_at < ?), 0))",
        (before_us,),
    )
    return connection.execute("delete from deletions where deleted_at < ?", (before_us,)).rowcount

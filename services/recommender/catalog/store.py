"""The catalog: the truth about every item (R-4); the index is a cache of it.

Writes come from one thread and are durable when they return. Each change takes the next revision of its
collection, deletions and flips too. An item's `label` names its content, so two contents never share a
label. Legend: N rows, D dimensions.
"""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from sqlalchemy import Select, func, select
from sqlalchemy.engine import Connection

from model_store.durable import checkpoint
from services.recommender.catalog import schema
from services.recommender.catalog.database import Database, driver, translated
from services.recommender.catalog.items import (
    CollectionState,
    Contents,
    Item,
    ItemEntry,
    MissingVector,
    SourceVector,
)
from services.recommender.catalog.log import Change, LogEntry, Snapshot, read_changes, read_snapshot
from services.recommender.catalog.pictures import Pictures
from services.recommender.catalog.rows import COLUMNS, Damage, among, fetch, read_item
from services.recommender.catalog.schema import items, vectors
from services.recommender.catalog.statements import (
    add_vectors,
    delete_vectors,
    forget_space,
    named,
    prune_deletions,
    read_spaces,
    read_state,
    rows_of,
)
from services.recommender.catalog.writes import (
    Destination,
    NeedsSpace,
    Write,
    apply_flip,
    apply_write,
    missing_vectors,
)
from services.recommender.errors import LacksVector

PICTURE_GRACE_S: Final = 600.0
_PAGE: Final = 1_000


class Catalog:
    """Items, their pictures and vectors, in a directory that one process holds."""

    def __init__(self, root: Path) -> None:
        self.pictures = Pictures(root / "pictures")
        # Without the rows that name them, every picture would be swept.
        self._database = Database(root, may_be_new=self.pictures.is_empty)
        self._damage = Damage()
        self._freeing = threading.Lock()
        self._freed: dict[str, float] = {}
        with self._database.reading() as connection:
            rows = fetch(driver(connection), "select distinct picture_digest from items")
            (self.catalogue_id,) = connection.execute(select(schema.catalog.c.catalogue_id)).one()
        self.pictures.sweep({digest for (digest,) in rows})

    @property
    def damaged_count(self) -> int:
        """How many damaged rows of items were read and left out."""
        return self._damage.count

    def close(self) -> None:
        """Close the database and let another process open the catalog."""
        self._database.close()

    # Writing: on the one thread that writes.

    def commit(self, writes: Sequence[Write]) -> list[Change | NeedsSpace]:
        """Make several writes durable together, in order; the result of each.

        The pictures of their entries are stored already. Raises DiskFull: then nothing was written.
        """
        freed: set[str] = set()
        with self._database.writing() as connection:
            results = [apply_write(driver(connection), write, freed) for write in writes]
            checkpoint("before commit")
        checkpoint("after commit")
        self._note_freed(freed)
        return results

    def upsert(
        self,
        collection: str,
        entries: Sequence[ItemEntry],
        *,
        new_vectors: Sequence[SourceVector],
        pictures: Mapping[str, bytes],
    ) -> Change:
        """Insert or replace items with their vectors; durable on return. An equal item is left as it is.

        Raises DiskFull: then nothing was written. Raises LacksVector: if an item has no vector in the space
        that the collection is in.
        """
        self.store_pictures(pictures)
        (change,) = self.commit([Write(collection=collection, entries=entries, vectors=new_vectors)])
        if isinstance(change, NeedsSpace):
            raise LacksVector(f"an item of {collection} has no vector in the space {change.space_id}")
        return change

    def delete(self, collection: str, item_ids: Sequence[str]) -> Change:
        """Remove items; absent items count as removed. Durable on return. Raises DiskFull."""
        (change,) = self.commit([Write(collection=collection, deleted=item_ids)])
        assert isinstance(change, Change)
        return change

    def flip(self, collection: str, to: Destination) -> LogEntry | list[MissingVector]:
        """Move a collection to a lead and its space, durable on return: the entry of its log.

        The last entry again if the collection is there already; some of the items that have no vector in the
        space, if there are any: then nothing changes. Raises DiskFull.
        """
        with self._database.writing() as connection:
            result = apply_flip(driver(connection), collection, to)
            checkpoint("before flip")
        checkpoint("after flip")
        return result

    def add_vectors(self, new_vectors: Sequence[SourceVector]) -> None:
        """Store vectors of contents that an item still has. Raises DiskFull."""
        with self._database.writing() as connection:
            alive = named(driver(connection), "source", {vector.source for vector in new_vectors})
            add_vectors(driver(connection), [vector for vector in new_vectors if vector.source in alive])

    def drop_vectors(self, sources: Sequence[str], space_id: str) -> None:
        """Delete damaged vectors, so that they are made again."""
        with self._database.writing() as connection:
            delete_vectors(driver(connection), sources, space_id)

    def forget_space(self, collection: str, space_id: str) -> int:
        """Delete up to 1,000 vectors of a space that the collection has left; how many that were."""
        with self._database.writing() as connection:
            return forget_space(driver(connection), collection, space_id, limit=_PAGE)

    def prune_log(self, older_than_s: float) -> int:
        """Forget deletions of longer ago; how many that were. The log is complete from the last one on."""
        with self._database.writing() as connection:
            return prune_deletions(driver(connection), time.time_ns() // 1000 - round(older_than_s * 1e6))

    def checkpoint(self) -> None:
        """Fold what was written into the database's file, so that no later commit has to."""
        self._database.checkpoint()

    # Pictures: from any thread.

    def store_pictures(self, pictures: Mapping[str, bytes]) -> None:
        """Store pictures that a write will name soon; durable on return. Raises DiskFull."""
        self._note_freed(pictures)  # until a row names them
        with translated():
            self.pictures.store(pictures)

    def collect_pictures(self, grace_s: float = PICTURE_GRACE_S) -> int:
        """Remove pictures that no item has shown for the grace time; how many those were."""
        now = time.monotonic()
        with self._freeing:
            due = {digest for digest, freed in self._freed.items() if now - freed >= grace_s}
            for digest in due:
                del self._freed[digest]
        if due:
            with self._database.reading() as connection:
                due -= named(driver(connection), "picture_digest", due)
            self.pictures.remove(due, grace_s=grace_s)
        return len(due)

    def _note_freed(self, digests: Iterable[str]) -> None:
        now = time.monotonic()
        with self._freeing:
            self._freed.update(dict.fromkeys(digests, now))

    # Reading: from any thread.

    def snapshot(self, collection: str) -> Snapshot:
        """Every undamaged item, at one revision."""
        with self._database.reading() as connection:
            return read_snapshot(driver(connection), collection, self._damage)

    def changes(self, collection: str, after: int, limit: int) -> list[LogEntry]:
        """Up to `limit` entries of the log after a revision, in order.

        Raises LogTruncated: if the log no longer reaches back that far, or ends before.
        """
        with self._database.reading() as connection:
            return read_changes(driver(connection), collection, after=after, limit=limit, damage=self._damage)

    def state(self, collection: str) -> CollectionState:
        """The head of a collection: its revision, and what it serves."""
        with self._database.reading() as connection:
            return read_state(driver(connection), collection)

    def left_spaces(self, collection: str) -> list[tuple[str, float]]:
        """The spaces that a collection has left, the last first, each with the Unix time at which it left."""
        with self._database.reading() as connection:
            return read_spaces(driver(connection), collection)

    def find(self, collection: str, item_ids: Sequence[str]) -> dict[str, Item]:
        """The items that exist, by identifier. Raises DamagedCatalog: naming the first damaged one."""
        with self._database.reading() as connection:
            rows = rows_of(driver(connection), collection, item_ids)
        return {item_id: read_item(row) for item_id, row in rows.items()}

    def page(self, collection: str, after: str, size: int) -> tuple[list[Item], int]:
        """Up to `size` undamaged items after an identifier, in order, and how many the collection has."""
        query = (
            f"select {COLUMNS} from items where collection = ? and item_id > ?"
            " order by item_id limit ? offset ?"
        )
        page: list[Item] = []
        with self._database.reading() as connection:
            read = 0
            while rows := fetch(driver(connection), query, (collection, after, size - len(page), read)):
                page += self._damage.items_of(rows)
                read += len(rows)
            total = _count(connection, select(items.c.label).where(items.c.collection == collection))
        return page, total

    def counts(self, collection: str) -> tuple[int, int]:
        """How many items live, and how many of them were upserted as a bare vector."""
        query = select(items.c.label).where(items.c.collection == collection)
        with self._database.reading() as connection:
            return _count(connection, query), _count(connection, query.where(items.c.picture_digest == ""))

    def by_labels(self, collection: str, labels: np.ndarray) -> dict[int, Item]:
        """The items that have these labels now; a damaged one is left out."""
        query = (
            f"select {COLUMNS} from items where collection = ? and label in (select value from json_each(?))"
        )
        with self._database.reading() as connection:
            rows = fetch(driver(connection), query, (collection, among(labels.tolist())))
        return {item.label: item for item in self._damage.items_of(rows)}

    def contents(self, collection: str) -> Contents:
        """Every label with its content, at a single revision."""
        query = "select label, source from items where collection = ? order by label"
        with self._database.reading() as connection:
            rows = fetch(driver(connection), query, (collection,))
            revision = read_state(driver(connection), collection).revision
        return Contents(
            revision=revision,
            labels=np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows)),
            sources=[row[1] for row in rows],
        )

    def vectors_of(self, sources: Iterable[str], space_id: str) -> dict[str, np.ndarray]:
        """The vectors, float32 (D,), that contents have in a space; a damaged one counts as missing."""
        wanted = sorted(set(sources))
        query = (
            "select source, vector, checksum from vectors"
            " where space_id = ? and source in (select value from json_each(?))"
        )
        by_source: dict[str, np.ndarray] = {}
        with self._database.reading() as connection:
            for start in range(0, len(wanted), _PAGE):
                values = (space_id, among(wanted[start : start + _PAGE]))
                for source, data, checksum in fetch(driver(connection), query, values):
                    if schema.vector_checksum(source, space_id, data) == checksum:
                        by_source[source] = np.frombuffer(data, dtype="<f4")
        return by_source

    def missing(
        self, collection: str, space_id: str, limit: int, *, after: int = 0, bare: bool = False
    ) -> list[MissingVector]:
        """Live items with a label above `after` that have no vector in a space, by label.

        Those with a picture, or those upserted as a bare vector.
        """
        with self._database.reading() as connection:
            return missing_vectors(
                driver(connection), collection, space_id, limit=limit, after=after, bare=bare
            )

    def missing_count(self, collection: str, space_id: str, *, pictures: bool) -> int:
        """Live items without a vector in a space: those that have a picture, or those that have none."""
        query = (
            select(items.c.label)
            .outerjoin(vectors, (vectors.c.source == items.c.source) & (vectors.c.space_id == space_id))
            .where(items.c.collection == collection, vectors.c.source.is_(None))
            .where(items.c.picture_digest != "" if pictures else items.c.picture_digest == "")
        )
        with self._database.reading() as connection:
            return _count(connection, query)


def _count(connection: Connection, query: Select[tuple[int]]) -> int:
    count: int = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    return count

"""The catalog: the truth about every item (R-4); the index is a cache of it.

Writes come from one thread and are durable when they return. Revisions grow with every change, also
with deletions; an item's `label` is the revision at which its content last changed, so two contents never
share a label. Legend: N rows, D dimensions.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from sqlalchemy import bindparam, delete, func, select, update

from services.recommender.catalog import schema
from services.recommender.catalog.database import Database
from services.recommender.catalog.items import (
    Change,
    CollectionState,
    Contents,
    Item,
    ItemConditions,
    ItemEntry,
    MissingVector,
    SourceVector,
)
from services.recommender.catalog.pictures import Pictures
from services.recommender.catalog.schema import collections, items, terms, vectors
from services.recommender.catalog.statements import (
    add_vectors,
    among,
    collect_freed,
    collection_revision,
    ensure_collection,
    is_same,
    labels_of,
    mapping,
    new_row,
    number_row,
    read_item,
    rows_of,
    take_revisions,
    without_vector,
    write_items,
)
from services.recommender.errors import DamagedCatalog

log = logging.getLogger(__name__)


class Catalog:
    """Items, their pictures and vectors, in a directory that one process holds."""

    def __init__(self, root: Path) -> None:
        self.pictures = Pictures(root / "pictures")
        # Without the rows that name them, every picture would be swept.
        self._database = Database(root, may_be_new=self.pictures.is_empty)
        with self._database.reading() as connection:
            named = set(connection.execute(select(items.c.picture_digest).distinct()).scalars())
        self.pictures.sweep(named)

    def close(self) -> None:
        """Close the database and let another process open the catalog."""
        self._database.close()

    # Writing: on the one thread that writes.

    def upsert(
        self,
        collection: str,
        entries: Sequence[ItemEntry],
        *,
        new_vectors: Sequence[SourceVector],
        pictures: Mapping[str, bytes],
    ) -> Change:
        """Insert or replace items with their vectors; durable on return. An equal item is left as it is.

        Raises DiskFull: then nothing was written.
        """
        with self._database.writing() as connection, self.pictures.kept(pictures):
            ensure_collection(connection, collection)
            before = rows_of(connection, collection, [entry.item_id for entry in entries])
            add_vectors(connection, new_vectors)
            rows = [new_row(collection, entry, before.get(entry.item_id)) for entry in entries]
            changed = [row for row in rows if not is_same(row, before.get(row["item_id"]))]
            numbers = take_revisions(connection, len(changed))
            for row, number in zip(changed, numbers, strict=True):
                number_row(row, number, before.get(row["item_id"]))
            write_items(connection, changed)
            replaced = [before[row["item_id"]] for row in changed if row["item_id"] in before]
            freed = collect_freed(connection, replaced)
            revision = collection_revision(connection, collection, numbers)
        self.pictures.drop(freed)
        fresh = [row for row in changed if row["label"] == row["revision"]]
        return Change(
            revision=revision,
            revisions={row["item_id"]: row["revision"] for row in [*before.values(), *changed]},
            added={row["label"]: row["source"] for row in fresh},
            removed=tuple(before[row["item_id"]]["label"] for row in fresh if row["item_id"] in before),
        )

    def delete(self, collection: str, item_ids: Sequence[str]) -> Change:
        """Remove items; absent items count as removed. Durable on return. Raises DiskFull."""
        with self._database.writing() as connection:
            removed = list(rows_of(connection, collection, item_ids).values())
            freed: list[str] = []
            if removed:
                connection.execute(
                    delete(items).where(
                        items.c.collection == collection, items.c.item_id == bindparam("removed_id")
                    ),
                    [{"removed_id": row["item_id"]} for row in removed],
                )
                freed = collect_freed(connection, removed)
            revision = collection_revision(connection, collection, take_revisions(connection, bool(removed)))
        self.pictures.drop(freed)
        return Change(revision=revision, removed=tuple(row["label"] for row in removed))

    def add_vectors(self, new_vectors: Sequence[SourceVector]) -> None:
        """Store vectors of contents that an item still has. Raises DiskFull."""
        with self._database.writing() as connection:
            alive = set(
                connection.execute(
                    select(items.c.source).where(
                        among(items.c.source, [vector.source for vector in new_vectors])
                    )
                ).scalars()
            )
            add_vectors(connection, [vector for vector in new_vectors if vector.source in alive])

    def drop_vectors(self, sources: Sequence[str], space_id: str) -> None:
        """Delete damaged vectors, so that they are made again."""
        with self._database.writing() as connection:
            connection.execute(
                delete(vectors).where(vectors.c.space_id == space_id, among(vectors.c.source, sources))
            )

    def set_state(self, collection: str, *, space_id: str, lead_name: str, lead_version: int) -> None:
        """Store what the collection serves."""
        with self._database.writing() as connection:
            ensure_collection(connection, collection)
            connection.execute(
                update(collections)
                .where(collections.c.name == collection)
                .values(space_id=space_id, lead_name=lead_name, lead_version=lead_version)
            )

    # Reading: on any thread.

    def state(self, collection: str) -> CollectionState:
        """What the collection served last, and its revision."""
        with self._database.reading() as connection:
            row = connection.execute(select(collections).where(collections.c.name == collection)).first()
        if row is None:
            return CollectionState()
        return CollectionState(
            revision=row.revision,
            space_id=row.space_id,
            lead_name=row.lead_name,
            lead_version=row.lead_version,
        )

    def find(self, collection: str, item_ids: Sequence[str]) -> dict[str, Item]:
        """The items that exist, by identifier. Raises DamagedCatalog: naming the item."""
        with self._database.reading() as connection:
            rows = rows_of(connection, collection, item_ids)
        return {item_id: read_item(row) for item_id, row in rows.items()}

    def page(self, collection: str, after: str, size: int) -> tuple[list[Item], int]:
        """Up to `size` items after an identifier, in order, and how many the collection has."""
        here = items.c.collection == collection
        with self._database.reading() as connection:
            query = select(items).where(here, items.c.item_id > after).order_by(items.c.item_id).limit(size)
            rows = connection.execute(query).all()
            total = connection.execute(select(func.count()).select_from(items).where(here)).scalar_one()
        return [read_item(mapping(row)) for row in rows], total

    def counts(self, collection: str) -> tuple[int, int]:
        """How many items live, and how many of them were upserted as a bare vector."""
        here = items.c.collection == collection
        with self._database.reading() as connection:
            total = connection.execute(select(func.count()).select_from(items).where(here)).scalar_one()
            bare = connection.execute(
                select(func.count()).select_from(items).where(here, items.c.picture_digest == "")
            ).scalar_one()
        return total, bare

    def labels(self, collection: str, item_ids: Sequence[str]) -> np.ndarray:
        """Labels, int64, of the items that exist."""
        query = select(items.c.label).where(
            items.c.collection == collection, among(items.c.item_id, item_ids)
        )
        with self._database.reading() as connection:
            return labels_of(connection, query)

    def matching(self, collection: str, conditions: ItemConditions) -> np.ndarray:
        """Labels, int64, of every item that satisfies the conditions."""
        query = select(items.c.label).where(items.c.collection == collection)
        if conditions.in_stock is not None:
            query = query.where(items.c.in_stock == conditions.in_stock)
        if conditions.released_from_us is not None:
            query = query.where(items.c.released_at >= conditions.released_from_us)
        for name, words in conditions.words.items():
            having = select(terms.c.item_id).where(
                terms.c.collection == collection, terms.c.field == name, among(terms.c.word, words)
            )
            query = query.where(items.c.item_id.in_(having))
        with self._database.reading() as connection:
            return labels_of(connection, query)

    def by_labels(self, collection: str, labels: np.ndarray) -> dict[int, Item]:
        """The items that have these labels now; a damaged one is logged and left out."""
        # By label alone, which is unique: with the collection in the query SQLite would read all of its rows.
        query = select(items).where(among(items.c.label, labels.tolist()))
        with self._database.reading() as connection:
            rows = [row for row in connection.execute(query) if row.collection == collection]
        by_label = {}
        for row in rows:
            try:
                by_label[row.label] = read_item(mapping(row))
            except DamagedCatalog:
                log.exception("damaged item left out")
        return by_label

    def contents(self, collection: str) -> Contents:
        """Every label with its content, at a single revision."""
        query = select(items.c.label, items.c.source).where(items.c.collection == collection)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(items.c.label)).all()
            revision = connection.execute(
                select(collections.c.revision).where(collections.c.name == collection)
            ).scalar()
        return Contents(
            revision=revision or 0,
            labels=np.array([row.label for row in rows], dtype=np.int64),
            sources=[row.source for row in rows],
        )

    def vectors_of(self, sources: Iterable[str], space_id: str) -> dict[str, np.ndarray]:
        """The vectors, float32 (D,), that contents have in a space; a damaged one counts as missing."""
        wanted = sorted(set(sources))
        by_source: dict[str, np.ndarray] = {}
        with self._database.reading() as connection:
            for start in range(0, len(wanted), 1000):
                query = select(vectors).where(
                    vectors.c.space_id == space_id, among(vectors.c.source, wanted[start : start + 1000])
                )
                for row in connection.execute(query):
                    if schema.vector_checksum(row.source, space_id, row.vector) == row.checksum:
                        by_source[row.source] = np.frombuffer(row.vector, dtype="<f4")
        return by_source

    def missing(self, collection: str, space_id: str, limit: int) -> list[MissingVector]:
        """Pictures of live items that have no vector in a space yet."""
        query = without_vector(collection, space_id).where(items.c.picture_digest != "")
        with self._database.reading() as connection:
            rows = connection.execute(query.group_by(items.c.source).limit(limit)).all()
        return [
            MissingVector(item_id=row.item_id, source=row.source, picture_digest=row.picture_digest)
            for row in rows
        ]

    def missing_count(self, collection: str, space_id: str, *, pictures: bool) -> int:
        """Live items without a vector in a space: those that have a picture, or those that have none."""
        query = without_vector(collection, space_id)
        query = query.where(items.c.picture_digest != "" if pictures else items.c.picture_digest == "")
        with self._database.reading() as connection:
            count: int = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
        return count

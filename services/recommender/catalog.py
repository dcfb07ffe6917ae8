"""The catalogue: the truth about every item (R-4). The index is only a cache of it.

Writes come from one thread and are durable when they return. Revisions grow with every change, also
with deletions; an item's `label` is the revision at which its content last changed, so a label is
never given to two contents. Legend: N rows, D dimensions.
"""

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, Select, bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from services.recommender import schema
from services.recommender.database import Database
from services.recommender.errors import DamagedCatalogue
from services.recommender.pictures import Pictures
from services.recommender.schema import collections, items, terms, vectors

Attributes = Mapping[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item as the catalogue has it. released_us: µs since 1970, UTC. picture_digest: '' for none."""

    item_id: str
    attributes: Attributes
    released_us: int
    in_stock: bool
    picture_digest: str
    source: str
    label: int
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An item to be written. released_us: None keeps what is there, or means now."""

    item_id: str
    attributes: Attributes
    released_us: int | None
    in_stock: bool
    picture_digest: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceVector:
    """A vector of one content in one space. vector_D: float32, finite."""

    source: str
    space_id: str
    vector_D: np.ndarray  # noqa: N815 - the shape suffix


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a write did: revisions by item, labels with their content that came, labels that went."""

    revision: int
    revisions: Mapping[str, int] = field(default_factory=dict)
    added: Mapping[int, str] = field(default_factory=dict)
    removed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemConditions:
    """What an item must satisfy. words: per field, one of these."""

    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    in_stock: bool | None = None
    released_from_us: int | None = None

    def __bool__(self) -> bool:
        return bool(self.words) or self.in_stock is not None or self.released_from_us is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionState:
    """What a collection served last; '' and 0 before it served anything."""

    revision: int = 0
    space_id: str = ""
    lead_name: str = ""
    lead_version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A picture that has no vector in some space yet, and one of the items that show it."""

    item_id: str
    source: str
    picture_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a collection's index is to hold. labels: int64 (N,), ascending; sources: the content of each."""

    revision: int
    labels: np.ndarray
    sources: Sequence[str]


class Catalogue:
    """Items, their pictures and vectors, in one directory that one process holds."""

    def __init__(self, root: Path) -> None:
        self._database = Database(root)
        self.pictures = Pictures(root / "pictures")
        with self._database.reading() as connection:
            named = set(connection.execute(select(items.c.picture_digest).distinct()).scalars())
        self.pictures.sweep(named)

    def close(self) -> None:
        """Let another process have it."""
        self._database.close()

    # Writing: on the one thread that writes.

    def upsert(
        self,
        collection: str,
        entries: Sequence[Entry],
        *,
        found: Sequence[SourceVector],
        pictures: Mapping[str, bytes],
    ) -> Change:
        """Insert or replace items with their vectors; durable on return. An equal item is left as it is.

        Raises DiskFull: nothing of it was written.
        """
        with self._database.writing() as connection, self.pictures.kept(pictures):
            _ensure(connection, collection)
            before = _rows(connection, collection, [entry.item_id for entry in entries])
            _add_vectors(connection, found)
            rows = [_row(collection, entry, before.get(entry.item_id)) for entry in entries]
            changed = [row for row in rows if not _same(row, before.get(row["item_id"]))]
            numbers = _take_revisions(connection, len(changed))
            for row, number in zip(changed, numbers, strict=True):
                _number(row, number, before.get(row["item_id"]))
            _write_items(connection, changed)
            replaced = [before[row["item_id"]] for row in changed if row["item_id"] in before]
            freed = _collect(connection, replaced)
            revision = _collection_revision(connection, collection, numbers)
        self.pictures.drop(freed)
        fresh = [row for row in changed if row["label"] == row["revision"]]
        return Change(
            revision=revision,
            revisions={row["item_id"]: row["revision"] for row in [*before.values(), *changed]},
            added={row["label"]: row["source"] for row in fresh},
            removed=tuple(before[row["item_id"]]["label"] for row in fresh if row["item_id"] in before),
        )

    def delete(self, collection: str, item_ids: Sequence[str]) -> Change:
        """Remove items; those that are not there count as removed. Durable on return. Raises DiskFull."""
        with self._database.writing() as connection:
            gone = list(_rows(connection, collection, item_ids).values())
            freed: list[str] = []
            if gone:
                connection.execute(
                    delete(items).where(
                        items.c.collection == collection, items.c.item_id == bindparam("gone_id")
                    ),
                    [{"gone_id": row["item_id"]} for row in gone],
                )
                freed = _collect(connection, gone)
            revision = _collection_revision(connection, collection, _take_revisions(connection, bool(gone)))
        self.pictures.drop(freed)
        return Change(revision=revision, removed=tuple(row["label"] for row in gone))

    def add_vectors(self, found: Sequence[SourceVector]) -> None:
        """Keep vectors of contents that some item still has. Raises DiskFull."""
        with self._database.writing() as connection:
            alive = set(
                connection.execute(
                    select(items.c.source).where(_among(items.c.source, [one.source for one in found]))
                ).scalars()
            )
            _add_vectors(connection, [one for one in found if one.source in alive])

    def drop_vectors(self, sources: Sequence[str], space_id: str) -> None:
        """Forget damaged vectors, so that they are made again."""
        with self._database.writing() as connection:
            connection.execute(
                delete(vectors).where(vectors.c.space_id == space_id, _among(vectors.c.source, sources))
            )

    def set_state(self, collection: str, *, space_id: str, lead_name: str, lead_version: int) -> None:
        """Remember what the collection serves."""
        with self._database.writing() as connection:
            _ensure(connection, collection)
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
        """The items that are there, by identifier. Raises DamagedCatalogue: naming the item."""
        with self._database.reading() as connection:
            found = _rows(connection, collection, item_ids)
        return {item_id: _item(row) for item_id, row in found.items()}

    def page(self, collection: str, after: str, size: int) -> tuple[list[Item], int]:
        """Up to `size` items after an identifier, in order, and how many the collection has."""
        here = items.c.collection == collection
        with self._database.reading() as connection:
            query = select(items).where(here, items.c.item_id > after).order_by(items.c.item_id).limit(size)
            rows = connection.execute(query).all()
            total = connection.execute(select(func.count()).select_from(items).where(here)).scalar_one()
        return [_item(_mapping(row)) for row in rows], total

    def counts(self, collection: str) -> tuple[int, int]:
        """Live items, and those among them that were upserted as a bare vector."""
        here = items.c.collection == collection
        with self._database.reading() as connection:
            total = connection.execute(select(func.count()).select_from(items).where(here)).scalar_one()
            bare = connection.execute(
                select(func.count()).select_from(items).where(here, items.c.picture_digest == "")
            ).scalar_one()
        return total, bare

    def labels(self, collection: str, item_ids: Sequence[str]) -> np.ndarray:
        """Labels, int64, of the items that are there."""
        query = select(items.c.label).where(
            items.c.collection == collection, _among(items.c.item_id, item_ids)
        )
        with self._database.reading() as connection:
            return _labels(connection, query)

    def matching(self, collection: str, conditions: ItemConditions) -> np.ndarray:
        """Labels, int64, of every item that satisfies the conditions."""
        query = select(items.c.label).where(items.c.collection == collection)
        if conditions.in_stock is not None:
            query = query.where(items.c.in_stock == conditions.in_stock)
        if conditions.released_from_us is not None:
            query = query.where(items.c.released_at >= conditions.released_from_us)
        for name, words in conditions.words.items():
            having = select(terms.c.item_id).where(
                terms.c.collection == collection, terms.c.field == name, _among(terms.c.word, words)
            )
            query = query.where(items.c.item_id.in_(having))
        with self._database.reading() as connection:
            return _labels(connection, query)

    def by_labels(self, collection: str, labels: np.ndarray) -> dict[int, Item]:
        """The items that have these labels now; a damaged one is logged and left out."""
        # By label alone, which is unique: with the collection beside it SQLite would read all of that.
        query = select(items).where(_among(items.c.label, labels.tolist()))
        with self._database.reading() as connection:
            rows = [row for row in connection.execute(query) if row.collection == collection]
        found = {}
        for row in rows:
            try:
                found[row.label] = _item(_mapping(row))
            except DamagedCatalogue:
                log.exception("damaged item left out")
        return found

    def contents(self, collection: str) -> Contents:
        """Every label with its content, at one revision."""
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
        """The vectors, float32 (D,), that contents have in a space; a damaged one counts as none."""
        wanted = sorted(set(sources))
        found: dict[str, np.ndarray] = {}
        with self._database.reading() as connection:
            for start in range(0, len(wanted), 1000):
                query = select(vectors).where(
                    vectors.c.space_id == space_id, _among(vectors.c.source, wanted[start : start + 1000])
                )
                for row in connection.execute(query):
                    if schema.vector_checksum(row.source, space_id, row.vector) == row.checksum:
                        found[row.source] = np.frombuffer(row.vector, dtype="<f4")
        return found

    def missing(self, collection: str, space_id: str, limit: int) -> list[Missing]:
        """Pictures of live items that have no vector in a space yet."""
        query = _without_vector(collection, space_id).where(items.c.picture_digest != "")
        with self._database.reading() as connection:
            rows = connection.execute(query.group_by(items.c.source).limit(limit)).all()
        return [
            Missing(item_id=row.item_id, source=row.source, picture_digest=row.picture_digest) for row in rows
        ]

    def missing_count(self, collection: str, space_id: str, *, pictures: bool) -> int:
        """Live items without a vector in a space: those that have a picture, or those that have none."""
        query = _without_vector(collection, space_id)
        query = query.where(items.c.picture_digest != "" if pictures else items.c.picture_digest == "")
        with self._database.reading() as connection:
            count: int = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
        return count


def _ensure(connection: Connection, collection: str) -> None:
    connection.execute(
        insert(collections)
        .values(name=collection, revision=0, space_id="", lead_name="", lead_version=0)
        .on_conflict_do_nothing()
    )


def _among(column: Any, values: Iterable[Any]) -> Any:
    """Whether a column is one of any number of values: one bound JSON text, never a long list of marks."""
    listed = func.json_each(json.dumps(list(values), ensure_ascii=False)).table_valued("value")
    return column.in_(select(listed.c.value))


def _rows(connection: Connection, collection: str, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    query = select(items).where(items.c.collection == collection, _among(items.c.item_id, item_ids))
    return {row.item_id: _mapping(row) for row in connection.execute(query)}


def _mapping(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def _item(row: Mapping[str, Any]) -> Item:
    if schema.item_checksum(row) != row["checksum"]:
        raise DamagedCatalogue(f"item {row['item_id']} is not what was written: its checksum differs")
    return Item(
        item_id=row["item_id"],
        attributes=json.loads(row["attributes"]),
        released_us=row["released_at"],
        in_stock=row["in_stock"],
        picture_digest=row["picture_digest"],
        source=row["source"],
        label=row["label"],
        revision=row["revision"],
    )


def _row(collection: str, entry: Entry, old: Mapping[str, Any] | None) -> dict[str, Any]:
    """The row of an entry, not numbered yet."""
    released_us = entry.released_us
    if released_us is None:
        released_us = time.time_ns() // 1000 if old is None else old["released_at"]
    return {
        "collection": collection,
        "item_id": entry.item_id,
        "source": entry.source,
        "picture_digest": entry.picture_digest,
        "attributes": json.dumps(dict(entry.attributes), ensure_ascii=False, sort_keys=True),
        "released_at": released_us,
        "in_stock": entry.in_stock,
    }


def _same(row: Mapping[str, Any], old: Mapping[str, Any] | None) -> bool:
    if old is None or schema.item_checksum(old) != old["checksum"]:
        return False
    return all(old[name] == value for name, value in row.items())


def _number(row: dict[str, Any], number: int, old: Mapping[str, Any] | None) -> None:
    row["revision"] = number
    row["label"] = old["label"] if old is not None and old["source"] == row["source"] else number
    row["checksum"] = schema.item_checksum(row)


def _take_revisions(connection: Connection, count: int) -> range:
    """The next revisions of the catalogue, given to nobody else."""
    if not count:
        return range(0)
    last: int = connection.execute(
        update(schema.catalogue)
        .values(revision=schema.catalogue.c.revision + count)
        .returning(schema.catalogue.c.revision)
    ).scalar_one()
    return range(last - count + 1, last + 1)


def _collection_revision(connection: Connection, collection: str, given: Iterable[int]) -> int:
    """The collection's revision after the write: the last one given, or what it was."""
    last = max(given, default=0)
    here = collections.c.name == collection
    if last:
        connection.execute(
            update(collections).where(here, collections.c.revision < last).values(revision=last)
        )
    return connection.execute(select(collections.c.revision).where(here)).scalar() or 0


def _write_items(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    statement = insert(items)
    columns = {c.name: statement.excluded[c.name] for c in items.c if not c.primary_key}
    statement = statement.on_conflict_do_update(index_elements=["collection", "item_id"], set_=columns)
    connection.execute(statement, list(rows))
    connection.execute(
        delete(terms).where(
            terms.c.collection == bindparam("in_collection"), terms.c.item_id == bindparam("of_item")
        ),
        [{"in_collection": row["collection"], "of_item": row["item_id"]} for row in rows],
    )
    words = [
        {"collection": row["collection"], "item_id": row["item_id"], "field": name, "word": word}
        for row in rows
        for name, word in _words(json.loads(row["attributes"]))
    ]
    if words:
        connection.execute(insert(terms).on_conflict_do_nothing(), words)


def _words(attributes: Attributes) -> Iterable[tuple[str, str]]:
    for name, value in attributes.items():
        for word in value if isinstance(value, list) else [value]:
            if isinstance(word, str):
                yield name, word


def _add_vectors(connection: Connection, found: Sequence[SourceVector]) -> None:
    rows = []
    _drop_damaged(connection, [one.source for one in found])
    for one in found:
        data = np.ascontiguousarray(one.vector_D, dtype="<f4").tobytes()
        checksum = schema.vector_checksum(one.source, one.space_id, data)
        rows.append({"source": one.source, "space_id": one.space_id, "vector": data, "checksum": checksum})
    if rows:
        # Never overwritten: what was indexed under a label stays what that label means.
        connection.execute(insert(vectors).on_conflict_do_nothing(), rows)


def _drop_damaged(connection: Connection, sources: Sequence[str]) -> None:
    for row in connection.execute(select(vectors).where(_among(vectors.c.source, sources))).all():
        if schema.vector_checksum(row.source, row.space_id, row.vector) != row.checksum:
            here = (vectors.c.source == row.source) & (vectors.c.space_id == row.space_id)
            connection.execute(delete(vectors).where(here))


def _collect(connection: Connection, replaced: Sequence[Mapping[str, Any]]) -> list[str]:
    """Remove vectors that no item needs any more; the digests of pictures that no item shows any more."""
    sources = {row["source"] for row in replaced}
    digests = {row["picture_digest"] for row in replaced} - {""}
    for column, values in ((items.c.source, sources), (items.c.picture_digest, digests)):
        values -= set(connection.execute(select(column).where(_among(column, values))).scalars())
    if sources:
        connection.execute(delete(vectors).where(_among(vectors.c.source, sources)))
    return sorted(digests)


def _labels(connection: Connection, query: Select[tuple[int]]) -> np.ndarray:
    """The labels of a query, by way of one JSON text: a tenth of the time that as many rows take."""
    listed: str = connection.execute(select(func.json_group_array(query.subquery().c.label))).scalar_one()
    return np.array(json.loads(listed), dtype=np.int64)


def _without_vector(collection: str, space_id: str) -> Select[Any]:
    return (
        select(items.c.item_id, items.c.source, items.c.picture_digest)
        .outerjoin(vectors, (vectors.c.source == items.c.source) & (vectors.c.space_id == space_id))
        .where(items.c.collection == collection, vectors.c.source.is_(None))
    )

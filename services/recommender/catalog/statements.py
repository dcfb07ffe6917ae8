"""The catalog's SQL: rows in and out of a transaction that the caller began."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, Select, bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from services.recommender.catalog import schema
from services.recommender.catalog.items import Attributes, Item, ItemEntry, SourceVector
from services.recommender.catalog.schema import collections, items, terms, vectors
from services.recommender.errors import DamagedCatalog


def ensure_collection(connection: Connection, collection: str) -> None:
    """Insert the row of a collection if it is missing."""
    connection.execute(
        insert(collections)
        .values(name=collection, revision=0, space_id="", lead_name="", lead_version=0)
        .on_conflict_do_nothing()
    )


def among(column: Any, values: Iterable[Any]) -> Any:
    """Whether a column is among any number of values: a bound JSON text, never a long list of marks."""
    listed = func.json_each(json.dumps(list(values), ensure_ascii=False)).table_valued("value")
    return column.in_(select(listed.c.value))


def rows_of(connection: Connection, collection: str, item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The rows of the items that exist, by identifier."""
    query = select(items).where(items.c.collection == collection, among(items.c.item_id, item_ids))
    return {row.item_id: mapping(row) for row in connection.execute(query)}


def mapping(row: Row[Any]) -> dict[str, Any]:
    """A row by its columns."""
    return dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def read_item(row: Mapping[str, Any]) -> Item:
    """The item of a row. Raises DamagedCatalog: if its checksum differs, naming the item."""
    if schema.item_checksum(row) != row["checksum"]:
        raise DamagedCatalog(f"item {row['item_id']} is not what was written: its checksum differs")
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


def new_row(collection: str, entry: ItemEntry, old: Mapping[str, Any] | None) -> dict[str, Any]:
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


def is_same(row: Mapping[str, Any], old: Mapping[str, Any] | None) -> bool:
    """Whether a row equals the old one, which is undamaged."""
    if old is None or schema.item_checksum(old) != old["checksum"]:
        return False
    return all(old[name] == value for name, value in row.items())


def number_row(row: dict[str, Any], number: int, old: Mapping[str, Any] | None) -> None:
    """Give a row its revision, its label and its checksum."""
    row["revision"] = number
    row["label"] = old["label"] if old is not None and old["source"] == row["source"] else number
    row["checksum"] = schema.item_checksum(row)


def take_revisions(connection: Connection, count: int) -> range:
    """Take the next revisions of the catalog."""
    if not count:
        return range(0)
    last: int = connection.execute(
        update(schema.catalog)
        .values(revision=schema.catalog.c.revision + count)
        .returning(schema.catalog.c.revision)
    ).scalar_one()
    return range(last - count + 1, last + 1)


def collection_revision(connection: Connection, collection: str, given: Iterable[int]) -> int:
    """The collection's revision after the write: the last of `given`, or what it was."""
    last = max(given, default=0)
    here = collections.c.name == collection
    if last:
        connection.execute(
            update(collections).where(here, collections.c.revision < last).values(revision=last)
        )
    return connection.execute(select(collections.c.revision).where(here)).scalar() or 0


def write_items(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert or replace rows, and the words of their attributes."""
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


def add_vectors(connection: Connection, new_vectors: Sequence[SourceVector]) -> None:
    """Insert vectors that are missing or damaged."""
    rows = []
    _drop_damaged(connection, [vector.source for vector in new_vectors])
    for vector in new_vectors:
        source, space_id = vector.source, vector.space_id
        data = np.ascontiguousarray(vector.vector_D, dtype="<f4").tobytes()
        checksum = schema.vector_checksum(source, space_id, data)
        rows.append({"source": source, "space_id": space_id, "vector": data, "checksum": checksum})
    if rows:
        # Never overwritten: a label keeps the vector that was indexed under it.
        connection.execute(insert(vectors).on_conflict_do_nothing(), rows)


def _drop_damaged(connection: Connection, sources: Sequence[str]) -> None:
    for row in connection.execute(select(vectors).where(among(vectors.c.source, sources))).all():
        if schema.vector_checksum(row.source, row.space_id, row.vector) != row.checksum:
            here = (vectors.c.source == row.source) & (vectors.c.space_id == row.space_id)
            connection.execute(delete(vectors).where(here))


def collect_freed(connection: Connection, replaced: Sequence[Mapping[str, Any]]) -> list[str]:
    """Delete vectors that no item needs any more; the digests of pictures that no item shows any more."""
    sources = {row["source"] for row in replaced}
    digests = {row["picture_digest"] for row in replaced} - {""}
    for column, values in ((items.c.source, sources), (items.c.picture_digest, digests)):
        values -= set(connection.execute(select(column).where(among(column, values))).scalars())
    if sources:
        connection.execute(delete(vectors).where(among(vectors.c.source, sources)))
    return sorted(digests)


def labels_of(connection: Connection, query: Select[tuple[int]]) -> np.ndarray:
    """The labels of a query, read as one JSON text: a tenth of the time that as many rows take."""
    listed: str = connection.execute(select(func.json_group_array(query.subquery().c.label))).scalar_one()
    return np.array(json.loads(listed), dtype=np.int64)


def without_vector(collection: str, space_id: str) -> Select[Any]:
    """Live items of a collection that have no vector in a space."""
    return (
        select(items.c.item_id, items.c.source, items.c.picture_digest)
        .outerjoin(vectors, (vectors.c.source == items.c.source) & (vectors.c.space_id == space_id))
        .where(items.c.collection == collection, vectors.c.source.is_(None))
    )

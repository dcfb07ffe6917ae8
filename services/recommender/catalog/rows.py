"""Rows of items: read, checked and made."""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from services.recommender.catalog.items import Item, ItemEntry
from services.recommender.catalog.schema import item_checksum, vector_checksum
from services.recommender.errors import DamagedCatalog

# The columns of `items` in the order of the checksum, which covers all but itself.
COLUMNS: Final = (
    "collection, item_id, label, revision, source, picture_digest, attributes, released_at, in_stock, "
    "product_id, checksum"
)
ITEM_ID, LABEL, REVISION, SOURCE, PICTURE = 1, 2, 3, 4, 5
_RELEASED, _CHECKSUM = 7, 10

Row = tuple[Any, ...]

_encode: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode

log = logging.getLogger(__name__)


def fetch(connection: sqlite3.Connection, query: str, values: Sequence[Any] = ()) -> list[Row]:
    """The rows of a query. Text that is not UTF-8 comes with surrogates, so its checksum fails."""
    try:
        return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError as error:
        if "decode to UTF-8" not in str(error):
            raise
    connection.text_factory = lambda data: data.decode(errors="surrogateescape")
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.text_factory = str


def among(values: Iterable[Any]) -> str:
    """Any number of values as one: a JSON text for `in (select value from json_each(?))`."""
    return json.dumps(list(values))


def is_whole(row: Row) -> bool:
    """Whether the row is what was written."""
    try:
        return bool(item_checksum(row[:_CHECKSUM]) == row[_CHECKSUM])
    except (TypeError, ValueError):
        return False


def check_rows(connection: sqlite3.Connection) -> int:
    """How many items there are. Raises DamagedCatalog: naming the first damaged item or vector."""
    count = 0
    # Text that is not UTF-8 comes with surrogates, so its checksum fails.
    connection.text_factory = lambda data: data.decode(errors="surrogateescape")
    for row in connection.execute(f"select {COLUMNS} from items"):
        count += 1
        if not is_whole(row):
            raise DamagedCatalog(f"item {row[ITEM_ID]!a:.128} is not what was written: upsert or delete it")
    for row in connection.execute("select source, space_id, vector, checksum from vectors"):
        if not _is_whole_vector(*row):
            raise DamagedCatalog(f"the vector of content {row[0]!a:.80} is not what was written")
    return count


def _is_whole_vector(source: Any, space_id: Any, data: Any, checksum: Any) -> bool:
    try:
        return bool(vector_checksum(source, space_id, data) == checksum)
    except (TypeError, ValueError):
        return False


def read_item(row: Row) -> Item:
    """The item of a row. Raises DamagedCatalog: if its checksum differs, naming the item."""
    if not is_whole(row):
        raise DamagedCatalog(f"item {row[ITEM_ID]!s:.128} is not what was written: its checksum differs")
    return item_of(row)


def item_of(row: Row) -> Item:
    """The item of a row that is whole."""
    _, item_id, label, revision, source, picture, attributes, released_us, in_stock, product_id, _ = row
    return Item(
        item_id=item_id,
        attributes=json.loads(attributes),
        released_us=released_us,
        in_stock=bool(in_stock),
        picture_digest=picture,
        source=source,
        label=label,
        revision=revision,
        product_id=product_id,
    )


def make_row(collection: str, entry: ItemEntry, old: Row | None, *, label: int, revision: int) -> Row:
    """The row of an entry in place of an old one."""
    released_us = entry.released_us
    if released_us is None:
        released_us = time.time_ns() // 1000 if old is None else old[_RELEASED]
    covered = (
        collection,
        entry.item_id,
        label,
        revision,
        entry.source,
        entry.picture_digest,
        _encode(dict(entry.attributes)),
        released_us,
        int(entry.in_stock),
        entry.product_id,
    )
    return (*covered, item_checksum(covered))


class Damage:
    """Which rows were read and found damaged; each is logged once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: set[tuple[Any, Any]] = set()

    @property
    def count(self) -> int:
        """How many rows that were."""
        return len(self._seen)

    def items_of(self, rows: Iterable[Row]) -> list[Item]:
        """The items of the undamaged rows."""
        items = []
        for row in rows:
            try:
                items.append(read_item(row))
            except DamagedCatalog:
                self._note(row)
        return items

    def _note(self, row: Row) -> None:
        key = (row[0], row[LABEL])
        with self._lock:
            is_new = key not in self._seen
            self._seen.add(key)
        if is_new:
            extra = {"collection": str(row[0]), "label": row[LABEL]}
            log.error("damaged item left out", extra=extra)

"""The catalog's tables and the checksums of their rows (schema 0002).

A row's checksum covers every other column, so one changed byte is found when the row is read.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata: Final = MetaData()

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

# One row. `catalogue_id` names this catalog in what is made from it, such as index files.
catalog: Final = Table(
    "catalogue",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("catalogue_id", String(32), nullable=False),
)

# The head of each collection. Every change takes the next `revision`, every new content the next label after
# `last_label`; neither is used twice. The log is complete after the revision `log_start`. `generation`,
# `space_id` and the lead are those of the last flip.
collections: Final = Table(
    "collections",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("last_label", BigInteger, nullable=False),
    Column("log_start", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("space_id", String(64), nullable=False),
    Column("lead_name", String(64), nullable=False),
    Column("lead_version", Integer, nullable=False),
    Column("lead_digest", String(64), nullable=False),
)

# `label` names the item's content within the collection; the index knows the item by it. `source` names the
# content, by digest; vectors belong to sources. `released_at` is in µs since 1970, UTC.
items: Final = Table(
    "items",
    metadata,
    Column("collection", String(64), ForeignKey("collections.name"), primary_key=True),
    Column("item_id", String(128), primary_key=True),
    Column("label", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("source", String(80), nullable=False),
    Column("picture_digest", String(64), nullable=False),
    Column("attributes", Text, nullable=False),
    Column("released_at", BigInteger, nullable=False),
    Column("in_stock", Boolean(create_constraint=False), nullable=False),
    Column("product_id", String(128), nullable=False),
    Column("checksum", String(32), nullable=False),
    Index("items_by_label", "collection", "label", unique=True),
    Index("items_by_revision", "collection", "revision", unique=True),
    Index("items_by_source", "source"),
    Index("items_by_picture", "picture_digest", sqlite_where=text("picture_digest <> ''")),
)

# What was deleted; kept for the retention of the log. `deleted_at` is in µs since 1970, UTC.
deletions: Final = Table(
    "deletions",
    metadata,
    Column("collection", String(64), ForeignKey("collections.name"), primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("item_id", String(128), nullable=False),
    Column("deleted_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Every move of a collection to another lead or space. `flipped_at` is in µs since 1970, UTC.
flips: Final = Table(
    "flips",
    metadata,
    Column("collection", String(64), ForeignKey("collections.name"), primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("space_id", String(64), nullable=False),
    Column("lead_name", String(64), nullable=False),
    Column("lead_version", Integer, nullable=False),
    Column("lead_digest", String(64), nullable=False),
    Column("flipped_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# float32, little-endian. Written once; removed when no item has the source any more.
vectors: Final = Table(
    "vectors",
    metadata,
    Column("source", String(80), primary_key=True),
    Column("space_id", String(64), primary_key=True),
    Column("vector", LargeBinary, nullable=False),
    Column("checksum", String(32), nullable=False),
)


def item_checksum(covered: Sequence[Any]) -> str:
    """The checksum of an item's row, 32 hexadecimal characters. covered: its columns before the checksum.

    An empty product_id, the last column, is not covered: rows of schema 0001 have none.
    """
    covered = covered if covered[-1] else covered[:-1]
    return _short(_encode(covered).encode())


def vector_checksum(source: str, space_id: str, data: bytes) -> str:
    """The checksum of a vector's row, 32 hexadecimal characters."""
    return _short(f"{source}\n{space_id}\n".encode() + data)


def _short(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()

"""The catalog's tables and the checksums of their rows (schema 0001).

A row's checksum covers every other column, so one changed byte is found when the row is read.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata: Final = MetaData()

# One row: the last revision. Deletions take revisions too, so none is ever used twice.
catalog: Final = Table(
    "catalogue",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)

# `space_id` and the lead: what the collection served last, and serves first after a restart.
collections: Final = Table(
    "collections",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("space_id", String(64), nullable=False),
    Column("lead_name", String(64), nullable=False),
    Column("lead_version", Integer, nullable=False),
)

# `label` is the revision at which the item's content last changed; the index knows the item by it.
# `source` names the content, by digest; vectors belong to sources. `released_at` is in µs since 1970, UTC.
items: Final = Table(
    "items",
    metadata,
    Column("collection", String(64), ForeignKey("collections.name"), primary_key=True),
    Column("item_id", String(128), primary_key=True),
    Column("label", BigInteger, nullable=False, unique=True),
    Column("revision", BigInteger, nullable=False),
    Column("source", String(80), nullable=False),
    Column("picture_digest", String(64), nullable=False),
    Column("attributes", Text, nullable=False),
    Column("released_at", BigInteger, nullable=False),
    Column("in_stock", Boolean(create_constraint=False), nullable=False),
    Column("checksum", String(32), nullable=False),
    Index("items_by_source", "source"),
    Index("items_by_picture", "picture_digest"),
    Index("items_by_release", "collection", "released_at"),
)

# The words of an item's attributes, for filters.
terms: Final = Table(
    "terms",
    metadata,
    Column("collection", String(64), primary_key=True),
    Column("field", String(128), primary_key=True),
    Column("word", Text, primary_key=True),
    Column("item_id", String(128), primary_key=True),
    ForeignKeyConstraint(
        ["collection", "item_id"], ["items.collection", "items.item_id"], ondelete="CASCADE"
    ),
    Index("terms_by_item", "collection", "item_id"),
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

_COVERED: Final = (
    "collection",
    "item_id",
    "label",
    "revision",
    "source",
    "picture_digest",
    "attributes",
    "released_at",
    "in_stock",
)


def item_checksum(row: Mapping[str, Any]) -> str:
    """The checksum of an item's row, 32 hexadecimal characters."""
    covered = [int(row[name]) if name == "in_stock" else row[name] for name in _COVERED]
    return _short(json.dumps(covered, ensure_ascii=False, separators=(",", ":")).encode())


def vector_checksum(source: str, space_id: str, data: bytes) -> str:
    """The checksum of a vector's row, 32 hexadecimal characters."""
    return _short(f"{source}\n{space_id}\n".encode() + data)


def _short(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()

"""The first catalog: collections, items with their words, vectors."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make every table."""
    counter = op.create_table(
        "catalogue",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(counter, [{"id": 1, "revision": 0}])
    op.create_table(
        "collections",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("space_id", sa.String(64), nullable=False),
        sa.Column("lead_name", sa.String(64), nullable=False),
        sa.Column("lead_version", sa.Integer, nullable=False),
    )
    op.create_table(
        "items",
        sa.Column("collection", sa.String(64), sa.ForeignKey("collections.name"), primary_key=True),
        sa.Column("item_id", sa.String(128), primary_key=True),
        sa.Column("label", sa.BigInteger, nullable=False, unique=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String(80), nullable=False),
        sa.Column("picture_digest", sa.String(64), nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("released_at", sa.BigInteger, nullable=False),
        sa.Column("in_stock", sa.Boolean, nullable=False),
        sa.Column("checksum", sa.String(32), nullable=False),
    )
    op.create_index("items_by_source", "items", ["source"])
    op.create_index("items_by_picture", "items", ["picture_digest"])
    op.create_index("items_by_release", "items", ["collection", "released_at"])
    op.create_table(
        "terms",
        sa.Column("collection", sa.String(64), primary_key=True),
        sa.Column("field", sa.String(128), primary_key=True),
        sa.Column("word", sa.Text, primary_key=True),
        sa.Column("item_id", sa.String(128), primary_key=True),
        sa.ForeignKeyConstraint(
            ["collection", "item_id"], ["items.collection", "items.item_id"], ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("terms_by_item", "terms", ["collection", "item_id"])
    op.create_table(
        "vectors",
        sa.Column("source", sa.String(80), primary_key=True),
        sa.Column("space_id", sa.String(64), primary_key=True),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.Column("checksum", sa.String(32), nullable=False),
    )

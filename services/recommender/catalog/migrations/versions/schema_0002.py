"""The log: revisions and labels of each collection, deletions and flips; products; no words of filters."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEPT = (
    "collection, item_id, label, revision, source, picture_digest, attributes, released_at, in_stock, "
    "checksum"
)


def upgrade() -> None:
    """Give every collection a head of its own, and every item the columns of the log."""
    _name_the_catalog()
    _give_heads()
    op.drop_table("terms")
    _copy_items()
    _make_log()


def _name_the_catalog() -> None:
    op.add_column("catalogue", sa.Column("catalogue_id", sa.String(32), nullable=False, server_default=""))
    op.execute(sa.text("update catalogue set catalogue_id = :made").bindparams(made=uuid.uuid4().hex))
    op.drop_column("catalogue", "revision")


def _give_heads() -> None:
    for name in ("last_label", "log_start", "generation"):
        op.add_column("collections", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("collections", sa.Column("lead_digest", sa.String(64), nullable=False, server_default=""))
    # A label of schema 0001 is a revision of its collection; deletions before now left no trace.
    op.execute("update collections set last_label = revision, log_start = revision")


def _copy_items() -> None:
    op.create_table(
        "items_0002",
        sa.Column("collection", sa.String(64), sa.ForeignKey("collections.name"), primary_key=True),
        sa.Column("item_id", sa.String(128), primary_key=True),
        sa.Column("label", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String(80), nullable=False),
        sa.Column("picture_digest", sa.String(64), nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("released_at", sa.BigInteger, nullable=False),
        sa.Column("in_stock", sa.Boolean, nullable=False),
        sa.Column("product_id", sa.String(128), nullable=False),
        sa.Column("checksum", sa.String(32), nullable=False),
    )
    op.execute(f"insert into items_0002 ({_KEPT}, product_id) select {_KEPT}, '' from items order by rowid")
    op.drop_table("items")
    op.rename_table("items_0002", "items")
    op.create_index("items_by_label", "items", ["collection", "label"], unique=True)
    op.create_index("items_by_revision", "items", ["collection", "revision"], unique=True)
    op.create_index("items_by_source", "items", ["source"])
    op.create_index(
        "items_by_picture", "items", ["picture_digest"], sqlite_where=sa.text("picture_digest <> ''")
    )


def _make_log() -> None:
    op.create_table(
        "deletions",
        sa.Column("collection", sa.String(64), sa.ForeignKey("collections.name"), primary_key=True),
        sa.Column("revision", sa.BigInteger, primary_key=True),
        sa.Column("item_id", sa.String(128), nullable=False),
        sa.Column("deleted_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "flips",
        sa.Column("collection", sa.String(64), sa.ForeignKey("collections.name"), primary_key=True),
        sa.Column("revision", sa.BigInteger, primary_key=True),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("space_id", sa.String(64), nullable=False),
        sa.Column("lead_name", sa.String(64), nullable=False),
        sa.Column("lead_version", sa.Integer, nullable=False),
        sa.Column("lead_digest", sa.String(64), nullable=False),
        sa.Column("flipped_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )

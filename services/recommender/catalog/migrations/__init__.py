"""Alembic migrations of the catalog; revisions are numbered, each names the one before."""

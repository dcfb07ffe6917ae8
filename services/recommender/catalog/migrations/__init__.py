"""Alembic migrations of the catalogue; revisions are numbered, each names the one before."""

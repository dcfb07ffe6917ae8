"""Run by Alembic: migrates on the connection, and in the transaction, that the database gives it."""

from alembic import context

from services.recommender.catalog.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
context.run_migrations()

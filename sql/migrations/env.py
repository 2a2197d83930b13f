"""Alembic's entry: runs the migrations on the connection that meta_pipeline.store.migrations hands it."""

from alembic import context

attributes = context.config.attributes
if attributes.get("connection") is None:
    raise RuntimeError("run migrations with `meta-pipeline db migrate`, which opens and locks the database")

context.configure(
    connection=attributes["connection"],
    version_table=attributes["version_table"],
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()

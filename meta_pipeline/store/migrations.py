"""The schema's revisions, by Alembic, under sql/migrations.

Belongs here: bringing a database to the present revision, and refusing one that is elsewhere.
"""

from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from meta_pipeline.store.queries import sql_folder

_LOCK_KEY: Final = 0x6D657461  # "meta": one migration at a time per database


def migrate(engine: Engine) -> None:
    """Bring the database to the present revision, one process at a time, in one transaction."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration over the project's migrations."""
    config = Config()
    config.set_main_option("script_location", str(sql_folder() / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config

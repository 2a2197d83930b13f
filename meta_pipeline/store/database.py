"""The database, opened: connections with the same settings everywhere, embedded or not.

Belongs here: the engine and its sessions' settings. Statements belong to the stages' modules.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event

from meta_pipeline.canonical import canonical_json
from meta_pipeline.settings import Settings
from meta_pipeline.store import embedded, migrations
from meta_pipeline.store.embedded import EmbeddedServer

SESSION_SETTINGS: Final = {
    "timezone": "UTC",
    # A statement, a wait for a lock, and a silence inside a transaction all end some time.
    "statement_timeout": "10min",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "10min",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Database:
    """An opened database. Ends with `close`, or at the end of a `with`.

    Parameters
    ----------
    engine
        SQLAlchemy engine on psycopg 3.
    server
        This process's use of the embedded server; None on a real one.
    """

    engine: Engine
    server: EmbeddedServer | None = None

    @property
    def is_embedded(self) -> bool:
        """Whether this is the embedded server."""
        return self.server is not None

    @property
    def url(self) -> str:
        """The URL with its password masked, for people to read."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction: committed at the end of the block, rolled back if it raises."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection to read; the server refuses writes on it."""
        with self.engine.connect().execution_options(postgresql_readonly=True) as connection:
            yield connection

    def close(self) -> None:
        """Close the connections, and end this use of the embedded server."""
        self.engine.dispose()
        if self.server is not None:
            self.server.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_database(settings: Settings) -> Database:
    """Open the database that the settings name: the embedded one, or that of META_PIPELINE_DATABASE_URL."""
    if settings.database_url is not None:
        raise NotImplementedError
    server = embedded.use_server(settings.home)
    database = Database(engine=engine_of(embedded_url(server)), server=server)
    migrations.migrate(database.engine)
    return database


def embedded_url(server: EmbeddedServer, database: str = embedded.DATABASE) -> URL:
    """Return the SQLAlchemy URL of one database of the embedded server."""
    options = server.connection_options(database)
    return URL.create(
        "postgresql+psycopg",
        username=options["user"],
        database=options["dbname"],
        query={"host": options["host"], "port": options["port"]},
    )


def engine_of(url: URL) -> Engine:
    """Return the engine for a normalised URL, with the project's settings on every connection."""
    engine = create_engine(
        url,
        pool_pre_ping=True,
        json_serializer=canonical_json,
        json_deserializer=json.loads,
        connect_args={"fallback_application_name": "meta-pipeline"},
    )
    event.listen(engine, "connect", _configure_session)
    return engine


def _configure_session(connection: Any, _record: object) -> None:
    settings = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in SESSION_SETTINGS.items())
    autocommit, connection.autocommit = connection.autocommit, True
    connection.execute(f"SELECT {settings}")
    connection.autocommit = autocommit

"""The database, opened: connections with the same settings everywhere, embedded or not.

Belongs here: the engine, its sessions' settings, and what is refused before anybody uses it.
Statements belong to the stages' modules, the schema's revisions to `migrations`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from meta_pipeline import failpoints
from meta_pipeline.canonical import canonical_json
from meta_pipeline.errors import DatabaseUnavailable
from meta_pipeline.settings import Settings
from meta_pipeline.store import migrations
from meta_pipeline.store.embedded import EmbeddedServer, use_server
from meta_pipeline.store.migrations import SchemaState
from meta_pipeline.store.url import VARIABLE, Address, parse_address

OLDEST_SERVER: Final = 14

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
    address
        Where it is. Its text form hides the password.
    server
        This process's use of the embedded server; None on a real one.
    """

    engine: Engine
    address: Address
    server: EmbeddedServer | None = None

    @property
    def is_embedded(self) -> bool:
        """Whether this is the embedded server."""
        return self.server is not None

    @property
    def url(self) -> str:
        """The URL with its password masked, for people to read."""
        return str(self.address)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction: committed at the end of the block, rolled back if it raises.

        Raises
        ------
        DatabaseUnavailable
            If the server cannot be reached.
        """
        with self._checked_out() as connection, connection.begin():
            yield connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection to read; the server refuses writes on it.

        Raises
        ------
        DatabaseUnavailable
            If the server cannot be reached.
        """
        with self._checked_out().execution_options(postgresql_readonly=True) as connection:
            yield connection

    def now(self) -> datetime:
        """Return the time by the database's clock, UTC: one clock for all machines that share it."""
        with self.connect() as connection:
            moment: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return moment

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

    def _checked_out(self) -> Connection:
        try:
            return self.engine.connect()
        except DBAPIError as error:
            if self.server is None:
                raise unavailable(self.address, error) from None
        self.server.revive()  # killed under us, perhaps: it comes back with what was committed
        try:
            return self.engine.connect()
        except DBAPIError as error:
            raise unavailable(self.address, error) from None

    def __repr__(self) -> str:
        return f"Database({self.address}{', embedded' if self.is_embedded else ''})"


def open_database(settings: Settings) -> Database:
    """Open the database that the settings name, with its schema at the present revision.

    The embedded one is started and migrated as needed. A server named by META_PIPELINE_DATABASE_URL
    is never changed: one that is not migrated is refused.

    Raises
    ------
    InputError
        If META_PIPELINE_DATABASE_URL cannot be read.
    DatabaseUnavailable
        If the server cannot be started or reached, or is older than PostgreSQL 14.
    SchemaMismatch
        If the schema is another than this installation's, with the command that mends it.
    """
    failpoints.arm_by(settings)
    database = open_unchecked(settings)
    try:
        with database.connect() as connection:
            found = migrations.status(connection)
        if database.is_embedded and found.state in {SchemaState.EMPTY, SchemaState.OLDER}:
            migrations.migrate(database.engine)
        elif found.state is not SchemaState.CURRENT:
            raise migrations.mismatch(found)
    except BaseException:
        database.close()
        raise
    return database


def open_unchecked(settings: Settings) -> Database:
    """Open the database whatever its schema is: to look at it, migrate it, back it up or restore it.

    Raises
    ------
    InputError, DatabaseUnavailable
        As `open_database`.
    """
    if settings.database_url is None:
        server = use_server(settings.home)
        address = server.address()
        return Database(engine=engine_of(address), address=address, server=server)
    address = parse_address(settings.database_url.get_secret_value())
    refuse_old_server(address)
    return Database(engine=engine_of(address), address=address)


def engine_of(address: Address) -> Engine:
    """Return the engine for an address, with the project's settings on every connection."""
    engine = create_engine(
        address.url(),
        pool_pre_ping=True,
        json_serializer=canonical_json,
        json_deserializer=json.loads,
        connect_args=_connect_arguments(address),
    )
    event.listen(engine, "connect", _configure_session)
    return engine


def refuse_old_server(address: Address) -> None:
    """Connect once, to see that the server is there and new enough.

    Raises
    ------
    DatabaseUnavailable
        If it is not.
    """
    import psycopg

    try:
        with psycopg.connect(address.conninfo(_connect_arguments(address)), autocommit=True) as connection:
            version = connection.info.server_version
    except psycopg.Error as error:
        raise unavailable(address, error) from None
    if version < OLDEST_SERVER * 10_000:
        raise DatabaseUnavailable(
            f"{address} is PostgreSQL {version // 10_000}, and meta-pipeline needs {OLDEST_SERVER} or newer; upgrade "
            f"the server, or unset {VARIABLE} for the embedded PostgreSQL"
        )


def server_version(connection: Connection) -> str:
    """Return the server's version, "18.1" or the like."""
    return str(connection.execute(text("SHOW server_version")).scalar_one()).split()[0]


def unavailable(address: Address, error: Exception) -> DatabaseUnavailable:
    """Return the error for a database that cannot be reached; it shows no secret."""
    cause = getattr(error, "orig", None) or error
    said = " ".join(str(cause).split())
    for secret in address.secrets.values():
        # The client library does not show secrets; a proxy in between might.
        said = said.replace(secret, "***") if len(secret) > 3 else said
    return DatabaseUnavailable(f"cannot connect to {address}: {said}; check that the server runs, and {VARIABLE}")


def _connect_arguments(address: Address) -> dict[str, str]:
    """Return what the URL does not say: other secrets than the password, and a name and a patience of ours."""
    named = address.options
    extra = {name: value for name, value in address.secrets.items() if name != "password"}
    extra["fallback_application_name"] = "meta-pipeline"
    return extra if "connect_timeout" in named else {**extra, "connect_timeout": "10"}


def _configure_session(connection: Any, _record: object) -> None:
    """Send the settings as a statement: as a start-up option some connection poolers would refuse them."""
    settings = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in SESSION_SETTINGS.items())
    autocommit, connection.autocommit = connection.autocommit, True
    connection.execute(f"SELECT {settings}")
    connection.autocommit = autocommit

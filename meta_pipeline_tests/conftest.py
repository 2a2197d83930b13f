"""Fixtures that every test may use."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text

from meta_pipeline.store import embedded, migrations
from meta_pipeline.store.database import Database, engine_of
from meta_pipeline.store.embedded import EmbeddedServer
from meta_pipeline.store.postmaster import Postmaster
from meta_pipeline.store.url import Address
from meta_pipeline_tests.in_ci import (  # noqa: F401  (pytest finds its hooks by their names, here)
    pytest_collection_modifyitems,
    pytest_make_collect_report,
    pytest_runtest_makereport,
)

TEMPLATE = "migrated"
# A test's database does not outlive the test, so nothing waits for the disk.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
# A database is 570 files: made and dropped in memory it costs a fifth of the CPU time it costs on a disk.
IN_MEMORY, ROOM = Path("/dev/shm"), 4 * 2**30
PASSWORD = "Zq9 s/3@c:r%t?#&é"
_NUMBERS = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedServer]:
    """One embedded server per test process (pytest-xdist workers each have their own)."""
    home = _folder()
    server = embedded.use_server(home, server_settings=FORGETFUL)
    try:
        yield server
    finally:
        server.release()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def administration(postgres_server: EmbeddedServer) -> Iterator[Engine]:
    """An engine outside the tests' databases, to create and drop them."""
    engine = engine_of(postgres_server.address("postgres")).execution_options(isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def template_database(postgres_server: EmbeddedServer, administration: Engine) -> str:
    """The name of a migrated database that tests are copied from."""
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {TEMPLATE}"))
    engine = engine_of(postgres_server.address(TEMPLATE))
    migrations.migrate(engine)
    engine.dispose()
    return TEMPLATE


@pytest.fixture
def empty_database(postgres_server: EmbeddedServer, administration: Engine) -> Iterator[Database]:
    """A fresh database without any table, dropped afterwards."""
    yield from _fresh(postgres_server, administration, "template0")


@pytest.fixture
def database(postgres_server: EmbeddedServer, administration: Engine, template_database: str) -> Iterator[Database]:
    """A fresh migrated database, dropped afterwards."""
    yield from _fresh(postgres_server, administration, template_database)


def _folder() -> Path:
    """A new folder for a server: in memory where that has room (bytes) for several workers' servers, else on disk."""
    roomy = os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free >= ROOM
    return Path(tempfile.mkdtemp(prefix="meta-pipeline-tests-", dir=IN_MEMORY if roomy else None))


def _fresh(server: EmbeddedServer, administration: Engine, template: str) -> Iterator[Database]:
    name = f"test_{next(_NUMBERS)}"
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"))
    address = server.address(name)
    opened = Database(engine=engine_of(address), address=address)
    try:
        yield opened
    finally:
        opened.close()
        with administration.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def real_server() -> Iterator[Address]:
    """A PostgreSQL server as an operator runs one: over TCP, with a password that needs encoding in a URL."""
    folder = _folder()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = str(free.getsockname()[1])
    server = Postmaster(
        data=folder / "postgres", server_settings={**FORGETFUL, "listen_addresses": "127.0.0.1", "port": port}
    )
    server.start()
    try:
        with psycopg.connect(server.address("postgres").conninfo(), autocommit=True) as connection:
            literal = psycopg.sql.Literal(PASSWORD)
            connection.execute(psycopg.sql.SQL("ALTER ROLE postgres PASSWORD {}").format(literal))
            rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
            (server.data / "pg_hba.conf").write_text(rules)
            connection.execute("SELECT pg_reload_conf()")
        yield Address(
            options={
                "host": "127.0.0.1",
                "port": port,
                "user": "postgres",
                "password": PASSWORD,
                "dbname": "postgres",
            }
        )
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)

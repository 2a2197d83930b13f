"""Fixtures that every test may use."""

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from meta_pipeline.store import embedded, migrations
from meta_pipeline.store.database import Database, engine_of
from meta_pipeline.store.embedded import EmbeddedServer

IN_CI = os.environ.get("CI") == "true"
TEMPLATE = "migrated"
_NUMBERS = count(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failed one: what it needs is to be installed by .ci/run."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but CI=true allows no skips: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedServer]:
    """One embedded server per test process (pytest-xdist workers each have their own)."""
    home = Path(tempfile.mkdtemp(prefix="meta-pipeline-tests-"))
    # A test's database does not outlive the test, so nothing waits for the disk.
    settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    server = embedded.use_server(home, server_settings=settings)
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

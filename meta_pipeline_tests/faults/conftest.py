"""Fixtures of the tests of faults: one database for a whole module, and a server that may be killed."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from meta_pipeline.store.database import Database, engine_of
from meta_pipeline.store.embedded import EmbeddedServer
from meta_pipeline_tests.faults.injection import Site
from meta_pipeline_tests.faults.sites import own_site, prepared

MATRIX = "fault_matrix"


@pytest.fixture(scope="module")
def site(postgres_server: EmbeddedServer, administration: Engine, template_database: str) -> Iterator[Site]:
    """A migrated database with approvers, for all cells of a module: each has strategies of its own."""
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {MATRIX} TEMPLATE {template_database} STRATEGY file_copy"))
    address = postgres_server.address(MATRIX)
    database = Database(engine=engine_of(address), address=address)
    try:
        yield Site(database=prepared(database))
    finally:
        database.close()
        with administration.connect() as connection:
            connection.execute(text(f"DROP DATABASE {MATRIX} WITH (FORCE)"))


@pytest.fixture(scope="module")
def fragile_site() -> Iterator[Site]:
    """The same on a server of its own, which may be killed and restarted."""
    home = Path(tempfile.mkdtemp(prefix="meta-pipeline-faults-"))
    try:
        with own_site(home) as made:
            yield made
    finally:
        shutil.rmtree(home, ignore_errors=True)

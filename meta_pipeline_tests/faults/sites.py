"""Databases in which faults are done."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meta_pipeline.store import migrations
from meta_pipeline.store.database import Database, engine_of
from meta_pipeline.store.embedded import use_server
from meta_pipeline_tests.faults.injection import Site
from meta_pipeline_tests.store.governed import add_approvers

# What a commit writes outlives a killed server without waiting for the disk; it would not outlive a power cut.
QUICK = {"fsync": "off", "full_page_writes": "off", "wal_level": "replica", "max_wal_senders": "1"}


def prepared(database: Database) -> Database:
    """Return a migrated database with the approvers that the acts need."""
    add_approvers(database, "Bob", "Cleo")
    return database


@contextmanager
def own_site(home: Path) -> Iterator[Site]:
    """Open a database on an embedded server of its own below a folder; the server is stopped at the end."""
    server = use_server(home, server_settings=QUICK)
    address = server.address("postgres")
    database = Database(engine=engine_of(address), address=address)
    try:
        migrations.migrate(database.engine)
        yield Site(database=prepared(database), postmaster=server.postmaster)
    finally:
        database.close()
        server.release()

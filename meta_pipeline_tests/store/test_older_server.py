"""A server two major versions older than the embedded one: the wheel brings PostgreSQL 16 too."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from meta_pipeline.store import migrations
from meta_pipeline.store.backup import backup, restore
from meta_pipeline.store.database import Database, engine_of, server_version
from meta_pipeline.store.embedded import EmbeddedServer
from meta_pipeline.store.integrity import check_database
from meta_pipeline.store.postmaster import binary
from meta_pipeline.store.url import Address
from meta_pipeline_tests.store.rows import fill


@pytest.fixture(scope="module")
def older_server(postgres_account: int | None) -> Iterator[Address]:
    programs = binary("postgres").parents[2] / "pginstall" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="meta-pipeline-tests-", dir="/tmp"))
    if postgres_account is not None:
        os.chown(folder, postgres_account, -1)

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, check=True, user=postgres_account, cwd="/", stdout=subprocess.DEVNULL)

    run("initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
    options = f"-c listen_addresses= -c fsync=off -k {folder}"
    run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield Address(options={"host": str(folder), "user": "postgres", "dbname": "postgres"})
    finally:
        run("pg_ctl", "-w", "-m", "fast", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def postgres_account(postgres_server: EmbeddedServer) -> int | None:
    """The account that servers run under when tests run as root; the embedded one has made it."""
    return postgres_server.postmaster.data.stat().st_uid if os.geteuid() == 0 else None


@pytest.fixture
def older_database(older_server: Address) -> Iterator[Database]:
    with psycopg.connect(older_server.conninfo(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE loop")
        address = Address(options={**older_server.options, "dbname": "loop"})
        with Database(engine=engine_of(address), address=address) as opened:
            yield opened
        connection.execute("DROP DATABASE loop WITH (FORCE)")


def test_it_is_migrated_checked_and_guarded_like_the_embedded_one(older_database: Database) -> None:
    migrations.migrate(older_database.engine)
    with older_database.begin() as connection:
        assert server_version(connection).startswith("16.")
        fill(connection)
    assert [finding for finding in check_database(older_database) if not finding.passed] == []
    with older_database.begin() as connection, pytest.raises(Exception, match="append-only"):
        connection.execute(text("DELETE FROM approvals"))


def test_a_backup_of_the_embedded_database_is_restored_there_and_back(
    database: Database, older_database: Database, empty_database: Database, tmp_path: Path
) -> None:
    with database.begin() as connection:
        fill(connection)
    restore(older_database, backup(database, tmp_path / "to.dump").path)
    assert [finding for finding in check_database(older_database) if not finding.passed] == []
    restore(empty_database, backup(older_database, tmp_path / "back.dump").path)
    assert [finding for finding in check_database(empty_database) if not finding.passed] == []

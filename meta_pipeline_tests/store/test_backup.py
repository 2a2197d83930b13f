import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from meta_pipeline.errors import Conflict, DatabaseUnavailable, InputError, NothingToDo
from meta_pipeline.store import backup as backups
from meta_pipeline.store import migrations, schema
from meta_pipeline.store.backup import Archive, backup, restore
from meta_pipeline.store.database import Database
from meta_pipeline.store.integrity import check_database
from meta_pipeline.store.migrations import VERSION_TABLE, SchemaState
from meta_pipeline.store.postmaster import binary
from meta_pipeline_tests.store.rows import fill, insert_one


@pytest.fixture
def filled(database: Database) -> Database:
    with database.begin() as connection:
        fill(connection)
    return database


@pytest.fixture
def written(filled: Database, tmp_path: Path) -> Archive:
    return backup(filled, tmp_path / "loop.dump")


def contents(database: Database) -> dict[str, list[str]]:
    """Every row of every table, as text, that of the revision and the identity counters included."""
    with database.connect() as connection:
        tables = {
            name: sorted(connection.execute(text(f"SELECT CAST(t AS text) FROM {name} t")).scalars())
            for name in [*schema.metadata.tables, VERSION_TABLE]
        }
        counters = connection.execute(text("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"))
        return {**tables, "counters": [str(tuple(row)) for row in counters]}


def test_what_is_restored_is_what_was_backed_up_to_the_last_byte_and_passes_every_check(
    filled: Database, written: Archive, empty_database: Database
) -> None:
    assert restore(empty_database, written.path) == written
    assert contents(empty_database) == contents(filled)
    assert [finding for finding in check_database(empty_database) if not finding.passed] == []
    with empty_database.begin() as connection:
        insert_one(connection, "aggregations")  # the identity counters go on where they were
        with pytest.raises(DBAPIError, match="append-only"):
            connection.execute(text("DELETE FROM audit_log"))


def test_a_backup_is_one_compressed_file_for_its_owner_only_and_nothing_is_left_beside_it(
    filled: Database, written: Archive
) -> None:
    assert written.revision == migrations.revisions()[-1]
    assert written.size == written.path.stat().st_size
    assert written.path.read_bytes()[:5] == b"PGDMP"
    assert stat.S_IMODE(written.path.stat().st_mode) == 0o600
    assert list(written.path.parent.iterdir()) == [written.path]


def test_an_older_backup_is_not_replaced_unasked(filled: Database, written: Archive) -> None:
    before = written.path.read_bytes()
    with pytest.raises(Conflict, match="exists; choose another name, or replace it with --overwrite"):
        backup(filled, written.path)
    assert written.path.read_bytes() == before
    assert backup(filled, written.path, overwrite=True).path == written.path


def test_a_backup_that_fails_leaves_the_older_one_and_no_half_file(
    filled: Database, written: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written.path.read_bytes()
    with filled.begin() as connection:  # what pg_dump cannot read, whoever it is
        connection.execute(text("CREATE VIEW endless AS SELECT 1 AS one"))
        connection.execute(text("DROP VIEW strategy_configs"))
        connection.execute(text("UPDATE pg_class SET relname = 'strategy_configs' WHERE relname = 'endless'"))
        connection.execute(text("DELETE FROM pg_rewrite WHERE ev_class = 'strategy_configs'::regclass"))
    with pytest.raises(DatabaseUnavailable, match="pg_dump failed with exit code 1"):
        backup(filled, written.path, overwrite=True)
    assert written.path.read_bytes() == before
    assert list(written.path.parent.iterdir()) == [written.path]


def test_a_killed_backup_leaves_no_file_of_that_name(filled: Database, tmp_path: Path) -> None:
    script = """
import sys
import time
from pathlib import Path
from meta_pipeline.store.backup import backup
from meta_pipeline.store.database import Database, engine_of
from meta_pipeline.store.url import parse_address
address = parse_address(sys.argv[1])
print("ready", flush=True)
backup(Database(engine=engine_of(address), address=address), Path(sys.argv[2]))
"""
    path = tmp_path / "loop.dump"
    with filled.begin() as connection:
        connection.execute(text("LOCK TABLE outcomes IN ACCESS EXCLUSIVE MODE"))  # pg_dump waits here
        command = [sys.executable, "-c", script, str(filled.address), str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            while not list(tmp_path.glob(".loop.dump.*.partial")):
                assert process.poll() is None
                time.sleep(0.02)
            process.kill()
    assert not path.exists()
    assert backup(filled, path).path == path


def test_what_others_keep_in_the_same_database_stays_out_of_the_backup(
    filled: Database, tmp_path: Path, empty_database: Database
) -> None:
    with filled.begin() as connection:  # as Dagster's storage leaves it
        connection.execute(text("CREATE TABLE alembic_version (version_num varchar(32))"))
        connection.execute(text('CREATE TABLE "Odd ""name" (id serial PRIMARY KEY)'))
        connection.execute(text("CREATE SCHEMA theirs CREATE TABLE outcomes (id int)"))
    with empty_database.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num varchar(32))"))
    restore(empty_database, backup(filled, tmp_path / "loop.dump").path)
    with empty_database.connect() as connection:
        migrations.require_current(connection)
        names = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'theirs')"))
        assert set(names.scalars()) == {*schema.metadata.tables, VERSION_TABLE, "alembic_version"}


def test_a_database_with_rows_is_not_restored_into(filled: Database, written: Archive) -> None:
    before = contents(filled)
    with pytest.raises(Conflict, match=r"not empty \(rows in \w+, .*meta-pipeline db stop"):
        restore(filled, written.path)
    assert contents(filled) == before


def test_a_migrated_database_without_rows_is_restored_into(
    filled: Database, written: Archive, empty_database: Database
) -> None:
    migrations.migrate(empty_database.engine)
    restore(empty_database, written.path)
    assert contents(empty_database) == contents(filled)


def test_a_half_migrated_database_is_not_restored_into(written: Archive, empty_database: Database) -> None:
    migrations.migrate(empty_database.engine)
    with empty_database.begin() as connection:
        connection.execute(text("DROP VIEW strategy_configs"))
    with pytest.raises(Conflict, match=r"not empty .*incomplete"):
        restore(empty_database, written.path)


def test_a_restore_that_fails_half_way_leaves_the_database_empty(written: Archive, empty_database: Database) -> None:
    with empty_database.begin() as connection:
        connection.execute(text("CREATE FUNCTION refuse_change() RETURNS int LANGUAGE sql AS 'SELECT 1'"))
    with pytest.raises(DatabaseUnavailable, match=r"rolled back: .*refuse_change"):
        restore(empty_database, written.path)
    with empty_database.connect() as connection:
        assert migrations.status(connection).state is SchemaState.EMPTY


@pytest.mark.parametrize("part", [0.05, 0.5, 0.99])
def test_an_archive_that_is_cut_short_is_refused_before_anything_is_touched(
    written: Archive, empty_database: Database, part: float
) -> None:
    os.truncate(written.path, int(written.size * part))
    with pytest.raises(InputError, match="is not a backup that can be read"):
        restore(empty_database, written.path)


def test_an_archive_that_is_damaged_inside_leaves_the_database_empty(
    filled: Database, empty_database: Database, tmp_path: Path
) -> None:
    with filled.begin() as connection:
        big = {"calendar_id": "big", "n_periods": 50_000, "timestamps": os.urandom(400_000)}
        insert_one(connection, "calendars", **big)
    archive = backup(filled, tmp_path / "loop.dump")
    with archive.path.open("r+b") as file:
        file.seek(archive.size // 2)
        file.write(bytes(64))
    with pytest.raises(DatabaseUnavailable, match="the restore failed and was rolled back"):
        restore(empty_database, archive.path)
    with empty_database.connect() as connection:
        assert migrations.status(connection).state is SchemaState.EMPTY


def test_what_is_no_backup_of_the_loop_is_refused(empty_database: Database, tmp_path: Path) -> None:
    text_file, other = tmp_path / "thesis.txt", tmp_path / "other.dump"
    text_file.write_text("years of work")
    command = [str(binary("pg_dump")), "--format=custom", f"--file={other}", empty_database.address.conninfo()]
    subprocess.run(command, check=True)
    for path, said in [
        (tmp_path / "loop.dump", "there is no file"),
        (text_file, "is not a backup that can be read"),
        (other, "is an archive, but not one of meta-pipeline"),
    ]:
        with pytest.raises(InputError, match=said):
            restore(empty_database, path)


def test_a_backup_of_a_newer_revision_is_refused(
    written: Archive, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "revisions", lambda: ("0000_the_past",))
    with pytest.raises(InputError, match=rf"revision {written.revision}, which .*run: pip install --upgrade"):
        restore(empty_database, written.path)


def test_a_database_without_tables_has_nothing_to_back_up(empty_database: Database, tmp_path: Path) -> None:
    with pytest.raises(NothingToDo, match="no tables yet"):
        backup(empty_database, tmp_path / "loop.dump")


def test_a_folder_that_is_not_there_is_named(filled: Database, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"there is no folder {tmp_path}/attic"):
        backup(filled, tmp_path / "attic" / "loop.dump")


def test_a_server_newer_than_pg_dump_is_refused_with_the_way_out(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = tmp_path / "bin" / "pg_dump"
    older.parent.mkdir()
    older.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 16.9'\n")
    older.chmod(0o700)
    monkeypatch.setattr(backups, "binary", older.with_name)
    with pytest.raises(
        DatabaseUnavailable, match=r"is PostgreSQL 18\.\d+, and the pg_dump .* is 16\.9 .*with the server"
    ):
        backup(filled, tmp_path / "loop.dump")


def test_no_secret_is_on_a_command_line(filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = tmp_path / "bin" / "pg_dump"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\necho "$@" "$PGPASSWORD" >> {tmp_path}/seen\nexec {binary("pg_dump")} "$@"\n')
    spy.chmod(0o700)
    shutil.copy(spy, spy.with_name("pg_restore"))
    spy.with_name("pg_restore").write_text(f'#!/bin/sh\nexec {binary("pg_restore")} "$@"\n')
    monkeypatch.setattr(backups, "binary", spy.with_name)
    address = type(filled.address)(options={**filled.address.options, "password": "Zq9"})
    backup(Database(engine=filled.engine, address=address), tmp_path / "loop.dump")
    seen = (tmp_path / "seen").read_text().splitlines()
    assert seen[-1].endswith(" Zq9")  # through its environment
    assert all("Zq9" not in line.rpartition(" ")[0] for line in seen)

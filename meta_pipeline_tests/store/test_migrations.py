import subprocess
import sys
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql.base import ischema_names

from meta_pipeline.errors import SchemaMismatch
from meta_pipeline.store import migrations, schema
from meta_pipeline.store.column_types import Xid8
from meta_pipeline.store.database import Database
from meta_pipeline.store.migrations import VERSION_TABLE, SchemaState
from meta_pipeline.store.queries import query

HEAD = migrations.revisions()[-1]

# What SQLAlchemy's metadata cannot say; the migrations alone make it.
ONLY_IN_MIGRATIONS = {"trigger", "function", "view", "storage"}


@pytest.fixture
def migrated(database: Database) -> Iterator[Connection]:
    with database.begin() as connection:
        yield connection
        connection.rollback()


def catalog(connection: Connection) -> set[tuple[str, ...]]:
    rows = connection.execute(query("schema_catalog"), {"definitions": True})
    return {tuple(row) for row in rows if row[0] not in ONLY_IN_MIGRATIONS and row[1] != VERSION_TABLE}


def test_the_metadata_and_the_migrations_make_the_same_tables_checks_keys_and_indexes(
    database: Database, empty_database: Database
) -> None:
    schema.metadata.create_all(empty_database.engine)
    with database.connect() as by_migrations, empty_database.connect() as by_metadata:
        assert catalog(by_migrations) == catalog(by_metadata)


def test_alembic_finds_nothing_to_add_to_the_migrations(migrated: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ischema_names, "xid8", Xid8)  # a type SQLAlchemy has no name for
    context = MigrationContext.configure(migrated, opts={"compare_type": True, "version_table": VERSION_TABLE})
    assert compare_metadata(context, schema.metadata) == []


def test_what_the_metadata_cannot_say_is_named_beside_it(migrated: Connection) -> None:
    rows = migrated.execute(query("schema_catalog"), {"definitions": True}).all()
    assert {name for kind, _, name, _ in rows if kind == "view"} == set(schema.VIEWS)
    assert {name for kind, _, name, _ in rows if kind == "function"} == set(schema.FUNCTIONS)
    assert {relation for kind, relation, *_ in rows if kind == "trigger"} == set(schema.APPEND_ONLY)


def test_the_revisions_are_one_line_and_alembic_sees_the_same_head() -> None:
    scripts = ScriptDirectory.from_config(migrations.alembic_config())
    assert scripts.get_heads() == [migrations.revisions()[-1]]
    assert [script.revision for script in scripts.walk_revisions()] == list(reversed(migrations.revisions()))


def test_an_empty_database_is_refused_until_it_is_migrated_and_then_there_is_nothing_left_to_do(
    empty_database: Database,
) -> None:
    with empty_database.connect() as connection, pytest.raises(SchemaMismatch, match="run: meta-pipeline db migrate"):
        migrations.require_current(connection)
    assert migrations.migrate(empty_database.engine).state is SchemaState.EMPTY
    with empty_database.connect() as connection:
        migrations.require_current(connection)
    assert migrations.migrate(empty_database.engine).state is SchemaState.CURRENT


def test_several_processes_that_migrate_at_once_all_find_it_migrated(empty_database: Database) -> None:
    script = """
import sys
from meta_pipeline.store import migrations
from meta_pipeline.store.database import engine_of
from meta_pipeline.store.url import parse_address
print(migrations.migrate(engine_of(parse_address(sys.argv[1]))).state)
"""
    command = [sys.executable, "-c", script, str(empty_database.address)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = sorted(process.communicate(timeout=120)[0].strip() for process in processes)
    assert said == ["current", "current", "empty"]


def test_a_migration_that_fails_leaves_nothing_behind(empty_database: Database) -> None:
    with empty_database.begin() as connection:
        connection.execute(text("CREATE VIEW outcomes AS SELECT 1"))  # in the way of a late table
    with pytest.raises(Exception, match="outcomes"):
        migrations.migrate(empty_database.engine)
    with empty_database.connect() as connection:
        assert migrations.status(connection).state is SchemaState.EMPTY


def test_a_newer_schema_is_refused_with_the_command_that_upgrades_the_installation(
    migrated: Connection,
) -> None:
    migrated.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999_the_future'"))
    with pytest.raises(SchemaMismatch, match=r"9999_the_future.*run: pip install --upgrade meta-pipeline"):
        migrations.require_current(migrated)


def test_an_older_schema_is_refused_with_the_command_that_migrates_it(
    migrated: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "revisions", lambda: (HEAD, "9998_more"))
    with pytest.raises(SchemaMismatch, match=rf"at revision {HEAD}.*9998_more; run: meta-pipeline db migrate"):
        migrations.require_current(migrated)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (f"DROP TABLE {VERSION_TABLE}", "the revision of its "),
        (f"DELETE FROM {VERSION_TABLE}", "the revision of its "),
        ("DROP TABLE outcomes", "table outcomes"),
        ("ALTER TABLE outcomes DROP COLUMN claimed", "column claimed of outcomes"),
        ("ALTER TABLE outcomes DROP CONSTRAINT outcomes_kind_check", "1 check constraint of outcomes"),
        ("ALTER TABLE outcomes DROP CONSTRAINT outcomes_candidate_id_fkey", "1 foreign key constraint of outcomes"),
        ("ALTER TABLE outcomes DROP CONSTRAINT outcomes_pkey", "1 primary key constraint of outcomes"),
        ("ALTER TABLE audit_log DROP CONSTRAINT audit_log_hash_key", "1 unique constraint of audit_log"),
        ("DROP INDEX uq_one_approved_per_target", "index uq_one_approved_per_target of meta_config_proposals"),
        ("DROP TRIGGER approvals_append_only ON approvals", "trigger approvals_append_only of approvals"),
        ("DROP VIEW strategy_configs", "view strategy_configs"),
    ],
)
def test_a_half_migrated_schema_is_refused_with_what_it_lacks_and_the_command_that_mends_it(
    migrated: Connection, damage: str, said: str
) -> None:
    migrated.execute(text(damage))
    found = migrations.status(migrated)
    assert found.state is SchemaState.INCOMPLETE
    assert any(part.startswith(said) for part in found.missing)
    with pytest.raises(SchemaMismatch, match="run: meta-pipeline db restore PATH"):
        migrations.require_current(migrated)


def test_a_half_migrated_or_newer_database_is_not_migrated_either(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("DROP VIEW strategy_configs"))
    with pytest.raises(SchemaMismatch, match="lacks 1 of its parts: view strategy_configs"):
        migrations.migrate(database.engine)


def test_the_tables_of_others_in_the_same_database_do_not_matter(empty_database: Database) -> None:
    with empty_database.begin() as connection:  # as Dagster's storage leaves it
        connection.execute(text("CREATE TABLE alembic_version (version_num varchar(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('16e3115a602a')"))
        connection.execute(text("CREATE TABLE runs (id int)"))
    migrations.migrate(empty_database.engine)
    with empty_database.connect() as connection:
        migrations.require_current(connection)
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "16e3115a602a"


def test_there_is_no_way_back_but_a_backup() -> None:
    for revision in ScriptDirectory.from_config(migrations.alembic_config()).walk_revisions():
        with pytest.raises(NotImplementedError, match="meta-pipeline db restore"):
            revision.module.downgrade()

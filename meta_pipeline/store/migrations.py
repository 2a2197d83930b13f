"""The schema's revisions: which one a database is at, and how it gets to the present one.

Belongs here: Alembic, the files under sql/migrations, and the refusal of a database that is
elsewhere. Revisions run forwards only, in one transaction; the way back is a restored backup.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    CheckConstraint,
    Connection,
    Engine,
    ForeignKeyConstraint,
    UniqueConstraint,
    column,
    select,
    table,
    text,
)

from meta_pipeline.errors import SchemaMismatch
from meta_pipeline.store import schema
from meta_pipeline.store.queries import query, sql_folder

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE: Final = "meta_pipeline_alembic_version"
"""Not Alembic's default name: Dagster keeps its own revision in `alembic_version`, perhaps in this database."""

LOCK_KEY: Final = 0x6D657461  # "meta"
"""Advisory lock of whoever changes the schema: one process at a time per database."""


class SchemaState(StrEnum):
    """Where a database's schema is."""

    EMPTY = "empty"
    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, kw_only=True)
class SchemaStatus:
    """A database's schema against the one that this installation needs.

    Parameters
    ----------
    state
        Where it is.
    revision
        The database's revision; None if it has none.
    head
        The revision that this installation needs.
    missing
        What should be there and is not, in words.
    """

    state: SchemaState
    revision: str | None
    head: str
    missing: tuple[str, ...] = ()


@cache
def revisions() -> tuple[str, ...]:
    """Return the revisions this installation knows, oldest first: the SQL files' names in order."""
    return tuple(sorted(path.stem for path in (sql_folder() / "migrations" / "versions").glob("[0-9]*.sql")))


def status(connection: Connection) -> SchemaStatus:
    """Say where the database's schema is. One catalog query, a few milliseconds."""
    head = revisions()[-1]
    found = [tuple(row) for row in connection.execute(query("schema_catalog"), {"definitions": False})]
    tables = {relation for kind, relation, *_ in found if kind == "table"}
    revision = None
    if VERSION_TABLE in tables:
        revision = connection.execute(select(column("version_num")).select_from(table(VERSION_TABLE))).scalar()
    if revision is None:
        ours = sorted(tables & set(schema.metadata.tables))
        state = SchemaState.INCOMPLETE if ours else SchemaState.EMPTY
        lack = [f"the revision of its {len(ours)} tables ({', '.join(ours[:3])}...)"] if ours else []
        return SchemaStatus(state=state, revision=None, head=head, missing=tuple(lack))
    if revision != head:
        state = SchemaState.OLDER if revision in revisions() else SchemaState.NEWER
        return SchemaStatus(state=state, revision=revision, head=head)
    lacking = _expected_objects() - Counter(
        (kind, relation, _known_name(kind, name)) for kind, relation, name, _ in found
    )
    missing = tuple(_in_words(*key, count) for key, count in sorted(lacking.items()))
    state = SchemaState.INCOMPLETE if missing else SchemaState.CURRENT
    return SchemaStatus(state=state, revision=revision, head=head, missing=missing)


def migrate(engine: Engine) -> SchemaStatus:
    """Bring the database to the present revision and return where it was.

    One process at a time, in one transaction: others wait, and find nothing left to do.

    Raises
    ------
    SchemaMismatch
        If the database is newer than this installation, or half migrated; nothing is changed.
    """
    with engine.begin() as connection:
        # Waiting for another process's migration is no reason to give up early.
        connection.execute(text("SET LOCAL lock_timeout = '10min'; SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        before = status(connection)
        if before.state in {SchemaState.NEWER, SchemaState.INCOMPLETE}:
            raise mismatch(before)
        if before.state is not SchemaState.CURRENT:
            upgrade(connection)
        return before


def upgrade(connection: Connection) -> None:
    """Run the migrations that are missing, inside the caller's transaction."""
    from alembic import command

    command.upgrade(alembic_config(connection), "head")


def require_current(connection: Connection) -> None:
    """Refuse a database whose schema is not the present one.

    Raises
    ------
    SchemaMismatch
        With the command that mends it.
    """
    found = status(connection)
    if found.state is not SchemaState.CURRENT:
        raise mismatch(found)


def mismatch(found: SchemaStatus) -> SchemaMismatch:
    """Return the error for a schema that cannot be used as it is."""
    if found.state is SchemaState.EMPTY:
        return SchemaMismatch("the database has no tables yet; run: meta-pipeline db migrate")
    if found.state is SchemaState.OLDER:
        return SchemaMismatch(
            f"the database is at revision {found.revision}, this installation needs {found.head}; "
            "run: meta-pipeline db migrate"
        )
    if found.state is SchemaState.NEWER:
        return SchemaMismatch(
            f"the database is at revision {found.revision}, which this installation (up to {found.head}) does not "
            "know: a newer one migrated it; run: pip install --upgrade meta-pipeline"
        )
    shown = "; ".join(found.missing[:5]) + ("; ..." if len(found.missing) > 5 else "")
    return SchemaMismatch(
        f"the database is half migrated, it lacks {len(found.missing)} of its parts: {shown}. Restore the last backup "
        "into an empty database; run: meta-pipeline db restore PATH"
    )


def alembic_config(connection: Connection | None = None) -> "Config":
    """Return Alembic's configuration over the project's migrations."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(sql_folder() / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    return config


def _known_name(kind: str, name: str) -> str:
    """Drop the names that PostgreSQL gives to constraints: those are counted."""
    return "" if kind in {"check", "foreign key", "unique", "primary key"} else name


@cache
def _expected_objects() -> Counter[tuple[str, str, str]]:
    """Count what the metadata says must be there, as (kind, table, name)."""
    return Counter(_objects())


def _objects() -> Iterator[tuple[str, str, str]]:
    for name, ours in schema.metadata.tables.items():
        yield ("table", name, name)
        yield from (("column", name, each.name) for each in ours.columns)
        yield from (("index", name, str(index.name)) for index in ours.indexes)
        for constraint in ours.constraints:
            if isinstance(constraint, CheckConstraint):
                yield ("check", name, "")
            elif isinstance(constraint, ForeignKeyConstraint):
                yield ("foreign key", name, "")
            elif isinstance(constraint, UniqueConstraint):
                yield ("unique", name, "")
            else:
                yield ("primary key", name, "")
    for name in schema.APPEND_ONLY:
        yield from (("trigger", name, f"{name}_{what}") for what in ("append_only", "no_truncate"))
    yield from (("view", name, name) for name in schema.VIEWS)


def _in_words(kind: str, relation: str, name: str, count: int) -> str:
    if kind in {"table", "view"}:
        return f"{kind} {name}"
    if name:
        return f"{kind} {name} of {relation}"
    return f"{count} {kind} constraint{'s' if count > 1 else ''} of {relation}"

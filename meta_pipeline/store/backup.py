"""Backups of the loop's tables: one compressed file, written whole or not at all, restored whole or not at all.

Belongs here: pg_dump and pg_restore, and what is refused before they run. The archive holds the
tables, views and functions of the loop, with its revision, and nothing else that may live in the
same database.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text

from meta_pipeline.errors import Conflict, DatabaseUnavailable, InputError, NothingToDo
from meta_pipeline.store import migrations, schema
from meta_pipeline.store.database import Database, server_version
from meta_pipeline.store.migrations import VERSION_TABLE, SchemaState
from meta_pipeline.store.postmaster import binary
from meta_pipeline.store.queries import query

# Entries of an archive's table of contents that the empty database has already.
_ALREADY_THERE: Final = re.compile(r"\d+; \d+ \d+ (SCHEMA|ACL|DEFAULT ACL|COMMENT - SCHEMA) ")
# What pg_restore writes before the first table, and what in it servers before PostgreSQL 17 do not know.
_PREAMBLE: Final = 30
_TOO_NEW: Final = b"SET transaction_timeout"
_ELSEWHERE: Final = (
    "restore into a new database, or move the embedded one away (`meta-pipeline db stop`, then rename its folder)"
)
_ENTRY: Final = re.compile(r"\d+; \d+ \d+ TABLE (?!DATA )(?P<schema>\S+) ")


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A backup file.

    Parameters
    ----------
    path
        Where it is, absolute.
    size
        In bytes.
    revision
        The revision of the schema in it.
    """

    path: Path
    size: int
    revision: str


def backup(database: Database, path: Path, *, overwrite: bool = False) -> Archive:
    """Write the loop's tables, as they are at one moment, to a pg_dump archive (custom format, compressed).

    The file appears under its name only when it is complete, readable by its owner alone. Writers
    are not held up.

    Raises
    ------
    Conflict
        If the file exists and `overwrite` is not set.
    NothingToDo
        If the database has no tables yet.
    InputError
        If the folder does not exist.
    DatabaseUnavailable
        If the server is newer than the pg_dump of this installation, or pg_dump fails.
    """
    path = path.expanduser().absolute()
    if path.exists() and not overwrite:
        raise Conflict(f"{path} exists; choose another name, or replace it with --overwrite")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent}; make it first, or choose another path")
    with database.connect() as connection:
        found = migrations.status(connection)
        if found.state is SchemaState.EMPTY:
            raise NothingToDo("the database has no tables yet, so there is nothing to back up")
        _refuse_newer_server(connection)
        own_schema: str = connection.execute(text("SELECT current_schema()")).scalar_one()
        others = connection.execute(query("other_relations"), {"ours": _our_relations()}).scalars().all()
    partial = Path(tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)[1])
    try:
        exclude = [f"--exclude-table={_pattern(own_schema, name)}" for name in others]
        selection = [f"--schema={_pattern(own_schema)}", *exclude]
        _run(database, "pg_dump", "--format=custom", *selection, f"--file={partial}", f"--dbname={_conninfo(database)}")
        archive = _read(partial)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return Archive(path=path, size=archive.size, revision=archive.revision)


def restore(database: Database, path: Path) -> Archive:
    """Fill an empty database from a backup, in one transaction.

    Empty means: none of the loop's tables, or all of them without a row.

    Raises
    ------
    InputError
        If the file is not a backup of the loop, or of a newer revision than this installation knows.
    Conflict
        If the database is not empty; nothing is changed.
    DatabaseUnavailable
        If the restore fails; the database stays empty.
    """
    path = path.expanduser().absolute()
    archive = _read(path)
    with database.engine.connect() as guard, guard.begin():
        # Nobody migrates the empty database while it is being filled.
        guard.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        guard.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": migrations.LOCK_KEY})
        with database.begin() as connection:
            own_schema: str = connection.execute(text("SELECT current_schema()")).scalar_one()
            contents = _contents(path)
            _refuse_other_schema(path, contents, own_schema)
            _make_empty(connection)
        _fill(database, path, [line for line in contents if not _ALREADY_THERE.match(line)])
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    return archive


def _fill(database: Database, path: Path, entries: Sequence[str]) -> None:
    """Run the entries of an archive in one transaction.

    As a script through psql, because pg_restore itself sets a parameter that servers before 17 do
    not have. The script is committed only when pg_restore has written it to the end.
    """
    with (
        tempfile.NamedTemporaryFile("w", suffix=".list", encoding="utf-8") as wanted,
        tempfile.TemporaryFile() as said,
    ):
        wanted.write("\n".join(entries))
        wanted.flush()
        options = ["--no-owner", "--no-privileges", f"--use-list={wanted.name}", "--file=-", str(path)]
        target = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={_conninfo(database)}"]
        environment = _environment(database, "restore")
        with (
            subprocess.Popen([str(binary("pg_restore")), *options], stdout=subprocess.PIPE, stderr=said) as reader,
            subprocess.Popen(
                [str(binary("psql")), *target],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=environment,
            ) as writer,
        ):
            assert reader.stdout is not None
            assert writer.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # psql ended early, and says why
                writer.stdin.write(b"BEGIN;\n")
                writer.stdin.writelines(line for line in islice(reader.stdout, _PREAMBLE) if _TOO_NEW not in line)
                shutil.copyfileobj(reader.stdout, writer.stdin, 1 << 20)
                if reader.wait() == 0:
                    writer.stdin.write(b"\nCOMMIT;\n")
            with contextlib.suppress(BrokenPipeError):
                writer.stdin.close()
            reader.stdout.close()
        if reader.returncode or writer.returncode:
            said.seek(0)
            told = said.read().decode(errors="replace").strip()[-2000:]
            raise DatabaseUnavailable(f"the restore failed and was rolled back: {told}")


def _read(path: Path) -> Archive:
    """Read which revision an archive holds, and by that, that it is one."""
    if not path.is_file():
        raise InputError(f"there is no file {path}; name a backup that `meta-pipeline db backup` wrote")
    try:
        dumped = _run(None, "pg_restore", "--data-only", f"--table={VERSION_TABLE}", "--file=-", str(path))
    except DatabaseUnavailable as error:
        raise InputError(f"{path} is not a backup that can be read: {error}") from None
    found = re.search(rf"COPY \S*{VERSION_TABLE} .*?;\n(\S+)\n", dumped)
    if found is None:
        raise InputError(f"{path} is an archive, but not one of meta-pipeline: it has no {VERSION_TABLE}")
    if found[1] not in migrations.revisions():
        raise InputError(
            f"{path} holds revision {found[1]}, which this installation (up to {migrations.revisions()[-1]}) does not "
            "know; run: pip install --upgrade meta-pipeline"
        )
    return Archive(path=path, size=path.stat().st_size, revision=found[1])


def _contents(path: Path) -> list[str]:
    return _run(None, "pg_restore", "--list", str(path)).splitlines()


def _refuse_other_schema(path: Path, contents: Sequence[str], own_schema: str) -> None:
    schemas = {found["schema"] for line in contents if (found := _ENTRY.match(line))}
    if schemas - {own_schema}:
        raise InputError(
            f"{path} was made in the schema {', '.join(sorted(schemas))}, and this database works in {own_schema}; set "
            "options=-csearch_path=... in META_PIPELINE_DATABASE_URL to the schema of the backup"
        )


def _make_empty(connection: Connection) -> None:
    """Drop the loop's tables if none of them has a row; refuse otherwise."""
    found = migrations.status(connection)
    if found.state is SchemaState.EMPTY:
        return
    if found.state is not SchemaState.CURRENT:
        raise Conflict(f"the database is not empty (its schema is {found.state}); {_ELSEWHERE}")
    tables = ", ".join(f'"{name}"' for name in schema.metadata.tables)
    connection.execute(text(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"))
    filled = [
        name
        for name, table in schema.metadata.tables.items()
        if connection.execute(table.select().limit(1)).first() is not None
    ]
    if filled:
        shown = ", ".join(filled[:5]) + ("..." if len(filled) > 5 else "")
        raise Conflict(f"the database is not empty (rows in {shown}); {_ELSEWHERE}")
    connection.execute(text("DROP VIEW " + ", ".join(schema.VIEWS)))
    connection.execute(text(f"DROP TABLE {tables}, {VERSION_TABLE}"))
    for function in schema.FUNCTIONS:
        connection.execute(text(f"DROP FUNCTION {function}()"))


def _our_relations() -> list[str]:
    return [*schema.metadata.tables, *schema.VIEWS, VERSION_TABLE]


def _refuse_newer_server(connection: Connection) -> None:
    tool = _run(None, "pg_dump", "--version").split()[-1]
    server = server_version(connection)
    if int(server.split(".")[0]) > int(tool.split(".", maxsplit=1)[0]):
        raise DatabaseUnavailable(
            f"the server is PostgreSQL {server}, and the pg_dump that comes with meta-pipeline is {tool} and cannot "
            "read it; use the one that came with the server: pg_dump --format=custom --schema=public DATABASE"
        )


def _pattern(*names: str) -> str:
    """Write a pattern of pg_dump that matches exactly one name."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def _conninfo(database: Database) -> str:
    """Return the address for a command line: without secrets, which every user of the machine could read there."""
    if hidden := set(database.address.secrets) - {"password"}:
        raise InputError(
            f"pg_dump and pg_restore cannot be given {', '.join(sorted(hidden))} without showing it to other users of "
            "this machine; use a key without a passphrase, or run them by hand"
        )
    return database.address.conninfo(with_secrets=False)


def _run(database: Database | None, program: str, *arguments: str) -> str:
    command = [str(binary(program)), *arguments]
    environment = _environment(database, program)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise DatabaseUnavailable(f"{program} failed with exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _environment(database: Database | None, purpose: str) -> dict[str, str]:
    """Return the environment of a program: the password travels in it, where other users cannot read it."""
    environment = {**os.environ, "PGAPPNAME": f"meta-pipeline {purpose}"}
    if database is not None and (password := database.address.options.get("password")):
        environment["PGPASSWORD"] = password
    return environment

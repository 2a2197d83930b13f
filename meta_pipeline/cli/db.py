"""`meta-pipeline db`: look at the database, migrate, check, stop, back it up and restore it.

Belongs here: the commands and what they print. What they do is in meta_pipeline.store.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.counted import counted
from meta_pipeline.errors import NothingToDo, Unhealthy

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.store.database import Database
    from meta_pipeline.store.integrity import Finding
    from meta_pipeline.store.whole_backup import Restored, WholeArchive

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The database: status, migrate, check, stop, backup, restore.",
)

_OK, _FAILED = "[green]ok[/]", "[red]FAILED[/]"


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say where the database is, whether it can be used, and how much is in it. Changes nothing."""
    settings = common.settings()
    if settings.database_url is None:
        from meta_pipeline.store.embedded import postmaster_of

        postmaster = postmaster_of(settings.home)
        if not postmaster.is_initialised:
            _show(
                {"kind": "embedded", "folder": str(postmaster.data), "state": "not made yet", "running": False},
                as_json=as_json,
                advice="It is made by the first command that needs it.",
            )
            return
        running = postmaster.answers()
    else:
        running = True
    with _unchecked() as database:
        facts = _facts(database, running=running)
    _show(facts, as_json=as_json, advice=str(facts.pop("advice", "")))
    if facts["state"] not in {"current", "empty", "older"}:
        raise typer.Exit(Unhealthy.exit_code)


@app.command()
def migrate(as_json: AsJson = False) -> None:
    """Bring the database to the schema of this installation. Forwards only, in one transaction."""
    from meta_pipeline.store import migrations
    from meta_pipeline.store.migrations import SchemaState

    with _unchecked() as database:
        before = migrations.migrate(database.engine)
        where = _place(database)
    if before.state is SchemaState.CURRENT:
        raise NothingToDo(f"{where} is at revision {before.head} already")
    common.emit(
        {"database": where, "from": before.revision, "to": before.head},
        as_json=as_json,
        human=_line(f"{where}: migrated from {before.revision or 'empty'} to {before.head}"),
    )


@app.command()
def check(as_json: AsJson = False) -> None:
    """Check the schema and the stored rows against each other; exit code 7 if anything is wrong."""
    from meta_pipeline.store.integrity import check_database

    with _unchecked() as database:
        findings = check_database(database)
    healthy = all(finding.passed for finding in findings)
    common.emit(
        {
            "healthy": healthy,
            "checks": [
                {"check": f.check, "passed": f.passed, "faults": f.faults, "detail": f.detail} for f in findings
            ],
        },
        as_json=as_json,
        human=lambda console: _print_findings(console, findings),
    )
    if not healthy:
        raise typer.Exit(Unhealthy.exit_code)


@app.command()
def stop(
    force: Annotated[bool, typer.Option("--force", help="Also under processes that use it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the embedded database. It stops by itself when nobody uses it, and starts again on demand."""
    from meta_pipeline.store.embedded import stop_server

    settings = common.settings()
    if settings.database_url is not None:
        raise NothingToDo("META_PIPELINE_DATABASE_URL names a server of its own, which is not ours to stop")
    if not stop_server(settings.home, force=force):
        raise NothingToDo(f"the embedded database in {settings.home} is not running")
    common.emit({"stopped": True}, as_json=as_json, human=_line("stopped"))


@app.command()
def backup(
    path: Annotated[Path, typer.Argument(help="File to write, for example loop.backup.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    tables_only: Annotated[
        bool, typer.Option("--tables-only", help="The tables alone, in pg_dump's custom format.")
    ] = False,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Leave out the keys that sign policies: then the file holds none.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write all tables, as they are at one moment, and the files beside them to one compressed file.

    The files are reports, models, signing keys, audit anchors and alerts of META_PIPELINE_HOME. Keep the file as you
    keep the keys.
    """
    from meta_pipeline.store import backup as tables
    from meta_pipeline.store import whole_backup

    with _unchecked() as database:
        if tables_only:
            dump = tables.backup(database, path, overwrite=overwrite)
            archive = whole_backup.WholeArchive(path=dump.path, size=dump.size, revision=dump.revision, files=())
        else:
            settings = common.settings()
            archive = whole_backup.backup(database, settings, path, overwrite=overwrite, keys=not without_keys)
    beside = "the tables alone" if tables_only else f"{counted(len(archive.files), 'file')} of {common.settings().home}"
    common.emit(
        _described(archive),
        as_json=as_json,
        human=_line(f"{archive.path}: {_megabytes(archive.size)}, revision {archive.revision}, {beside}"),
    )


@app.command()
def restore(
    path: Annotated[Path, typer.Argument(help="A file that `meta-pipeline db backup` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Fill an empty database from a backup, in one transaction, and put back the files that are missing.

    A database with rows in it is refused. A file that is there is never overwritten.
    """
    from meta_pipeline.store import whole_backup

    with _unchecked() as database:
        done = whole_backup.restore(database, common.settings(), path)
        where = _place(database)
    common.emit(
        {
            **_described(done.archive),
            "database": where,
            "written": list(done.written),
            "kept": list(done.kept),
            "elsewhere": list(done.elsewhere),
        },
        as_json=as_json,
        human=lambda console: _print_restored(console, done, where),
    )


def _described(archive: "WholeArchive") -> dict[str, JsonValue]:
    return {
        "path": str(archive.path),
        "bytes": archive.size,
        "revision": archive.revision,
        "files": list(archive.files),
    }


def _print_restored(console: "Console", done: "Restored", where: str) -> None:
    archive, home = done.archive, common.settings().home
    lines = [f"{where}: restored revision {archive.revision} from {archive.path}"]
    if archive.files:
        lines.append(f"{home}: {counted(len(done.written), 'file')} put back of {len(archive.files)}")
    if done.kept:
        lines.append(f"left as they are, because they differ from the backup: {', '.join(done.kept)}")
    if done.elsewhere:
        place = common.settings().audit_anchor
        lines.append(f"not put back, because the settings keep them in {place}: {', '.join(done.elsewhere)}")
    lines.append("next: meta-pipeline db check && meta-pipeline audit verify")
    console.print("\n".join(lines), markup=False)


@contextmanager
def _unchecked() -> Iterator["Database"]:
    from meta_pipeline.store.database import open_unchecked

    with open_unchecked(common.settings()) as database:
        yield database


def _place(database: "Database") -> str:
    """Name the database in a sentence."""
    return f"the embedded database in {database.server.postmaster.data}" if database.server else database.url


def _facts(database: "Database", *, running: bool) -> dict[str, JsonValue]:
    from sqlalchemy import text

    from meta_pipeline.store import migrations
    from meta_pipeline.store.database import server_version
    from meta_pipeline.store.migrations import SchemaState
    from meta_pipeline.store.queries import query

    facts: dict[str, JsonValue] = {"kind": "embedded" if database.is_embedded else "server", "url": database.url}
    with database.connect() as connection:
        found = migrations.status(connection)
        facts |= {
            "running": running,
            "version": server_version(connection),
            "state": found.state.value,
            "revision": found.revision,
            "needed": found.head,
            "missing": list(found.missing),
            "bytes": connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one(),
        }
        if found.state is SchemaState.CURRENT:
            facts["rows"] = {row.name: row.n for row in connection.execute(query("row_counts"))}
    if database.server is not None:
        facts["folder"] = str(database.server.postmaster.data)
    if found.state is not SchemaState.CURRENT:
        facts["advice"] = str(migrations.mismatch(found))
    return facts


def _show(facts: dict[str, JsonValue], *, as_json: bool, advice: str) -> None:
    def human(console: "Console") -> None:
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for name, value in _readable(facts):
            table.add_row(f"[bold]{name}[/]", value)
        console.print(table)
        if advice:
            console.print(advice, markup=False)

    common.emit({**facts, "advice": advice or None}, as_json=as_json, human=human)


def _readable(facts: dict[str, JsonValue]) -> Iterator[tuple[str, str]]:
    from rich.markup import escape

    if facts["kind"] == "embedded":
        was = "running" if facts["running"] else "stopped, started for this answer"
        yield "database", "embedded PostgreSQL" + (f" {facts['version']} ({was})" if "version" in facts else "")
        yield "folder", escape(str(facts["folder"]))
    else:
        yield "database", f"PostgreSQL {facts['version']} at {escape(str(facts['url']))}"
    yield "schema", str(facts["state"]) + (f", revision {facts['revision']}" if facts.get("revision") else "")
    if isinstance(size := facts.get("bytes"), int):
        yield "size", _megabytes(size)
    if isinstance(rows := facts.get("rows"), dict):
        yield "rows", ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in rows.items())


def _print_findings(console: "Console", findings: "list[Finding]") -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("check", "result", "detail", box=None, padding=(0, 2, 0, 0))
    for finding in findings:
        detail = "" if finding.detail == "ok" else escape(finding.detail)
        table.add_row(finding.check, _OK if finding.passed else f"{_FAILED} ({finding.faults})", detail)
    console.print(table)


def _line(text: str) -> "Callable[[Console], None]":
    return lambda console: console.print(text, markup=False)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"

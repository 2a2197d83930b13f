"""What every command shares: settings, database, identity, and the two ways of showing an answer.

Only the standard library and typer are imported at the top, so that `--help` answers at once.
"""

import getpass
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.settings import Settings
    from meta_pipeline.store.database import Database

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

JSON_SCHEMA_VERSION = 1
"""Rises when a field of any `--json` answer is renamed or removed."""


class UsageError(InputError):
    """Options or arguments that no run of the command could take: exit code 2, as for those the parser refuses."""

    code = "usage"
    exit_code = 2


def settings() -> "Settings":
    """Read the settings from the environment and .env.

    Raises
    ------
    InputError
        If a variable has a value that cannot be used; the message names it, never a password.
    """
    from pydantic import ValidationError

    from meta_pipeline.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{_variable('_'.join(str(part) for part in item['loc']))}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
        )
        raise InputError(f"the settings cannot be used: {problems}") from None


def _variable(name: str) -> str:
    # Those of the predecessor are named as they were found; of all others the prefix is left out.
    return name if name.isupper() else f"META_PIPELINE_{name.upper()}"


@contextmanager
def open_database() -> Iterator["Database"]:
    """Open the database of the settings and close it at the end."""
    from meta_pipeline.store import database

    opened = database.open_database(settings())
    try:
        yield opened
    finally:
        opened.close()


def actor() -> str:
    """Return who acts: META_PIPELINE_ACTOR, else the login name."""
    named = settings().actor
    return named if named else getpass.getuser()


def now() -> datetime:
    """Return the time, in UTC. The command line is an edge, so the clock is read here."""
    return datetime.now(UTC)


def time_of(database: "Database") -> datetime:
    """Return the time by the database's clock, UTC: what governance compares, whatever this machine's clock says."""
    return database.now()


def console(*, stderr: bool = False) -> "Console":
    """Return a console that drops colours when piped or asked to (NO_COLOR)."""
    from rich.console import Console

    piped = not (sys.stderr if stderr else sys.stdout).isatty()
    # A table that is piped into a file must not be cut at 80 columns.
    return Console(stderr=stderr, width=200 if piped else None, highlight=False, soft_wrap=False)


def emit(payload: JsonValue, *, as_json: bool, human: Callable[["Console"], None]) -> None:
    """Show an answer: one JSON document on standard output, or text for a person.

    Parameters
    ----------
    payload
        The answer as JSON. Beside its own fields it gets `schema`, which names command and version, like
        "meta-pipeline/proposals.list/1", and `schema_version`, the version alone.
    as_json
        What the user asked for with `--json`.
    human
        Prints the same answer for a person.
    """
    if not as_json:
        human(console())
        return
    sys.stdout.write(json.dumps(document(payload), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def emit_line(payload: dict[str, JsonValue]) -> None:
    """Print an answer as a document of one line, at once: for a command that does not end with it."""
    sys.stdout.write(json.dumps(document(payload), ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def document(payload: JsonValue) -> dict[str, JsonValue]:
    """Return an answer with the name and version of its schema before it."""
    schema = f"meta-pipeline/{command_name()}/{JSON_SCHEMA_VERSION}"
    named: dict[str, JsonValue] = {"schema": schema, "schema_version": JSON_SCHEMA_VERSION}
    return named | (payload if isinstance(payload, dict) else {"items": payload})


def command_name() -> str:
    """Return the command that runs, its words joined by dots; "unknown" where none was parsed."""
    # Typer vendors click privately; there is no public way to ask.
    from typer._click.globals import get_current_context

    context = get_current_context(silent=True)
    return "unknown" if context is None else ".".join(context.command_path.split()[1:])


@contextmanager
def progress(description: str, *, total: int | None) -> Iterator[Callable[[int, int | None, str], None]]:
    """Show a bar on standard error while something long is done; nothing where that is no terminal.

    Yields
    ------
    Callable
        Takes how many are done by now, of how many, and what comes next.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    shown = console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task(description, total=total)

        def step(done: int, total: int | None, following: str) -> None:
            bar.update(task, completed=done, total=total, description=f"{description}: {following}")

        yield step


def confirm_digest(digest: str, *, what: str) -> None:
    """Ask the person to type the first eight digits of what they decide on.

    Raises
    ------
    UsageError
        If there is no terminal to ask on.
    InputError
        If the typed digits differ.
    """
    if not sys.stdin.isatty():
        raise UsageError(f"no digest given for {what} and no terminal to ask on; pass --digest {digest}")
    typed: str = typer.prompt(f"Type the first 8 digits of the digest to {what} [{digest[:8]}]")
    if typed.strip().lower() != digest[:8]:
        raise InputError(f"typed {typed!r}, but the digest starts with {digest[:8]}; nothing was decided")

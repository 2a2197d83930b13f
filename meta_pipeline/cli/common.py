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
        The answer as JSON; an object gets `schema_version` beside its own fields.
    as_json
        What the user asked for with `--json`.
    human
        Prints the same answer for a person.
    """
    if not as_json:
        human(console())
        return
    document = {"schema_version": JSON_SCHEMA_VERSION, **payload} if isinstance(payload, dict) else payload
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


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

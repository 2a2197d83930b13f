"""Running a piece of work in one transaction: tried again after a deadlock, or rolled back at the end.

Belongs here: what has to hold for every governed write. What the work does belongs to its module.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from meta_pipeline.errors import Conflict, DatabaseUnavailable
from meta_pipeline.store.database import Database

Result = TypeVar("Result")

ATTEMPTS: Final = 5
"""How often a transaction that PostgreSQL broke off to end a deadlock is tried."""

_TRY_AGAIN: Final = frozenset({"40P01", "40001"})  # deadlock_detected, serialization_failure
_LOCK_NOT_AVAILABLE: Final = "55P03"
_LOST: Final = (
    "the connection to the database was lost on the way, and it is not known whether this was written; do the same "
    "again: what was done already is answered so, and nothing is done twice"
)


class RunAgainError(Exception):
    """Raised by work whose ground moved while it was done: all of it is rolled back and run again from the start."""


class _RollBackError(Exception):
    """Carries the result of a dry run out of its transaction."""

    def __init__(self, result: object) -> None:
        super().__init__("dry run")
        self.result = result


def in_transaction(database: Database, work: Callable[[Connection], Result], *, dry_run: bool = False) -> Result:
    """Run work in one transaction and return what it returns.

    Parameters
    ----------
    work
        Must be safe to run again from the start: it is, after a deadlock, and when it raises `RunAgainError`.
    dry_run
        Do everything, deferred constraints included, and roll all of it back.

    Raises
    ------
    Conflict
        If a lock is held by somebody else for longer than the session waits, or the work's ground moved each time.
    DatabaseUnavailable
        If the connection is lost on the way. Lost while it is being committed, it may be written or not: nobody
        here can know, and the message says so.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _once(database, work, dry_run=dry_run)
        except RunAgainError as error:
            if attempt == ATTEMPTS:
                raise Conflict(f"{error}, {ATTEMPTS} times; nothing was written, try again in a moment") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise DatabaseUnavailable(_LOST) from error
            state = sqlstate(error)
            if state == _LOCK_NOT_AVAILABLE:
                raise Conflict(
                    "somebody else is doing what this has to wait for, and has not finished; try again in a moment"
                ) from error
            if state not in _TRY_AGAIN or attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def sqlstate(error: DBAPIError) -> str | None:
    """Return PostgreSQL's five-character code of an error, if it has one."""
    return getattr(error.orig, "sqlstate", None)


def _once(database: Database, work: Callable[[Connection], Result], *, dry_run: bool) -> Result:
    result: Result
    try:
        with database.begin() as connection:
            result = work(connection)
            if dry_run:
                connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
                raise _RollBackError(result)
    except _RollBackError:
        pass
    return result

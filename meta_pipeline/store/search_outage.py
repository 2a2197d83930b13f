"""A database that is away for a while, as after a crash or a restart: a search waits for it, and goes on.

Belongs here: telling an outage from every other error, and waiting one out. What waits is written so that a second
time is the same as once, because nobody knows of a statement that was under way whether it was done.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from meta_pipeline.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

PATIENCE: Final = 60.0
"""Seconds for which an outage is waited out: longer than a restart and its recovery take."""

_PAUSE: Final = 0.2
# Shut down by somebody, crashed, not yet or no longer taking connections; connection errors have 08, or no code at all.
_AWAY: Final = frozenset({"57P01", "57P02", "57P03"})


def is_outage(error: BaseException) -> bool:
    """Say whether an error means that the server is away, or has cut the connection; not that it refused something."""
    if isinstance(error, DatabaseUnavailable):
        return True
    found = _of_the_driver(error)
    if found is None:
        return False
    state = getattr(found.orig, "sqlstate", None)
    return found.connection_invalidated or state is None or state in _AWAY or state.startswith("08")


def outlived(work: Callable[[], _Result], *, revive: Callable[[], None] | None = None) -> _Result:
    """Do a piece of work, again and again while the database is away; return what it returns.

    Parameters
    ----------
    work
        Done twice, it must be as if done once.
    revive
        Starts the server again, where it is ours to start.

    Raises
    ------
    Exception
        What the work raised: at once if it is no outage, else when patience is at its end.
    """
    begun = time.monotonic()
    told = False
    while True:
        try:
            return work()
        except Exception as error:
            if not is_outage(error) or time.monotonic() - begun >= PATIENCE:
                raise
            if not told:
                _log.warning("the database is away; the search waits up to %g s for it: %s", PATIENCE, said(error))
                told = True
        time.sleep(_PAUSE)
        if revive is not None:
            with contextlib.suppress(DatabaseUnavailable):  # then the work finds so as well
                revive()


@contextlib.contextmanager
def told_of_outage(search_name: str) -> Iterator[None]:
    """Say of an outage that outlasts patience what is lost by it, and what to do.

    Raises
    ------
    DatabaseUnavailable
        In place of whatever the database's driver raised.
    """
    try:
        yield
    except Exception as error:
        if not is_outage(error):
            raise
        raise DatabaseUnavailable(
            f"the database of the search {search_name!r} is away: {said(error)}. What was reported is kept; when the "
            f"database is back, `meta-pipeline search resume {search_name}` goes on from there"
        ) from error


def said(error: BaseException) -> str:
    """Return what the server or its driver said, in a line; statements and their figures stay out."""
    found = _of_the_driver(error)
    return " ".join(str(error if found is None else found.orig).split())


def _of_the_driver(error: BaseException) -> "DBAPIError | None":
    """Return the driver's error: itself, or what Optuna wrapped into its own."""
    from sqlalchemy.exc import InterfaceError, OperationalError

    for each in (error, error.__cause__):
        if isinstance(each, OperationalError | InterfaceError):
            return each
    return None

"""What assets, jobs and sensors are given: the database, the settings, the time.

Belongs here: the edge, where the environment and the clock are read. Does not belong here: work.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Final

from meta_pipeline.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from meta_pipeline.store.database import Database


_OPENED: "Final[dict[Settings, Database]]" = {}
_OPENING: Final = Lock()


def _opened(settings: Settings) -> "Database":
    # Kept until the process ends: a code server asks every few seconds, from several threads.
    from meta_pipeline.store.database import open_database

    with _OPENING:
        if settings not in _OPENED:
            _OPENED[settings] = open_database(settings)
        return _OPENED[settings]


class DatabaseResource:
    """The database of the settings, opened when it is first used, once per process.

    Parameters
    ----------
    database
        An opened database to use instead (for tests).
    settings
        Reads the settings; called when they are first needed.
    clock
        Returns the time, UTC; by default the database's clock, the same for all machines.
    """

    def __init__(
        self,
        database: "Database | None" = None,
        *,
        settings: Callable[[], Settings] = Settings,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._database = database
        self._read_settings = settings
        self._settings: Settings | None = None
        self._clock = clock

    def __repr__(self) -> str:
        # Never the URL: what Dagster shows of a resource must hold no password.
        return "DatabaseResource()"

    @property
    def settings(self) -> Settings:
        """The settings, read once."""
        if self._settings is None:
            self._settings = self._read_settings()
        return self._settings

    @property
    def opened(self) -> "Database":
        """The opened database, for services that open their own transactions."""
        return _opened(self.settings) if self._database is None else self._database

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return self.opened.now() if self._clock is None else self._clock()

    @contextmanager
    def begin(self) -> "Iterator[Connection]":
        """Open a transaction: committed at the end of the block, rolled back if it raises."""
        with self.opened.begin() as connection:
            yield connection

    @contextmanager
    def connect(self) -> "Iterator[Connection]":
        """Open a connection to read."""
        with self.opened.connect() as connection:
            yield connection

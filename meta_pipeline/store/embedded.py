"""The embedded PostgreSQL: started on demand, shared by processes, stopped with its last user.

Belongs here: who uses the server. That is kept in file locks, not in a list of process ids,
because the kernel drops the locks of a process however it dies. Beside the data folder
`<home>/postgres` there are two files:

- `postgres.lock`: held exclusively while somebody starts or stops the server.
- `postgres.users`: held shared by every process that uses it. Whoever gets it exclusively knows
  that nobody else does, and stops the server.
"""

import atexit
import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from meta_pipeline.errors import DatabaseUnavailable
from meta_pipeline.store.file_lock import FileLock
from meta_pipeline.store.postmaster import START_SECONDS, Postmaster

DATABASE: Final = "meta_pipeline"
"""The database of the loop on the embedded server."""


@dataclass(kw_only=True, eq=False)
class EmbeddedServer:
    """This process's use of the embedded server; one per process and folder, see `use_server`."""

    postmaster: Postmaster
    _hold: FileLock
    _uses: int = field(default=1)

    def connection_options(self, database: str = DATABASE) -> dict[str, str]:
        """Return the libpq keywords that reach one of its databases."""
        return self.postmaster.connection_options(database)

    def release(self) -> None:
        """End one use; the last use of the last process stops the server."""
        with _GUARD:
            if self._uses == 0:
                return
            self._uses -= 1
            if self._uses == 0:
                _SERVERS.pop(self.postmaster.data, None)
                self._hold.release()
                _stop_if_unused(self.postmaster)


_SERVERS: dict[Path, EmbeddedServer] = {}
_GUARD: Final = threading.RLock()


def use_server(home: Path, *, server_settings: Mapping[str, str] | None = None) -> EmbeddedServer:
    """Return the embedded server over `home`/postgres, started if need be; `release` it at the end.

    Raises
    ------
    DatabaseUnavailable
        If it cannot be started, with the end of its log.
    """
    data = home.expanduser().resolve() / "postgres"
    postmaster = Postmaster(data=data, server_settings=server_settings or {})
    with _GUARD:
        if (known := _SERVERS.get(data)) is not None:
            known._uses += 1
            return known
        data.parent.mkdir(parents=True, exist_ok=True)
        with _starting_or_stopping(data):
            hold = FileLock(data.with_suffix(".users"))
            hold.acquire(shared=True)
            try:
                postmaster.start()
                _ensure_database(postmaster)
            except BaseException:
                hold.release()
                raise
        server = _SERVERS[data] = EmbeddedServer(postmaster=postmaster, _hold=hold)
        return server


def _starting_or_stopping(data: Path) -> FileLock:
    lock = FileLock(data.with_suffix(".lock"))
    try:
        lock.acquire(seconds=START_SECONDS)
    except TimeoutError as error:
        raise DatabaseUnavailable(f"another process has been starting the database for long: {error}") from None
    return lock


def _stop_if_unused(postmaster: Postmaster) -> None:
    with _starting_or_stopping(postmaster.data):
        sole = FileLock(postmaster.data.with_suffix(".users"))
        if sole.try_acquire():
            with sole:
                postmaster.stop()


def _ensure_database(postmaster: Postmaster) -> None:
    import psycopg

    options = postmaster.connection_options("postgres")
    with psycopg.connect(**options, autocommit=True) as connection:  # type: ignore[arg-type]
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"'.encode())


@atexit.register
def _release_all() -> None:
    for server in list(_SERVERS.values()):
        server._uses = min(server._uses, 1)
        with contextlib.suppress(DatabaseUnavailable):
            server.release()

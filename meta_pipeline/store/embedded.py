"""The embedded PostgreSQL: started on demand, shared by processes, stopped with its last user.

Belongs here: who uses the server. That is kept in file locks, not in a list of process ids,
because the kernel drops the locks of a process however it dies. Beside the data folder
`<home>/postgres` there are three files:

- `postgres.lock`: held while somebody starts or stops the server.
- `postgres.users`: held shared by every process that uses it. Whoever gets it exclusively knows
  that nobody else does, and stops the server.
- `postgres.keeper`: held by the keeper, a small process that waits for just that, so that the
  server also stops when its last user was killed.
"""

import atexit
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meta_pipeline.errors import Conflict, DatabaseUnavailable
from meta_pipeline.store.file_lock import FileLock
from meta_pipeline.store.postmaster import START_SECONDS, SUPERUSER, Postmaster, of_another_user
from meta_pipeline.store.url import Address

DATABASE: Final = "meta_pipeline"
"""The database of the loop on the embedded server."""

_AFTERMATH_SECONDS: Final = 0.5  # what a start that was killed has set off becomes visible meanwhile


@dataclass(kw_only=True, eq=False)
class _Hold:
    """What this process holds of one server, shared by its uses."""

    postmaster: Postmaster
    lock: FileLock
    uses: int = 0


@dataclass(kw_only=True, eq=False)
class EmbeddedServer:
    """One use of the embedded server, until `release`."""

    _hold: _Hold
    _released: bool = False

    @property
    def postmaster(self) -> Postmaster:
        """The server itself."""
        return self._hold.postmaster

    def address(self, database: str = DATABASE) -> Address:
        """Return where one of its databases is."""
        return self.postmaster.address(database)

    def revive(self) -> None:
        """Start the server again if it does not answer, as after a crash."""
        if not self.postmaster.answers():
            _restart(self.postmaster)

    def release(self) -> None:
        """End this use; the end of the last use of the last process stops the server."""
        with _GUARD:
            if self._released or self._hold.postmaster.data not in _HOLDS:
                return
            self._released = True
            self._hold.uses -= 1
            if self._hold.uses == 0:
                _leave(self._hold)


_HOLDS: dict[Path, _Hold] = {}
_GUARD: Final = threading.RLock()


def postmaster_of(home: Path, *, server_settings: Mapping[str, str] | None = None) -> Postmaster:
    """Return the embedded server of a home folder, running or not; nothing is started or made."""
    return Postmaster(data=home.expanduser().resolve() / "postgres", server_settings=server_settings or {})


def use_server(home: Path, *, server_settings: Mapping[str, str] | None = None) -> EmbeddedServer:
    """Return the embedded server over `home`/postgres, started if need be; `release` it at the end.

    Parameters
    ----------
    home
        META_PIPELINE_HOME; made if it is not there.
    server_settings
        Server parameters for this start; without effect if the server runs already.

    Raises
    ------
    DatabaseUnavailable
        If it cannot be started, with the end of its log.
    """
    if sys.platform == "win32":
        raise DatabaseUnavailable(
            "the embedded PostgreSQL runs on Linux and macOS; here, set META_PIPELINE_DATABASE_URL to a server"
        )
    postmaster = postmaster_of(home, server_settings=server_settings)
    with _GUARD:
        hold = _HOLDS.get(postmaster.data)
        if hold is None:
            hold = _HOLDS[postmaster.data] = _join(postmaster)
        hold.uses += 1
        server = EmbeddedServer(_hold=hold)
        server.revive()
        return server


def stop_server(home: Path, *, force: bool = False) -> bool:
    """Stop the embedded server; say whether it ran.

    Raises
    ------
    Conflict
        If other processes use it and `force` is not set; nothing is stopped.
    """
    postmaster = postmaster_of(home)
    if not postmaster.is_initialised:
        return False
    with _starting_or_stopping(postmaster):
        sole = FileLock(_users_file(postmaster))
        if sole.try_acquire() or force:
            with contextlib.closing(sole):
                return postmaster.stop()
        pids = ", ".join(str(pid) for pid in user_processes(postmaster))
        raise Conflict(
            f"the embedded database is in use{f' by process {pids}' if pids else ''}; end them first, or stop it under "
            "them with --force (their open transactions are rolled back)"
        )


def user_processes(postmaster: Postmaster) -> list[int]:
    """Return the ids of the processes that use the server, as far as this user may see."""
    import psutil

    wanted, found = str(_users_file(postmaster)), []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if any(file.path == wanted for file in process.open_files()):
                found.append(process.pid)
    return sorted(set(found) - {_keeper_process(postmaster)})


def keep(data: Path) -> None:
    """Wait until nobody uses the server over `data`, then stop it. The keeper process runs this."""
    postmaster = Postmaster(data=data)
    alone = FileLock(_keeper_file(postmaster), create=False)
    # A folder that was removed meanwhile is no more to be kept: its server ends by itself.
    with contextlib.suppress(FileNotFoundError):
        if not alone.try_acquire():
            return
        alone.write(f"{os.getpid()}\n")
        while True:
            sole = FileLock(_users_file(postmaster), create=False)
            sole.acquire()  # waits for the last user, however it ends
            sole.close()
            time.sleep(_AFTERMATH_SECONDS)
            with _starting_or_stopping(postmaster, create=False):
                if _stop_if_unused(postmaster):
                    # While nobody can start it: who does so next finds no keeper, and brings one.
                    alone.close()
                    return


def _stop_if_unused(postmaster: Postmaster) -> bool:
    """Stop the server if no process uses it, and say whether that was so; the caller holds the start lock."""
    sole = FileLock(_users_file(postmaster), create=False)
    if not sole.try_acquire() and not _try_after_keeper(sole):
        return False
    with contextlib.closing(sole):
        postmaster.stop()
        return True


def _try_after_keeper(sole: FileLock) -> bool:
    """Try again once the keeper, which looks exclusively for a moment when it wakes, has let go."""
    while not sole.try_acquire(shared=True):
        time.sleep(0.005)
    sole.close()
    return sole.try_acquire()


def _join(postmaster: Postmaster) -> _Hold:
    try:
        postmaster.data.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise of_another_user(postmaster.data.parent, error) from None
    with _starting_or_stopping(postmaster):
        lock = FileLock(_users_file(postmaster))
        lock.acquire(shared=True)
        try:
            _start(postmaster)
        except BaseException:
            lock.close()
            raise
    atexit.register(_release_all)  # again and again does no harm: what is released is not there any more
    return _Hold(postmaster=postmaster, lock=lock)


def _restart(postmaster: Postmaster) -> None:
    with _starting_or_stopping(postmaster):
        _start(postmaster)


def _start(postmaster: Postmaster) -> None:
    _ensure_keeper(postmaster)  # first, so that it outlives whoever is killed while starting
    postmaster.start()
    _ensure_database(postmaster)


def _leave(hold: _Hold) -> None:
    _HOLDS.pop(hold.postmaster.data, None)
    hold.lock.close()
    with contextlib.suppress(FileNotFoundError), _starting_or_stopping(hold.postmaster, create=False):
        _stop_if_unused(hold.postmaster)


def _starting_or_stopping(postmaster: Postmaster, *, create: bool = True) -> contextlib.closing[FileLock]:
    lock = FileLock(postmaster.data.with_suffix(".lock"), create=create)
    try:
        lock.acquire(seconds=START_SECONDS)
    except TimeoutError as error:
        raise DatabaseUnavailable(
            f"another process has been starting or stopping the database for long: {error}"
        ) from None
    except PermissionError as error:
        raise of_another_user(postmaster.data.parent, error) from None
    return contextlib.closing(lock)


def _users_file(postmaster: Postmaster) -> Path:
    return postmaster.data.with_suffix(".users")


def _keeper_file(postmaster: Postmaster) -> Path:
    return postmaster.data.with_suffix(".keeper")


def _keeper_process(postmaster: Postmaster) -> int | None:
    try:
        return int(_keeper_file(postmaster).read_text())
    except (OSError, ValueError):
        return None


def _ensure_keeper(postmaster: Postmaster) -> None:
    free = FileLock(_keeper_file(postmaster))
    if not free.try_acquire():
        return  # it lives
    free.close()
    # Through a shell that ends at once, so that the keeper is nobody's child; in a session of its
    # own, so that neither Ctrl-C nor a closed terminal reaches it.
    command = ["/bin/sh", "-c", '"$0" "$@" &', sys.executable, "-m", "meta_pipeline.store.keeper", str(postmaster.data)]
    package_root = str(Path(__file__).parents[2])
    subprocess.run(
        command,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))},
        cwd="/",
        start_new_session=True,
    )


def _ensure_database(postmaster: Postmaster) -> None:
    import psycopg

    with psycopg.connect(postmaster.address(SUPERUSER).conninfo(), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"'.encode())


def _release_all() -> None:
    for hold in list(_HOLDS.values()):
        with contextlib.suppress(DatabaseUnavailable):
            _leave(hold)

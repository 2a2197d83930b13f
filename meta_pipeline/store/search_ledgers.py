"""Where a search's ledger and checkpoints are: a folder on one machine, or PostgreSQL for many.

Belongs here: opening either, and the lock that makes one process the coordinator. Optuna's tables have a schema of
their own in the database, so that neither its Alembic nor ours meets the other's tables.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meta_pipeline.canonical import digest
from meta_pipeline.errors import ArtifactBroken, Conflict
from meta_pipeline.hyperband.checkpoints import FolderCheckpoints
from meta_pipeline.hyperband.ledger import quiet_optuna
from meta_pipeline.hyperband.protocol import Reference
from meta_pipeline.store.file_lock import FileLock

if TYPE_CHECKING:
    import optuna

    from meta_pipeline.store.database import Database

OPTUNA_SCHEMA: Final = "optuna"
"""The schema of Optuna's tables in our database."""


@dataclass(frozen=True, kw_only=True)
class SearchPlace:
    """Where searches are kept, opened.

    Parameters
    ----------
    storage
        Optuna's.
    checkpoints
        How workers build what keeps checkpoints.
    described
        The place, for people; without secrets.
    lock
        Makes this process the only coordinator of a search of a name, as a context; Conflict if another one is.
    """

    storage: "optuna.storages.BaseStorage"
    checkpoints: Reference
    described: str
    lock: "Callable[[str], contextlib.AbstractContextManager[None]]"


class _KernelLock:
    """The journal's lock between processes. The kernel drops it with its holder; Optuna's own would be waited out."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.close()


def folder_place(folder: Path, name: str = "") -> SearchPlace:
    """Open the searches of a folder: a journal, and checkpoints beside it. For one machine, or one shared disk.

    Parameters
    ----------
    name
        Of the search that is worked on. Checkpoints are found by a configuration's place in its search, so each search
        has a folder of its own for them; another's would be taken for its own.

    Raises
    ------
    ArtifactBroken
        If the journal is damaged.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / "journal.log"
    lock = FileLock(folder / "journal.lock")
    lock.acquire()
    try:
        drop_torn_line(journal)
    finally:
        lock.close()
    try:
        storage = JournalStorage(JournalFileBackend(str(journal), lock_obj=_KernelLock(folder / "journal.lock")))  # type: ignore[arg-type]
    except ValueError as error:  # what JSON's errors are
        raise ArtifactBroken(f"{journal} has a line that is no JSON: {error}; restore it from a backup") from error
    return SearchPlace(
        storage=storage,
        checkpoints=checkpoints_in(_checkpoints_of(folder, name)),
        described=str(folder),
        lock=partial(folder_coordinator, folder),
    )


def _checkpoints_of(folder: Path, name: str) -> Path:
    kept = folder / "checkpoints"
    return kept / digest(name)[:16] if name else kept


def checkpoints_in(folder: Path) -> Reference:
    """Return how workers build the store of checkpoints in a folder they all see."""
    return Reference(target="meta_pipeline.hyperband.checkpoints:folder", settings={"folder": str(folder.absolute())})


def database_place(database: "Database", checkpoints: Reference) -> SearchPlace:
    """Open the searches of the project's database.

    Parameters
    ----------
    checkpoints
        Where all workers find checkpoints: a shared folder, or `search_checkpoints` in the same database.
    """
    from sqlalchemy import text

    from meta_pipeline.store.search_storage import LedgerStorage

    with database.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {OPTUNA_SCHEMA}"))
    secrets = {name: value for name, value in database.address.secrets.items() if name != "password"}
    given = database.address.options.get("options", "")
    patience = {} if "connect_timeout" in database.address.options else {"connect_timeout": "10"}
    arguments = {**secrets, **patience, "options": f"{given} -c search_path={OPTUNA_SCHEMA}".strip()}
    with quiet_optuna():
        storage = LedgerStorage(
            database.address.url().render_as_string(hide_password=False),
            engine_kwargs={"connect_args": arguments, "pool_pre_ping": True},
        )
    if database.server is not None:
        storage.revive = database.server.revive
    return SearchPlace(
        storage=storage, checkpoints=checkpoints, described=database.url, lock=partial(database_coordinator, database)
    )


@contextlib.contextmanager
def folder_coordinator(folder: Path, name: str) -> Iterator[None]:
    """Be the only coordinator of a folder's searches, until the block or the process ends.

    Raises
    ------
    Conflict
        If another process is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "coordinator.lock")
    if not lock.try_acquire():
        raise Conflict(f"another process runs a search in {folder}; wait for it, or end it, before {name!r} goes on")
    try:
        kept = folder / "checkpoints"
        kept.mkdir(exist_ok=True)
        for place in (kept, *(path for path in kept.iterdir() if path.is_dir())):
            FolderCheckpoints(place).clean()
        yield
    finally:
        lock.close()


@contextlib.contextmanager
def database_coordinator(database: "Database", name: str) -> Iterator[None]:
    """Be the only coordinator of one search in the database, until the block, the process or the connection ends.

    A server that restarts ends the connection, and the search goes on. A second coordinator that began meanwhile does
    work twice and spoils nothing: of two draws the first counts, and of two reports both are the same.

    Raises
    ------
    Conflict
        If another process is, on whatever machine.
    DatabaseUnavailable
        If the database goes away for longer than the search waits.
    """
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    from meta_pipeline.store.search_outage import is_outage, told_of_outage

    with told_of_outage(name), database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        key = {"name": f"meta-pipeline search {name}"}
        taken = connection.execute(text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))"), key).scalar_one()
        if not taken:
            raise Conflict(f"another process runs the search {name!r} on this database; wait for it, or end it")
        try:
            yield
        finally:
            try:
                connection.execute(text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), key)
            except DBAPIError as error:
                if not is_outage(error):  # else the lock ended with the connection
                    raise


def drop_torn_line(journal: Path) -> int:
    """Cut off a last line that a crash left without its end, and return how many bytes that were.

    Such a line was never acknowledged to anybody, and the next one written would run into it.
    """
    if not journal.exists():
        return 0
    with journal.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        file.truncate(whole)
    return len(content) - whole

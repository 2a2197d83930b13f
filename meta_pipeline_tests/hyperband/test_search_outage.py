"""A search whose PostgreSQL is killed under it: it waits and goes on, or says clearly how to go on later."""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from meta_pipeline.hyperband.ledger import open_existing
from meta_pipeline.hyperband.protocol import ParameterValue
from meta_pipeline.hyperband.slots import Slot
from meta_pipeline.orchestration.search_worker import checkpoints_of
from meta_pipeline.store import migrations, search_outage
from meta_pipeline.store.database import Database, engine_of
from meta_pipeline.store.embedded import use_server
from meta_pipeline.store.postmaster import Postmaster
from meta_pipeline.store.search_ledgers import database_place
from meta_pipeline_tests.cli.shell import Shell
from meta_pipeline_tests.hyperband import toy

pytestmark = pytest.mark.database
EVALUATIONS = 22
# What is committed outlives a killed server without waiting for the disk; it would not outlive a power cut.
QUICK = {"fsync": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Site:
    """A database on a server of its own, which may be killed."""

    database: Database
    postmaster: Postmaster

    def kill(self) -> None:
        """Kill the server, and wait until nothing of it answers."""
        server = self.postmaster.process_id()
        assert server is not None
        os.kill(server, signal.SIGKILL)
        wait_for(lambda: not self.postmaster.answers())

    def reported(self, name: str) -> set[tuple[Slot, int]]:
        """Return the evaluations that the ledger has."""
        place = database_place(self.database, checkpoints_of(name, self.database))
        entries = open_existing(place.storage, name).entries()
        return {(slot, r) for slot, entry in entries.items() for r in entry.rungs}

    def kept(self, name: str) -> set[tuple[Slot, int]]:
        """Return the evaluations whose checkpoints are there."""
        query = "SELECT iteration, bracket, number, resource FROM search_checkpoints WHERE search_name = :name"
        with self.database.connect() as connection:
            return {(Slot(*row[:3]), row[3]) for row in connection.execute(text(query), {"name": name})}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    home = Path(tempfile.mkdtemp(prefix="meta-pipeline-outage-"))
    server = use_server(home, server_settings=QUICK)
    address = server.address("postgres")
    database = Database(engine=engine_of(address), address=address)
    try:
        migrations.migrate(database.engine)
        yield Site(database, server.postmaster)
    finally:
        database.close()
        server.release()
        shutil.rmtree(home, ignore_errors=True)


@dataclass
class Log:
    """The evaluations that were begun, one a line."""

    path: Path
    threads: list[threading.Thread] = field(default_factory=list)

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []

    def at(self, many: int, act: Callable[[], None]) -> None:
        """Do something, in a thread, as soon as so many evaluations were begun."""

        def wait() -> None:
            wait_for(lambda: len(self.lines()) >= many)
            act()

        self.threads.append(threading.Thread(target=wait, daemon=True))
        self.threads[-1].start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join()


def arguments(name: str, log: Log) -> tuple[str, ...]:
    evaluator = ("--evaluator", "meta_pipeline_tests.hyperband.toy:build", "--set", f'log="{log.path}"')
    return ("search", "run", *evaluator, "--set", "seconds=0.02", "--r", "9", "--seed", "7", "--name", name)


@pytest.fixture
def shell(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(site.database, monkeypatch, capsys)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> str:
    return toy.slow_search(str(tmp_path_factory.mktemp("straight")), 0, {})


@pytest.mark.slow
def test_a_search_whose_database_is_killed_and_comes_back_waits_and_ends_the_same(
    site: Site, shell: Shell, straight: str, tmp_path: Path
) -> None:
    log, killed = Log(tmp_path / "log"), []

    def kill_and_start() -> None:
        site.kill()
        killed.append(len(log.lines()))
        time.sleep(0.3)  # so that all who write find nobody
        site.postmaster.start()

    for many in (1, 9, 18):
        log.at(many, kill_and_start)
    found = shell.ask(*arguments("waits", log), "--workers", "2")
    log.join()
    assert len(killed) == 3
    assert max(killed) < EVALUATIONS, "the search was over before the last kill"
    assert found["digest"] == straight
    assert len(log.lines()) == EVALUATIONS, "an evaluation was made twice"
    assert shell.ask("search", "show", "waits")["digest"] == straight


@pytest.mark.slow
def test_a_search_whose_database_stays_away_says_how_to_go_on_and_resume_repeats_nothing(
    site: Site, shell: Shell, straight: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path / "log")
    monkeypatch.setattr(search_outage, "PATIENCE", 0.5)
    log.at(8, site.kill)
    told = shell.run(*arguments("resumes", log), "--executor", "in-process")
    log.join()
    assert told.code == 7, told
    assert "the database of the search 'resumes' is away" in told.err
    assert "meta-pipeline search resume resumes" in told.err
    assert "Traceback" not in told.err
    site.postmaster.start()
    reported, kept, begun = site.reported("resumes"), site.kept("resumes"), len(log.lines())
    assert 0 < len(reported) < EVALUATIONS
    found = shell.ask("search", "resume", "resumes", "--executor", "in-process")
    assert found["digest"] == straight
    # What was reported is not made again, and of what was not, only what has no checkpoint.
    assert len(log.lines()) - begun == EVALUATIONS - len(reported | kept)


def test_an_outage_is_told_from_what_the_server_refuses(site: Site) -> None:
    with pytest.raises(DBAPIError) as refused, site.database.begin() as connection:
        connection.execute(text("SELECT 1 / 0"))
    assert not search_outage.is_outage(refused.value)
    with pytest.raises(OperationalError) as cut, site.database.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert search_outage.is_outage(cut.value)
    late = text("SELECT set_config('statement_timeout', '1', true)"), text("SELECT pg_sleep(1)")
    with pytest.raises(OperationalError) as slow, site.database.begin() as connection:
        [connection.execute(statement) for statement in late]
    assert not search_outage.is_outage(slow.value)


def test_trials_whose_commit_was_not_answered_are_not_written_twice(site: Site, monkeypatch: Any) -> None:
    from meta_pipeline.hyperband.ledger import create_or_open
    from meta_pipeline.store.search_storage import LedgerStorage

    place = database_place(site.database, checkpoints_of("unheard", site.database))
    ledger = create_or_open(place.storage, toy.search_settings(name="unheard"))
    write, calls = LedgerStorage._write_trials, []

    def unheard(self: Any, *what: Any) -> None:
        write(self, *what)
        calls.append(what)
        if len(calls) == 1:
            raise OperationalError("COMMIT", {}, Exception("server closed the connection"), connection_invalidated=True)

    monkeypatch.setattr(LedgerStorage, "_write_trials", unheard)
    config: dict[str, ParameterValue] = {"x": 0.5, "rate": 0.1, "depth": 5, "features": "sqrt"}
    ledger.add({Slot(0, 2, number): config for number in range(3)})
    assert len(calls) == 2
    assert len(ledger.study.trials) == 3


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited 30 s"
        time.sleep(0.005)

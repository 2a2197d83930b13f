"""`meta-pipeline db`: what a person reads, what a program reads, and the exit codes."""

import json
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from meta_pipeline.cli.main import main
from meta_pipeline.store import migrations
from meta_pipeline.store.database import Database
from meta_pipeline.store.embedded import postmaster_of, stop_server, use_server
from meta_pipeline_tests.store.rows import fill

REVISION = migrations.revisions()[-1]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


Run = Callable[..., Answer]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `meta-pipeline db ...` as a shell would, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("META_PIPELINE_DATABASE_URL", raising=False)

    def command(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["meta-pipeline", "db", *arguments])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
        printed = capsys.readouterr()
        return Answer(code=code, out=printed.out, err=printed.err)

    return command


@pytest.fixture
def served(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[[Database], Run]:
    """Point the command at a database by its URL."""

    def at(database: Database) -> Run:
        monkeypatch.setenv("META_PIPELINE_DATABASE_URL", database.address.url().render_as_string(hide_password=False))
        return run

    return at


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder for the embedded database, empty."""
    folder = Path(tempfile.mkdtemp(prefix="meta-pipeline-tests-"))
    monkeypatch.setenv("META_PIPELINE_HOME", str(folder / "home"))
    yield folder / "home"
    stop_server(folder / "home", force=True)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_day_with_the_embedded_database(run: Run, home: Path, tmp_path: Path) -> None:
    new = run("status")
    assert (new.code, home.exists()) == (0, False)
    assert "not made yet" in new.out
    assert "It is made by the first command that needs it." in new.out

    migrated = run("migrate")
    assert migrated.out == f"the embedded database in {home}/postgres: migrated from empty to {REVISION}\n"
    again = run("migrate", "--json")
    assert again.code == 3
    assert again.document["error"]["code"] == "nothing_to_do"

    status = run("status")
    assert status.code == 0
    assert f"current, revision {REVISION}" in status.out
    assert "stopped, started for this answer" in status.out
    assert "0 strategies, 0 campaigns, 0 backtest runs" in status.out

    assert run("backup", "loop.backup").out.endswith(f"revision {REVISION}, 0 files of {home}\n")
    assert stat.S_IMODE((tmp_path / "loop.backup").stat().st_mode) == 0o600
    assert (
        run("restore", "loop.backup").out.splitlines()[-1]
        == "next: meta-pipeline db check && meta-pipeline audit verify"
    )
    assert run("check").code == 0
    assert postmaster_of(home).process_id() is None
    stopped = run("stop")
    assert (stopped.code, stopped.err) == (
        3,
        f"error (nothing_to_do): the embedded database in {home} is not running\n",
    )


def test_status_as_json_says_where_it_is_how_it_is_and_how_much_is_in_it(
    served: Callable[[Database], Run], database: Database
) -> None:
    with database.begin() as connection:
        fill(connection)
    found = served(database)("status", "--json").document
    assert found["kind"] == "server"
    assert found["url"] == database.url
    assert (found["state"], found["revision"], found["needed"]) == ("current", REVISION, REVISION)
    assert found["version"].startswith("18.")
    assert found["rows"]["strategies"] == found["rows"]["backtest_runs"] == found["rows"]["applied_changes"] == 1
    assert found["bytes"] > 1_000_000
    assert found["missing"] == []
    assert found["advice"] is None


def test_an_empty_server_is_described_and_never_migrated_by_looking(
    served: Callable[[Database], Run], empty_database: Database
) -> None:
    for _ in range(2):
        answer = served(empty_database)("status")
        assert answer.code == 0
        assert "run: meta-pipeline db migrate" in answer.out
    answer = served(empty_database)("migrate", "--json")
    schema = {"schema": "meta-pipeline/db.migrate/1", "schema_version": 1}
    assert answer.document == {**schema, "database": empty_database.url, "from": None, "to": REVISION}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE meta_pipeline_alembic_version SET version_num = '9999'", "run: pip install --upgrade meta-pipeline"),
        ("DROP VIEW strategy_configs", "run: meta-pipeline db restore PATH"),
    ],
)
def test_a_database_that_cannot_be_used_is_unhealthy_and_the_command_that_mends_it_is_shown(
    served: Callable[[Database], Run], database: Database, damage: str, said: str
) -> None:
    with database.begin() as connection:
        connection.execute(text(damage))
    status, migrate, check = (served(database)(command) for command in ("status", "migrate", "check"))
    assert (status.code, migrate.code, check.code) == (7, 7, 7)
    assert said in " ".join(status.out.split())
    assert said in migrate.err
    assert "FAILED" in check.out


def test_check_says_what_it_looked_at_and_what_it_found(served: Callable[[Database], Run], database: Database) -> None:
    with database.begin() as connection:
        fill(connection)
    sound = served(database)("check", "--json")
    assert (sound.code, sound.document["healthy"], len(sound.document["checks"])) == (0, True, 9)
    with database.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica; DELETE FROM return_series"))
    damaged = served(database)("check", "--json")
    assert (damaged.code, damaged.document["healthy"]) == (7, False)
    (failed,) = [check for check in damaged.document["checks"] if not check["passed"]]
    assert failed == {
        "check": "return series belong to their runs",
        "passed": False,
        "faults": 1,
        "detail": "r is accepted, but its return series is not there",
    }


def test_backup_and_restore_answer_programs_too_and_refuse_what_would_lose_something(
    served: Callable[[Database], Run], database: Database, empty_database: Database, tmp_path: Path, home: Path
) -> None:
    with database.begin() as connection:
        fill(connection)
    (home / "reports").mkdir(parents=True)
    report = home / "reports" / f"{sha256(b'read').hexdigest()}.html"
    report.write_bytes(b"read")
    written = served(database)("backup", "loop.backup", "--json").document
    assert written["path"] == str(tmp_path / "loop.backup")
    assert (written["revision"], written["bytes"]) == (REVISION, (tmp_path / "loop.backup").stat().st_size)
    assert written["files"] == [f"reports/{report.name}"]
    assert served(database)("backup", "loop.backup").code == 5
    assert served(database)("backup", "loop.backup", "--overwrite", "--without-keys").code == 0
    assert served(database)("restore", "loop.backup").code == 5
    report.unlink()
    restored = served(empty_database)("restore", "loop.backup", "--json").document
    assert (restored["revision"], restored["written"], restored["kept"]) == (REVISION, written["files"], [])
    assert report.read_bytes() == b"read"
    assert served(empty_database)("check").code == 0
    tables = served(database)("backup", "loop.dump", "--tables-only")
    assert tables.out.endswith(f"revision {REVISION}, the tables alone\n")
    assert (tmp_path / "loop.dump").read_bytes()[:5] == b"PGDMP"


def test_stop_leaves_a_server_of_its_own_alone(served: Callable[[Database], Run], database: Database) -> None:
    answer = served(database)("stop", "--json")
    assert (answer.code, answer.document["error"]["code"]) == (3, "nothing_to_do")


def test_stop_refuses_under_a_user_and_obeys_force(run: Run, home: Path) -> None:
    server = use_server(home)
    try:
        refused = run("stop")
        assert refused.code == 5
        assert f"in use by process {os.getpid()}; " in refused.err
        assert run("stop", "--force", "--json").document["stopped"] is True
        assert not server.postmaster.answers()
    finally:
        server.release()


def test_a_server_that_hangs_in_a_crash_is_found_again_by_the_next_command(run: Run, home: Path) -> None:
    assert run("migrate").code == 0
    server = use_server(home)
    try:
        pid = server.postmaster.process_id()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert run("check").code == 0
    finally:
        server.release()


@pytest.mark.parametrize("arguments", [("nonsense",), ("backup",), ("restore",), ("stop", "--nonsense")])
def test_what_is_not_understood_is_a_usage_error(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).code == 2


def test_an_unreachable_server_is_unhealthy_and_its_password_is_not_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("META_PIPELINE_DATABASE_URL", "postgres://ann:Zq9@127.0.0.1:1/loop")
    for command in (["status"], ["migrate"], ["check", "--json"], ["backup", "x.dump"]):
        answer = run(*command)
        assert answer.code == 7
        assert "postgresql://ann:***@127.0.0.1:1/loop" in answer.out + answer.err
        assert "Zq9" not in answer.out + answer.err

"""The embedded server with real processes, real signals and real kills."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import text

from meta_pipeline.errors import Conflict, DatabaseUnavailable
from meta_pipeline.settings import Settings
from meta_pipeline.store.database import open_database
from meta_pipeline.store.embedded import EmbeddedServer, postmaster_of, stop_server, use_server
from meta_pipeline.store.postmaster import Postmaster

# A user: writes a row named by its process id, says so, and goes on until its input closes or by Ctrl-C.
USER = """
import os, signal, sys, psycopg; signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from meta_pipeline.store.embedded import use_server
server = use_server(Path(sys.argv[1]))
with psycopg.connect(server.address().conninfo()) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS users (process int)")
    connection.execute("INSERT INTO users VALUES (%s)", [os.getpid()])
print("ready", flush=True)
sys.stdin.read()
"""

# A user that opens the database of the loop, whatever has been done to it before.
OPENER = """
import sys
from pathlib import Path
from meta_pipeline.settings import Settings
from meta_pipeline.store.database import open_database
with open_database(Settings(home=Path(sys.argv[1]), _env_file=None)) as database, database.begin() as connection:
    connection.exec_driver_sql(f"INSERT INTO strategies (strategy_id, created_by) VALUES ('{sys.argv[2]}', 'a test')")
"""


@pytest.fixture
def fresh_home() -> Iterator[Path]:
    """A home folder nobody has used yet, inside one that is its owner's alone."""
    folder = Path(tempfile.mkdtemp(prefix="meta-pipeline-tests-"))
    home = folder / "project" / ".meta_pipeline"
    yield home
    stop_server(home, force=True)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def used_home() -> Iterator[Path]:
    """A home folder that has been used before."""
    folder = Path(tempfile.mkdtemp(prefix="meta-pipeline-tests-"))
    use_server(folder).release()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home(used_home: Path) -> Iterator[Path]:
    """The used home folder, with no server running before and after."""
    yield used_home
    stop_server(used_home, force=True)


def settings(home: Path) -> Settings:
    return Settings(home=home, database_url=None, _env_file=None)  # type: ignore[call-arg]


@contextlib.contextmanager
def user(home: Path, *, group: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the database, once it is ready."""
    command = [sys.executable, "-c", USER, str(home)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=group
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def users_seen(home: Path) -> set[int]:
    """The process ids written so far, asked over a connection of our own."""
    with psycopg.connect(postmaster_of(home).address("meta_pipeline").conninfo()) as connection:
        return {row[0] for row in connection.execute("SELECT process FROM users")}


@contextlib.contextmanager
def using(home: Path) -> Iterator[EmbeddedServer]:
    server = use_server(home)
    try:
        yield server
    finally:
        server.release()


def process_of(home: Path) -> psutil.Process:
    pid = postmaster_of(home).process_id()
    assert pid is not None
    return psutil.Process(pid)


def soon(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not what() and time.monotonic() < deadline:
        time.sleep(0.005)
    return what()


def gone(process: psutil.Process) -> bool:
    """Whether it ended; where nobody collects the children of the dead, it stays as a zombie."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill(process: psutil.Process) -> None:
    process.kill()
    assert soon(lambda: gone(process))


def test_four_processes_that_start_it_for_the_first_time_at_once_all_work_and_the_last_one_stops_it(
    fresh_home: Path,
) -> None:
    names = {"first", "second", "third", "fourth"}
    users = [subprocess.Popen([sys.executable, "-c", OPENER, str(fresh_home), name]) for name in names]
    assert [each.wait(timeout=120) for each in users] == [0, 0, 0, 0]
    assert soon(lambda: postmaster_of(fresh_home).process_id() is None)
    with open_database(settings(fresh_home)) as database, database.connect() as connection:
        assert set(connection.execute(text("SELECT strategy_id FROM strategies")).scalars()) == names
    assert postmaster_of(fresh_home).process_id() is None


def test_a_killed_user_leaves_the_server_usable_and_it_still_stops_with_its_last_user(home: Path) -> None:
    with using(home), user(home) as other:
        other.kill()
        other.wait()
        assert other.pid in users_seen(home)
        server = process_of(home)
    assert gone(server)


def test_it_stops_when_its_only_user_is_killed(home: Path) -> None:
    with user(home) as only:
        server = process_of(home)
        only.kill()
        only.wait()
        assert soon(lambda: gone(server))
    with using(home):
        assert only.pid in users_seen(home)


def test_users_that_come_while_the_last_one_leaves_find_it_working(home: Path) -> None:
    rounds = f"""
from pathlib import Path
import psycopg
from meta_pipeline.store.embedded import use_server
for _ in range(15):
    server = use_server(Path({str(home)!r}))
    psycopg.connect(server.address().conninfo()).close()
    server.release()
"""
    partners = [subprocess.Popen([sys.executable, "-c", rounds]) for _ in range(2)]
    assert [each.wait(timeout=120) for each in partners] == [0, 0]
    assert postmaster_of(home).process_id() is None


def test_a_killed_server_comes_back_with_all_that_was_committed_under_an_open_database(home: Path) -> None:
    with open_database(settings(home)) as database, user(home) as other:
        with database.begin() as connection:
            connection.execute(text("INSERT INTO strategies (strategy_id, created_by) VALUES ('before', 'a test')"))
        kill(process_of(home))
        with database.begin() as connection:
            connection.execute(text("INSERT INTO strategies (strategy_id, created_by) VALUES ('after', 'a test')"))
        with user(home) as newcomer, database.connect() as connection:
            assert {other.pid, newcomer.pid} <= users_seen(home)
            found = connection.execute(text("SELECT strategy_id FROM strategies ORDER BY 1")).scalars().all()
        assert found == ["after", "before"]


def test_a_recorded_process_id_that_now_belongs_to_somebody_else_is_no_server_and_is_left_alone(home: Path) -> None:
    with using(home):
        kill(process_of(home))
        data = postmaster_of(home).data
        owner = data.stat().st_uid if os.geteuid() == 0 else None
        with subprocess.Popen(["sleep", "60"], user=owner) as stranger:
            for file in (data / "postmaster.pid", data / ".s.PGSQL.5432.lock"):
                lines = file.read_text().splitlines(keepends=True)
                file.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
            assert postmaster_of(home).process_id() is None
            with using(home) as again:
                assert again.postmaster.answers()
            assert stranger.poll() is None
            stranger.kill()


def test_a_start_that_was_killed_half_way_does_not_keep_the_next_one_from_working(fresh_home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", USER, str(fresh_home)], stdin=subprocess.PIPE) as first:
        assert soon(lambda: any(fresh_home.glob(".postgres-new-*/base")))
        first.kill()
    with using(fresh_home) as server:
        assert server.postmaster.answers()


def test_a_server_whose_starter_is_killed_as_soon_as_it_is_there_is_stopped(home: Path) -> None:
    postmaster = postmaster_of(home)
    for moment in ((postmaster.data / "postmaster.pid").exists, postmaster.answers):
        with subprocess.Popen([sys.executable, "-c", USER, str(home)], stdin=subprocess.PIPE) as starter:
            assert soon(moment)
            starter.kill()
        assert soon(lambda: postmaster.process_id() is None)


def test_ctrl_c_in_a_terminal_reaches_neither_the_server_nor_its_other_users(home: Path) -> None:
    with user(home, group=True) as starter, using(home):
        server = process_of(home)
        os.killpg(starter.pid, signal.SIGINT)
        starter.wait(timeout=30)
        assert starter.pid in users_seen(home)
        assert process_of(home) == server


def test_uses_in_one_process_are_counted_and_a_double_release_counts_once(home: Path) -> None:
    first, second = use_server(home), use_server(home)
    server = process_of(home)
    first.release()
    first.release()
    assert second.postmaster.answers()
    assert process_of(home) == server
    second.release()
    assert gone(server)


def test_a_forked_child_that_ends_does_not_stop_it_under_its_parent(home: Path) -> None:
    script = f"""
import os, sys
from pathlib import Path
from meta_pipeline.store.embedded import use_server
server = use_server(Path({str(home)!r}))
if os.fork() == 0:
    sys.exit(0)
assert os.wait()[1] == 0
assert server.postmaster.answers()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    assert postmaster_of(home).process_id() is None


@pytest.mark.parametrize("name", ["a" * 120, 'it\'s "my, folder" $HOME 100% é'], ids=["long", "odd"])
def test_any_folder_will_do(fresh_home: Path, name: str) -> None:
    """One too long for a socket's path, one full of what shells, files and libpq take for something else."""
    with using(fresh_home / name) as server:
        assert server.postmaster.answers()
        socket_folder = server.postmaster.socket_folder
        assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
        assert (socket_folder / ".s.PGSQL.5432").is_socket()
    shutil.rmtree(socket_folder)


def test_a_socket_folder_that_somebody_else_could_have_put_there_is_refused(fresh_home: Path) -> None:
    long = fresh_home / ("a" * 120)
    folder = postmaster_of(long).socket_folder
    folder.mkdir()
    folder.chmod(0o777)
    try:
        with pytest.raises(DatabaseUnavailable, match=r"mode 777, not to \d+ alone; remove it"):
            use_server(long)
    finally:
        folder.rmdir()


def test_variables_that_point_at_other_servers_do_not_matter(home: Path) -> None:
    elsewhere = {"PGPORT": "6543", "PGHOST": "/nowhere", "PGDATABASE": "x", "PGUSER": "x", "PGDATA": "/x"}
    command = [sys.executable, "-c", USER, str(home)]
    environment = {**os.environ, **elsewhere, "PGSSLMODE": "require"}
    subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=True, timeout=120)


def test_nothing_is_printed_where_a_person_reads(home: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    command = [sys.executable, "-W", "default", "-c", OPENER, str(home), "quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_data_are_for_their_owner_only_and_the_folders_above_open_no_further_than_needed(fresh_home: Path) -> None:
    private = fresh_home.parents[1]
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    with using(fresh_home) as server:
        assert stat.S_IMODE(server.postmaster.data.stat().st_mode) == 0o700
    # As root the server runs under another account, which must pass through; it may not list.
    assert stat.S_IMODE(private.stat().st_mode) == (0o701 if os.geteuid() == 0 else 0o700)


def test_it_goes_on_and_stops_although_a_folder_above_was_closed_again(fresh_home: Path) -> None:
    with using(fresh_home) as server:
        fresh_home.parents[1].chmod(0o700)
        with psycopg.connect(server.address().conninfo()) as connection:
            connection.execute("CREATE TABLE made_afterwards (a int)")
        running = process_of(fresh_home)
    assert gone(running)


def test_a_folder_that_holds_something_else_is_refused_and_kept(fresh_home: Path) -> None:
    (fresh_home / "postgres").mkdir(parents=True)
    (fresh_home / "postgres" / "thesis.txt").write_text("years of work")
    with pytest.raises(DatabaseUnavailable, match="is no PostgreSQL data folder; move it away"):
        use_server(fresh_home)
    assert (fresh_home / "postgres" / "thesis.txt").read_text() == "years of work"


def test_a_home_that_cannot_be_made_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DatabaseUnavailable, match=r"Not a directory.*or set META_PIPELINE_HOME to a folder of your own"
    ):
        use_server(tmp_path / "file" / "home")


def test_a_home_of_another_user_is_refused_with_the_way_out(home: Path) -> None:
    """As root, another user looks at root's; as anybody else, the folder is closed to its owner, too."""
    script = f"""
from pathlib import Path
from meta_pipeline.errors import DatabaseUnavailable
from meta_pipeline.store.embedded import postmaster_of, use_server
home = Path({str(home)!r})
for deed in (lambda: postmaster_of(home).is_initialised, lambda: use_server(home)):
    try:
        deed()
    except DatabaseUnavailable as refusal:
        assert "Permission denied" in str(refusal) and "set META_PIPELINE_HOME" in str(refusal)
    else:
        raise AssertionError("was let in")
"""
    closed = home / "postgres"
    mode = stat.S_IMODE(closed.stat().st_mode)
    try:
        if os.geteuid() != 0:
            closed.chmod(0)
            (home / "postgres.lock").chmod(0)
            subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
        elif os.fork() == 0:  # not a new interpreter, which the other user might not be allowed to run
            os.setgroups([])
            os.setuid(65534)
            with contextlib.suppress(BaseException):
                exec(script, {})
                os._exit(0)
            os._exit(1)
        else:
            assert os.wait()[1] == 0
    finally:
        closed.chmod(mode)
        (home / "postgres.lock").chmod(0o600)


def test_data_of_another_major_version_are_refused_with_the_way_out(fresh_home: Path) -> None:
    (fresh_home / "postgres").mkdir(parents=True)
    (fresh_home / "postgres" / "PG_VERSION").write_text("13\n")
    with pytest.raises(DatabaseUnavailable, match=r"made by PostgreSQL 13 .*`meta-pipeline db backup`"):
        use_server(fresh_home)


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match=r'did not start; (.|\n)*"shared_buffers": "much"'):
        use_server(home, server_settings={"shared_buffers": "much"})
    assert postmaster_of(home).process_id() is None


def test_stop_refuses_under_other_users_names_them_and_obeys_force(home: Path) -> None:
    assert not stop_server(home)
    with user(home) as other:
        with pytest.raises(Conflict, match=rf"in use by process {other.pid}; .*--force"):
            stop_server(home)
        assert postmaster_of(home).answers()
        assert stop_server(home, force=True)
        assert postmaster_of(home).process_id() is None
    assert not stop_server(home)


def test_the_server_of_another_folder_is_not_taken_for_this_ones(home: Path) -> None:
    with using(home):
        record = home / "postgres" / "postmaster.pid"
        assert Postmaster(data=home / "postgres").process_id() == int(record.read_text().split()[0])
        (home / "other").mkdir(exist_ok=True)
        shutil.copy(record, home / "other" / "postmaster.pid")
        assert Postmaster(data=home / "other").process_id() is None

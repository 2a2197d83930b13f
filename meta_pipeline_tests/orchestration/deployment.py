"""The deployment as `deploy/` describes it, without containers: each part a process of its own, and nothing faked.

PostgreSQL over TCP with a password; Dagster's own tables in it, pooled; code server, webserver and daemon; Redis; two
Celery workers, on whom a night was launched in two shards, over HTTP.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from sqlalchemy import text

from meta_pipeline.orchestration.refreshing import NIGHTLY, Shard, shard_tags
from meta_pipeline.store import migrations
from meta_pipeline.store.database import Database, engine_of
from meta_pipeline.store.url import Address
from meta_pipeline_tests.orchestration.campaigns import hand_in
from meta_pipeline_tests.orchestration.dagster_dev import free_port
from meta_pipeline_tests.orchestration.redis_server import redis_server
from meta_pipeline_tests.orchestration.webserver import Webserver

ROOT = Path(__file__).parents[2]
STRATEGIES = ("CARRY", "TREND")
SHARDS = tuple(Shard(number=number, of=2) for number in (1, 2))
CELERY = str(Path(sys.executable).parent / "dagster-celery")
SERVED = "meta_pipeline.definitions_celery"
WITHIN = 200.0

# What a row is numbered by, when it was written, and the hash chain over the order of writing; all else has to agree.
NUMBERED = {"aggregation_id", "outcome_id", "ingest_xid", "seq", "hash", "prev_hash", "at", "ingest_seq"}
# A page says when its proposal lapses, so that its hash is another one a second later.
NUMBERED |= {"report_sha256", "page_sha256"}

STATUS = """
query Status($run: ID!) { runOrError(runId: $run) { __typename ... on Run { status } } }
"""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What runs, after the night.

    Parameters
    ----------
    alone
        Two campaigns wait in it, and nobody touched them.
    shared
        Its copy, on which the night ran.
    broker
        Address of the Redis behind the Celery workers.
    night
        Ids of the runs of the night's shards.
    code_port
        Where the code server listens.
    most_connections
        Of Dagster's own tables, the most at any time of the night.
    rows_after_the_night
        Every row of `shared`, by table, as the night left it.
    """

    webserver: Webserver
    alone: Database
    shared: Database
    folder: Path
    broker: str
    night: tuple[str, ...]
    code_port: str
    most_connections: int
    rows_after_the_night: dict[str, list[str]]

    def log(self) -> str:
        """Return the end of what each process wrote."""
        return logs(self.folder)


@contextmanager
def deployed(server: Address, folder: Path, set_variable: Callable[[str, str], None]) -> Iterator[Deployment]:
    """Start everything, let the night run, and end everything.

    Parameters
    ----------
    set_variable
        Sets a variable of this process, which all parts inherit, as they do the lines of an environment file.
    """
    with ExitStack() as stack:
        alone = stack.enter_context(loop_database(server, "alone"))
        shared = stack.enter_context(loop_database(server, "shared", like="alone"))
        stack.enter_context(named_database(server, "dagster"))
        broker = stack.enter_context(redis_server(folder))
        for name, value in environment(server, shared, folder, broker).items():
            set_variable(name, value)
        parts = start_workers(stack, folder)
        workspace = workspace_file(folder)
        code_port = str(yaml.safe_load(workspace.read_text())["load_from"][0]["grpc_server"]["port"])
        options = ["-h", "127.0.0.1", "-p", code_port, "-m", SERVED]
        parts.append(stack.enter_context(process(folder, "dagster", "code-server", "start", *options)))
        webserver = start_webserver(stack, folder, workspace, code_port)
        # Queued before there is a daemon: its sensor sees that a refresh is under way, and starts none of its own.
        launched = [webserver.launch(NIGHTLY, {}, tags=shard_tags(shard)) for shard in SHARDS]
        assert all(answer["__typename"] == "LaunchRunSuccess" for answer in launched), launched
        night = tuple(answer["run"]["runId"] for answer in launched)
        parts.append(stack.enter_context(process(folder, "dagster._daemon", "run", "-w", str(workspace))))
        # All at once: ending takes each of them seconds.
        stack.callback(ask_to_end, parts)
        most = wait_for_runs(webserver, night, folder, lambda: connections(server, "dagster"))
        yield Deployment(
            webserver=webserver,
            alone=alone,
            shared=shared,
            folder=folder,
            broker=broker,
            night=night,
            code_port=code_port,
            most_connections=most,
            rows_after_the_night=rows(shared),
        )


def start_workers(stack: ExitStack, folder: Path) -> "list[subprocess.Popen[bytes]]":
    """Start two Celery workers as deploy/ does."""
    started = []
    for number in (1, 2):
        options = ["-A", "dagster_celery.app", "-y", str(ROOT / "deploy/celery/worker.yaml"), "-n", f"w{number}"]
        part = process(folder, CELERY, "worker", "start", *options, "--", "--concurrency=1")
        started.append(stack.enter_context(part))
    return started


def start_webserver(stack: ExitStack, folder: Path, workspace: Path, code_port: str) -> Webserver:
    """Start it once the code server listens, and return it once it answers."""
    port = free_port()
    wait(lambda: listens(int(code_port)), "the code server", folder)
    options = ["-h", "127.0.0.1", "-p", str(port), "-w", str(workspace)]
    stack.enter_context(process(folder, "dagster_webserver", *options))
    instance = stack.enter_context(dg.DagsterInstance.from_config(str(folder)))
    webserver = Webserver(url=f"http://127.0.0.1:{port}", instance=instance)
    wait(lambda: answers(webserver), "the webserver", folder)
    return webserver


def wait_for_runs(webserver: Webserver, runs: tuple[str, ...], folder: Path, measured: Callable[[], int]) -> int:
    """Wait until all runs succeeded; return the largest of what was measured three times a second until then."""
    most = 0

    def finished() -> bool:
        nonlocal most
        most = max(most, measured())
        states = [webserver.ask(STATUS, run=run)["status"] for run in runs]
        assert "FAILURE" not in states, logs(folder)
        return set(states) == {"SUCCESS"}

    wait(finished, f"{len(runs)} runs", folder)
    return most


def environment(server: Address, database: Database, folder: Path, broker: str) -> dict[str, str]:
    """Return what the environment file says, and put `dagster.yaml` into the folder."""
    shutil.copy(ROOT / "dagster_home/postgres/dagster.yaml", folder)
    names = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password"}
    return {
        "META_PIPELINE_DATABASE_URL": database.address.url().render_as_string(hide_password=False),
        "META_PIPELINE_HOME": str(folder / "home"),
        "META_PIPELINE_CELERY_BROKER": broker,
        "DAGSTER_HOME": str(folder),
        "DAGSTER_CODE_SERVER": "127.0.0.1",
        "DAGSTER_POSTGRES_DB": "dagster",
        **{f"DAGSTER_POSTGRES_{name}": str(server.options[option]) for name, option in names.items()},
        # The folder is for modules that a test writes for the workers.
        "PYTHONPATH": f"{folder}:{ROOT}",
        # dagster-celery looks for `celery` there.
        "PATH": f"{Path(CELERY).parent}:{os.environ['PATH']}",
    }


def workspace_file(folder: Path) -> Path:
    """Write deploy/workspace.yaml with a port that is free."""
    workspace = yaml.safe_load((ROOT / "deploy/workspace.yaml").read_text())
    workspace["load_from"][0]["grpc_server"]["port"] = free_port()
    path = folder / "workspace.yaml"
    path.write_text(yaml.safe_dump(workspace))
    return path


@contextmanager
def named_database(server: Address, name: str, *, like: str = "template0") -> Iterator[Address]:
    administration = engine_of(server).execution_options(isolation_level="AUTOCOMMIT")
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {like}"))
    try:
        yield Address(options={**server.options, "dbname": name})
    finally:
        with administration.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        administration.dispose()


@contextmanager
def loop_database(server: Address, name: str, *, like: str = "template0") -> Iterator[Database]:
    """A migrated database in which two campaigns wait, or a copy of one."""
    with named_database(server, name, like=like) as address:
        database = Database(engine=engine_of(address), address=address)
        if like == "template0":
            migrations.migrate(database.engine)
            for seed, strategy in enumerate(STRATEGIES, start=1):
                hand_in(database, strategy, seed=seed)
            # Nobody may be in a database that is copied.
            database.engine.dispose()
        try:
            yield database
        finally:
            database.close()


@contextmanager
def process(folder: Path, module: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a part in a session of its own, and end it with all that it started."""
    with (folder / f"{Path(module).name}-{time.monotonic_ns()}.log").open("w") as log:
        command = [module] if Path(module).is_absolute() else [sys.executable, "-m", module]
        started = subprocess.Popen(
            [*command, *arguments], cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield started
    finally:
        ask_to_end([started])
        with suppress(subprocess.TimeoutExpired):
            started.wait(timeout=15)
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def ask_to_end(parts: "Iterable[subprocess.Popen[bytes]]") -> None:
    """Signal parts and what they started in turn: `dagster-celery` leaves its worker behind."""
    for part in parts:
        with suppress(ProcessLookupError):
            os.killpg(part.pid, signal.SIGTERM)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(webserver: Webserver) -> bool:
    try:
        return webserver.ask("{ workspaceOrError { __typename } }") is not None
    except (OSError, ValueError, AssertionError):
        return False


def wait(holds: Callable[[], bool], what: str, folder: Path) -> None:
    deadline = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {WITHIN:.0f} s\n{logs(folder)}"
        time.sleep(0.3)


def connections(server: Address, name: str) -> int:
    engine = engine_of(server)
    with engine.connect() as connection:
        found: int = connection.execute(
            text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        ).scalar_one()
    engine.dispose()
    return found


def logs(folder: Path) -> str:
    return "\n".join(path.read_text()[-3000:] for path in sorted(folder.glob("*.log")))


def rows(database: Database) -> dict[str, list[str]]:
    """Return every row of every table but for its numbers and its times."""
    found = {}
    with database.connect() as connection:
        named = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        for table in connection.execute(text(named)).scalars().all():
            read = connection.execute(text(f"SELECT to_jsonb(row) FROM {table} AS row")).scalars()
            found[table] = sorted(json.dumps(_kept(row), sort_keys=True) for row in read)
    assert found["meta_config_proposals"], "the night proposed nothing, so that nothing was compared"
    return found


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in row.items() if key not in NUMBERED and not key.endswith("_at")}
    if "body_digest" in row:
        # Of a proposal the body is the text of the columns beside it, with the time at which it lapses.
        del kept["body"], kept["body_digest"]
    if isinstance(row.get("payload"), str):
        kept["payload"] = {key: value for key, value in json.loads(row["payload"]).items() if key != "body_digest"}
    return kept

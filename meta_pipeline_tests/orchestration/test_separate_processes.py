"""The deployment as `deploy/` describes it, without containers: each part a process of its own, and nothing faked.

PostgreSQL over TCP with a password; Dagster's own tables in it, pooled; code server, webserver and daemon; Redis; two
Celery workers. A night in two shards is launched over HTTP, and has to leave the rows that one run in one process does.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from sqlalchemy import text

from meta_pipeline.definitions import build_definitions
from meta_pipeline.orchestration.refreshing import NIGHTLY, Shard, shard_tags
from meta_pipeline.orchestration.resources import DatabaseResource
from meta_pipeline.settings import Settings
from meta_pipeline.store import migrations
from meta_pipeline.store.database import Database, engine_of
from meta_pipeline.store.url import Address
from meta_pipeline_tests.orchestration.campaigns import hand_in
from meta_pipeline_tests.orchestration.dagster_dev import free_port
from meta_pipeline_tests.orchestration.test_search_job import redis_server
from meta_pipeline_tests.orchestration.webserver import Webserver

pytestmark = [pytest.mark.database, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
STRATEGIES = ("CARRY", "TREND")
SHARDS = tuple(Shard(number=number, of=2) for number in (1, 2))
CELERY = str(Path(sys.executable).parent / "dagster-celery")
WITHIN = 100.0
# What a row is numbered by, when it was written, and the hash chain over the order of writing; all else has to agree.
NUMBERED = {"aggregation_id", "outcome_id", "ingest_xid", "seq", "hash", "prev_hash", "at", "ingest_seq"}
# A page says when its proposal lapses, so that its hash is another one a second later.
NUMBERED |= {"report_sha256", "page_sha256"}

STATUS = """
query Status($run: ID!) { runOrError(runId: $run) { __typename ... on Run { status } } }
"""


def test_a_night_in_shards_on_celery_leaves_the_rows_of_one_run(
    real_server: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(any(name in shard for name in STRATEGIES) for shard in SHARDS), "each shard has work to do"
    with ExitStack() as stack:
        alone = stack.enter_context(loop_database(real_server, "alone"))
        shared = stack.enter_context(loop_database(real_server, "shared", like="alone"))
        stack.enter_context(named_database(real_server, "dagster"))
        in_one_run(alone, tmp_path / "alone")
        for name, value in environment(real_server, shared, tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("META_PIPELINE_CELERY_BROKER", stack.enter_context(redis_server(tmp_path)))
        most = in_shards(stack, real_server, tmp_path)
        ours, theirs = rows(shared), rows(alone)
        differing = {table: (ours[table][:2], theirs[table][:2]) for table in ours if ours[table] != theirs[table]}
        assert differing == {}
    # Webserver, daemon, code server, two runs and two workers, each with its pool, and never near a server's 100.
    assert most <= 7 * 4, most


def in_one_run(database: Database, home: Path) -> None:
    values: dict[str, Any] = {"_env_file": None, "home": home}
    resource = DatabaseResource(database, settings=lambda: Settings(**values))
    job = build_definitions({"database": resource}).resolve_job_def(NIGHTLY)
    with dg.DagsterInstance.ephemeral() as instance:
        assert job.execute_in_process(instance=instance).success


def in_shards(stack: ExitStack, server: Address, folder: Path) -> int:
    """Start everything, launch the shards, wait for them; return the most connections of Dagster's at any time."""
    for number in (1, 2):
        options = ["-A", "dagster_celery.app", "-y", str(ROOT / "deploy/celery/worker.yaml"), "-n", f"w{number}"]
        stack.enter_context(process(folder, CELERY, "worker", "start", *options, "--", "--concurrency=1"))
    workspace, port, location = workspace_file(folder), free_port(), "meta_pipeline.definitions_celery"
    code_port = str(yaml.safe_load(workspace.read_text())["load_from"][0]["grpc_server"]["port"])
    stack.enter_context(
        process(folder, "dagster", "code-server", "start", "-h", "127.0.0.1", "-p", code_port, "-m", location)
    )
    wait(lambda: listens(int(code_port)), "the code server")
    web = ["-h", "127.0.0.1", "-p", str(port), "-w", str(workspace)]
    stack.enter_context(process(folder, "dagster_webserver", *web))
    instance = stack.enter_context(dg.DagsterInstance.from_config(str(folder)))
    webserver = Webserver(url=f"http://127.0.0.1:{port}", instance=instance)
    wait(lambda: answers(webserver), "the webserver")
    # Queued before there is a daemon: its sensor sees that a refresh is under way, and starts none of its own.
    launched = [webserver.launch(NIGHTLY, {}, tags=shard_tags(shard)) for shard in SHARDS]
    assert all(answer["__typename"] == "LaunchRunSuccess" for answer in launched), launched
    stack.enter_context(process(folder, "dagster._daemon", "run", "-w", str(workspace)))
    most = 0

    def finished() -> bool:
        nonlocal most
        most = max(most, connections(server, "dagster"))
        states = [webserver.ask(STATUS, run=answer["run"]["runId"])["status"] for answer in launched]
        assert "FAILURE" not in states, logs(folder)
        return set(states) == {"SUCCESS"}

    wait(finished, "both shards")
    worked = {who for answer in launched for who in celery_workers(instance, answer["run"]["runId"])}
    assert {who.split("@")[0] for who in worked} == {"w1", "w2"}
    # The health checks of compose.yaml.
    assert runs("dagster", "api", "grpc-health-check", "-p", code_port)
    assert runs("dagster._daemon", "liveness-check")
    return most


def celery_workers(instance: dg.DagsterInstance, run_id: str) -> set[str]:
    said = [entry.dagster_event for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)]
    metadata = [event.engine_event_data.metadata for event in said if event is not None]
    return {str(each["Celery worker"].value) for each in metadata if "Celery worker" in each}


def environment(server: Address, database: Database, folder: Path) -> dict[str, str]:
    shutil.copy(ROOT / "dagster_home/postgres/dagster.yaml", folder)
    names = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password"}
    return {
        "META_PIPELINE_DATABASE_URL": database.address.url().render_as_string(hide_password=False),
        "META_PIPELINE_HOME": str(folder / "home"),
        "DAGSTER_HOME": str(folder),
        "DAGSTER_CODE_SERVER": "127.0.0.1",
        "DAGSTER_POSTGRES_DB": "dagster",
        **{f"DAGSTER_POSTGRES_{name}": str(server.options[option]) for name, option in names.items()},
        "PYTHONPATH": str(ROOT),
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
def process(folder: Path, module: str, *arguments: str) -> Iterator[None]:
    with (folder / f"{Path(module).name}-{time.monotonic_ns()}.log").open("w") as log:
        command = [module] if Path(module).is_absolute() else [sys.executable, "-m", module]
        started = subprocess.Popen(
            [*command, *arguments], cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield
    finally:
        # With what it started in turn: `dagster-celery` leaves its worker behind.
        os.killpg(started.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            started.wait(timeout=15)
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def runs(module: str, *arguments: str) -> bool:
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, check=False, env=os.environ)
    return done.returncode == 0


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(webserver: Webserver) -> bool:
    try:
        return webserver.ask("{ workspaceOrError { __typename } }") is not None
    except (OSError, ValueError, AssertionError):
        return False


def wait(holds: Any, what: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {WITHIN:.0f} s"
        time.sleep(0.3)


def connections(server: Address, name: str) -> int:
    engine = engine_of(server)
    with engine.connect() as connection:
        found: int = connection.execute(
            text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name"), {"name": name}
        ).scalar_one()
    engine.dispose()
    return found


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


def logs(folder: Path) -> str:
    return "\n".join(path.read_text()[-3000:] for path in sorted(folder.glob("*.log")))

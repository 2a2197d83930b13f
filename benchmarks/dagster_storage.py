"""Dagster's tables in PostgreSQL: our pool beside Dagster's own storage, which connects for every statement.

Both ask the same server, over TCP with a password, what the daemon asks most: the runs that are under way. Printed are
seconds and connections made per thousand questions, by one thread and by eight.
"""

import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
from dagster_postgres import DagsterPostgresStorage
from psycopg import sql

from meta_pipeline.orchestration.pooled_storage import PooledPostgresStorage
from meta_pipeline.store.postmaster import Postmaster

QUESTIONS = 1_000
PASSWORD = "benchmark"


def main() -> None:
    """Measure both, in the same minute, on the same server."""
    folder = Path(tempfile.mkdtemp(prefix="meta-pipeline-benchmark-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"listen_addresses": "127.0.0.1", "port": str(port), "fsync": "off"}
    server = Postmaster(data=folder / "postgres", server_settings=settings)
    server.start()
    try:
        conninfo = server.address("postgres").conninfo()
        with psycopg.connect(conninfo, autocommit=True) as administration:
            administration.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal(PASSWORD)))
            (server.data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
            administration.execute("SELECT pg_reload_conf()")
            url = f"postgresql+psycopg2://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
            compare(url, administration)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def compare(url: str, administration: "psycopg.Connection[Any]") -> None:
    """Print a line per storage and number of threads, and the ratio."""
    for threads in (1, 8):
        taken = {}
        for name, storage in (("Dagster's own", DagsterPostgresStorage(url)), ("pooled", PooledPostgresStorage(url))):
            before = sessions(administration)
            seconds = measured(storage, threads)
            made = sessions(administration) - before
            taken[name] = seconds
            print(f"{threads} threads, {name:13}: {seconds:6.2f} s, {made:5,} connections per {QUESTIONS:,} questions")
        own, pooled = taken.values()
        print(f"{threads} threads: {own / pooled:.1f} times as fast")


def measured(storage: Any, threads: int) -> float:
    """Return the seconds that the questions take."""
    running = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    ask: Callable[[int], Any] = lambda _: storage.run_storage.get_runs(running)  # noqa: E731
    ask(0)
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(ask, range(QUESTIONS)))
    return time.perf_counter() - began


def sessions(administration: "psycopg.Connection[Any]") -> int:
    """Return how many sessions the server has begun."""
    administration.execute("SELECT pg_stat_force_next_flush()")
    row = administration.execute("SELECT sum(sessions) FROM pg_stat_database").fetchone()
    assert row is not None
    return int(row[0])


if __name__ == "__main__":
    main()

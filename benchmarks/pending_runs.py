"""Which runs has no evidence absorbed? What a cursor would have lost, and the cost of a look at a million runs.

Run: python -m benchmarks.pending_runs [--runs 1000000] [--writers 16] [--each 60]

On an embedded database of its own, in a temporary folder. First writers with transactions of random length, and three
watchers: ours, and the two cursors one would write first (the largest transaction id seen, and the latest created_at
seen). Then the cost of one look with many runs: ours with its low-water mark, beside the same anti-join without one.
"""

import argparse
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, text

from meta_pipeline.settings import Settings
from meta_pipeline.store.backtests import LowWaterMark, pending_runs
from meta_pipeline.store.database import Database, open_database

BUDGET_MS = 1.0

FILL = """
INSERT INTO backtest_runs (run_id, strategy_id, campaign_id, config_json, config_digest, start_date, end_date, state,
                           content_digest)
SELECT 'run-' || n, 'bench', 'campaign', '{}', repeat('0', 64), '2010-01-01', '2020-01-01', 'metrics_only',
       repeat('0', 64)
FROM generate_series(1, :n) AS n
"""
ABSORB = """
INSERT INTO absorbed_runs (run_id, aggregation_id)
SELECT run_id, (SELECT max(aggregation_id) FROM aggregations WHERE strategy_id = :strategy) FROM backtest_runs r
WHERE strategy_id = :strategy AND NOT EXISTS (SELECT FROM absorbed_runs a WHERE a.run_id = r.run_id)
"""


def register(connection: Connection, strategy: str) -> None:
    """Make a strategy with one campaign and an aggregation."""
    connection.execute(
        text("INSERT INTO strategies (strategy_id, created_by) VALUES (:s, 'benchmark')"), {"s": strategy}
    )
    connection.execute(
        text("INSERT INTO campaigns (strategy_id, campaign_id) VALUES (:s, 'campaign')"), {"s": strategy}
    )
    statement = "INSERT INTO aggregations (strategy_id, n_absorbed, evidence_digest) VALUES (:s, 0, repeat('0', 64))"
    connection.execute(text(statement), {"s": strategy})


def median_ms(look: Callable[[], object], times: int) -> float:
    """Return the median duration in milliseconds."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        look()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds) * 1000


def cost(database: Database, n_runs: int) -> None:
    """Time one look, with everything absorbed and with 100 runs pending."""
    with database.begin() as connection:
        register(connection, "bench")
        connection.execute(text(FILL), {"n": n_runs})
        connection.execute(text(ABSORB), {"strategy": "bench"})
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    now = datetime.now(UTC)
    with database.connect() as connection:
        mark = pending_runs(connection, now=now).mark
        ours = median_ms(lambda: pending_runs(connection, now=now, mark=mark), 200)
        rival = median_ms(lambda: pending_runs(connection, now=now), 5)
    print(
        f"{n_runs:,} runs, none pending: ours {ours:7.2f} ms   without mark {rival:8.1f} ms   ratio {rival / ours:6.0f}"
    )
    with database.begin() as connection:
        connection.execute(text(FILL.replace("'run-'", "'new-'")), {"n": 100})
    with database.connect() as connection:
        found = pending_runs(connection, now=now, mark=mark)
        assert [one.n_runs for one in found.strategies] == [100]
        some = median_ms(lambda: pending_runs(connection, now=now, mark=found.mark), 200)
        rival = median_ms(lambda: pending_runs(connection, now=now), 5)
    print(
        f"{n_runs:,} runs, 100 pending:  ours {some:7.2f} ms   without mark {rival:8.1f} ms   ratio {rival / some:6.0f}"
    )
    print(f"budget {BUDGET_MS:g} ms for a look with nothing pending: {'kept' if ours <= BUDGET_MS else 'MISSED'}")


def losses(database: Database, n_writers: int, n_each: int) -> None:
    """Let writers commit in another order than they began, and count what each way of watching never saw."""
    with database.begin() as connection:
        register(connection, "busy")

    def write(writer: int) -> None:
        rng = np.random.default_rng(writer)
        for number in range(n_each):
            with database.begin() as connection:
                statement = FILL.replace("'bench'", "'busy'").replace("'run-'", f"'w{writer}-{number}-'")
                connection.execute(text(statement), {"n": 1})
                time.sleep(float(rng.exponential(0.02)))

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(n_writers)]
    for thread in writers:
        thread.start()
    seen: dict[str, set[str]] = {"largest transaction id": set(), "latest created_at": set()}
    cursors = {"largest transaction id": "0", "latest created_at": "-infinity"}
    columns = {
        "largest transaction id": ("CAST(ingest_xid AS text)", "ingest_xid > CAST(CAST(:cursor AS text) AS xid8)"),
        "latest created_at": ("CAST(created_at AS text)", "created_at > CAST(:cursor AS timestamptz)"),
    }
    mark: LowWaterMark | None = None
    n_absorbed = 0
    while True:
        finished = not any(thread.is_alive() for thread in writers)
        for name, (column, condition) in columns.items():
            order = condition.split(" ", 1)[0]
            statement = f"SELECT run_id, {column} FROM backtest_runs WHERE {condition} ORDER BY {order}"
            with database.connect() as connection:
                rows = connection.execute(text(statement), {"cursor": cursors[name]}).all()
            seen[name].update(row[0] for row in rows)
            cursors[name] = rows[-1][1] if rows else cursors[name]
        with database.begin() as connection:
            found = pending_runs(connection, now=datetime.now(UTC), mark=mark)
            if found.strategies:
                n_absorbed += connection.execute(text(ABSORB), {"strategy": "busy"}).rowcount
        mark = found.mark
        if finished and not found.strategies:
            break
        time.sleep(0.01)
    total = n_writers * n_each
    print(f"{n_writers} writers, {total} runs: ours lost {total - n_absorbed}")
    for name, runs in seen.items():
        print(f"  rival, cursor on the {name}: lost {total - len(runs)} ({(total - len(runs)) / total:.1%})")


def main() -> None:
    """Measure both, on one database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--each", type=int, default=60)
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="meta-pipeline-benchmark-"))
    try:
        with open_database(Settings(home=home, database_url=None)) as database:
            losses(database, arguments.writers, arguments.each)
            cost(database, arguments.runs)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()

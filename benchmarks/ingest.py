"""Writing and reading backtest runs: one row per run, beside one row per day and one INSERT per run.

Run: python -m benchmarks.ingest [--runs 10000] [--days 2520] [--reports 100000]

On an embedded database of its own, with its durable defaults, in a temporary folder. The rivals have no quality gate,
so they are compared without it. The rival with one row per day runs on a sample and is extrapolated linearly, which
flatters it: its index still fits into memory.
"""

import argparse
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from sqlalchemy import text

from meta_pipeline.backtests import BacktestRun, record
from meta_pipeline.backtests.recording import inspected_batches
from meta_pipeline.settings import Settings
from meta_pipeline.store.backtests import RunStore, load_panel
from meta_pipeline.store.database import Database, open_database

WRITE_BUDGET, READ_BUDGET = 20.0, 2.0
REPORTS_CPU_BUDGET, REPORTS_MEMORY_BUDGET = 1.0, 300.0


def opened(home: Path) -> Database:
    """Open the embedded database in a folder."""
    return open_database(Settings(home=home, database_url=None))


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def campaign(n_runs: int, n_days: int) -> list[BacktestRun]:
    """Make runs whose returns are noise: what is measured here does not depend on what they are."""
    rng = np.random.default_rng(20261120)
    dates = np.busday_offset("2010-01-04", np.arange(n_days), roll="forward")
    returns = rng.normal(3e-4, 0.01, (n_runs, n_days))
    return [
        BacktestRun(
            strategy_id="bench",
            campaign_id="series",
            config={f"knob_{k}": int(rng.integers(5)) for k in range(6)},
            dates=dates,
            returns=returns[run],
            market_id=f"M{run % 4}",
            run_id=f"run-{run:06d}",
        )
        for run in range(n_runs)
    ]


def reports(n_runs: int) -> list[BacktestRun]:
    """Make runs that report metrics and bring no returns, each with 14 knobs."""
    rng = np.random.default_rng(1)
    return [
        BacktestRun(
            strategy_id="reports",
            campaign_id="metrics-only",
            config={
                **{f"number_{k}": float(value) for k, value in enumerate(rng.random(7).round(6))},
                **{f"count_{k}": int(value) for k, value in enumerate(rng.integers(100, size=6))},
                "mode": "fast",
            },
            start_date=date(2010, 1, 4),
            end_date=date(2019, 12, 31),
            metrics={
                "annualised_sharpe": float(rng.normal()),
                "cumulative_return": 0.3,
                "annualised_vol": 0.15,
                "max_drawdown": -0.2,
            },
        )
        for _ in range(n_runs)
    ]


@contextmanager
def timed(label: str, n_runs: int) -> Iterator[list[float]]:
    """Time a block; the list gets the seconds."""
    seconds: list[float] = []
    begun = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - begun)
    print(f"{label:<58} {seconds[0]:8.2f} s   {n_runs} runs")


def write_and_read(database: Database, runs: Sequence[BacktestRun]) -> tuple[float, float, float]:
    """Write a campaign, hand it in again, read it back; return the seconds of the gate, of writing and of reading."""
    sink = RunStore(database, actor="benchmark", clock=now)
    with timed("ours: quality gate", len(runs)) as judging:
        batches = list(inspected_batches(runs))
    with timed("ours: written, COPY of one row per run, commit", len(runs)) as writing:
        summary = sink.write(batches)
    assert summary.accepted == len(runs), summary
    with timed("ours: the same again, all duplicates", len(runs)):
        assert record(runs, into=sink).duplicates == len(runs)
    with (
        database.connect() as connection,
        timed("ours: read back as one matrix, configurations included", len(runs)) as reading,
    ):
        panel = load_panel(connection, "bench")
    assert all(
        np.array_equal(panel.returns[:, i], run.returns) for i, run in enumerate(runs) if run.returns is not None
    )
    return judging[0], writing[0], reading[0]


def one_insert_per_run(database: Database, runs: Sequence[BacktestRun]) -> float:
    """Time rival 1: tables of the same shape, two INSERTs per run (psycopg's executemany, pipelined)."""
    rows = [(run.run_id, run.strategy_id, "{}", run.returns.tobytes()) for run in runs if run.returns is not None]
    with database.begin() as connection:
        connection.execute(
            text("CREATE TABLE rival_runs (run_id varchar(128) PRIMARY KEY, strategy_id text, config jsonb)")
        )
        connection.execute(
            text("CREATE TABLE rival_series (run_id varchar(128) PRIMARY KEY REFERENCES rival_runs, r bytea)")
        )
    with (
        timed("rival: one INSERT per run (executemany)", len(runs)) as seconds,
        database.begin() as connection,
    ):
        cursor = driver(connection).cursor()
        cursor.executemany("INSERT INTO rival_runs VALUES (%s, %s, %s)", [row[:3] for row in rows])
        cursor.executemany(
            "INSERT INTO rival_series VALUES (%s, %s)", [(row[0], row[3]) for row in rows], returning=False
        )
    return seconds[0]


def one_row_per_day(database: Database, runs: Sequence[BacktestRun]) -> tuple[float, float]:
    """Time rival 2: the predecessor's layout, PRIMARY KEY (run_id, date), by COPY; and reading it as a matrix."""
    with database.begin() as connection:
        connection.execute(
            text("CREATE TABLE rival_days (run_id varchar(64), date date, r float8, PRIMARY KEY (run_id, date))")
        )
    with (
        timed("rival: COPY of one row per day", len(runs)) as writing,
        database.begin() as connection,
        driver(connection).cursor().copy("COPY rival_days FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types(["text", "date", "float8"])
        for run in runs:
            assert run.dates is not None
            assert run.returns is not None
            for day, value in zip(run.dates.tolist(), run.returns.tolist(), strict=True):
                copy.write_row((run.run_id, day, value))
    with timed("rival: rows of days read back as one matrix", len(runs)) as reading, database.connect() as connection:
        cursor = driver(connection).cursor(binary=True)
        cursor.execute("SELECT r FROM rival_days ORDER BY run_id, date")
        matrix = np.array([row[0] for row in cursor]).reshape(len(runs), -1)
    assert np.array_equal(matrix[0], runs[0].returns)  # type: ignore[arg-type]
    return writing[0], reading[0]


def driver(connection: Any) -> Any:
    """Return the psycopg connection below SQLAlchemy's."""
    return connection.connection.driver_connection


def load_reports(home: Path, results: Any) -> None:
    """Load the metrics-only runs in a process of its own, so that its memory is its own."""
    with opened(home) as database, database.connect() as connection:
        load_panel(connection, "nobody")  # imports, and the connection itself
        before, cpu = psutil.Process().memory_info().rss, time.process_time()
        panel = load_panel(connection, "reports")
        cpu = time.process_time() - cpu
        results.put((panel.n_runs, cpu, (psutil.Process().memory_info().rss - before) / 2**20))


def compare(label: str, ours: float, rival: float, factor: float = 1.0) -> None:
    """Print how much longer the rival takes; a factor above 1 extrapolates it from a sample."""
    how = "" if factor == 1.0 else f"   rival extrapolated to {rival * factor:.0f} s"
    print(f"{label:<58} {rival * factor / ours:8.1f} x{how}")


def verdict(label: str, value: float, budget: float, unit: str) -> None:
    """Print a figure beside its budget."""
    print(f"{label:<58} {value:8.2f} {unit} budget {budget:g} {unit}: {'kept' if value <= budget else 'MISSED'}")


def main() -> None:
    """Measure ours and the rivals, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=2_520)
    parser.add_argument("--reports", type=int, default=100_000)
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="meta-pipeline-benchmark-"))
    try:
        with opened(home) as database:
            runs = campaign(arguments.runs, arguments.days)
            gate, write, read = write_and_read(database, runs)
            few = runs[: max(len(runs) // 100, 1)]
            by_insert = one_insert_per_run(database, runs)
            by_day, read_days = one_row_per_day(database, few)
            verdict("gate and writing", gate + write, WRITE_BUDGET, "s")
            verdict("reading", read, READ_BUDGET, "s")
            compare("writing: one INSERT per run / ours, without the gate", write, by_insert)
            compare("writing: one row per day / ours, without the gate", write, by_day, len(runs) / len(few))
            compare("reading: one row per day / ours", read, read_days, len(runs) / len(few))
            given = reports(arguments.reports)
            with timed("ours: metrics-only runs with 14 knobs, written", len(given)):
                assert record(given, into=RunStore(database, actor="benchmark", clock=now)).metrics_only == len(given)
            context = multiprocessing.get_context("spawn")
            results = context.Queue()
            process = context.Process(target=load_reports, args=(home, results))
            process.start()
            n_runs, cpu, used = results.get()
            process.join()
            assert n_runs == len(given)
            verdict("metrics-only runs read: CPU of this process", cpu, REPORTS_CPU_BUDGET, "s")
            verdict("metrics-only runs read: memory", used, REPORTS_MEMORY_BUDGET, "MB")
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()

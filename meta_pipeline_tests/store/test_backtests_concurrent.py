"""Several processes at once, and processes that are killed: real ones, on a real PostgreSQL."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection as Pipe
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from meta_pipeline.backtests import BacktestRun, record
from meta_pipeline.backtests.quality import inspect
from meta_pipeline.store import backtests
from meta_pipeline.store.aggregates import refresh
from meta_pipeline.store.backtests import LowWaterMark, RunStore, ingest, pending_runs
from meta_pipeline.store.database import Database, engine_of
from meta_pipeline.store.url import Address
from meta_pipeline_tests.backtests.runs import a_run

pytestmark = pytest.mark.database

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PROCESSES = multiprocessing.get_context("spawn")


def campaign(order: int = 0) -> list[BacktestRun]:
    """One campaign, in an order of its own for each writer."""
    runs = [a_run(n=250, seed=seed, run_id=f"r{seed:03d}" if seed % 2 else None) for seed in range(120)]
    runs += [a_run(n=250, seed=seed, run_id=f"r{seed:03d}", config={"other": True}) for seed in range(1, 20, 2)]
    shuffled = np.random.default_rng(order).permutation(len(runs)) if order else np.arange(len(runs))
    return [runs[i] for i in shuffled]


def counts(database: Database) -> tuple[int, ...]:
    tables = ("backtest_runs", "return_series", "strategies")
    with database.connect() as connection:
        return tuple(connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in tables)


def opened(options: Mapping[str, str]) -> Database:
    address = Address(options=options)
    return Database(engine=engine_of(address), address=address)


def write_campaign(options: dict[str, str], order: int, start: Any, results: Any) -> None:
    """One writer, in a process of its own."""
    runs = campaign(order)
    with opened(options) as database:
        start.wait(60)
        summary = record(runs, into=RunStore(database, actor=f"writer {order}", clock=lambda: NOW))
    results.put(summary)


def test_four_processes_that_ingest_the_same_campaign_lose_nothing_and_double_nothing(database: Database) -> None:
    start, results = PROCESSES.Barrier(4), PROCESSES.Queue()
    options = dict(database.address.options)
    writers = [PROCESSES.Process(target=write_campaign, args=(options, order, start, results)) for order in range(4)]
    for writer in writers:
        writer.start()
    summaries = [results.get(timeout=60) for _ in writers]
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert sum(summary.accepted for summary in summaries) == 120
    assert sum(summary.n_quarantined for summary in summaries) == 10
    assert [summary.total for summary in summaries] == [130] * 4
    assert counts(database) == (130, 130, 1)
    assert record(campaign(7), into=RunStore(database, actor="ada", clock=lambda: NOW)).duplicates == 130


def stall_while_writing(options: dict[str, str], where: str, ready: Pipe) -> None:
    """A writer that stops in the middle of one of its COPYs, and waits there to be killed."""
    original = getattr(backtests, where)

    def stalling(rows: Any) -> Any:
        for position, row in enumerate(original(rows)):
            if position == 60:
                ready.send("in the middle")
                time.sleep(600)
            yield row

    setattr(backtests, where, stalling)
    with opened(options) as database:
        record(campaign(), into=RunStore(database, actor="ada", clock=lambda: NOW))


def test_a_writer_that_is_killed_in_the_middle_leaves_nothing_half_done(database: Database) -> None:
    listen, ready = PROCESSES.Pipe(duplex=False)
    writer = PROCESSES.Process(target=stall_while_writing, args=(dict(database.address.options), "_series_rows", ready))
    writer.start()
    ready.close()
    assert listen.recv() == "in the middle"
    with database.connect() as connection:  # its transaction is open, and the runs themselves are written in it
        open_since = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL"
        )
        assert connection.execute(text(open_since)).scalar_one() == 1
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    assert counts(database) == (0, 0, 0)
    assert record(campaign(), into=RunStore(database, actor="ada", clock=lambda: NOW)).added == 130
    assert counts(database) == (130, 130, 1)


def test_a_writer_waits_for_another_s_runs_and_takes_over_when_that_one_fails(database: Database) -> None:
    batch = inspect([a_run(run_id="r", n=250)])
    written = []

    def second() -> None:
        with database.begin() as connection:
            written.append(ingest(connection, batch, actor="second", now=NOW))

    with database.engine.connect() as first:
        transaction = first.begin()
        ingest(first, batch, actor="first", now=NOW)
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(timeout=0.3)
        assert waiting.is_alive()
        transaction.rollback()
    waiting.join()
    assert written[0].accepted == 1
    assert counts(database) == (1, 1, 1)


N_WRITERS = 16
N_EACH = 12


def test_sixteen_writers_with_long_transactions_lose_no_run_from_the_pending_ones(database: Database) -> None:
    def write(writer: int) -> None:
        rng = np.random.default_rng(writer)
        for number in range(N_EACH):
            # Each run has a strategy of its own: the refresh of one cannot make up for another that was lost.
            run = a_run(n=10, strategy_id=f"s{writer}-{number}", periods_per_year=252)
            with database.begin() as connection:
                ingest(connection, inspect([run]), actor="ada", now=NOW)
                time.sleep(float(rng.exponential(0.02)))  # commits come in another order than transaction ids

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(N_WRITERS)]
    for thread in threads:
        thread.start()
    mark, marks, absorbed = None, [], 0
    while True:
        finished = not any(thread.is_alive() for thread in threads)
        with database.begin() as connection:
            found = pending_runs(connection, now=NOW, mark=mark)
            for strategy in found.strategies:
                absorbed += refresh(connection, strategy.strategy_id, now=NOW).n_absorbed
        mark = found.mark
        assert mark is not None
        marks.append(mark.xid)
        if finished and not found.strategies:
            break
    assert absorbed == N_WRITERS * N_EACH
    assert marks == sorted(marks)
    assert marks[-1] > marks[0]  # the mark did move, so the answers above did rest on it
    with database.connect() as connection:
        assert pending_runs(connection, now=NOW).strategies == ()


def seeded(database: Database) -> LowWaterMark:
    """One absorbed run, and the mark above it."""
    record(a_run(run_id="old"), into=RunStore(database, actor="ada", clock=lambda: NOW))
    with database.begin() as connection:
        refresh(connection, "trend", now=NOW)
    with database.begin() as connection:
        mark = pending_runs(connection, now=NOW).mark
    assert mark is not None
    return mark


def names(database: Database, mark: LowWaterMark | None, now: datetime = NOW) -> list[str]:
    with database.connect() as connection:
        return [found.strategy_id for found in pending_runs(connection, now=now, mark=mark).strategies]


def test_the_mark_skips_what_is_absorbed_and_survives_a_cursor(database: Database) -> None:
    mark = LowWaterMark.from_json(seeded(database).to_json())
    with database.begin() as connection:  # nobody does this; it shows that the mark is used
        connection.execute(text("DELETE FROM absorbed_runs"))
    assert names(database, mark) == []
    assert names(database, None) == ["trend"]
    assert names(database, mark, now=NOW + timedelta(hours=1)) == ["trend"]  # an hour later all is looked at again


def test_a_mark_from_another_history_is_not_used(database: Database) -> None:
    mark = seeded(database)
    with database.begin() as connection:  # as a restore does: rows come back, written anew
        connection.execute(text("CREATE TEMP TABLE kept AS SELECT * FROM backtest_runs"))
        connection.execute(text("TRUNCATE backtest_runs CASCADE"))
        connection.execute(text("INSERT INTO backtest_runs SELECT * FROM kept"))
    assert names(database, mark) == ["trend"]


def test_rows_from_another_cluster_are_found_though_their_transaction_ids_are_ahead(database: Database) -> None:
    record(a_run(run_id="old"), into=RunStore(database, actor="ada", clock=lambda: NOW))
    with database.begin() as connection:
        connection.execute(text("UPDATE backtest_runs SET ingest_xid = '9000000000000'"))
    for _ in range(2):
        with database.connect() as connection:
            found = pending_runs(connection, now=NOW)
        assert found.mark is None  # so that the next look is at everything again
        assert [one.strategy_id for one in found.strategies] == ["trend"]
    with database.begin() as connection:
        refresh(connection, "trend", now=NOW)
    with database.connect() as connection:
        mark = pending_runs(connection, now=NOW).mark
    assert mark is not None
    assert mark.xid < 9000000000000
    record(a_run(run_id="new", seed=5), into=RunStore(database, actor="ada", clock=lambda: NOW))
    assert names(database, mark) == ["trend"]


def test_what_is_pending_is_described_per_strategy(database: Database) -> None:
    later = NOW + timedelta(minutes=1)
    record(a_run(run_id="a"), into=RunStore(database, actor="ada", clock=lambda: NOW))
    record(a_run(run_id="b", seed=5), into=RunStore(database, actor="ada", clock=lambda: later))
    with database.begin() as connection:
        [found] = pending_runs(connection, now=NOW).strategies
        assert (found.strategy_id, found.n_runs, found.oldest, found.newest, found.closed) == (
            "trend",
            2,
            NOW,
            later,
            False,
        )
        backtests.close_campaign(connection, "trend", "spring", now=later)
        [closed] = pending_runs(connection, now=NOW).strategies
        assert closed.closed
        assert closed.digest == found.digest
    record(a_run(run_id="c", seed=6), into=RunStore(database, actor="ada", clock=lambda: later))
    with database.begin() as connection:
        [more] = pending_runs(connection, now=NOW).strategies
    assert more.digest != found.digest

"""Aggregates in the database: replaced whole, and resting on exactly the runs they say."""

from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import text

from meta_pipeline.backtests import BacktestRun, record
from meta_pipeline.backtests.aggregates import Dimension
from meta_pipeline.backtests.quality import inspect
from meta_pipeline.errors import InputError
from meta_pipeline.store.aggregates import read_aggregates, refresh
from meta_pipeline.store.backtests import RunStore, ingest, pending_runs
from meta_pipeline.store.database import Database
from meta_pipeline.store.regimes import write_regimes
from meta_pipeline_tests.backtests.runs import a_metrics_only_run, a_run, trading_days

pytestmark = pytest.mark.database

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def put(database: Database, *runs: BacktestRun) -> None:
    record(runs, into=RunStore(database, actor="ada", clock=lambda: NOW))


def one_of_each() -> list[BacktestRun]:
    return [
        a_run(run_id="good", seed=3),
        a_run(run_id="copy", seed=3),
        a_run(run_id="other", seed=4, market_id="WTI", sector="energy"),
        a_metrics_only_run({"annualised_sharpe": 1.0}, run_id="reported"),
        a_run(run_id="bad", returns=np.zeros(500)),
    ]


def pending(database: Database) -> dict[str, int]:
    with database.connect() as connection:
        return {found.strategy_id: found.n_runs for found in pending_runs(connection, now=NOW).strategies}


def test_a_refresh_absorbs_every_run_whatever_its_state_and_counts_reconcile(database: Database) -> None:
    put(database, *one_of_each())
    assert pending(database) == {"trend": 5}
    with database.begin() as connection:
        done = refresh(connection, "trend", now=NOW)
    assert done.n_absorbed == 5
    assert pending(database) == {}
    with database.connect() as connection:
        states = {one.label: one.n_runs for one in read_aggregates(connection, "trend", dimension=Dimension.STATE)}
        [whole] = read_aggregates(connection, "trend", dimension=Dimension.STRATEGY)
    assert states == {"accepted": 3, "metrics_only": 1, "quarantined:zero_volatility": 1}
    assert (whole.n_runs, whole.n_distinct, whole.n_days) == (4, 3, 500)


def test_aggregates_come_back_as_they_were_computed(database: Database) -> None:
    put(database, *one_of_each())
    with database.begin() as connection:
        write_regimes(connection, "SP500", trading_days(300), np.array(["CALM"] * 300))
        done = refresh(connection, "trend", now=NOW)
        assert read_aggregates(connection, "trend") == done.aggregates
    assert {one.label for one in done.aggregates if one.dimension is Dimension.REGIME} == {"CALM", "unlabelled"}


def test_a_second_refresh_replaces_the_aggregates_and_absorbs_only_what_is_new(database: Database) -> None:
    put(database, a_run(run_id="a", config={"k": 1}))
    with database.begin() as connection:
        first = refresh(connection, "trend", now=NOW)
    put(database, a_run(run_id="b", config={"k": 2}, seed=5))
    with database.begin() as connection:
        second = refresh(connection, "trend", now=NOW)
    assert (first.n_absorbed, second.n_absorbed) == (1, 1)
    assert second.aggregation_id > first.aggregation_id
    assert second.evidence.digest != first.evidence.digest
    with database.connect() as connection:
        assert read_aggregates(connection, "trend") == second.aggregates
        found = connection.execute(text("SELECT n_absorbed, evidence_digest FROM aggregations ORDER BY aggregation_id"))
        assert [tuple(row) for row in found] == [(1, first.evidence.digest), (1, second.evidence.digest)]


def test_a_refresh_without_anything_new_says_so(database: Database) -> None:
    put(database, a_run())
    with database.begin() as connection:
        first = refresh(connection, "trend", now=NOW)
        again = refresh(connection, "trend", now=NOW)
    assert again.n_absorbed == 0
    assert again.evidence.digest == first.evidence.digest


def test_strategies_do_not_touch_each_other(database: Database) -> None:
    put(database, a_run(), a_run(strategy_id="reversion"))
    with database.begin() as connection:
        refresh(connection, "trend", now=NOW)
    assert pending(database) == {"reversion": 1}
    with database.connect() as connection:
        assert read_aggregates(connection, "reversion") == ()


def test_a_strategy_without_runs_is_refused_by_name(database: Database) -> None:
    with database.begin() as connection, pytest.raises(InputError, match="'nobody' has no runs"):
        refresh(connection, "nobody", now=NOW)


def test_a_run_that_commits_during_a_refresh_stays_pending(database: Database) -> None:
    put(database, a_run(run_id="early"))
    with database.begin() as refreshing:
        with database.begin() as writing:
            ingest(writing, inspect([a_run(run_id="late", seed=5)]), actor="ada", now=NOW)
            done = refresh(refreshing, "trend", now=NOW)  # the late run is written, and not yet committed
        assert done.evidence.run_ids == ("early",)
    assert pending(database) == {"trend": 1}
    with database.begin() as connection:
        assert refresh(connection, "trend", now=NOW).n_absorbed == 1
    assert pending(database) == {}


def test_a_refresh_that_fails_absorbs_nothing_and_leaves_the_former_aggregates(database: Database) -> None:
    put(database, a_run())
    with database.begin() as connection:
        first = refresh(connection, "trend", now=NOW)
    put(database, a_run(seed=6))
    with pytest.raises(RuntimeError), database.begin() as connection:  # noqa: PT012 -- the block is the transaction
        refresh(connection, "trend", now=NOW)
        raise RuntimeError("the process dies here")
    assert pending(database) == {"trend": 1}
    with database.connect() as connection:
        assert read_aggregates(connection, "trend") == first.aggregates

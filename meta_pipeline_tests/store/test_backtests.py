"""Runs in the database: written once, whole or not at all, and read back to the last bit."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, text

from meta_pipeline.backtests import BacktestRun, IngestSummary, ReasonCode, Trade, record
from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.errors import InputError, NotFound
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.strategy import Strategy
from meta_pipeline.store import schema, strategies
from meta_pipeline.store.backtests import RunStore, close_campaign, load_evidence, load_panel, open_campaign
from meta_pipeline.store.database import Database
from meta_pipeline_tests.backtests.runs import a_metrics_only_run, a_run, returns_of, trading_days
from meta_pipeline_tests.backtests.test_quality import DEFECTS, METRICS_ONLY_DEFECTS

pytestmark = pytest.mark.database

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SPRING = ("trend", "spring")


def store(database: Database) -> RunStore:
    return RunStore(database, actor="ada", clock=lambda: NOW)


def put(database: Database, *runs: BacktestRun) -> IngestSummary:
    return record(runs, into=store(database))


def rows(database: Database, statement: str) -> list[Any]:
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def counts(database: Database) -> dict[str, int]:
    tables = ("strategies", "campaigns", "calendars", "backtest_runs", "return_series", "backtest_trades")
    with database.connect() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(schema.metadata.tables[name])).scalar_one()
            for name in tables
        }


def test_a_run_comes_back_as_it_was_handed_in(database: Database) -> None:
    trade = Trade(trade_date=date(2015, 1, 6), ticker="SPY", direction="SELL", size=3, price=-0.5)
    config: dict[str, JsonValue] = {
        "a": 1,
        "b": 1.0,
        "c": True,
        "d": "1",
        "e": None,
        "f": {"g": [1e300, 5e-324, 1e16]},
        "é": "\u2028",
    }
    run = a_run(run_id="mine", config=config, trades=[trade], sector="index", metrics={"n_trades": 1}, source="here")
    summary = put(database, run)
    assert (summary.accepted, summary.total) == (1, 1)
    with database.connect() as connection:
        panel = load_panel(connection, "trend")
    assert panel.run_ids == ("mine",)
    assert canonical_json(panel.configs[0]) == canonical_json(config)
    assert panel.blocks == ("SP500|2015-01-05..2016-12-02|spring",)
    assert (panel.markets, panel.sectors) == (("SP500",), ("index",))
    np.testing.assert_array_equal(panel.returns[:, 0], run.returns)
    np.testing.assert_array_equal(panel.dates, trading_days(500).astype("datetime64[s]"))
    assert panel.periods_per_year.tolist() == [252.0]
    assert list(panel.reported) == [{"n_trades": 1}]
    assert rows(database, "SELECT ticker, direction, size, price FROM backtest_trades") == [("SPY", "SELL", 3.0, -0.5)]
    assert rows(database, "SELECT source, created_at FROM backtest_runs") == [("here", NOW)]


def test_the_same_campaign_twice_adds_nothing(database: Database) -> None:
    runs = [a_run(seed=seed) for seed in range(5)]
    runs.append(a_metrics_only_run({"annualised_sharpe": 1.0}))
    runs.append(a_run(returns=np.zeros(500)))
    runs.append(a_run(run_id="named", config={"x": 1}))
    first = put(database, *runs)
    assert (first.accepted, first.metrics_only, first.quarantined) == (6, 1, {"zero_volatility": 1})
    before = counts(database)
    second = put(database, *reversed(runs))
    assert (second.added, second.duplicates) == (0, 8)
    assert counts(database) == before


def test_a_run_twice_in_one_batch_is_stored_once(database: Database) -> None:
    summary = put(database, a_run(), a_run(), a_run(run_id="named"), a_run(run_id="named"))
    assert (summary.accepted, summary.duplicates) == (2, 2)
    assert counts(database)["return_series"] == 2


def test_another_content_under_the_same_id_is_kept_in_quarantine(database: Database) -> None:
    put(database, a_run(run_id="r1"))
    impostor = a_run(run_id="r1", config={"fast": 11})
    for _ in range(2):
        put(database, impostor)
    stored = rows(database, "SELECT run_id, state, reason_code, content_digest FROM backtest_runs ORDER BY run_id")
    assert [row[:3] for row in stored] == [
        ("r1", "accepted", None),
        (f"r1#{stored[1][3][:8]}", "quarantined", ReasonCode.DUPLICATE_ID),
    ]
    assert counts(database)["return_series"] == 2  # nothing of it is lost
    with database.connect() as connection:
        assert load_panel(connection, "trend").run_ids == ("r1",)


def test_two_contents_under_one_id_in_one_batch_are_both_kept(database: Database) -> None:
    pair = [a_run(run_id="r1", config={"fast": fast}) for fast in (1, 2)]
    summary = put(database, *pair)
    assert (summary.accepted, summary.quarantined) == (1, {"duplicate_id": 1})
    assert put(database, *reversed(pair)).duplicates == 2


def test_two_contents_whose_digests_agree_in_the_first_digits_are_both_kept(database: Database) -> None:
    put(database, a_run(run_id="r1"))
    impostor = a_run(run_id="r1", config={"fast": 11})
    put(database, impostor)
    with database.begin() as connection:  # make the stored one look like a collision
        connection.execute(text("UPDATE backtest_runs SET content_digest = repeat('0', 64) WHERE run_id LIKE 'r1#%'"))
    assert put(database, impostor).quarantined == {"duplicate_id": 1}
    assert put(database, impostor).duplicates == 1
    assert {len(row[0]) for row in rows(database, "SELECT run_id FROM backtest_runs")} == {2, 2 + 9, 2 + 65}


def test_a_corrected_run_takes_the_id_that_its_defective_version_left_free(database: Database) -> None:
    assert put(database, a_run(run_id="r1", config=None)).quarantined == {"malformed_config": 1}
    assert put(database, a_run(run_id="r1")).accepted == 1
    assert put(database, a_run(run_id="r1", config=None)).duplicates == 1
    ids = [row[0] for row in rows(database, "SELECT run_id FROM backtest_runs ORDER BY run_id")]
    assert ids[0] == "r1"
    assert ids[1].startswith("r1#")


def test_a_long_id_leaves_room_for_the_digits_of_its_digest(database: Database) -> None:
    long = "x" * 128
    put(database, a_run(run_id=long), a_run(run_id=long, config={}))
    assert sorted(len(row[0]) for row in rows(database, "SELECT run_id FROM backtest_runs")) == [128, 128]


def test_runs_in_quarantine_keep_their_series_as_it_came(database: Database) -> None:
    returns = returns_of(500)
    returns[7] = np.nan
    backwards = trading_days(500)[::-1]
    put(database, a_run(returns=returns), a_run(dates=backwards))
    with database.connect() as connection:
        stored = connection.execute(select(schema.return_series.c.returns)).scalars().all()
        calendars = connection.execute(select(schema.calendars.c.timestamps)).scalars().all()
    assert any(np.array_equal(np.frombuffer(blob), returns, equal_nan=True) for blob in stored)
    assert any(np.array_equal(np.frombuffer(c, "<i8").astype("datetime64[s]"), backwards) for c in calendars)


def test_every_defect_the_gate_knows_can_be_stored_and_is_known_again(database: Database) -> None:
    runs = [a_run(**changes) for _, changes, _ in DEFECTS]
    runs += [a_metrics_only_run(metrics) for _, metrics, _ in METRICS_ONLY_DEFECTS]
    summary = put(database, *runs)
    assert summary.n_quarantined + summary.duplicates == len(runs)
    assert set(summary.quarantined) == set(ReasonCode) - {ReasonCode.DUPLICATE_ID}
    assert put(database, *runs).duplicates == len(runs)
    with database.connect() as connection:
        assert sum(load_evidence(connection, "trend").states.values()) == summary.n_quarantined


def test_runs_share_a_calendar_and_windows_are_aligned_by_date(database: Database) -> None:
    whole, late = trading_days(500), trading_days(500)[200:]
    crypto = np.datetime64("2016-01-01") + np.arange(400)
    put(
        database,
        a_run(run_id="a", seed=3),
        a_run(run_id="b", seed=4),
        a_run(run_id="c", dates=late, returns=returns_of(300)),
        a_run(run_id="d", dates=crypto, returns=returns_of(400), market_id="BTC"),
        a_metrics_only_run({"annualised_sharpe": 0.5}, run_id="e"),
    )
    assert counts(database)["calendars"] == 3
    with database.connect() as connection:
        panel = load_panel(connection, "trend")
    assert panel.dates.tolist() == np.union1d(whole, crypto).astype("datetime64[s]").tolist()
    assert panel.returns.flags.f_contiguous
    for column, (dates, n) in enumerate([(whole, 500), (whole, 500), (late, 300), (crypto, 400)]):
        observed = ~np.isnan(panel.returns[:, column])
        assert observed.sum() == n
        np.testing.assert_array_equal(panel.dates[observed], dates.astype("datetime64[s]"))
    assert panel.columns.tolist() == [0, 1, 2, 3, -1], "a run without returns takes no memory"
    assert np.isnan(panel.rows(np.array([4]))).all()
    assert panel.reported[4] == {"annualised_sharpe": 0.5}
    assert panel.periods_per_year[:4].tolist() == [252, 252, 252, 365]
    assert np.isnan(panel.periods_per_year[4])


def test_a_strategy_without_runs_is_an_empty_panel(database: Database) -> None:
    with database.connect() as connection:
        panel = load_panel(connection, "nobody")
    assert panel.n_runs == 0
    assert panel.returns.shape == (0, 0)


def test_evidence_counts_all_runs_and_its_digest_names_the_usable_ones(database: Database) -> None:
    put(database, a_run(run_id="a"), a_run(run_id="b", config={}), a_run(run_id="bad", returns=np.zeros(500)))
    with database.connect() as connection:
        before = load_evidence(connection, "trend")
    assert before.states == {"accepted": 2, "quarantined:zero_volatility": 1}
    assert before.distinct_series == {"accepted": 1, "quarantined:zero_volatility": 1}
    assert len(before.run_ids) == 3
    put(database, a_run(run_id="worse", returns=np.zeros(500), config={}))
    with database.connect() as connection:
        assert load_evidence(connection, "trend").digest == before.digest
    put(database, a_run(run_id="c", seed=9))
    with database.connect() as connection:
        assert load_evidence(connection, "trend").digest != before.digest


def test_evidence_is_the_same_in_whatever_order_runs_came(database: Database) -> None:
    runs = [a_run(run_id=f"r{n}", seed=n, config={"n": n}) for n in range(6)]
    put(database, *runs)
    with database.connect() as connection:
        first = load_evidence(connection, "trend")
    with database.begin() as connection:
        connection.execute(text("TRUNCATE backtest_runs, campaigns CASCADE"))
    for run in reversed(runs):
        put(database, run)
    with database.connect() as connection:
        second = load_evidence(connection, "trend")
    assert second.digest == first.digest
    assert second.panel.configs == first.panel.configs
    np.testing.assert_array_equal(second.panel.returns, first.panel.returns)


def test_an_undeclared_strategy_is_registered_with_the_hint_to_declare_knobs(database: Database) -> None:
    summary = put(database, a_run())
    assert summary.undeclared == {"trend"}
    assert "no declared knobs" in summary.hints[0]
    assert rows(database, "SELECT strategy_id, created_by FROM strategies") == [("trend", "ada")]


def test_a_strategy_that_only_has_runs_is_declared_like_any_other(database: Database) -> None:
    put(database, a_run())
    with database.connect() as connection:
        assert strategies.list_strategies(connection) == []
        with pytest.raises(NotFound, match="'trend' has runs, but was never declared"):
            strategies.load(connection, "trend")
    declared = Strategy(
        strategy_id="trend", family="momentum", knobs=(Knob(path="fast", knob_type="int"),), live_config={"fast": 10}
    )
    with database.begin() as connection:
        assert strategies.declare(connection, declared, actor="cleo", now=NOW).created
        assert strategies.load(connection, "trend").strategy == declared
        assert not strategies.declare(connection, declared, actor="cleo", now=NOW).created
    assert put(database, a_run(seed=5)).hints == ()


def test_a_closed_campaign_is_open_again_when_a_new_run_comes_but_not_for_a_duplicate(database: Database) -> None:
    put(database, a_run())
    with database.begin() as connection:
        assert close_campaign(connection, *SPRING, now=NOW)
        assert not close_campaign(connection, *SPRING, now=NOW)
    assert put(database, a_run()).reopened == frozenset()
    assert rows(database, "SELECT state, closed_at FROM campaigns") == [("closed", NOW)]
    summary = put(database, a_run(seed=7))
    assert summary.reopened == {SPRING}
    assert "is open again" in summary.hints[1]
    assert rows(database, "SELECT state, closed_at FROM campaigns") == [("open", None)]
    with database.begin() as connection:
        assert close_campaign(connection, *SPRING, now=NOW)
        assert open_campaign(connection, *SPRING)
        with pytest.raises(NotFound, match="no campaign 'autumn'"):
            close_campaign(connection, "trend", "autumn", now=NOW)


def test_a_run_that_cannot_be_addressed_refuses_the_delivery_and_nothing_is_written(database: Database) -> None:
    with pytest.raises(InputError, match="campaign_id ''"):
        put(database, a_run(), a_run(campaign_id=""))
    assert set(counts(database).values()) == {0}


def test_runs_come_from_any_iterable_and_one_run_needs_none(database: Database) -> None:
    def produced() -> Iterator[BacktestRun]:
        for seed in range(3):
            yield a_run(seed=seed)

    assert record(produced(), into=store(database)).accepted == 3
    assert record(a_run(seed=8), into=store(database)).accepted == 1
    assert record([], into=store(database)).total == 0


def test_runs_of_several_strategies_and_campaigns_travel_together(database: Database) -> None:
    put(database, *(a_run(strategy_id=s, campaign_id=c) for s in "ab" for c in "xyz"))
    assert counts(database) | {} == {
        "strategies": 2,
        "campaigns": 6,
        "calendars": 1,
        "backtest_runs": 6,
        "return_series": 6,
        "backtest_trades": 0,
    }


def test_a_large_delivery_is_written_in_several_transactions_of_whole_runs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meta_pipeline.store.backtests.TRANSACTION_RUNS", 2)
    monkeypatch.setattr("meta_pipeline.backtests.recording.BATCH_RUNS", 2)
    assert put(database, *(a_run(seed=seed) for seed in range(5))).accepted == 5
    assert rows(database, "SELECT count(DISTINCT ingest_xid) FROM backtest_runs") == [(3,)]

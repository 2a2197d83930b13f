from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError

from meta_pipeline.diagnostics.diagnose import DiagnosticsReport
from meta_pipeline.errors import ContentTampered
from meta_pipeline.store import diagnostics as store
from meta_pipeline.store import schema
from meta_pipeline.store.database import Database
from meta_pipeline_tests.diagnostics.builders import panel, run
from meta_pipeline_tests.diagnostics.test_diagnose import SIX, SPOKEN, diagnosed

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def report() -> DiagnosticsReport:
    return diagnosed(panel(SIX), proposed=SPOKEN)


@pytest.fixture(scope="module")
def other_report() -> DiagnosticsReport:
    return diagnosed(panel([*SIX, run(70)]), proposed=SPOKEN)


@pytest.fixture
def strategy(database: Database) -> Database:
    with database.begin() as connection:
        for name in ("STRAT_001", "STRAT_002"):
            connection.execute(insert(schema.strategies).values(strategy_id=name, created_by="ada"))
    return database


def test_a_report_reads_back_whole(strategy: Database, report: DiagnosticsReport) -> None:
    with strategy.begin() as connection:
        report_id = store.write_report(connection, report, strategy_id="STRAT_001", now=NOW)
    with strategy.connect() as connection:
        found = store.read_report(connection, report_id)
        latest = store.latest_report(connection, "STRAT_001")
    assert found == latest
    assert found is not None
    assert found.report.to_json() == report.to_json()
    assert found.report.report_id(strategy_id="STRAT_001") == report_id
    assert (found.created_at, found.seen_at) == (NOW, NOW)


def test_writing_the_same_report_again_adds_nothing(strategy: Database, report: DiagnosticsReport) -> None:
    later = NOW + timedelta(hours=3)
    with strategy.begin() as connection:
        first = store.write_report(connection, report, strategy_id="STRAT_001", now=NOW)
        again = store.write_report(connection, report, strategy_id="STRAT_001", now=later)
        rows = connection.execute(select(func.count()).select_from(schema.diagnostics_reports)).scalar_one()
        found = store.read_report(connection, first)
    assert (again, rows) == (first, 1)
    assert found is not None
    assert (found.created_at, found.seen_at) == (NOW, later)


def test_a_report_that_comes_back_is_the_latest_again(
    strategy: Database, report: DiagnosticsReport, other_report: DiagnosticsReport
) -> None:
    with strategy.begin() as connection:
        for hour, made in enumerate((report, other_report, report)):
            store.write_report(connection, made, strategy_id="STRAT_001", now=NOW + timedelta(hours=hour))
        latest = store.latest_report(connection, "STRAT_001")
    assert latest is not None
    assert latest.report_id == report.report_id(strategy_id="STRAT_001")


def test_two_strategies_with_the_same_evidence_have_a_report_each(
    strategy: Database, report: DiagnosticsReport
) -> None:
    with strategy.begin() as connection:
        one = store.write_report(connection, report, strategy_id="STRAT_001", now=NOW)
        other = store.write_report(connection, report, strategy_id="STRAT_002", now=NOW)
        latest = store.latest_report(connection, "STRAT_002")
    assert one != other
    assert latest is not None
    assert latest.report_id == other


def test_where_there_is_no_report_there_is_none(strategy: Database) -> None:
    with strategy.connect() as connection:
        assert store.latest_report(connection, "STRAT_001") is None
        assert store.read_report(connection, "0" * 64) is None


def test_a_report_on_an_unknown_strategy_is_refused(database: Database, report: DiagnosticsReport) -> None:
    with pytest.raises(IntegrityError, match="strategies"), database.begin() as connection:
        store.write_report(connection, report, strategy_id="nobody", now=NOW)


def test_data_health_counts_every_run_of_the_strategy_by_state_and_reason(strategy: Database) -> None:
    rows = [
        {"run_id": f"run-{i}", "state": state, "reason_code": reason, "strategy_id": name}
        for i, (name, state, reason) in enumerate(
            [
                ("STRAT_001", "metrics_only", None),
                ("STRAT_001", "quarantined", "ruin"),
                ("STRAT_001", "quarantined", "ruin"),
                ("STRAT_001", "quarantined", "no_returns"),
                ("STRAT_002", "quarantined", "ruin"),
            ]
        )
    ]
    with strategy.begin() as connection:
        for name in ("STRAT_001", "STRAT_002"):
            connection.execute(insert(schema.campaigns).values(strategy_id=name, campaign_id="C"))
        for row in rows:
            connection.execute(
                insert(schema.backtest_runs).values(
                    **row,
                    reason=row["reason_code"] and "in words",
                    campaign_id="C",
                    config_json={},
                    config_digest="0" * 64,
                    content_digest="0" * 64,
                    start_date=date(2020, 1, 1),
                    end_date=date(2020, 12, 31),
                )
            )
        health = store.data_health(connection, "STRAT_001")
    assert (health.accepted, health.metrics_only, health.quarantined, health.n_runs) == (0, 1, 3, 4)
    assert health.reasons == {"no_returns": 1, "ruin": 2}


def test_a_report_that_was_changed_by_hand_is_not_shown(strategy: Database, report: DiagnosticsReport) -> None:
    with strategy.begin() as connection:
        report_id = store.write_report(connection, report, strategy_id="STRAT_001", now=NOW)
        connection.execute(text("UPDATE diagnostics_reports SET body = jsonb_set(body, '{evidence_digest}', '\"f\"')"))
    with strategy.connect() as connection:
        with pytest.raises(ContentTampered, match="is not what was written"):
            store.read_report(connection, report_id)
        with pytest.raises(ContentTampered):
            store.latest_report(connection, "STRAT_001")

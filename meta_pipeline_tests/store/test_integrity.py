"""Every check is shown able to fail: rows are damaged with the triggers and constraints off, as only an owner can."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import text

from meta_pipeline.backtests import record
from meta_pipeline.store import migrations
from meta_pipeline.store.backtests import RunStore
from meta_pipeline.store.database import Database, engine_of
from meta_pipeline.store.integrity import FAULT_QUERIES, check_database
from meta_pipeline.store.url import Address
from meta_pipeline_tests.backtests.runs import a_run, trading_days
from meta_pipeline_tests.store.rows import fill

SCHEMA = f"schema is revision {migrations.revisions()[-1]}, in every part"
CITED = "rows cite rows that are there"
HASHED = "configurations are what was hashed"
SERIES = "return series belong to their runs"
AGGREGATIONS = "aggregations reconcile with absorbed runs"
LIVE = "live configurations cite applied changes"
EVIDENCE = "proposals rest on evidence"
PROPOSALS = "proposals hold finite figures"
AGGREGATES = "aggregates hold finite figures"

DAMAGES = [
    (
        SCHEMA,
        "ALTER TABLE outcomes DROP CONSTRAINT outcomes_kind_check",
        "check outcomes_kind_check of outcomes is missing",
    ),
    (SCHEMA, "ALTER TABLE outcomes ALTER claimed TYPE numeric", "column claimed of outcomes is different"),
    (SCHEMA, "ALTER TABLE outcomes ADD CHECK (n_days > 5)", "check outcomes_n_days_check1 of outcomes is not ours"),
    (SCHEMA, "ALTER TABLE approvals DISABLE TRIGGER ALL", "trigger approvals_append_only of approvals is different"),
    (
        SCHEMA,
        "ALTER TABLE return_series ALTER returns SET STORAGE MAIN",
        "storage returns of return_series is different",
    ),
    (
        SCHEMA,
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "function refuse_change is different",
    ),
    (
        SCHEMA,
        """ALTER TABLE candidates DROP CONSTRAINT candidates_grade_check;
           ALTER TABLE candidates ADD CONSTRAINT candidates_grade_check CHECK (grade <> 'E')""",
        "check candidates_grade_check of candidates is different",
    ),
    (CITED, "DELETE FROM calendars", "1 rows of return_series cite calendars by (calendar_id), where nothing is"),
    (
        CITED,
        "UPDATE strategies SET live_version = 7",
        "1 rows of strategies cite config_versions by (strategy_id, live_version)",
    ),
    (
        HASHED,
        """UPDATE config_versions SET config_json = '{"speed": 99}' WHERE version = 1""",
        "version 1 of s has another",
    ),
    (HASHED, """UPDATE config_versions SET config_json = '{"speed": 10.0}' WHERE version = 1""", "version 1 of s has"),
    (HASHED, """UPDATE meta_config_proposals SET body = '{"edited": true}'""", "proposal p has another digest"),
    (SERIES, "DELETE FROM return_series", "r is accepted, but its return series is not there"),
    (SERIES, "UPDATE backtest_runs SET state = 'metrics_only'", "r has a return series although it is metrics_only"),
    (
        SERIES,
        "UPDATE return_series SET first_period = 1",
        "r needs periods 1 to 2 of calendar dddddddddddd, which has 2",
    ),
    (
        AGGREGATIONS,
        "UPDATE aggregations SET n_absorbed = 2",
        "1 of s says 2 runs, but 1 are recorded as absorbed by it",
    ),
    (AGGREGATIONS, "DELETE FROM absorbed_runs", "1 of s says 1 runs, but 0 are recorded"),
    (LIVE, "UPDATE strategies SET live_version = 1", "s 1 is live although version 2 is newer"),
    (LIVE, "UPDATE config_versions SET change_id = 'x' WHERE version = 2", "cites change x, which is not on record"),
    (LIVE, "UPDATE meta_config_proposals SET status = 'PENDING'", "cites change k, whose proposal is PENDING"),
    (LIVE, "DELETE FROM approvals", "cites change k, whose proposal nobody approved as it is now"),
    (EVIDENCE, "UPDATE meta_config_proposals SET candidate_id = NULL", "p s"),
    (
        PROPOSALS,
        "UPDATE meta_config_proposals SET expected_sharpe_improvement = 'NaN'",
        "p s expected_sharpe_improvement",
    ),
    (AGGREGATES, "UPDATE backtest_aggregates SET sharpe = 'Infinity'", "s strategy s sharpe"),
]

UNGUARD = """
SET LOCAL session_replication_role = replica;
ALTER TABLE meta_config_proposals DROP CONSTRAINT meta_config_proposals_expected_sharpe_improvement_check;
ALTER TABLE backtest_aggregates DROP CONSTRAINT backtest_aggregates_sharpe_check;
"""


@pytest.fixture
def filled(database: Database) -> Database:
    with database.begin() as connection:
        fill(connection)
    return database


def test_a_sound_database_passes_every_check(filled: Database) -> None:
    findings = check_database(filled)
    assert [finding.check for finding in findings] == [SCHEMA, CITED, HASHED, *FAULT_QUERIES]
    assert [(finding.check, finding.detail) for finding in findings if not finding.passed] == []


def test_a_run_in_quarantine_that_came_with_returns_is_no_fault(filled: Database) -> None:
    store = RunStore(filled, actor="ann", clock=lambda: datetime(2026, 11, 20, tzinfo=UTC))
    days = trading_days(30)
    record(a_run(strategy_id="s", run_id="ruined", dates=days, returns=np.full(30, -2.0)), into=store)
    with filled.connect() as connection:
        kept = text("SELECT r.state FROM return_series JOIN backtest_runs r USING (run_id) WHERE run_id LIKE 'ruined%'")
        assert connection.execute(kept).scalars().all() == ["quarantined"]
    assert [finding.detail for finding in check_database(filled) if not finding.passed] == []


@pytest.mark.parametrize(("check", "damage", "said"), DAMAGES)
def test_damage_is_found_and_named(filled: Database, check: str, damage: str, said: str) -> None:
    with filled.begin() as connection:
        if check != SCHEMA:
            connection.execute(text(UNGUARD))
        connection.execute(text(damage))
    found = {finding.check: finding for finding in check_database(filled)}
    assert not found[check].passed
    assert said in found[check].detail


def test_every_check_has_a_damage_that_fails_it() -> None:
    assert {check for check, *_ in DAMAGES} == {SCHEMA, CITED, HASHED, *FAULT_QUERIES}


def test_many_faults_are_counted_and_the_first_are_shown(filled: Database) -> None:
    with filled.begin() as connection:
        connection.execute(text("ALTER TABLE outcomes DROP COLUMN kind, DROP COLUMN scale, DROP COLUMN realised"))
    (finding,) = check_database(filled)
    assert finding.faults > 3
    assert finding.detail.endswith("; ...")


@pytest.mark.parametrize("damage", ["DROP TABLE outcomes", "DROP TABLE meta_pipeline_alembic_version"])
def test_where_tables_are_missing_only_the_schema_is_checked_and_fails(filled: Database, damage: str) -> None:
    with filled.begin() as connection:
        connection.execute(text(damage))
    (finding,) = check_database(filled)
    assert not finding.passed


def test_an_empty_database_fails_with_the_command_that_migrates_it(empty_database: Database) -> None:
    (finding,) = check_database(empty_database)
    assert "run: meta-pipeline db migrate" in finding.detail


def test_the_checks_change_nothing(filled: Database) -> None:
    schemas = text("SELECT string_agg(nspname, ',' ORDER BY nspname) FROM pg_namespace WHERE nspname !~ '^pg_'")
    check_database(filled)
    with filled.connect() as connection:
        assert connection.execute(schemas).scalar() == "information_schema,public"


def as_reader(database: Database) -> Callable[[], Database]:
    address = Address(options={**database.address.options, "user": "reader"})
    return lambda: Database(engine=engine_of(address), address=address)


def test_a_user_that_may_only_read_can_check_too(filled: Database) -> None:
    with filled.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN IN ROLE pg_read_all_data"))
    with as_reader(filled)() as reading:
        findings = check_database(reading)
    assert all(finding.passed for finding in findings)
    assert findings[0].detail == "by name; no right to compare definitions"
    with filled.begin() as connection:
        connection.execute(text("DROP INDEX idx_outcomes_strategy"))
    with as_reader(filled)() as reading:
        assert "index idx_outcomes_strategy" in check_database(reading)[0].detail

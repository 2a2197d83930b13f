"""Every check passes on sound data, and is shown to fail on a row that was broken on purpose."""

from collections.abc import Callable

import dagster as dg
import pytest
from sqlalchemy import text

from meta_pipeline.backtests import record
from meta_pipeline.orchestration import checks
from meta_pipeline.store import aggregates
from meta_pipeline.store.backtests import RunStore
from meta_pipeline.store.database import Database
from meta_pipeline_tests.backtests.runs import a_run
from meta_pipeline_tests.orchestration.builders import (
    NOW,
    allow,
    declare_strategy,
    form,
    launch,
    resource_of,
    save_proposal,
    verdict,
)

pytestmark = pytest.mark.database


@pytest.fixture
def sound(database: Database) -> Database:
    """One strategy with absorbed runs, one with a change that was approved, applied and reverted."""
    runs = [a_run(seed=seed, config={"fast": seed}) for seed in range(3)]
    record([*runs, a_run(seed=9, returns=None, dates=None)], into=RunStore(database, actor="Ann", clock=lambda: NOW))
    with database.begin() as connection:
        aggregates.refresh(connection, "trend", now=NOW)
    declare_strategy(database)
    allow(database, "Bob")
    resource = resource_of(database)
    assert launch("approve_proposals", form(verdict(save_proposal(database))), resource).success
    assert launch("apply_approved", {"actor": "Bob"}, resource).success
    with database.connect() as connection:
        change = connection.execute(text("SELECT change_id FROM config_change_log")).scalar_one()
    assert launch("revert_change", {"actor": "Bob", "change_id": change, "reason": "test"}, resource).success
    return database


def run_check(check: Callable[..., object], database: Database) -> dg.AssetCheckResult:
    result = check(database=resource_of(database))
    assert isinstance(result, dg.AssetCheckResult)
    return result


def test_every_check_passes_on_sound_data(sound: Database) -> None:
    assert [check.check_key.name for check in checks.REFRESH_CHECKS if not run_check(check, sound).passed] == []


BREAKS: list[tuple[Callable[..., object], str, str]] = [
    (
        checks.counts_reconcile,
        "DELETE FROM absorbed_runs WHERE run_id = (SELECT min(run_id) FROM absorbed_runs)",
        "recorded as absorbed",
    ),
    (
        checks.counts_reconcile,
        "UPDATE backtest_aggregates SET n_runs = n_runs + 1 WHERE dimension = 'strategy'",
        "but the whole counts 4",
    ),
    (
        checks.counts_reconcile,
        "UPDATE backtest_aggregates SET n_runs = 7 WHERE dimension = 'state' AND label = 'accepted'",
        "by state count",
    ),
    (
        checks.nothing_nan_in_aggregates,
        (
            "UPDATE backtest_aggregates SET body = jsonb_set(body, '{deep}', '{\"list\": [1, \"NaN\"]}')"
            " WHERE dimension = 'market'"
        ),
        "SP500, body",
    ),
    (
        checks.nothing_nan_in_proposals,
        (
            "ALTER TABLE meta_config_proposals DROP CONSTRAINT meta_config_proposals_expected_sharpe_improvement_check;"
            "UPDATE meta_config_proposals SET expected_sharpe_improvement = 'NaN'"
        ),
        "expected_sharpe_improvement",
    ),
    (
        checks.nothing_nan_in_proposals,
        'UPDATE meta_config_proposals SET supporting_metrics = \'{"effect": {"estimate": "-Infinity"}}\'',
        "supporting_metrics",
    ),
    (
        checks.no_proposal_without_evidence,
        "UPDATE meta_config_proposals SET author_kind = 'machine'",
        "names no candidate",
    ),
    (
        checks.live_config_cites_applied_changes,
        "UPDATE meta_config_proposals SET status = 'WITHDRAWN', reverted_at = NULL",
        "whose proposal is WITHDRAWN",
    ),
    (
        checks.live_config_cites_applied_changes,
        f"UPDATE meta_config_proposals SET body_digest = '{'f' * 64}'",
        "nobody approved as it is now",
    ),
    (
        checks.live_config_cites_applied_changes,
        "UPDATE strategies SET live_version = 2 WHERE strategy_id = 'STRAT_001'",
        "is live although version 3 is newer",
    ),
]


@pytest.mark.parametrize(("check", "harm", "said"), BREAKS)
def test_a_broken_row_makes_its_check_fail_and_is_named(
    check: Callable[..., object], harm: str, said: str, sound: Database
) -> None:
    with sound.begin() as connection:
        # As somebody with the database's own rights would: triggers and all that stand in the way are off.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        assert [connection.execute(text(statement)) for statement in harm.split(";")][-1].rowcount > 0
    result = run_check(check, sound)
    assert not result.passed
    assert result.severity is dg.AssetCheckSeverity.ERROR
    assert said in str(result.metadata["what"].value) + str(result.description)

"""What no program may write, whatever it is: each rule of the schema is broken once, in SQL, and refused."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from meta_pipeline.store import schema
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store.evidence_rows import EVIDENCE_BROKEN
from meta_pipeline_tests.store.governance_rows import GOVERNANCE_BROKEN
from meta_pipeline_tests.store.meta_model_rows import META_MODEL_BROKEN
from meta_pipeline_tests.store.outcome_rows import OUTCOMES_BROKEN
from meta_pipeline_tests.store.policy_rows import POLICY_BROKEN
from meta_pipeline_tests.store.rows import APPLIED, LATER, NOW, ROWS, fill, insert_one
from meta_pipeline_tests.store.search_rows import SEARCH_BROKEN

NAN = float("nan")
INFINITY = float("inf")

# Table -> constraint -> rows that break it, each as what is different from the valid row.
BROKEN: dict[str, dict[str, list[dict[str, Any]]]] = {
    "strategies": {
        "strategy_id_check": [{"strategy_id": ""}],
        "risk_limits_check": [{"risk_limits": [1]}, {"risk_limits": 2}],
    },
    "strategy_knobs": {
        "path_check": [{"path": ""}],
        "lower_bound_check": [{"lower_bound": -INFINITY}, {"lower_bound": NAN, "upper_bound": None}],
        "upper_bound_check": [{"upper_bound": INFINITY}, {"upper_bound": NAN}],
        "max_step_check": [{"max_step": 0}, {"max_step": -1}, {"max_step": NAN}, {"max_step": INFINITY}],
        "choices_check": [{"choices": {"a": 1}}, {"choices": 7}],
        "risk_direction_check": [{"risk_direction": "upwards"}],
        "check": [{"lower_bound": 2, "upper_bound": 1}],
    },
    "config_versions": {
        "version_check": [{"version": 0, "action": "apply", "change_id": "k"}],
        "config_json_check": [{"config_json": [1]}, {"config_json": None}],
        "action_check": [{"action": "edit", "version": 2, "change_id": "k"}],
        "check": [{"action": "apply"}, {"version": 2, "change_id": "k"}],
        "check1": [{"change_id": "k"}, {"version": 2, "action": "apply"}],
    },
    "approvers": {"name_key_check": [{"name_key": ""}]},
    "campaigns": {
        "campaign_id_check": [{"campaign_id": ""}],
        "state_check": [{"state": "paused"}],
        "check": [{"state": "closed"}, {"closed_at": NOW}],
    },
    "calendars": {
        "n_periods_check": [{"n_periods": 0, "timestamps": b""}],
        "check": [{"timestamps": bytes(15)}, {"n_periods": 3}],
        "check1": [{"first_at": LATER, "last_at": NOW}],
    },
    "backtest_runs": {
        "run_id_check": [{"run_id": ""}],
        "config_json_check": [{"config_json": 1}],
        "periods_per_year_check": [{"periods_per_year": value} for value in (0, -1, NAN, INFINITY)],
        "metrics_json_check": [{"metrics_json": []}],
        "computed_json_check": [{"computed_json": []}],
        "state_check": [{"state": "fine"}],
        "check": [{"end_date": "2024-12-31"}],
        "check1": [{"state": "quarantined"}, {"reason_code": "nan_returns", "reason": "NaN"}],
        "check2": [{"state": "quarantined", "reason_code": "nan_returns"}, {"reason": "NaN"}],
        "check3": [{"start_date": None}, {"end_date": None}],
        "check4": [{"periods_per_year": None}, {"series_digest": None}],
    },
    "return_series": {
        "first_period_check": [{"first_period": -1}],
        "n_periods_check": [{"n_periods": 0, "returns": b""}],
        "check": [{"returns": bytes(8)}, {"n_periods": 3}],
    },
    "backtest_trades": {
        "direction_check": [{"direction": "HOLD"}],
        "size_check": [{"size": value} for value in (-1, NAN, INFINITY)],
        "price_check": [{"price": value} for value in (NAN, INFINITY, -INFINITY)],
    },
    "market_regimes": {"label_check": [{"label": ""}]},
    "aggregations": {"n_absorbed_check": [{"n_absorbed": -1}]},
    "backtest_aggregates": {
        "dimension_check": [{"dimension": "mood"}],
        "n_runs_check": [{"n_runs": -1}],
        "n_distinct_check": [{"n_distinct": -1}],
        "n_days_check": [{"n_days": -1}],
        "sharpe_check": [{"sharpe": value} for value in (NAN, INFINITY, -INFINITY)],
        "mean_return_check": [{"mean_return": value} for value in (NAN, INFINITY, -INFINITY)],
        "volatility_check": [{"volatility": value} for value in (NAN, INFINITY, -0.1)],
        "max_drawdown_check": [{"max_drawdown": value} for value in (NAN, 0.1, -1.1)],
        "win_rate_check": [{"win_rate": value} for value in (NAN, -0.1, 1.1)],
        "body_check": [{"body": []}],
    },
    "diagnostics_reports": {
        "body_check": [{"body": None}],
        "check": [{"created_at": LATER, "seen_at": NOW}],
    },
    "candidates": {
        "grade_check": [{"grade": "E"}],
        "body_check": [{"body": "text"}],
        "check": [{"created_at": LATER, "seen_at": NOW}],
    },
    "meta_config_proposals": {
        "target_component_check": [{"target_component": ""}],
        "confidence_score_check": [{"confidence_score": value} for value in (NAN, -0.1, 1.1)],
        "expected_sharpe_improvement_check": [{"expected_sharpe_improvement": value} for value in (NAN, INFINITY)],
        "expected_return_improvement_check": [{"expected_return_improvement": value} for value in (NAN, -INFINITY)],
        "expected_risk_reduction_check": [{"expected_risk_reduction": value} for value in (NAN, INFINITY)],
        "legacy_confidence_check": [{"legacy_confidence": value} for value in (NAN, INFINITY)],
        "outcome_rule_check": [{"outcome_rule": []}],
        "supporting_metrics_check": [{"supporting_metrics": []}],
        "grade_check": [{"grade": "F"}],
        "risk_change_check": [{"risk_change": "maybe"}],
        "author_check": [{"author": ""}],
        "author_kind_check": [{"author_kind": "oracle"}],
        "status_check": [{"status": "DONE"}],
        "check": [{"expires_at": NOW}],
        "check1": [{"status": "APPROVED", "approval_expires_at": LATER}],
        "check2": [{"status": "APPROVED", "approved_by": "Bob"}],
        "check3": [{"status": status, "approved_by": "Bob"} for status in ("APPLIED", "KEPT")],
        "check4": [{"reverted_at": NOW}, {"status": "REVERTED", "approved_by": "Bob", "applied_at": NOW}],
    },
    "approvals": {
        "decision_check": [{"decision": word, "reason": "x", "expires_at": None} for word in ("maybe", "APPROVE")],
        "approver_check": [{"approver": ""}],
        "approver_key_check": [{"approver_key": ""}],
        "channel_check": [{"channel": "telepathy"}],
        "check": [{"decision": "reject", "reason": " ", "expires_at": None}],
        "check1": [{"expires_at": NOW}],
        "check2": [{"expires_at": None}, {"decision": "reject", "reason": "no"}],
        "signature_check": [{"signature": ""}],
    },
    "config_change_log": {
        "outcome_verdict_check": [{"outcome_verdict": "KEPT"}],
        "risk_change_check": [{"risk_change": ""}],
        "sharpe_before_check": [{"sharpe_before": NAN}],
        "sharpe_after_check": [{"sharpe_after": INFINITY}],
        "return_before_check": [{"return_before": NAN}],
        "return_after_check": [{"return_after": NAN}],
        "risk_before_check": [{"risk_before": -INFINITY}],
        "risk_after_check": [{"risk_after": NAN}],
        "applied_by_check": [{"applied_by": ""}],
        "check": [{"new_version": 3}, {"new_version": 1}],
        "check1": [{"reverted_at": NOW}],
        "check2": [{"reverted_by": "emil"}],
        "check3": [{"reversion_reason": "worse"}],
        "check4": [{"revert_version": 3}],
    },
    "audit_log": {
        "seq_check": [{"seq": 0}],
        "actor_check": [{"actor": ""}],
        "actor_kind_check": [{"actor_kind": "ghost"}],
    },
    "outcomes": {
        "kind_check": [{"kind": "guess"}],
        "scale_check": [{"scale": "log"}],
        "n_days_check": [{"n_days": -1}],
        "claimed_check": [{"claimed": NAN}, {"claimed": INFINITY}],
        "realised_check": [{"realised": NAN}, {"realised": INFINITY}],
        "standard_error_check": [{"standard_error": value} for value in (-1, NAN, INFINITY)],
        "check": [{"window_end": "2025-12-31"}],
        "check1": [{"realised": None}, {"missing_reason": "no data"}],
        "contrast_check": [{"contrast": NAN}, {"contrast": INFINITY}],
        "contrast_error_check": [{"contrast_error": value} for value in (-1, NAN, INFINITY)],
        "surface_check": [{"surface": NAN}, {"surface": INFINITY}],
        "years_check": [{"years": value} for value in (0, NAN, INFINITY)],
    },
    **POLICY_BROKEN,
    **META_MODEL_BROKEN,
    **OUTCOMES_BROKEN,
    **SEARCH_BROKEN,
    **GOVERNANCE_BROKEN,
    **EVIDENCE_BROKEN,
}
# A text that is no JSON is refused by the cast itself, before the check says its name.
NOT_JSON = [("meta_config_proposals", {"body": "{"}), ("audit_log", {"payload": "nonsense"})]

# Deferred keys are looked at when the transaction ends.
DANGLING: list[tuple[str, dict[str, Any]]] = [
    ("strategies", {"strategy_id": "t", "live_version": 1}),
    ("strategy_knobs", {"strategy_id": "nobody"}),
    ("config_versions", {"strategy_id": "nobody"}),
    ("campaigns", {"strategy_id": "nobody"}),
    ("backtest_runs", {"run_id": "r2", "campaign_id": "none"}),
    ("return_series", {"run_id": "none"}),
    ("backtest_trades", {"run_id": "none"}),
    ("aggregations", {"strategy_id": "nobody"}),
    ("absorbed_runs", {"run_id": "none"}),
    ("backtest_aggregates", {"label": "other", "aggregation_id": 99}),
    ("diagnostics_reports", {"report_id": "x", "strategy_id": "nobody"}),
    ("candidates", {"candidate_id": "x", "strategy_id": "nobody"}),
    ("meta_config_proposals", {"proposal_id": "p2", "candidate_id": "x"}),
    ("meta_config_proposals", {"proposal_id": "p2", "base_version": 9}),
    ("proposal_editors", {"proposal_id": "none"}),
    ("approvals", {"proposal_id": "none"}),
    ("config_change_log", {"change_id": "k2", "proposal_id": "none"}),
    ("outcomes", {"candidate_id": "x"}),
    ("approver_keys", {"key_id": "k2", "name_key": "nobody"}),
    ("freezes", {"strategy_id": "nobody"}),
    ("strategy_limits", {"strategy_id": "nobody"}),
]
TWICE: list[tuple[str, dict[str, Any]]] = [
    ("config_change_log", {"change_id": "k2"}),
    ("config_versions", {**APPLIED, "version": 3}),
    ("audit_log", {"seq": 2, "hash": "e" * 64}),
    ("audit_log", {"seq": 2, "prev_hash": "e" * 64}),
    ("outcomes", {}),
    ("backtest_runs", {}),
    ("absorbed_runs", {}),
]


@pytest.fixture
def filled(database: Database) -> Iterator[Connection]:
    """A transaction in which every table has a row."""
    with database.engine.connect() as connection, connection.begin() as transaction:
        fill(connection)
        connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
        yield connection
        transaction.rollback()


def constraint_of(error: DBAPIError) -> str | None:
    name: str | None = error.orig.diag.constraint_name  # type: ignore[union-attr]
    return name


def test_every_check_is_broken_once_below(filled: Connection) -> None:
    names = filled.execute(
        text("SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = ANY (CAST(:tables AS regclass[]))"),
        {"tables": list(ROWS)},
    )
    broken = {f"{table}_{name}" for table, names in BROKEN.items() for name in names}
    assert broken | {f"{table}_{next(iter(row))}_check" for table, row in NOT_JSON} == set(names.scalars())


@pytest.mark.parametrize("table", BROKEN)
def test_a_row_that_breaks_a_check_is_refused_by_that_check(filled: Connection, table: str) -> None:
    for name, rows in BROKEN[table].items():
        for changes in rows:
            with pytest.raises(IntegrityError) as refusal, filled.begin_nested():
                insert_one(filled, table, **changes)
            assert constraint_of(refusal.value) == f"{table}_{name}", changes


@pytest.mark.parametrize(("table", "changes"), NOT_JSON)
def test_a_text_that_is_hashed_must_be_json(filled: Connection, table: str, changes: dict[str, str]) -> None:
    with pytest.raises(DBAPIError, match="invalid input syntax for type json"), filled.begin_nested():
        insert_one(filled, table, **changes)


@pytest.mark.parametrize(("table", "changes"), DANGLING)
def test_a_row_that_cites_what_is_not_there_is_refused(filled: Connection, table: str, changes: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="violates foreign key constraint"), filled.begin_nested():
        insert_one(filled, table, **changes)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE strategies SET live_version = 9",
        "UPDATE config_change_log SET new_version = 10, base_version = 9",
        """UPDATE config_change_log SET is_reverted = true, reverted_at = now(), reverted_by = 'emil',
                  reversion_reason = 'worse', revert_version = 9""",
        """INSERT INTO config_versions SELECT strategy_id, 3, config_json, config_digest, 'apply', 'unknown',
                  created_by, created_at FROM config_versions WHERE version = 2""",
        "DELETE FROM strategies",
        "DELETE FROM meta_config_proposals",
        "DELETE FROM backtest_runs",
    ],
)
def test_what_others_rest_on_cannot_be_taken_away(filled: Connection, damage: str) -> None:
    with pytest.raises(IntegrityError, match="violates foreign key constraint"), filled.begin_nested():
        filled.execute(text(damage))


@pytest.mark.parametrize(("table", "changes"), TWICE)
def test_what_may_be_there_once_is_refused_a_second_time(
    filled: Connection, table: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match="violates unique constraint"), filled.begin_nested():
        insert_one(filled, table, **changes)


def test_only_one_proposal_per_target_is_approved_at_a_time(filled: Connection) -> None:
    approved = {"status": "APPROVED", "approved_by": "Bob", "approval_expires_at": LATER}
    insert_one(filled, "meta_config_proposals", **approved, proposal_id="first")
    insert_one(filled, "meta_config_proposals", **approved, proposal_id="other target", target_component="width")
    insert_one(filled, "meta_config_proposals", proposal_id="pending")
    with pytest.raises(IntegrityError) as refusal, filled.begin_nested():
        insert_one(filled, "meta_config_proposals", **approved, proposal_id="second")
    assert constraint_of(refusal.value) == "uq_one_approved_per_target"


@pytest.mark.parametrize("table", ["approvals", "audit_log", "config_versions"])
@pytest.mark.parametrize("deed", ["UPDATE", "DELETE", "TRUNCATE"])
def test_what_was_recorded_can_be_neither_changed_nor_deleted(filled: Connection, table: str, deed: str) -> None:
    last = list(schema.metadata.tables[table].columns)[-1].name
    statement = {"UPDATE": f"UPDATE {table} SET {last} = {last}", "DELETE": f"DELETE FROM {table}"}
    with pytest.raises(DBAPIError, match=f"{table} is append-only: {deed} refused"), filled.begin_nested():
        filled.execute(text(statement.get(deed, f"TRUNCATE {table} CASCADE")))


def test_every_table_has_a_row_that_is_accepted(filled: Connection) -> None:
    for name in ROWS:
        assert filled.execute(schema.metadata.tables[name].select()).first() is not None, name


def test_readers_of_the_predecessors_find_the_live_configuration_and_the_proposals(filled: Connection) -> None:
    live = filled.execute(text("SELECT strategy_id, config_json FROM strategy_configs")).one()
    assert tuple(live) == ("s", {"speed": 20})
    proposal = filled.execute(text("SELECT * FROM meta_controller_config_proposals")).one()
    assert (proposal.target_type, proposal.target_id) == ("STRATEGY_CONFIG", "s")
    assert proposal.current_config_snapshot_json == {"speed": 10}
    assert proposal.proposed_config_json == {"speed": 20}
    assert (proposal.status, proposal.applied_by) == ("APPLIED", "HUMAN")
    filled.execute(text("UPDATE meta_config_proposals SET status = 'KEPT'"))
    assert filled.execute(text("SELECT status FROM meta_controller_config_proposals")).scalar_one() == "APPLIED"


def test_a_transaction_id_is_given_to_every_run(filled: Connection) -> None:
    runs = schema.backtest_runs
    given = filled.execute(runs.select().with_only_columns(runs.c.ingest_xid)).scalar_one()
    assert given == str(filled.execute(text("SELECT pg_current_xact_id()")).scalar_one())

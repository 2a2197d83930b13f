"""One valid row per table, in an order in which they can be inserted: tests change one thing and see it refused."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, insert, text

from meta_pipeline.canonical import digest
from meta_pipeline.store import schema
from meta_pipeline_tests.store.evidence_rows import EVIDENCE_ROWS
from meta_pipeline_tests.store.governance_rows import GOVERNANCE_ROWS
from meta_pipeline_tests.store.meta_model_rows import META_MODEL_ROWS
from meta_pipeline_tests.store.outcome_rows import OUTCOME_ROWS
from meta_pipeline_tests.store.policy_rows import POLICY_ROWS
from meta_pipeline_tests.store.search_rows import SEARCH_ROWS

NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER: Final = NOW + timedelta(days=1)
CONFIG: Final = {"speed": 10}
DIGEST: Final = "d" * 64

ROWS: Final[dict[str, dict[str, Any]]] = {
    "strategies": {"strategy_id": "s", "created_by": "ann"},
    "strategy_knobs": {
        "strategy_id": "s",
        "path": "speed",
        "knob_type": "integer",
        "lower_bound": 1,
        "upper_bound": 100,
        "max_step": 5,
        "choices": [1, 10],
        "risk_direction": "neutral",
        "changeable": True,
        "optional": False,
    },
    "config_versions": {
        "strategy_id": "s",
        "version": 1,
        "config_json": CONFIG,
        "config_digest": digest(CONFIG),
        "action": "declare",
        "created_by": "ann",
        "created_at": NOW,
    },
    "approvers": {"name_key": "bob", "display_name": "Bob", "added_by": "ann"},
    "campaigns": {"strategy_id": "s", "campaign_id": "c"},
    "calendars": {
        "calendar_id": DIGEST,
        "n_periods": 2,
        "first_at": NOW,
        "last_at": LATER,
        "timestamps": bytes(16),
    },
    "backtest_runs": {
        "run_id": "r",
        "strategy_id": "s",
        "campaign_id": "c",
        "config_json": CONFIG,
        "config_digest": digest(CONFIG),
        "start_date": date(2025, 1, 1),
        "end_date": date(2025, 1, 2),
        "periods_per_year": 252,
        "metrics_json": {},
        "computed_json": {},
        "state": "accepted",
        "content_digest": DIGEST,
        "series_digest": DIGEST,
    },
    "return_series": {"run_id": "r", "calendar_id": DIGEST, "first_period": 0, "n_periods": 2, "returns": bytes(16)},
    "backtest_trades": {
        "run_id": "r",
        "trade_date": date(2025, 1, 1),
        "ticker": "SPX",
        "direction": "BUY",
        "size": 1,
        "price": 100,
    },
    "market_regimes": {"market_id": "SPX", "as_of": date(2025, 1, 1), "label": "calm"},
    "aggregations": {"strategy_id": "s", "n_absorbed": 1, "evidence_digest": DIGEST},
    "absorbed_runs": {"run_id": "r", "aggregation_id": 1},
    "backtest_aggregates": {
        "strategy_id": "s",
        "dimension": "strategy",
        "label": "s",
        "aggregation_id": 1,
        "n_runs": 1,
        "n_distinct": 1,
        "n_days": 2,
        "sharpe": 0.5,
        "mean_return": 0.1,
        "volatility": 0.2,
        "max_drawdown": -0.1,
        "win_rate": 0.5,
        "body": {},
    },
    "diagnostics_reports": {"report_id": DIGEST, "strategy_id": "s", "evidence_digest": DIGEST, "body": {}},
    "candidates": {
        "candidate_id": DIGEST,
        "strategy_id": "s",
        "evidence_digest": DIGEST,
        "knob_path": "speed",
        "from_value": 10,
        "to_value": 20,
        "grade": "A",
        "body": {},
    },
    "meta_config_proposals": {
        "proposal_id": "p",
        "strategy_id": "s",
        "candidate_id": DIGEST,
        "proposal_type": "config_parameter_change",
        "target_component": "speed",
        "current_value": 10,
        "proposed_value": 20,
        "confidence_score": 0.9,
        "rationale": "faster is better",
        "supporting_metrics": {"effect": 0.3},
        "grade": "A",
        "risk_change": "neutral",
        "base_version": 1,
        "author": "machine",
        "author_kind": "machine",
        "body": "{}",
        "body_digest": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "evidence_digest": DIGEST,
        "created_at": NOW,
        "expires_at": LATER,
    },
    "proposal_editors": {"proposal_id": "p", "editor_key": "ann"},
    "approvals": {
        "proposal_id": "p",
        "body_digest": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "decision": "approve",
        "approver": "Bob",
        "approver_key": "bob",
        "reason": "",
        "channel": "python",
        "decided_at": NOW,
        "expires_at": LATER,
    },
    "config_change_log": {
        "change_id": "k",
        "proposal_id": "p",
        "strategy_id": "s",
        "change_type": "config_parameter_change",
        "target_component": "speed",
        "previous_value": 10,
        "new_value": 20,
        "base_version": 1,
        "new_version": 2,
        "risk_change": "neutral",
        "applied_by": "dora",
        "applied_at": NOW,
    },
    "audit_log": {
        "seq": 1,
        "prev_hash": "0" * 64,
        "hash": DIGEST,
        "at": NOW,
        "actor": "ann",
        "actor_kind": "human",
        "action": "declare",
        "subject_type": "strategy",
        "subject_id": "s",
        "payload": "{}",
    },
    "outcomes": {
        "candidate_id": DIGEST,
        "strategy_id": "s",
        "kind": "replay",
        "scale": "main",
        "window_start": date(2026, 1, 1),
        "window_end": date(2026, 6, 1),
        "n_days": 100,
        "claimed": 0.3,
        "realised": 0.2,
        "standard_error": 0.1,
    },
    **POLICY_ROWS,
    **META_MODEL_ROWS,
    **OUTCOME_ROWS,
    **SEARCH_ROWS,
    **GOVERNANCE_ROWS,
    **EVIDENCE_ROWS,
}

APPLIED: Final = {
    **ROWS["config_versions"],
    "version": 2,
    "action": "apply",
    "change_id": "k",
    "config_json": {"speed": 20},
}
"""The version that the change above made."""


def insert_one(connection: Connection, table: str, **changes: Any) -> None:
    """Insert the table's row with some values changed."""
    connection.execute(insert(schema.metadata.tables[table]), {**ROWS[table], **changes})


def fill(connection: Connection) -> None:
    """Insert a row into every table: one strategy, one run, and one proposal that was approved and applied."""
    for table in ROWS:
        insert_one(connection, table)
    connection.execute(insert(schema.config_versions), {**APPLIED, "config_digest": digest(APPLIED["config_json"])})
    connection.execute(text("UPDATE strategies SET live_version = 2"))
    connection.execute(
        text(
            "UPDATE meta_config_proposals SET status = 'APPLIED', approved_by = 'Bob', approved_at = created_at,"
            " approval_expires_at = expires_at, applied_at = created_at"
        )
    )

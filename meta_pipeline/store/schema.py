"""The tables of the loop as SQLAlchemy Core, mirroring sql/migrations/versions/0001_the_loop.sql.

The tables of the live books and the policies are in `schema_policy`, those of the meta-model in
`schema_meta_model`, on the same metadata.

The SQL file is the contract and what a database is made from; a test holds the two together,
CHECK constraints and indexes included. JSONB columns take and give plain Python values (None is
JSON null; leave the column out, or pass `sqlalchemy.null()`, for SQL NULL), except for the value
columns of type `LevelJson`, where `ABSENT` is SQL NULL.
"""

from typing import Any, Final

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from meta_pipeline.store import schema_parts
from meta_pipeline.store.column_types import LevelJson, Xid8

metadata: Final = schema_parts.metadata

_NOW, _EMPTY, _DIGEST, _INSTANT = schema_parts.NOW, schema_parts.EMPTY, schema_parts.DIGEST, schema_parts.INSTANT
_required, _created_at = schema_parts.required, schema_parts.created_at
_check, _finite, _an_object = schema_parts.check, schema_parts.finite, schema_parts.an_object
_RISK_CHANGE = "risk_change IN ('raises', 'reduces', 'neutral', 'unknown')"
_GRADE = "grade IN ('A', 'B', 'C', 'D')"


def _strategy_id() -> Column[Any]:
    return _required("strategy_id", String(64), ForeignKey("strategies.strategy_id"))


def _config_version(name: str) -> ForeignKeyConstraint:
    """Cite a version that the same transaction may write later."""
    return ForeignKeyConstraint(
        ["strategy_id", name],
        ["config_versions.strategy_id", "config_versions.version"],
        deferrable=True,
        initially="DEFERRED",
    )


strategies: Final = Table(
    "strategies",
    metadata,
    Column("strategy_id", String(64), primary_key=True),
    _required("family", String(64), server_default=_EMPTY),
    _required("description", Text, server_default=_EMPTY),
    Column("live_version", Integer),
    _created_at(),
    _required("created_by", String(128)),
    Column("risk_limits", JSONB),
    _an_object("risk_limits"),
    _check("strategy_id <> ''"),
    # Two tables cite each other; `use_alter` lets either be created first.
    ForeignKeyConstraint(
        ["strategy_id", "live_version"],
        ["config_versions.strategy_id", "config_versions.version"],
        deferrable=True,
        initially="DEFERRED",
        use_alter=True,
        name="strategies_strategy_id_live_version_fkey",
    ),
)

strategy_knobs: Final = Table(
    "strategy_knobs",
    metadata,
    Column("strategy_id", String(64), ForeignKey("strategies.strategy_id"), primary_key=True),
    Column("path", String(256), primary_key=True),
    _required("knob_type", String(16)),
    Column("lower_bound", Double),
    Column("upper_bound", Double),
    Column("max_step", Double),
    Column("choices", JSONB),
    _required("risk_direction", String(24)),
    _required("changeable", Boolean),
    _required("optional", Boolean),
    _check("path <> ''"),
    _finite("lower_bound"),
    _finite("upper_bound"),
    _check("max_step > 0 AND max_step < 'Infinity'"),
    _check("jsonb_typeof(choices) = 'array'"),
    _check("risk_direction IN ('higher_is_riskier', 'lower_is_riskier', 'neutral', 'unknown')"),
    _check("lower_bound <= upper_bound"),
)

config_versions: Final = Table(
    "config_versions",
    metadata,
    Column("strategy_id", String(64), ForeignKey("strategies.strategy_id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    _required("config_json", JSONB),
    _required("config_digest", _DIGEST),
    _required("action", String(8)),
    Column("change_id", String(64)),
    _required("created_by", String(128)),
    _required("created_at", _INSTANT),
    UniqueConstraint("change_id", "action"),
    ForeignKeyConstraint(
        ["change_id"],
        ["config_change_log.change_id"],
        deferrable=True,
        initially="DEFERRED",
        use_alter=True,
        name="config_versions_change_id_fkey",
    ),
    _check("version >= 1"),
    _an_object("config_json"),
    _check("action IN ('declare', 'apply', 'revert')"),
    _check("(version = 1) = (action = 'declare')"),
    _check("(version = 1) = (change_id IS NULL)"),
)

approvers: Final = Table(
    "approvers",
    metadata,
    Column("name_key", String(128), primary_key=True),
    _required("display_name", String(128)),
    _required("active", Boolean, server_default=text("true")),
    _required("added_by", String(128)),
    _created_at("added_at"),
    _check("name_key <> ''"),
)

campaigns: Final = Table(
    "campaigns",
    metadata,
    Column("strategy_id", String(64), ForeignKey("strategies.strategy_id"), primary_key=True),
    Column("campaign_id", String(64), primary_key=True),
    _required("state", String(8), server_default=text("'open'")),
    _created_at(),
    Column("closed_at", _INSTANT),
    _check("campaign_id <> ''"),
    _check("state IN ('open', 'closed')"),
    _check("(state = 'closed') = (closed_at IS NOT NULL)"),
)

calendars: Final = Table(
    "calendars",
    metadata,
    Column("calendar_id", _DIGEST, primary_key=True),
    _required("n_periods", Integer),
    _required("first_at", _INSTANT),
    _required("last_at", _INSTANT),
    _required("timestamps", LargeBinary),
    _check("n_periods > 0"),
    _check("octet_length(timestamps) = 8 * n_periods"),
    _check("first_at <= last_at"),
)

backtest_runs: Final = Table(
    "backtest_runs",
    metadata,
    Column("run_id", String(128), primary_key=True),
    _required("strategy_id", String(64)),
    _required("campaign_id", String(64)),
    _required("config_json", JSONB),
    _required("config_digest", _DIGEST),
    Column("start_date", Date),
    Column("end_date", Date),
    _required("market_id", String(32), server_default=_EMPTY),
    _required("universe_id", String(64), server_default=_EMPTY),
    _required("sector", String(64), server_default=_EMPTY),
    _required("code_version", String(64), server_default=_EMPTY),
    Column("periods_per_year", Double),
    Column("config_version", Integer),
    Column("metrics_json", JSONB),
    Column("computed_json", JSONB),
    _required("state", String(16)),
    Column("reason_code", String(48)),
    Column("reason", Text),
    _required("content_digest", _DIGEST),
    Column("series_digest", _DIGEST),
    _required("source", Text, server_default=_EMPTY),
    _created_at(),
    _required("ingest_xid", Xid8, server_default=text("pg_current_xact_id()")),
    ForeignKeyConstraint(["strategy_id", "campaign_id"], ["campaigns.strategy_id", "campaigns.campaign_id"]),
    Index("idx_backtest_runs_strategy", "strategy_id", "campaign_id", "state"),
    Index("idx_backtest_runs_ingest", "ingest_xid"),
    _check("run_id <> ''"),
    _an_object("config_json"),
    _check("periods_per_year > 0 AND periods_per_year < 'Infinity'"),
    _an_object("metrics_json"),
    _an_object("computed_json"),
    _check("state IN ('accepted', 'metrics_only', 'quarantined')"),
    _check("start_date <= end_date"),
    _check("(state = 'quarantined') = (reason_code IS NOT NULL)"),
    _check("(reason_code IS NULL) = (reason IS NULL)"),
    _check("state = 'quarantined' OR (start_date IS NOT NULL AND end_date IS NOT NULL)"),
    _check("state <> 'accepted' OR (periods_per_year IS NOT NULL AND series_digest IS NOT NULL)"),
)

return_series: Final = Table(
    "return_series",
    metadata,
    Column("run_id", String(128), ForeignKey("backtest_runs.run_id"), primary_key=True),
    _required("calendar_id", _DIGEST, ForeignKey("calendars.calendar_id")),
    _required("first_period", Integer),
    _required("n_periods", Integer),
    _required("returns", LargeBinary),
    _check("first_period >= 0"),
    _check("n_periods > 0"),
    _check("octet_length(returns) = 8 * n_periods"),
)

backtest_trades: Final = Table(
    "backtest_trades",
    metadata,
    Column("trade_id", BigInteger, Identity(always=True), primary_key=True),
    _required("run_id", String(128), ForeignKey("backtest_runs.run_id")),
    _required("trade_date", Date),
    _required("ticker", String(50)),
    _required("direction", String(8)),
    _required("size", Double),
    _required("price", Double),
    Index("idx_backtest_trades_run", "run_id", "trade_date"),
    _check("direction IN ('BUY', 'SELL', 'LONG', 'SHORT')"),
    _check("size >= 0 AND size < 'Infinity'"),
    _finite("price"),
)

market_regimes: Final = Table(
    "market_regimes",
    metadata,
    Column("market_id", String(32), primary_key=True),
    Column("as_of", Date, primary_key=True),
    _required("label", String(32)),
    _check("label <> ''"),
)

aggregations: Final = Table(
    "aggregations",
    metadata,
    Column("aggregation_id", BigInteger, Identity(always=True), primary_key=True),
    _strategy_id(),
    _required("n_absorbed", Integer),
    _required("evidence_digest", _DIGEST),
    _created_at(),
    Index("idx_aggregations_strategy", "strategy_id", "aggregation_id"),
    _check("n_absorbed >= 0"),
)

absorbed_runs: Final = Table(
    "absorbed_runs",
    metadata,
    Column("run_id", String(128), ForeignKey("backtest_runs.run_id"), primary_key=True),
    _required("aggregation_id", BigInteger, ForeignKey("aggregations.aggregation_id")),
    _created_at("absorbed_at"),
)

backtest_aggregates: Final = Table(
    "backtest_aggregates",
    metadata,
    Column("strategy_id", String(64), ForeignKey("strategies.strategy_id"), primary_key=True),
    Column("dimension", String(16), primary_key=True),
    Column("label", String(128), primary_key=True),
    _required("aggregation_id", BigInteger, ForeignKey("aggregations.aggregation_id")),
    _required("n_runs", Integer),
    _required("n_distinct", Integer),
    _required("n_days", Integer),
    Column("sharpe", Double),
    Column("mean_return", Double),
    Column("volatility", Double),
    Column("max_drawdown", Double),
    Column("win_rate", Double),
    _required("body", JSONB),
    _check("dimension IN ('strategy', 'market', 'regime', 'sector', 'config', 'state')"),
    _check("n_runs >= 0"),
    _check("n_distinct >= 0"),
    _check("n_days >= 0"),
    _finite("sharpe"),
    _finite("mean_return"),
    _check("volatility >= 0 AND volatility < 'Infinity'"),
    _check("max_drawdown BETWEEN -1 AND 0"),
    _check("win_rate BETWEEN 0 AND 1"),
    _an_object("body"),
)

diagnostics_reports: Final = Table(
    "diagnostics_reports",
    metadata,
    Column("report_id", _DIGEST, primary_key=True),
    _strategy_id(),
    _required("evidence_digest", _DIGEST),
    _required("body", JSONB),
    Column("page_sha256", _DIGEST),
    _created_at(),
    _created_at("seen_at"),
    Index("idx_diagnostics_reports_strategy", "strategy_id", text("seen_at DESC")),
    _an_object("body"),
    _check("created_at <= seen_at"),
)

candidates: Final = Table(
    "candidates",
    metadata,
    Column("candidate_id", _DIGEST, primary_key=True),
    _strategy_id(),
    _required("evidence_digest", _DIGEST),
    _required("knob_path", String(256)),
    Column("from_value", LevelJson),
    Column("to_value", LevelJson),
    _required("grade", CHAR(1)),
    Column("suppressed_by", String(48)),
    _required("body", JSONB),
    _created_at(),
    _created_at("seen_at"),
    Index("idx_candidates_strategy", "strategy_id", text("seen_at DESC")),
    Index("idx_candidates_evidence", "evidence_digest"),
    _check(_GRADE),
    _an_object("body"),
    _check("created_at <= seen_at"),
)

meta_config_proposals: Final = Table(
    "meta_config_proposals",
    metadata,
    Column("proposal_id", String(64), primary_key=True),
    _strategy_id(),
    Column("market_id", String(32)),
    Column("candidate_id", _DIGEST, ForeignKey("candidates.candidate_id")),
    _required("proposal_type", String(64)),
    _required("target_component", String(256)),
    Column("current_value", LevelJson),
    Column("proposed_value", LevelJson),
    Column("confidence_score", Double),
    Column("expected_sharpe_improvement", Double),
    Column("expected_return_improvement", Double),
    Column("expected_risk_reduction", Double),
    _required("rationale", Text),
    _required("supporting_metrics", JSONB),
    Column("outcome_rule", JSONB(none_as_null=True)),
    Column("grade", CHAR(1)),
    Column("legacy_confidence", Double),
    _required("risk_change", String(8)),
    _required("base_version", Integer),
    _required("author", String(128)),
    _required("author_kind", String(8)),
    _required("body", Text),
    _required("body_digest", _DIGEST),
    _required("evidence_digest", _DIGEST),
    Column("report_sha256", _DIGEST),
    _required("status", String(32), server_default=text("'PENDING'")),
    Column("status_reason", Text),
    Column("approved_by", String(128)),
    Column("approved_at", _INSTANT),
    Column("approval_expires_at", _INSTANT),
    Column("applied_at", _INSTANT),
    Column("reverted_at", _INSTANT),
    _created_at(),
    _required("expires_at", _INSTANT),
    ForeignKeyConstraint(["strategy_id", "base_version"], ["config_versions.strategy_id", "config_versions.version"]),
    Index("idx_meta_config_proposals_status", "status", "expires_at"),
    Index("idx_meta_config_proposals_strategy", "strategy_id", "created_at"),
    Index("idx_meta_config_proposals_type", "proposal_type", "target_component"),
    Index(
        "uq_one_approved_per_target",
        "strategy_id",
        "target_component",
        unique=True,
        postgresql_where=text("status = 'APPROVED'"),
    ),
    _check("target_component <> ''"),
    _check("confidence_score BETWEEN 0 AND 1"),
    _finite("expected_sharpe_improvement"),
    _finite("expected_return_improvement"),
    _finite("expected_risk_reduction"),
    _finite("legacy_confidence"),
    _an_object("supporting_metrics"),
    _an_object("outcome_rule"),
    _check(_GRADE),
    _check(_RISK_CHANGE),
    _check("author <> ''"),
    _check("author_kind IN ('machine', 'human')"),
    _check(
        "status IN ('PENDING', 'APPROVED', 'APPLIED', 'KEPT', 'REVERTED',"
        " 'REJECTED', 'EXPIRED', 'STALE', 'SUPERSEDED', 'WITHDRAWN')"
    ),
    _check("body::jsonb IS NOT NULL"),
    _check("created_at < expires_at"),
    _check("status NOT IN ('APPROVED', 'APPLIED', 'KEPT', 'REVERTED') OR approved_by IS NOT NULL"),
    _check("status <> 'APPROVED' OR approval_expires_at IS NOT NULL"),
    _check("status NOT IN ('APPLIED', 'KEPT', 'REVERTED') OR applied_at IS NOT NULL"),
    _check("(status = 'REVERTED') = (reverted_at IS NOT NULL)"),
)

proposal_editors: Final = Table(
    "proposal_editors",
    metadata,
    Column("proposal_id", String(64), ForeignKey("meta_config_proposals.proposal_id"), primary_key=True),
    Column("editor_key", String(128), primary_key=True),
    _created_at("edited_at"),
)

approvals: Final = Table(
    "approvals",
    metadata,
    Column("approval_id", BigInteger, Identity(always=True), primary_key=True),
    _required("proposal_id", String(64), ForeignKey("meta_config_proposals.proposal_id")),
    _required("body_digest", _DIGEST),
    _required("decision", String(8)),
    _required("approver", String(128)),
    _required("approver_key", String(128)),
    _required("reason", Text),
    _required("channel", String(16)),
    _required("channel_ref", String(128), server_default=_EMPTY),
    _required("decided_at", _INSTANT),
    Column("expires_at", _INSTANT),
    Column("signature", Text),
    Index("idx_approvals_proposal", "proposal_id", "approval_id"),
    _check("decision IN ('approve', 'reject')"),
    _check("approver <> ''"),
    _check("approver_key <> ''"),
    _check("decision = 'approve' OR btrim(reason) <> ''"),
    _check("channel IN ('gate', 'cli', 'api', 'python', 'automation')"),
    _check("decided_at < expires_at"),
    _check("(decision = 'approve') = (expires_at IS NOT NULL)"),
    _check("signature <> ''"),
)

config_change_log: Final = Table(
    "config_change_log",
    metadata,
    Column("change_id", String(64), primary_key=True),
    _required("proposal_id", String(64), ForeignKey("meta_config_proposals.proposal_id"), unique=True),
    _strategy_id(),
    Column("market_id", String(32)),
    _required("change_type", String(64)),
    _required("target_component", String(256)),
    Column("previous_value", LevelJson),
    Column("new_value", LevelJson),
    _required("base_version", Integer),
    _required("new_version", Integer),
    _required("risk_change", String(8)),
    Column("sharpe_before", Double),
    Column("sharpe_after", Double),
    Column("return_before", Double),
    Column("return_after", Double),
    Column("risk_before", Double),
    Column("risk_after", Double),
    Column("evaluation_start_date", Date),
    Column("evaluation_end_date", Date),
    Column("evaluation_missing_reason", Text),
    Column("outcome_verdict", String(20)),
    _required("applied_by", String(128)),
    _required("applied_at", _INSTANT),
    _required("is_reverted", Boolean, server_default=text("false")),
    Column("reverted_at", _INSTANT),
    Column("reverted_by", String(128)),
    Column("reversion_reason", Text),
    Column("revert_version", Integer),
    ForeignKeyConstraint(["strategy_id", "base_version"], ["config_versions.strategy_id", "config_versions.version"]),
    _config_version("new_version"),
    _config_version("revert_version"),
    Index("idx_config_change_log_strategy", "strategy_id", "applied_at"),
    Index("idx_config_change_log_component", "change_type", "target_component"),
    Index("idx_config_change_log_reverted", "is_reverted", "applied_at"),
    _check(_RISK_CHANGE),
    _check("applied_by <> ''"),
    *(_finite(f"{figure}_{when}") for figure in ("sharpe", "return", "risk") for when in ("before", "after")),
    _check("outcome_verdict IN ('KEEP', 'REVERT', 'INCONCLUSIVE', 'INSUFFICIENT_DATA')"),
    _check("new_version = base_version + 1"),
    _check("is_reverted = (reverted_at IS NOT NULL)"),
    _check("is_reverted = (reverted_by IS NOT NULL)"),
    _check("is_reverted = (reversion_reason IS NOT NULL)"),
    _check("is_reverted = (revert_version IS NOT NULL)"),
)

audit_log: Final = Table(
    "audit_log",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _required("prev_hash", _DIGEST, unique=True),
    _required("hash", _DIGEST, unique=True),
    _required("at", _INSTANT),
    _required("actor", String(128)),
    _required("actor_kind", String(8)),
    _required("action", String(48)),
    _required("subject_type", String(32)),
    _required("subject_id", String(128)),
    _required("payload", Text),
    Index("idx_audit_log_subject", "subject_type", "subject_id", "seq"),
    _check("seq >= 1"),
    _check("actor <> ''"),
    _check("actor_kind IN ('machine', 'human')"),
    _check("payload::jsonb IS NOT NULL"),
)

outcomes: Final = Table(
    "outcomes",
    metadata,
    Column("outcome_id", BigInteger, Identity(always=True), primary_key=True),
    _required("candidate_id", _DIGEST, ForeignKey("candidates.candidate_id")),
    _strategy_id(),
    _required("kind", String(16)),
    _required("scale", String(16)),
    _required("window_start", Date),
    _required("window_end", Date),
    _required("n_days", Integer),
    Column("claimed", Double),
    Column("realised", Double),
    Column("standard_error", Double),
    Column("missing_reason", Text),
    _created_at("recorded_at"),
    Column("contrast", Double),
    Column("contrast_error", Double),
    Column("surface", Double),
    Column("years", Double),
    UniqueConstraint("candidate_id", "kind", "scale", "window_start", "window_end"),
    Index("idx_outcomes_strategy", "strategy_id", "window_end"),
    _check("kind IN ('pseudo', 'replay', 'applied')"),
    _check("scale IN ('main', 'incumbent')"),
    _check("n_days >= 0"),
    _finite("claimed"),
    _finite("realised"),
    _check("standard_error >= 0 AND standard_error < 'Infinity'"),
    _check("window_start <= window_end"),
    _check("(realised IS NULL) = (missing_reason IS NOT NULL)"),
    _finite("contrast"),
    _check("contrast_error >= 0 AND contrast_error < 'Infinity'"),
    _finite("surface"),
    _check("years > 0 AND years < 'Infinity'"),
)

# Here and not above, so that the tables of the loop come first wherever all are listed.
from meta_pipeline.store import (  # noqa: E402
    schema_evidence,
    schema_governance,  # noqa: F401
    schema_meta_model,  # noqa: F401
    schema_outcomes,
    schema_policy,
    schema_search,
)

APPEND_ONLY: Final = (
    "approvals",
    "audit_log",
    "config_versions",
    *schema_evidence.APPEND_ONLY,
    *schema_policy.APPEND_ONLY,
    *schema_outcomes.APPEND_ONLY,
    *schema_search.APPEND_ONLY,
)
"""Tables whose rows triggers keep from being changed, deleted or truncated."""

VIEWS: Final = ("meta_controller_config_proposals", "strategy_configs")
"""What readers of the predecessors select from."""

FUNCTIONS: Final = ("refuse_change",)
"""What the triggers call."""

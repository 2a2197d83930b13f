"""The tables of the live books and the policies, mirroring sql/migrations/versions/0002_policy.sql."""

from typing import Any, Final

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    Column,
    Date,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from meta_pipeline.store.schema_parts import (
    DIGEST,
    EMPTY,
    INSTANT,
    a_list,
    an_object,
    check,
    created_at,
    finite,
    metadata,
    required,
)

_EPOCH = CHAR(32)
_ANY_NUMBER = "{0} > '-Infinity' AND {0} < 'Infinity'"
_MODES = "IN ('DEFENSIVE', 'NORMAL', 'AGGRESSIVE')"


def _scope(**options: Any) -> Column[Any]:
    return required("scope", String(64), ForeignKey("live_scopes.scope"), **options)


def _strategy_no(**options: Any) -> Column[Any]:
    return required("strategy_no", Integer, ForeignKey("live_strategies.strategy_no"), **options)


live_scopes: Final = Table(
    "live_scopes",
    metadata,
    Column("scope", String(64), primary_key=True),
    required("epoch", _EPOCH, server_default=text("replace(gen_random_uuid()::text, '-', '')")),
    Column("replay_days", Integer),
    Column("fills_seen_at", INSTANT),
    required("created_by", String(128)),
    created_at(),
    check("scope <> ''"),
)

live_strategies: Final = Table(
    "live_strategies",
    metadata,
    Column("strategy_no", Integer, Identity(always=True), primary_key=True),
    _scope(),
    required("strategy_id", String(64)),
    required("name", String(128), server_default=EMPTY),
    required("status", String(12)),
    required("regime_tags", JSONB, server_default=text("'[]'")),
    Column("admitted_until", INSTANT),
    Column("admitted_by", String(128)),
    Column("admission_reason", Text),
    created_at(),
    UniqueConstraint("scope", "strategy_id"),
    check("strategy_id <> ''"),
    check("status IN ('LIVE', 'PAUSED', 'UNDECLARED')"),
    a_list("regime_tags"),
    check("(admitted_until IS NULL) = (admitted_by IS NULL)"),
    check("(admitted_until IS NULL) = (admission_reason IS NULL)"),
)

live_capital: Final = Table(
    "live_capital",
    metadata,
    _scope(primary_key=True),
    Column("flow_id", String(128), primary_key=True),
    required("amount", Double),
    required("effective_at", INSTANT),
    required("reason", Text, server_default=EMPTY),
    required("recorded_by", String(128)),
    created_at("recorded_at"),
    check("flow_id <> ''"),
    check("amount <> 0 AND " + _ANY_NUMBER.format("amount")),
)

live_fills: Final = Table(
    "live_fills",
    metadata,
    _scope(primary_key=True),
    Column("execution_id", String(128), primary_key=True),
    _strategy_no(),
    required("symbol", String(50)),
    required("side", String(4)),
    required("quantity", Double),
    required("price", Double),
    required("fee", Double),
    Column("initial_risk", Double),
    required("executed_at", INSTANT),
    required("content_digest", DIGEST),
    created_at("received_at"),
    Index("idx_live_fills_stream", "strategy_no", "symbol", "executed_at", "execution_id"),
    check("execution_id <> ''"),
    check("symbol <> ''"),
    check("side IN ('BUY', 'SELL')"),
    check("quantity > 0 AND quantity < 'Infinity'"),
    check("price <> 0 AND " + _ANY_NUMBER.format("price")),
    finite("fee"),
    check("initial_risk > 0 AND initial_risk < 'Infinity'"),
)

live_refused_fills: Final = Table(
    "live_refused_fills",
    metadata,
    Column("refusal_id", BigInteger, Identity(always=True), primary_key=True),
    _scope(),
    required("execution_id", String(128)),
    required("content_digest", DIGEST),
    required("reason", Text),
    required("body", JSONB),
    required("received_at", INSTANT),
    Column("resolved_at", INSTANT),
    Column("resolved_by", String(128)),
    UniqueConstraint("scope", "content_digest"),
    check("reason <> ''"),
    an_object("body"),
    check("(resolved_at IS NULL) = (resolved_by IS NULL)"),
)

live_positions: Final = Table(
    "live_positions",
    metadata,
    _strategy_no(primary_key=True),
    Column("symbol", String(50), primary_key=True),
    Column("trip", JSONB(none_as_null=True)),
    required("last_executed_at", INSTANT),
    required("last_execution_id", String(128)),
    an_object("trip"),
)

live_closed_trades: Final = Table(
    "live_closed_trades",
    metadata,
    _strategy_no(primary_key=True),
    Column("symbol", String(50), primary_key=True),
    Column("exit_execution_id", String(128), primary_key=True),
    _scope(),
    required("direction", String(5)),
    required("quantity", Double),
    required("entry_price", Double),
    required("exit_price", Double),
    required("pnl", Double),
    required("fees", Double),
    required("notional", Double),
    Column("initial_risk", Double),
    required("n_fills", Integer),
    required("opened_at", INSTANT),
    required("closed_at", INSTANT),
    Index("idx_live_closed_trades_scope", "scope", "closed_at"),
    check("direction IN ('LONG', 'SHORT')"),
    check("quantity > 0 AND quantity < 'Infinity'"),
    finite("entry_price"),
    finite("exit_price"),
    finite("pnl"),
    finite("fees"),
    check("notional >= 0 AND notional < 'Infinity'"),
    check("initial_risk > 0 AND initial_risk < 'Infinity'"),
    check("n_fills >= 2"),
    check("opened_at <= closed_at"),
)

live_days: Final = Table(
    "live_days",
    metadata,
    _strategy_no(primary_key=True),
    Column("symbol", String(50), primary_key=True),
    Column("day", Date, primary_key=True),
    required("quantity", Double),
    required("cash", Double),
    required("last_price", Double),
    required("n_fills", Integer),
    finite("quantity"),
    finite("cash"),
    finite("last_price"),
    check("n_fills > 0"),
)

live_prices: Final = Table(
    "live_prices",
    metadata,
    _scope(primary_key=True),
    Column("symbol", String(50), primary_key=True),
    Column("day", Date, primary_key=True),
    required("close", Double),
    Column("volume", Double),
    required("as_of", INSTANT),
    check("symbol <> ''"),
    finite("close"),
    check("volume >= 0 AND volume < 'Infinity'"),
)

policy_halts: Final = Table(
    "policy_halts",
    metadata,
    Column("halt_id", BigInteger, Identity(always=True), primary_key=True),
    _scope(),
    required("action", String(8)),
    required("actor", String(128)),
    required("reason", Text),
    required("at", INSTANT),
    Index("idx_policy_halts_scope", "scope", "halt_id"),
    check("action IN ('halt', 'resume')"),
    check("actor <> ''"),
    check("btrim(reason) <> ''"),
)

msc_policies: Final = Table(
    "msc_policies",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _scope(),
    required("epoch", _EPOCH),
    required("version", Integer),
    required("risk_mode", String(10)),
    Column("previous_mode", String(10)),
    required("max_risk_per_trade", Double),
    required("max_positions", Integer),
    required("min_confidence", Double),
    required("max_daily_trades", Integer),
    required("max_slippage", Double),
    required("allowed_strategies", Text),
    Column("system_drawdown", Double),
    Column("system_winrate", Double),
    required("profile", String(16)),
    required("trigger", String(16)),
    required("actor", String(128)),
    Column("idempotency_key", String(128)),
    required("halted", Boolean),
    required("document", Text),
    required("digest", DIGEST),
    required("inputs", JSONB),
    required("rankings", JSONB),
    required("reasons", JSONB),
    required("state", JSONB),
    Column("inputs_as_of", INSTANT),
    required("duration_seconds", Double),
    required("created_at", INSTANT),
    required("expires_at", INSTANT),
    UniqueConstraint("scope", "epoch", "version"),
    UniqueConstraint("scope", "idempotency_key"),
    Index("idx_msc_policies_scope", "scope", text("id DESC")),
    check("version >= 1"),
    check(f"risk_mode {_MODES}"),
    check(f"previous_mode {_MODES}"),
    check("max_risk_per_trade BETWEEN 0 AND 1"),
    check("max_positions >= 0"),
    check("min_confidence BETWEEN 0 AND 1"),
    check("max_daily_trades >= 0"),
    check("max_slippage BETWEEN 0 AND 1"),
    check("jsonb_typeof(allowed_strategies::jsonb) = 'array'"),
    check("system_drawdown BETWEEN 0 AND 100"),
    check("system_winrate BETWEEN 0 AND 1"),
    check("profile IN ('default', 'classic')"),
    check("trigger IN ('schedule', 'manual', 'outcomes', 'halt', 'resume')"),
    check("actor <> ''"),
    check("idempotency_key <> ''"),
    check("jsonb_typeof(document::jsonb) = 'object'"),
    an_object("inputs"),
    an_object("rankings"),
    a_list("reasons"),
    an_object("state"),
    check("duration_seconds >= 0 AND duration_seconds < 'Infinity'"),
    check("created_at < expires_at"),
)

policy_publications: Final = Table(
    "policy_publications",
    metadata,
    _scope(primary_key=True),
    Column("sink", String(16), primary_key=True),
    required("version", Integer),
    required("attempted_at", INSTANT),
    Column("error", Text),
    check("sink IN ('redis', 'file')"),
)

executor_heartbeats: Final = Table(
    "executor_heartbeats",
    metadata,
    _scope(primary_key=True),
    Column("executor_id", String(64), primary_key=True),
    required("epoch", String(64)),
    required("version", Integer),
    required("mode", String(10)),
    required("reduce_only", Boolean),
    required("reasons", JSONB),
    required("problems", JSONB),
    required("reported_at", INSTANT),
    required("received_at", INSTANT),
    check("executor_id <> ''"),
    check("version >= 0"),
    check(f"mode {_MODES}"),
    a_list("reasons"),
    an_object("problems"),
)

api_tokens: Final = Table(
    "api_tokens",
    metadata,
    Column("token_id", String(32), primary_key=True),
    required("name", String(128)),
    required("role", String(12)),
    required("token_digest", DIGEST, unique=True),
    required("created_by", String(128)),
    required("created_at", INSTANT),
    required("expires_at", INSTANT),
    Column("revoked_at", INSTANT),
    check("token_id <> ''"),
    check("name <> ''"),
    check("role IN ('reader', 'executor', 'researcher', 'approver', 'operator')"),
    check("created_at < expires_at"),
)

api_requests: Final = Table(
    "api_requests",
    metadata,
    Column("request_key", DIGEST, primary_key=True),
    required("content_digest", DIGEST),
    Column("status", Integer),
    required("headers", JSONB, server_default=text("'{}'")),
    Column("body", Text),
    required("started_at", INSTANT),
    Index("idx_api_requests_started", "started_at"),
    check("status BETWEEN 100 AND 599"),
    an_object("headers"),
    check("(status IS NULL) = (body IS NULL)"),
)

APPEND_ONLY: Final = ("live_fills", "msc_policies", "policy_halts")
"""Tables whose rows triggers keep from being changed, deleted or truncated."""

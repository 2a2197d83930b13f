"""What is shown of policies: status, history, health and rankings, in the predecessor's documented fields.

A policy that has expired is shown as what executors make of it: DEFENSIVE, whatever it said. Figures that are not known
are null. Belongs here: rows -> JSON objects, for the API and the command line alike. Does not belong here: HTTP (api)
and tables (report).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection

from meta_pipeline.canonical import JsonValue
from meta_pipeline.policy.client import MODE_STRATEGIES
from meta_pipeline.policy.measure import SLOPE_DAYS
from meta_pipeline.policy.modes import Regime, RiskMode
from meta_pipeline.policy.parameters import LIMITS
from meta_pipeline.policy.scores import classic_scores, edge_bounds, objections
from meta_pipeline.settings import Settings
from meta_pipeline.store.executors import list_executors, skew
from meta_pipeline.store.live_books import LIVE, LiveStrategy, load_scope
from meta_pipeline.store.policies import PolicyRecord, history, latest_policy, mode_changes
from meta_pipeline.store.policy_inputs import SCORE_DAYS, rankings_table
from meta_pipeline.store.policy_publishing import publications

Json = dict[str, JsonValue]

_NO_HEALTH: Final = (
    *("drawdown_pct", "winrate_pct", "equity_slope_pct_per_day", "regime", "volatility"),
    *("consecutive_losses", "days_since_profit"),
)


@dataclass(frozen=True, kw_only=True)
class Effective:
    """A policy as it counts at a moment."""

    record: PolicyRecord
    expired: bool
    stale: bool

    @property
    def mode(self) -> RiskMode:
        """The mode that executors are in."""
        if self.expired:
            return RiskMode.DEFENSIVE
        if self.stale and self.record.risk_mode is RiskMode.AGGRESSIVE:
            return RiskMode.NORMAL
        return self.record.risk_mode

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies that executors still allow."""
        return self.record.allowed_strategies[: MODE_STRATEGIES[self.mode]]


def effective(record: PolicyRecord, *, now: datetime) -> Effective:
    """Say how a policy counts at a moment."""
    stale_at = datetime.fromisoformat(record.body["stale_at"])
    return Effective(record=record, expired=now >= record.expires_at, stale=now >= stale_at)


def status_json(connection: Connection, scope: str, settings: Settings, *, now: datetime) -> Json:
    """Return the present policy of a book, its health, where it is published, and what executors run.

    Raises
    ------
    NotFound
        If there is no such book; that "live" is not there yet only means that nothing is.
    """
    _require(connection, scope)
    record = latest_policy(connection, scope)
    config: Json = {
        "evaluation_period_days": SLOPE_DAYS,
        "score_period_days": SCORE_DAYS,
        "min_strategies": 0,
        "max_strategies": settings.policy_max_strategies,
        "profile": settings.policy_profile,
        "interval_minutes": settings.msc_evaluation_interval_minutes,
        "enabled": settings.msc_enabled,
    }
    if record is None:
        return {
            "status": "inactive",
            "message": "no policy was made yet; executors are DEFENSIVE and only reduce",
            "scope": scope,
            "policy": None,
            "system_health": None,
            "available_strategies": 0,
            "controller_config": config,
            "publications": [],
            "executors": [],
            "skew": skew([]),
        }
    counted = effective(record, now=now)
    running = list_executors(connection, scope, epoch=record.epoch, version=record.version, now=now)
    shown: Json = {
        "status": "inactive" if counted.expired else "active",
        "scope": scope,
        "policy": policy_json(counted),
        "system_health": {name: record.inputs["health"].get(name) for name in _NO_HEALTH},
        "available_strategies": record.inputs["strategies"],
        "controller_config": config,
        "publications": [one.to_json() for one in publications(connection, scope)],
        "executors": [one.to_json() for one in running],
        "skew": skew(running),
    }
    if counted.expired:
        shown["message"] = f"the last policy expired at {record.expires_at.isoformat()}; executors are DEFENSIVE"
    return shown


def policy_json(counted: Effective) -> Json:
    """Return a policy as it counts, in the documented fields, with ours beside them."""
    record, mode = counted.record, counted.mode
    table = LIMITS[mode]
    return {
        "risk_mode": str(mode),
        "max_risk_per_trade_pct": 100.0 * min(record.max_risk_per_trade, table.max_risk_per_trade),
        "max_positions": min(record.max_positions, table.max_positions),
        "min_confidence_pct": 100.0 * max(record.min_confidence, table.min_confidence),
        "max_daily_trades": min(record.max_daily_trades, table.max_daily_trades),
        "max_slippage_pct": 100.0 * min(record.max_slippage, table.max_slippage),
        "active_strategies_count": len(counted.strategies),
        "allowed_strategies": list(counted.strategies),
        "updated_at": record.created_at.isoformat(),
        "expires_at": record.expires_at.isoformat(),
        "version": record.version,
        "epoch": record.epoch,
        "digest": record.digest,
        "issued_mode": str(record.risk_mode),
        "stale": counted.stale,
        "expired": counted.expired,
        "halted": record.halted,
        "profile": record.profile,
        "reasons": [dict(reason) for reason in record.reasons],
    }


def history_json(
    connection: Connection, scope: str, *, limit: int, before_id: int | None, now: datetime
) -> tuple[Json, int | None]:
    """Return policies, newest first, the mode changes, and the id to go on from (None: no more).

    Raises
    ------
    NotFound
        If there is no such book; that "live" is not there yet only means that nothing is.
    """
    _require(connection, scope)
    records = history(connection, scope, limit=limit + 1, before_id=before_id)
    shown, more = records[:limit], len(records) > limit
    changes = mode_changes(connection, scope, limit=limit)
    latest = latest_policy(connection, scope)
    body: Json = {
        "total_records": len(shown),
        "history": [_history_row(record) for record in shown],
        "mode_changes": [
            {
                "from_mode": str(record.previous_mode),
                "to_mode": str(record.risk_mode),
                "timestamp": record.created_at.isoformat(),
                "trigger": record.trigger,
            }
            for record in changes
        ],
        "current_mode": None if latest is None else str(effective(latest, now=now).mode),
    }
    return body, shown[-1].id if more and shown else None


def health_json(connection: Connection, scope: str, *, now: datetime) -> Json:
    """Return the readings of the last evaluation against the documented thresholds.

    Raises
    ------
    NotFound
        If there is no such book; that "live" is not there yet only means that nothing is.
    """
    _require(connection, scope)
    record = latest_policy(connection, scope)
    health: Mapping[str, Any] = {} if record is None else record.inputs["health"]
    problems = list(health.get("problems", []))
    failed = [f"{one.sink}: {one.error}" for one in publications(connection, scope) if one.error is not None]
    if record is None:
        state = "unknown"
    elif now >= record.expires_at:
        state = "expired"
    else:
        state = "degraded" if problems or failed else "healthy"
    regime = health.get("regime")
    return {
        "status": state,
        "scope": scope,
        "metrics": {
            "drawdown": {
                "current_pct": health.get("drawdown_pct"),
                "threshold_defensive": 5.0,
                "threshold_normal": 3.0,
                "status": _grade(health.get("drawdown_pct"), [(5.0, "critical"), (3.0, "warning")], "good"),
            },
            "winrate": {
                "current_pct": health.get("winrate_pct"),
                "threshold_aggressive": 60.0,
                "threshold_normal": 50.0,
                "threshold_defensive": 45.0,
                "status": _grade(health.get("winrate_pct"), [(60.0, "excellent"), (50.0, "good")], "warning"),
            },
            "equity_trend": {
                "slope_pct_per_day": health.get("equity_slope_pct_per_day"),
                "status": _trend(health.get("equity_slope_pct_per_day")),
            },
            "market_regime": {
                "current": regime,
                "volatility": health.get("volatility"),
                "favorable": None if regime is None else _favourable(regime, health.get("net_exposure")),
            },
            "risk_signals": {
                "consecutive_losses": health.get("consecutive_losses"),
                "days_since_profit": health.get("days_since_profit"),
                "warning_threshold": 5,
                "status": _streak(health.get("consecutive_losses")),
            },
        },
        "problems": problems,
        "publications_failing": list(failed),
        "inputs_as_of": health.get("inputs_as_of"),
        "timestamp": now.isoformat(),
    }


def strategies_json(connection: Connection, scope: str, settings: Settings, *, now: datetime) -> Json:
    """Return the strategies of a book by their documented score, with what it is made of, computed now.

    Raises
    ------
    NotFound
        If there is no such book; that "live" is not there yet only means that nothing is.
    """
    _require(connection, scope)
    table, strategies = rankings_table(connection, scope, now=now)
    record = latest_policy(connection, scope)
    regime = None if record is None or record.inputs["health"]["regime"] is None else record.inputs["health"]["regime"]
    parts = classic_scores(table, None if regime is None else Regime(regime))
    codes = objections(table, fewest=1)
    bounds = edge_bounds(table, codes == "")
    active = set() if record is None else set(effective(record, now=now).strategies)
    order = np.argsort(-np.where(np.isfinite(parts.score), parts.score, -np.inf), kind="stable").tolist()
    rankings: list[JsonValue] = []
    for i in order:
        breakdown: Json = {
            "profit_factor_score": _number(parts.profit_factor[i]),
            "winrate_score": _number(parts.winrate[i]),
            "drawdown_score": _number(parts.drawdown[i]),
            "volume_score": _number(parts.volume[i]),
            "regime_bonus": _number(parts.regime_bonus[i]),
        }
        metrics: Json = {
            "profit_factor": _number(table.profit_factor[i]),
            "winrate_pct": _number(100.0 * table.winrate[i]),
            "avg_R_multiple": _number(table.average_r[i]),
            "total_trades": int(table.total_trades[i]),
            "max_drawdown_pct": _number(table.max_drawdown_pct[i]),
            "total_pnl": _number(table.gross_profit[i] - table.gross_loss[i]),
        }
        own: Json = {
            "score": _number(parts.score[i]),
            "edge_lower_bound": _number(bounds[i]),
            "metrics": metrics,
            "score_breakdown": breakdown,
            "currently_active": strategies[i].strategy_id in active,
        }
        rankings.append({**_named(strategies[i], now), **own})
    return {
        "total_strategies": len(strategies),
        "scope": scope,
        "rankings": rankings,
        "current_regime": regime,
        "evaluation_period_days": SCORE_DAYS,
        "max_strategies": settings.policy_max_strategies,
        "timestamp": now.isoformat(),
    }


def _require(connection: Connection, scope: str) -> None:
    if scope != LIVE:
        load_scope(connection, scope)


def _named(strategy: LiveStrategy, now: datetime) -> Json:
    return {
        "strategy_id": strategy.strategy_id,
        "strategy_name": strategy.name or strategy.strategy_id,
        "status": strategy.status,
        "regime_compatibility": list(strategy.regime_tags),
        "age_days": max((now - strategy.created_at) / timedelta(days=1), 0.0),
    }


def _history_row(record: PolicyRecord) -> Json:
    return {
        "id": record.id,
        "version": record.version,
        "epoch": record.epoch,
        "risk_mode": str(record.risk_mode),
        "max_risk_per_trade_pct": 100.0 * record.max_risk_per_trade,
        "max_positions": record.max_positions,
        "min_confidence_pct": 100.0 * record.min_confidence,
        "max_daily_trades": record.max_daily_trades,
        "active_strategies_count": len(record.allowed_strategies),
        "allowed_strategies": list(record.allowed_strategies),
        "system_drawdown_pct": record.system_drawdown,
        "system_winrate_pct": None if record.system_winrate is None else 100.0 * record.system_winrate,
        "halted": record.halted,
        "trigger": record.trigger,
        "actor": record.actor,
        "reasons": [dict(reason) for reason in record.reasons],
        "created_at": record.created_at.isoformat(),
    }


def _grade(value: float | None, steps: list[tuple[float, str]], otherwise: str) -> str:
    if value is None:
        return "unknown"
    return next((word for bound, word in steps if value > bound), otherwise)


def _trend(slope: float | None) -> str:
    if slope is None:
        return "unknown"
    return "bullish" if slope > 0.3 else "bearish" if slope < -0.3 else "flat"


def _streak(losses: int | None) -> str:
    if losses is None:
        return "unknown"
    return "critical" if losses >= 5 else "warning" if losses >= 3 else "ok"


def _favourable(regime: str, exposure: float | None) -> bool:
    if regime == Regime.BULL_TRENDING:
        return exposure is not None and exposure > 0
    return regime == Regime.BEAR_TRENDING and exposure is not None and exposure < 0


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None

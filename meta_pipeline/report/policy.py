"""Policies as tables: what was decided, why, on which readings, and what executors run.

Takes documents and stored objects as plain JSON. Belongs here: columns and words. Does not belong here: cells (table).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from meta_pipeline.report.table import Cell, Column, Kind, Table, day

_READINGS: Final = (
    ("drawdown_pct", "drawdown from the peak", "%"),
    ("winrate_pct", "win rate of closed trades", "%"),
    ("equity_slope_pct_per_day", "equity slope", "%/day"),
    ("regime", "market regime", ""),
    ("volatility", "volatility", ""),
    ("net_exposure", "net exposure", "of equity"),
    ("consecutive_losses", "losses in a row", ""),
    ("days_since_profit", "time without profit", "days"),
    ("recent_trade_count", "closed trades looked at", ""),
)
_LIMITS: Final = (
    ("max_risk_per_trade", "risk per trade, at most", 100.0, "%"),
    ("min_confidence", "confidence, at least", 100.0, "%"),
    ("max_positions", "open positions, at most", 1.0, ""),
    ("max_daily_trades", "new trades a day, at most", 1.0, ""),
    ("max_slippage", "slippage, at most", 100.0, "%"),
    ("max_expected_shortfall", "expected shortfall a day, at most", 100.0, "%"),
)


def headline(document: Mapping[str, Any]) -> str:
    """Say in one line what a policy is."""
    state = "halted, only exits" if document["halt"]["active"] else document["mode"]
    names = ", ".join(document["allowed_strategies"]) or "no strategy"
    return f"{state}: {names} ({document['scope']}, version {document['version']}, {document['profile']} profile)"


def limits_table(document: Mapping[str, Any]) -> Table:
    """Return the limits."""
    rows = [
        {"limit": words, "value": f"{document['limits'][name] * factor:.4g} {unit}".strip()}
        for name, words, factor, unit in _LIMITS
    ]
    return Table(title="Limits", columns=_pair("limit", "value"), rows=tuple(rows))


def reasons_table(reasons: Sequence[Mapping[str, str]]) -> Table:
    """Return the reasons, in the order they were found."""
    rows = tuple({"code": reason["code"], "text": reason["text"]} for reason in reasons)
    return Table(title="Why", columns=_pair("code", "text"), rows=rows)


def health_table(health: Mapping[str, Any]) -> Table:
    """Return the readings; one that is not known says so."""
    rows = [
        {"reading": words, "value": None if health.get(name) is None else f"{_short(health[name])} {unit}".strip()}
        for name, words, unit in _READINGS
    ]
    ages = ", ".join(f"{name} {at}" for name, at in sorted(health.get("inputs_as_of", {}).items()))
    return Table(title="Health", columns=_pair("reading", "value"), rows=tuple(rows), note=f"As of: {ages or 'never'}.")


def rankings_rows(rankings: Mapping[str, Any], weights: Mapping[str, float]) -> Table:
    """Return the best scores, and why the others were left out."""
    rows: list[Mapping[str, Cell]] = [
        {
            "strategy": one["strategy_id"],
            "score": one["score"],
            "trades": one["total_trades"],
            "weight": weights.get(one["strategy_id"]),
            "left_out": _verdict(one, weights),
        }
        for one in rankings.get("best", [])
    ]
    columns = (
        Column(key="strategy", header="Strategy"),
        Column(key="score", header="Score", kind=Kind.SIGNED),
        Column(key="trades", header="Trades", kind=Kind.COUNT),
        Column(key="weight", header="Weight", kind=Kind.PERCENT),
        Column(key="left_out", header="Verdict"),
    )
    return Table(title="Strategies", columns=columns, rows=tuple(rows), empty="No strategy is known.")


def _verdict(one: Mapping[str, Any], weights: Mapping[str, float]) -> str:
    # While a book is halted, nobody is allowed, whoever qualifies.
    if one["left_out"] is None:
        return "allowed" if one["strategy_id"] in weights else "qualifies"
    return str(one["left_out"]).replace("_", " ")


def history_table(policies: Sequence[Mapping[str, Cell]]) -> Table:
    """Return policies, one per row."""
    columns = (
        Column(key="version", header="Version", kind=Kind.COUNT),
        Column(key="created_at", header="Made"),
        Column(key="mode", header="Mode"),
        Column(key="strategies", header="Strategies", kind=Kind.COUNT),
        Column(key="trigger", header="Trigger"),
        Column(key="actor", header="By"),
        Column(key="why", header="First reason"),
    )
    return Table(title="Policies", columns=columns, rows=tuple(policies), empty="No policy was made yet.")


def refusals_table(refused: Sequence[Mapping[str, Any]]) -> Table:
    """Return refused fills that wait for somebody."""
    columns = (
        Column(key="received_at", header="Received"),
        Column(key="execution_id", header="Execution"),
        Column(key="fill", header="Fill"),
        Column(key="reason", header="Why"),
    )
    rows = tuple(
        {
            "received_at": one["received_at"][:16],
            "execution_id": one["execution_id"],
            "fill": " ".join(str(one["body"].get(name, "")) for name in ("strategy_id", "side", "quantity", "symbol")),
            "reason": one["reason"],
        }
        for one in refused
    )
    return Table(title="Refused fills", columns=columns, rows=rows, empty="No refused fill waits for anybody.")


def executors_table(executors: Sequence[Mapping[str, Any]]) -> Table:
    """Return what executors run, and how far they are behind."""
    rows: list[Mapping[str, Cell]] = [
        {
            "executor": one["executor_id"],
            "version": one["version"],
            "behind": one["versions_behind"],
            "mode": one["mode"],
            "reasons": ", ".join(one["reasons"]) or "-",
            "seen": day(datetime.fromisoformat(one["received_at"])),
            "state": "silent" if one["silent"] else "reporting",
        }
        for one in executors
    ]
    columns = (
        Column(key="executor", header="Executor"),
        Column(key="version", header="Version", kind=Kind.COUNT),
        Column(key="behind", header="Behind", kind=Kind.COUNT),
        Column(key="mode", header="Mode"),
        Column(key="reasons", header="Why"),
        Column(key="seen", header="Seen"),
        Column(key="state", header="State"),
    )
    return Table(title="Executors", columns=columns, rows=tuple(rows), empty="No executor has reported.")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _pair(first: str, second: str) -> tuple[Column, ...]:
    return Column(key=first, header=first.capitalize()), Column(key=second, header=second.capitalize())

"""Tables of pages that no other surface shows: knobs, configurations, health beside its thresholds, scores."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.report.table import Cell, Column, Kind, Table


def facts(pairs: Iterable[tuple[str, str | None]], *, title: str = "") -> Table:
    """Return pairs of what and value."""
    return Table(
        title=title,
        columns=(Column(key="what", header="What"), Column(key="value", header="Value")),
        rows=tuple({"what": what.capitalize(), "value": value} for what, value in pairs),
    )


def knobs_table(knobs: Sequence[Knob], live: Mapping[str, str]) -> Table:
    """List declared knobs with their live values, bounds, and direction of risk."""
    return Table(
        title="Knobs",
        columns=(
            Column(key="knob", header="Knob"),
            Column(key="live", header="Live"),
            Column(key="type", header="Type"),
            Column(key="bounds", header="Bounds"),
            Column(key="step", header="Largest step"),
            Column(key="direction", header="Risk"),
            Column(key="changeable", header="May be changed"),
        ),
        rows=tuple(
            {
                "knob": knob.path,
                "live": live[knob.path],
                "type": knob.knob_type,
                "bounds": _bounds(knob),
                "step": "any" if knob.max_step is None else f"{knob.max_step:g}",
                "direction": str(knob.risk_direction).replace("_", " ").lower(),
                "changeable": "yes" if knob.changeable else "no",
            }
            for knob in knobs
        ),
        empty="No knob is declared, so nothing can be proposed.",
    )


def _bounds(knob: Knob) -> str:
    if knob.choices is not None:
        return ", ".join(json.dumps(choice, ensure_ascii=False) for choice in knob.choices)
    ends = ["none" if end is None else f"{end:g}" for end in (knob.lower, knob.upper)]
    return "none" if ends == ["none", "none"] else f"{ends[0]} to {ends[1]}"


def config_lines(config: Mapping[str, Any]) -> list[str]:
    """Write a configuration, one key per line."""
    return json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False).splitlines()


def health_table(metrics: Mapping[str, Any]) -> Table:
    """Set each reading beside the thresholds that a mode is chosen by."""
    drawdown, winrate, trend = metrics["drawdown"], metrics["winrate"], metrics["equity_trend"]
    regime, risk = metrics["market_regime"], metrics["risk_signals"]
    favourable = {True: "good", False: "neutral", None: "unknown"}[regime["favorable"]]
    rows: list[tuple[str, str | None, str, str]] = [
        (
            "Drawdown from the peak",
            _of(drawdown["current_pct"], "%"),
            "NORMAL up to 3 %, DEFENSIVE above 5 %",
            drawdown["status"],
        ),
        (
            "Win rate of closed trades",
            _of(winrate["current_pct"], "%"),
            "AGGRESSIVE above 60 %, NORMAL above 50 %, DEFENSIVE below 45 %",
            winrate["status"],
        ),
        (
            "Equity slope",
            _of(trend["slope_pct_per_day"], "% a day"),
            "rising above 0.3, falling below -0.3",
            trend["status"],
        ),
        ("Market regime", regime["current"], "a trend that the book is on the right side of", favourable),
        ("Volatility", regime["volatility"], "EXTREME is DEFENSIVE at once", _volatility(regime["volatility"])),
        ("Losses in a row", _of(risk["consecutive_losses"], ""), "a warning from 3, critical from 5", risk["status"]),
        (
            "Time without profit",
            _of(risk["days_since_profit"], "days"),
            "counted in the book's own time between trades; the reasons name the limit when it decides",
            "unknown" if risk["days_since_profit"] is None else "by its pace",
        ),
    ]
    return Table(
        title="Health against thresholds",
        columns=(
            Column(key="reading", header="Reading"),
            Column(key="value", header="Value"),
            Column(key="state", header="State"),
            Column(key="threshold", header="Thresholds"),
        ),
        rows=tuple(
            {"reading": name, "value": value, "state": state, "threshold": threshold}
            for name, value, threshold, state in rows
        ),
    )


def _volatility(level: str | None) -> str:
    return "unknown" if level is None else "critical" if level == "EXTREME" else "ok"


def _of(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:.3g} {unit}".strip()


def ranking_table(rankings: Sequence[Mapping[str, Any]]) -> Table:
    """List strategies by their score, and what it is made of."""
    parts = (
        ("profit_factor_score", "from profit factor"),
        ("winrate_score", "from win rate"),
        ("drawdown_score", "from drawdown"),
        ("volume_score", "from trades"),
        ("regime_bonus", "from regime"),
    )
    rows: list[Mapping[str, Cell]] = [
        {
            "rank": rank,
            "strategy": _named(one["strategy_id"], one["strategy_name"]),
            "score": one["score"],
            **{key: one["score_breakdown"][key] for key, _ in parts},
            "trades": one["metrics"]["total_trades"],
            "edge": one["edge_lower_bound"],
            "state": "active" if one["currently_active"] else "not chosen",
        }
        for rank, one in enumerate(rankings, start=1)
    ]
    return Table(
        title="Strategies by score",
        columns=(
            Column(key="rank", header="Rank", kind=Kind.COUNT),
            Column(key="strategy", header="Strategy"),
            Column(key="score", header="Score", kind=Kind.NUMBER),
            *(Column(key=key, header=header, kind=Kind.NUMBER) for key, header in parts),
            Column(key="trades", header="n", kind=Kind.COUNT),
            Column(key="edge", header="Edge, lower bound", kind=Kind.SIGNED),
            Column(key="state", header="Now"),
        ),
        rows=tuple(rows),
        note=(
            "The score is the sum of its five parts; n is the number of closed trades. Edge: of the Sharpe ratio per "
            "closed trade, after fees; by the default profile none is chosen whose lower bound is not above zero."
        ),
        empty="No strategy is known in this book.",
    )


def _named(identifier: str, name: str) -> str:
    return identifier if name == identifier else f"{identifier}: {name}"


def versions_table(versions: Sequence[Any]) -> Table:
    """List the versions of a configuration, the newest first."""
    from meta_pipeline.report.table import day

    return Table(
        title="Versions",
        columns=(
            Column(key="version", header="Version", kind=Kind.COUNT),
            Column(key="made", header="Made"),
            Column(key="by", header="By"),
            Column(key="action", header="How"),
            Column(key="change", header="Change"),
            Column(key="digest", header="Digest"),
        ),
        rows=tuple(
            {
                "version": one.version,
                "made": day(one.created_at),
                "by": one.created_by,
                "action": one.action,
                "change": one.change_id or "-",
                "digest": one.digest[:12],
            }
            for one in reversed(versions)
        ),
    )

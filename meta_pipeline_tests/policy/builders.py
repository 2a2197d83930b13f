"""Readings, trades and tables as the tests of the policy need them, small enough to read."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import strategies as st

from meta_pipeline.policy.evaluate import Inputs
from meta_pipeline.policy.fills import Fill
from meta_pipeline.policy.health import SystemHealth
from meta_pipeline.policy.modes import Regime, RiskMode, Volatility
from meta_pipeline.policy.risk_mode import ModeState
from meta_pipeline.policy.scores import StrategyTable, TradeColumns, tabulate

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FRESH = {"fills": NOW, "prices": NOW}


def health(**changes: Any) -> SystemHealth:
    """Return readings that speak for nothing: neither for DEFENSIVE nor for AGGRESSIVE."""
    readings: dict[str, Any] = {
        "drawdown_pct": 3.0,
        "winrate": 0.52,
        "equity_slope_pct_per_day": 0.1,
        "regime": Regime.RANGING,
        "volatility": Volatility.NORMAL,
        "exposure": 0.5,
        "consecutive_losses": 0,
        "days_since_profit": 0.0,
        "recent_trade_count": 100,
        "days_between_trades": 0.5,
        "as_of": dict(FRESH),
    }
    return SystemHealth(**{**readings, **changes})


def strong(**changes: Any) -> SystemHealth:
    """Return readings that speak for AGGRESSIVE in every respect."""
    good: dict[str, Any] = {
        "drawdown_pct": 0.5,
        "winrate": 0.65,
        "equity_slope_pct_per_day": 1.5,
        "regime": Regime.BULL_TRENDING,
    }
    return health(**{**good, **changes})


def in_mode(mode: RiskMode, *, hours: float = 100.0) -> ModeState:
    """Return the state of a mode that has held, calm, up to half an hour ago."""
    return ModeState(
        mode=mode,
        entered_at=NOW - timedelta(hours=hours),
        evaluated_at=NOW - timedelta(minutes=30),
        calm_seconds=3600 * hours,
        calm_looks=200,
    )


# Each reading with its worst value first: position in the list is how good it is.
SCALES: dict[str, list[Any]] = {
    "drawdown_pct": [None, float("nan"), 100.0, 20.0, 7.0, 6.5, 5.0, 4.99, 4.0, 3.0, 2.5, 2.0, 0.0],
    "winrate": [None, 0.0, 0.29, 0.32, 0.4, 0.4499, 0.45, 0.47, 0.48, 0.55, 0.57, 0.6, 0.9, 1.0],
    "equity_slope_pct_per_day": [None, -5.0, -2.1, -1.6, -0.51, -0.5, -0.3, 0.0, 0.8, 0.9, 1.0, 1.01, 3.0],
    "consecutive_losses": [None, 100, 8, 7, 5, 4, 3, 0],
    "days_since_profit": [None, 50.0, 10.0, 9.5, 3.0, 2.6, 2.0, 0.0],
    "volatility": [None, Volatility.EXTREME, Volatility.HIGH, Volatility.NORMAL],
    "regime": [
        None,
        Regime.LOW_LIQUIDITY,
        Regime.CHOPPY,
        Regime.RANGING,
        Regime.BULL_TRENDING,
    ],
    "recent_trade_count": [0, 29, 30, 200],
}


def positions() -> st.SearchStrategy[dict[str, int]]:
    """Draw how good each reading is."""
    return st.fixed_dictionaries({name: st.integers(0, len(values) - 1) for name, values in SCALES.items()})


def at(position: dict[str, int]) -> SystemHealth:
    """Return the readings at these positions."""
    return health(**{name: SCALES[name][index] for name, index in position.items()})


def columns(*strategies: Sequence[float], notional: float = 100.0) -> TradeColumns:
    """Return closed trades: one list of profits per strategy, an hour apart."""
    profits = np.concatenate([np.asarray(one, dtype=np.float64) for one in strategies]) if strategies else np.empty(0)
    own = np.repeat(np.arange(len(strategies)), [len(one) for one in strategies])
    hours = np.concatenate([np.arange(len(one)) for one in strategies]) if strategies else np.empty(0)
    start = np.datetime64("2026-11-01T00:00:00", "s")
    closed = start + hours.astype(np.int64) * np.timedelta64(3600, "s")
    order = np.argsort(closed, kind="stable")
    n = len(profits)
    return TradeColumns(
        strategies=own[order],
        closed_at=closed[order],
        pnl=profits[order],
        notional=np.full(n, notional),
        initial_risk=np.full(n, np.nan),
        long=np.ones(n, dtype=bool),
    )


def table(*strategies: Sequence[float], notional: float = 100.0) -> StrategyTable:
    """Return the statistics of strategies S0, S1, ... with these profits."""
    names = tuple(f"S{index}" for index in range(len(strategies)))
    return tabulate(columns(*strategies, notional=notional), names, now=np.datetime64("2026-11-20", "s"))


def inputs(statistics: StrategyTable | None = None, **changes: Any) -> Inputs:
    """Return what an evaluation looks at, in NORMAL mode unless said otherwise."""
    of = table() if statistics is None else statistics
    given: dict[str, Any] = {
        "now": NOW,
        "health": health(),
        "table": of,
        "returns": np.zeros((60, len(of))),
        "withheld": np.full(len(of), ""),
        "admitted": np.zeros(len(of), dtype=bool),
        "state": in_mode(RiskMode.NORMAL),
    }
    return Inputs(**{**given, **changes})


def fill(number: int, side: str, quantity: float, price: float, **changes: Any) -> Fill:
    """Return a fill of strategy A in X, so many minutes after the first."""
    given: dict[str, Any] = {
        "execution_id": f"e{number}",
        "strategy_id": "A",
        "symbol": "X",
        "side": side,
        "quantity": quantity,
        "price": price,
        "executed_at": NOW - timedelta(days=10) + timedelta(minutes=number),
    }
    return Fill(**{**given, **changes})


def steady(seed: int, n: int = 200, *, mean: float = 0.4, deviation: float = 1.0) -> list[float]:
    """Return profits of a strategy with an edge, from a seed."""
    return (mean + deviation * np.random.default_rng(seed).standard_normal(n)).tolist()  # type: ignore[no-any-return]

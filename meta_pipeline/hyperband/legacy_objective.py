"""The predecessor's composite score, to the last digit and with every one of its faults, for comparison only.

Belongs here: that score, as it was. Does not belong here: any use of it to choose (objective holds the repaired one).

Its faults, by their number in the tests of the predecessor's bugs: a drawdown of zero costs 0.2 and one of -30 %
nothing (5), volatility adds up to 0.1 (6), so that a flawless strategy scores 0.65 and misses the 0.70 that deployment
asks (7); every series is annualised by root 252 (8); persistence counts 28 rows for four weeks and has no benchmark
(9); efficiency counts purchases as losses (10); infinities and NaN vanish (11); two scores are compared by an absolute
0.05 (12).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WEIGHTS: Final[Mapping[str, float]] = {
    "sharpe_ratio": 0.4,
    "profit_factor": 0.3,
    "max_drawdown": -0.2,
    "alpha_persistence": 0.1,
    "trade_efficiency": 0.05,
    "volatility_penalty": -0.05,
}
FAILED: Final = -999.0
DEPLOYED_FROM: Final = 0.70
BETTER_BY: Final = 0.05
ROOT: Final = math.sqrt(252)


@dataclass(frozen=True, kw_only=True)
class LegacyRow:
    """One row of the predecessor's trades: purchases and sales stand apart, a purchase has no profit."""

    action: str
    value: float
    pnl: float | None = 0.0


@dataclass(frozen=True, kw_only=True)
class LegacyScore:
    """The predecessor's answer.

    Parameters
    ----------
    composite
        -999 without trades or equity.
    viable
        Whether its four thresholds hold.
    reason
        Which one does not, the first in its order.
    metrics
        Its figures by name.
    """

    composite: float
    viable: bool
    reason: str
    metrics: Mapping[str, float]


def legacy_score(trades: Sequence[LegacyRow], portfolio_values: Sequence[float]) -> LegacyScore:
    """Score as the predecessor did.

    Parameters
    ----------
    trades
        Rows in their order.
    portfolio_values
        Equity per bar.
    """
    if not trades or not len(portfolio_values):
        return LegacyScore(composite=FAILED, viable=False, reason="No trades or portfolio data", metrics={})
    equity = np.asarray(portfolio_values, dtype=np.float64)
    returns = _returns(equity)
    drawdown = float(np.min((equity - np.maximum.accumulate(equity)) / np.maximum.accumulate(equity)))
    metrics = {
        "sharpe_ratio": _sharpe(equity, returns),
        "profit_factor": _profit_factor(trades),
        "max_drawdown": drawdown,
        "alpha_persistence": _persistence(equity),
        "trade_efficiency": _efficiency(trades),
        "volatility_penalty": _volatility_penalty(returns),
        "sortino_ratio": _sortino(returns),
        "calmar_ratio": _calmar(equity, drawdown),
        "recovery_factor": 0.0 if abs(drawdown) <= 0.01 else (equity[-1] / equity[0] - 1.0) / abs(drawdown),
        "trade_consistency": _consistency(trades),
    }
    reason = _refused(len(trades), metrics)
    return LegacyScore(composite=composite(metrics), viable=not reason, reason=reason, metrics=metrics)


def composite(metrics: Mapping[str, float]) -> float:
    """Weigh six metrics as the predecessor did."""
    normalised = {
        "sharpe_ratio": _clip(metrics["sharpe_ratio"] / 3.0),
        "profit_factor": _clip((metrics["profit_factor"] - 1.0) / 2.0),
        "max_drawdown": _clip(1.0 + metrics["max_drawdown"] / 0.3),
        "alpha_persistence": _clip(metrics["alpha_persistence"]),
        "trade_efficiency": _clip(metrics["trade_efficiency"]),
        "volatility_penalty": metrics["volatility_penalty"],
    }
    return sum(weight * normalised[name] for name, weight in WEIGHTS.items())


def legacy_better(score_a: float, score_b: float) -> bool:
    """Return whether the predecessor calls B better than A."""
    return score_b - score_a > BETTER_BY


def volatility_penalty(volatility: float) -> float:
    """Return the penalty of an annual volatility: 0 up to 20 %, then down to -2."""
    return -min(math.exp(min(5.0 * max(0.0, volatility - 0.20), 50.0)) - 1.0, 2.0)


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _returns(equity: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        changes = equity[1:] / equity[:-1] - 1.0
    return changes[~np.isnan(changes)]


def _deviation(values: Floats) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _sharpe(equity: Floats, returns: Floats) -> float:
    spread = _deviation(returns)
    if len(equity) < 2 or not spread > 0.0:
        return 0.0
    return min(max(float(np.mean(returns)) / spread * ROOT, -5.0), 5.0)


def _profit_factor(trades: Sequence[LegacyRow]) -> float:
    if all(row.pnl is None for row in trades):
        gained = sum(row.value for row in trades if row.action == "SELL")
        lost = sum(row.value for row in trades if row.action == "BUY")
    else:
        gained = sum(row.pnl for row in trades if row.pnl is not None and row.pnl > 0)
        lost = -sum(row.pnl for row in trades if row.pnl is not None and row.pnl < 0)
    if lost == 0.0:
        return 10.0 if gained > 0.0 else 1.0
    return gained / lost


def _persistence(equity: Floats) -> float:
    if len(equity) < 56:
        return 0.0
    rolling = equity[28:] / equity[:-28] - 1.0
    return _clip(0.7 * float(np.mean(rolling > 0.0)) + 0.3 / (1.0 + float(np.std(rolling, ddof=1))))


def _efficiency(trades: Sequence[LegacyRow]) -> float:
    winners = sum((row.pnl or 0.0) > 0.0 for row in trades) / len(trades)
    return _clip(0.7 * winners + 0.3 / (1.0 + abs(len(trades) - 50) / 50.0))


def _volatility_penalty(returns: Floats) -> float:
    spread = _deviation(returns)
    return volatility_penalty(spread * ROOT) if np.isfinite(spread) else 0.0


def _sortino(returns: Floats) -> float:
    losses = returns[returns < 0.0]
    if not len(losses):
        return 5.0
    spread = _deviation(losses)
    return float(np.mean(returns)) * 252.0 / (spread * ROOT) if spread > 0.0 else 0.0


def _calmar(equity: Floats, drawdown: float) -> float:
    if abs(drawdown) <= 0.01 or len(equity) < 2:
        return 0.0
    growth = float(equity[-1] / equity[0]) ** (252.0 / len(equity)) - 1.0
    return float(growth / abs(drawdown))


def _consistency(trades: Sequence[LegacyRow]) -> float:
    if len(trades) < 2:
        return 0.5
    return 1.0 / (1.0 + _deviation(np.array([row.pnl or 0.0 for row in trades])))


def _refused(n_rows: int, metrics: Mapping[str, float]) -> str:
    checks = (
        (n_rows >= 10, f"Too few trades: {n_rows} < 10"),
        (metrics["sharpe_ratio"] >= 0.5, f"Sharpe ratio too low: {metrics['sharpe_ratio']:.2f} < 0.5"),
        (metrics["profit_factor"] >= 1.1, f"Profit factor too low: {metrics['profit_factor']:.2f} < 1.1"),
        (metrics["max_drawdown"] >= -0.30, f"Drawdown too deep: {metrics['max_drawdown']:.2f} < -0.30"),
    )
    return next((reason for holds, reason in checks if not holds), "")

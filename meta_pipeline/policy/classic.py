"""The predecessor's risk mode, exactly as documented: points by a table, no memory.

Belongs here: the profile `classic`, to the last boundary. Does not belong here: the default profile (risk_mode), which
takes the same table and adds what this one lacks.

A wrong unit, a gap or an old figure makes the mode DEFENSIVE here too: that is no rule of risk but one of reading.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from meta_pipeline.policy.health import SystemHealth
from meta_pipeline.policy.modes import Reason, Regime, RiskMode, Volatility

TOLERANCE: Final = 1e-9
"""A reading this close to a boundary is on it: a growth of exactly 1 % a day is computed as 1.0000000000000007."""

DEFENSIVE_AT: Final = 3
AGGRESSIVE_AT: Final = 2

HOT_AVERAGE: Final = 0.75
HOT_SYMBOL: Final = 0.70
COLD_AVERAGE: Final = 0.50
ALLOWED_SYMBOL: Final = 0.65
MOST_SYMBOLS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Table:
    """Thresholds of the point table. The defaults are the documented ones.

    Parameters
    ----------
    drawdown, winrate, slope, losses, days
        From where on a reading counts towards DEFENSIVE: drawdown in per cent, win rate as a fraction, slope in per
        cent per day, losses in a row, days without profit.
    good_drawdown, good_winrate, good_slope
        From where on it counts towards AGGRESSIVE.
    """

    drawdown: float = 5.0
    winrate: float = 0.45
    slope: float = -0.5
    losses: int = 5
    days: float = 3.0
    good_drawdown: float = 2.0
    good_winrate: float = 0.60
    good_slope: float = 1.0


DOCUMENTED: Final = Table()
TURBULENT: Final = frozenset({Volatility.HIGH, Volatility.EXTREME})
UNFAVOURABLE: Final = frozenset({Regime.CHOPPY, Regime.LOW_LIQUIDITY})
TRENDING: Final = frozenset({Regime.BULL_TRENDING, Regime.BEAR_TRENDING})


def at_least(value: float, bound: float) -> bool:
    """Say whether a value is on a bound or above it, rounding errors aside."""
    return value >= bound - TOLERANCE


def above(value: float, bound: float) -> bool:
    """Say whether a value is above a bound by more than a rounding error."""
    return value > bound + TOLERANCE


def defensive_points(health: SystemHealth, table: Table = DOCUMENTED) -> tuple[int, tuple[Reason, ...]]:
    """Count the points towards DEFENSIVE, 0..10; every reading must be known."""
    h = _known(health)
    found = [
        (2, "drawdown", at_least(h.drawdown, table.drawdown), f"drawdown {h.drawdown:.2f} % >= {table.drawdown:g} %"),
        (2, "winrate", above(table.winrate, h.winrate), f"win rate {h.winrate:.1%} < {table.winrate:.0%}"),
        (2, "slope", above(table.slope, h.slope), f"equity slope {h.slope:+.2f} %/day < {table.slope:+g}"),
        (1, "losses", h.losses >= table.losses, f"{h.losses} losses in a row >= {table.losses}"),
        (1, "no_profit", at_least(h.days, table.days), f"{h.days:.1f} days without profit >= {table.days:.3g}"),
        (1, "volatility", health.volatility in TURBULENT, f"volatility {health.volatility}"),
        (1, "regime", health.regime in UNFAVOURABLE, f"regime {health.regime}"),
    ]
    return _sum(found)


def aggressive_points(health: SystemHealth, table: Table = DOCUMENTED) -> tuple[int, tuple[Reason, ...]]:
    """Count the points towards AGGRESSIVE, 0..4; every reading must be known."""
    h = _known(health)
    found = [
        (
            1,
            "good_drawdown",
            at_least(table.good_drawdown, h.drawdown),
            f"drawdown {h.drawdown:.2f} % <= {table.good_drawdown:g} %",
        ),
        (
            1,
            "good_winrate",
            at_least(h.winrate, table.good_winrate),
            f"win rate {h.winrate:.1%} >= {table.good_winrate:.0%}",
        ),
        (
            1,
            "good_slope",
            above(h.slope, table.good_slope),
            f"equity slope {h.slope:+.2f} %/day > {table.good_slope:+g}",
        ),
        (1, "trend", health.regime in TRENDING, f"regime {health.regime}"),
    ]
    return _sum(found)


def classic_mode(health: SystemHealth) -> tuple[RiskMode, tuple[Reason, ...]]:
    """Decide by the documented table: DEFENSIVE from 3 points on, else AGGRESSIVE with 2 good ones and no bad one.

    Every reading must be known (`health.problems` is empty).
    """
    bad, why_bad = defensive_points(health)
    good, why_good = aggressive_points(health)
    if bad >= DEFENSIVE_AT:
        return RiskMode.DEFENSIVE, why_bad
    if good >= AGGRESSIVE_AT and bad == 0:
        return RiskMode.AGGRESSIVE, why_good
    return RiskMode.NORMAL, why_bad or why_good


def shift_by_opportunity(mode: RiskMode, opportunities: Mapping[str, float]) -> RiskMode:
    """Move the mode one step by how good the symbols look, as documented, but never out of DEFENSIVE.

    Parameters
    ----------
    opportunities
        Symbol -> score, 0..1, finite.
    """
    best = sorted(opportunities.values(), reverse=True)[:10]
    if not best:
        return mode
    average = sum(best) / len(best)
    hot = sum(score >= HOT_SYMBOL - TOLERANCE for score in opportunities.values())
    if at_least(average, HOT_AVERAGE) and hot >= 5:
        return mode if mode is RiskMode.DEFENSIVE else mode.one_up()
    if at_least(COLD_AVERAGE, average) or hot <= 2:
        return mode.one_down()
    return mode


def symbols_with_opportunity(opportunities: Mapping[str, float]) -> tuple[str, ...]:
    """Return the at most 20 symbols worth trading, the best first."""
    ranked: Sequence[tuple[str, float]] = sorted(opportunities.items(), key=lambda item: (-item[1], item[0]))
    return tuple(symbol for symbol, score in ranked if at_least(score, ALLOWED_SYMBOL))[:MOST_SYMBOLS]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    drawdown: float
    winrate: float
    slope: float
    losses: int
    days: float


def _known(health: SystemHealth) -> _Known:
    h = health
    assert h.drawdown_pct is not None
    assert h.winrate is not None
    assert h.equity_slope_pct_per_day is not None
    assert h.consecutive_losses is not None
    assert h.days_since_profit is not None
    return _Known(
        drawdown=h.drawdown_pct,
        winrate=h.winrate,
        slope=h.equity_slope_pct_per_day,
        losses=h.consecutive_losses,
        days=h.days_since_profit,
    )


def _sum(found: Sequence[tuple[int, str, bool, str]]) -> tuple[int, tuple[Reason, ...]]:
    met = [(points, Reason(code=code, text=text)) for points, code, holds, text in found if holds]
    return sum(points for points, _ in met), tuple(reason for _, reason in met)

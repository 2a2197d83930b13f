"""The health of the live book, as the policy judges it: eight readings with their units, and what is wrong with them.

Belongs here: the readings, and the refusal to take a wrong unit, a gap or an old figure for good health. Does not
belong here: how they are measured (measure), what they lead to (risk_mode, classic).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.policy.modes import Reason, Regime, Volatility

MAX_AGE: Final = timedelta(hours=96)
"""Oldest input that is still believed: a long weekend of a market that trades on weekdays."""

MAX_AHEAD: Final = timedelta(minutes=5)
"""How far an input's time may lie in the future: clocks of two machines differ, but not by more."""


@dataclass(frozen=True, kw_only=True)
class SystemHealth:
    """The readings at one moment. None: not known, which is never good.

    Parameters
    ----------
    drawdown_pct
        Present loss from the running peak of the book's unit value, in per cent, 0..100.
    winrate
        Share of closed trades that made money after fees, as a fraction 0..1.
    equity_slope_pct_per_day
        Slope of the logarithm of the unit value over calendar time, in per cent per day.
    regime, volatility
        Of the markets the book trades.
    exposure
        Net exposure, position value over equity: positive long, negative short; for a flat book the direction it
        has been trading in. It says whether a trend is with the book or against it.
    consecutive_losses
        Closed trades in a row, up to the latest, that lost.
    days_since_profit
        Days since the latest closed trade that made money.
    recent_trade_count
        Closed trades behind `winrate`.
    days_between_trades
        Mean time between them. A book that closes a trade a week goes longer without profit than one that closes ten
        a day, and is no worse for it.
    as_of
        Input -> when it was last known to be true, UTC: "fills" and "prices".
    remarks
        What was found on the way to the readings and forbids trusting them.
    """

    drawdown_pct: float | None = None
    winrate: float | None = None
    equity_slope_pct_per_day: float | None = None
    regime: Regime | None = None
    volatility: Volatility | None = None
    exposure: float | None = None
    consecutive_losses: int | None = None
    days_since_profit: float | None = None
    recent_trade_count: int | None = None
    days_between_trades: float | None = None
    as_of: dict[str, datetime] = field(default_factory=dict)
    remarks: tuple[Reason, ...] = ()

    def oldest_input(self) -> datetime | None:
        """Return the time of the oldest input, None where there is none."""
        return min(self.as_of.values(), default=None)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the readings as a JSON object; what is no finite number is null."""
        return {
            "drawdown_pct": _finite(self.drawdown_pct),
            "winrate_pct": _percent(self.winrate),
            "equity_slope_pct_per_day": _finite(self.equity_slope_pct_per_day),
            "regime": None if self.regime is None else str(self.regime),
            "volatility": None if self.volatility is None else str(self.volatility),
            "net_exposure": _finite(self.exposure),
            "consecutive_losses": self.consecutive_losses,
            "days_since_profit": _finite(self.days_since_profit),
            "recent_trade_count": self.recent_trade_count,
            "days_between_trades": _finite(self.days_between_trades),
            "inputs_as_of": {name: at.isoformat() for name, at in sorted(self.as_of.items())},
            "problems": [remark.to_json() for remark in self.remarks],
        }


# Reading -> (lowest, highest, what a value outside usually is).
_BOUNDS: Final = {
    "drawdown_pct": (0.0, 100.0, "per cent from the peak, not negative"),
    "winrate": (0.0, 1.0, "a fraction, 0.55 and not 55"),
    "equity_slope_pct_per_day": (-100.0, 100.0, "per cent per day"),
    "consecutive_losses": (0, 10**9, "a count"),
    "days_since_profit": (0.0, 36_525.0, "days"),
}
_NAMED: Final = {"regime": Regime, "volatility": Volatility}
INPUTS: Final = ("fills", "prices")


def problems(health: SystemHealth, *, now: datetime, max_age: timedelta = MAX_AGE) -> tuple[Reason, ...]:
    """Say everything that forbids trusting the readings; empty where nothing does.

    Parameters
    ----------
    now
        The time of the decision, UTC-aware.
    max_age
        Oldest input that is still believed.
    """
    return (*health.remarks, *_reading_problems(health), *_age_problems(health, now, max_age))


def _reading_problems(health: SystemHealth) -> Iterator[Reason]:
    for name, (low, high, unit) in _BOUNDS.items():
        value = getattr(health, name)
        if value is None:
            yield Reason(code=f"missing_{name}", text=f"{name} is not known")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            yield Reason(code=f"invalid_{name}", text=f"{name} is {value!r}, which is no number")
        elif not low <= value <= high:
            yield Reason(code=f"invalid_{name}", text=f"{name} is {value:g}; it must be {low:g} to {high:g}: {unit}")
    for name, known in _NAMED.items():
        value = getattr(health, name)
        if value is None:
            yield Reason(code=f"missing_{name}", text=f"the {name} is not known")
        elif value not in set(known):
            yield Reason(code=f"invalid_{name}", text=f"{name} {value!r} is not one of {', '.join(known)}")


def _age_problems(health: SystemHealth, now: datetime, max_age: timedelta) -> Iterator[Reason]:
    for name in INPUTS:
        at = health.as_of.get(name)
        if at is None:
            yield Reason(code=f"missing_{name}", text=f"there are no {name}")
        elif at.tzinfo is None:
            yield Reason(code=f"invalid_{name}", text=f"the time of the {name}, {at}, has no time zone")
        elif now - at > max_age:
            hours = (now - at) / timedelta(hours=1)
            yield Reason(
                code=f"stale_{name}",
                text=f"the {name} are {hours:.0f} hours old; at most {max_age / timedelta(hours=1):.0f} are believed",
            )
        elif at - now > MAX_AHEAD:
            yield Reason(code=f"stale_{name}", text=f"the {name} are dated {at}, after now; look at the clocks")


def _percent(fraction: float | None) -> float | None:
    known = _finite(fraction)
    return None if known is None else 100.0 * known


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)

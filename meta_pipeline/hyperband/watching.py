"""When a strategy that trades, on paper or with money, calls for somebody: triggers, each with figure and threshold.

Belongs here: the figures and what they are held against. Does not belong here: reading outcomes (store.search_watch),
and what anybody does about it: a trigger alerts, it changes nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.counted import counted

MINIMUM_DAYS: Final = 20
"""Days from which a Sharpe ratio is looked at: before, it says nothing but chance."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What outcomes are held against.

    Parameters
    ----------
    drawdown, total_return
        Fractions of the capital, negative: below these a trigger fires.
    sharpe_ratio
        Annual, from `MINIMUM_DAYS` on.
    losing_streak
        Closed trades in a row with a loss, at which a trigger fires.
    """

    drawdown: float = -0.20
    total_return: float = -0.10
    sharpe_ratio: float = 0.0
    losing_streak: int = 8


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """One figure beside its threshold. `value` is None where it is unknown: then it is not said to be well."""

    name: str
    value: float | None
    threshold: float
    fired: bool
    reason: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return the trigger as a JSON object."""
        return dict(asdict(self))


def triggers(
    returns: NDArray[np.float64],
    profits: Sequence[float],
    *,
    periods_per_year: float,
    limits: Limits | None = None,
    since: str = "",
) -> tuple[Trigger, ...]:
    """Hold the outcomes of a strategy against its limits.

    Parameters
    ----------
    returns
        Shape (n_days,): simple net returns on the capital, finite.
    profits
        Of the closed trades, in their order; negative is a loss.
    since
        Where the days come from, for the reasons.
    """
    wanted = limits or Limits()
    n = len(returns)
    seen = f"{counted(n, 'day')}{since}"
    equity = np.cumprod(1.0 + returns)
    depth = float((equity / np.maximum(np.maximum.accumulate(equity), 1.0) - 1.0).min()) if n else None
    total = float(equity[-1] - 1.0) if n else None
    ratio = None
    spread = float(returns.std(ddof=1)) if n >= MINIMUM_DAYS else 0.0
    if spread > 0.0:
        ratio = float(returns.mean()) / spread * float(np.sqrt(periods_per_year))
    streak = longest = 0
    for profit in profits:
        streak = streak + 1 if profit < 0 else 0
        longest = max(longest, streak)
    count = float(streak) if len(profits) else None
    return (
        _below("drawdown", depth, wanted.drawdown, f"deepest fall below the highest equity, over {seen}"),
        _below("return", total, wanted.total_return, f"compounded over {seen}"),
        _below("Sharpe ratio", ratio, wanted.sharpe_ratio, f"annual, over {seen}; looked at from {MINIMUM_DAYS} on"),
        Trigger(
            name="losing streak",
            value=count,
            threshold=float(wanted.losing_streak),
            fired=count is not None and count >= wanted.losing_streak,
            reason=(
                f"losses in a row up to the last of {counted(len(profits), 'closed trade')}; the longest was {longest}"
            ),
        ),
    )


def _below(name: str, value: float | None, threshold: float, reason: str) -> Trigger:
    return Trigger(
        name=name, value=value, threshold=threshold, fired=value is not None and value < threshold, reason=reason
    )

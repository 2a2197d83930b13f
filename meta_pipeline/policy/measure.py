"""From the book, its closed trades and its markets to the eight readings of health.

Belongs here: which figure is computed from what. Does not belong here: what the figures lead to.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from meta_pipeline.policy.book import Book
from meta_pipeline.policy.equity import SECONDS_A_DAY, drawdown_pct, last_step_is_wild, slope_pct_per_day
from meta_pipeline.policy.health import MAX_AGE, SystemHealth
from meta_pipeline.policy.market import MarketView
from meta_pipeline.policy.modes import Reason
from meta_pipeline.policy.scores import TradeColumns

WINRATE_TRADES: Final = 200
"""The latest closed trades that the win rate is taken over, as documented."""

SLOPE_DAYS: Final = 30

SAME_LOOK: Final = 0.05
"""Two looks at the equity that differ by less than this confirm each other."""


def measure(
    book: Book,
    trades: TradeColumns,
    market: MarketView,
    *,
    now: datetime,
    as_of: Mapping[str, datetime],
    last_equity: float | None = None,
    remarks: tuple[Reason, ...] = (),
    max_age: timedelta = MAX_AGE,
) -> SystemHealth:
    """Take the readings.

    Parameters
    ----------
    trades
        Closed trades in order of time.
    as_of
        Input -> when it was last known to be true.
    last_equity
        What the evaluation before saw: a second look confirms a wild step.
    remarks
        What the caller knows to be wrong with the inputs.
    max_age
        Oldest price that an open position may be valued at.
    """
    found = (
        *remarks,
        *book.remarks,
        *market.remarks,
        *_stale_marks(book, now, max_age),
        *_wild_step(book, last_equity),
    )
    seconds = (book.days - book.days[0]).astype(np.float64) * SECONDS_A_DAY
    # The last day is not over: its value is that of now.
    today = datetime.combine(book.days[-1].item(), datetime.min.time(), tzinfo=UTC)
    seconds[:-1] += SECONDS_A_DAY
    seconds[-1] += max((now - today).total_seconds(), 1.0)
    window = slice(-SLOPE_DAYS - 1, None)
    n_recent = min(len(trades), WINRATE_TRADES)
    return SystemHealth(
        drawdown_pct=drawdown_pct(book.unit_values),
        winrate=float(np.mean(trades.pnl[-n_recent:] > 0)) if n_recent else None,
        equity_slope_pct_per_day=slope_pct_per_day(seconds[window], book.unit_values[window]),
        regime=market.regime,
        volatility=market.volatility,
        exposure=_exposure(book, trades),
        consecutive_losses=losing_streak(trades) if n_recent else None,
        days_since_profit=days_since_profit(trades, now),
        recent_trade_count=n_recent,
        days_between_trades=_pace(trades, n_recent, now),
        as_of=dict(as_of),
        remarks=found,
    )


def losing_streak(trades: TradeColumns) -> int:
    """Count the losses since the last winning trade; a trade that made nothing neither counts nor ends the streak."""
    wins = np.flatnonzero(trades.pnl > 0)
    after = int(wins[-1]) + 1 if len(wins) else 0
    return int(np.count_nonzero(trades.pnl[after:] < 0))


def days_since_profit(trades: TradeColumns, now: datetime) -> float | None:
    """Return the days since the last winning trade was closed; without one, since the first trade was.

    None without any trade.
    """
    if not len(trades):
        return None
    wins = np.flatnonzero(trades.pnl > 0)
    return _days_since(trades, int(wins[-1]) if len(wins) else 0, now)


def _pace(trades: TradeColumns, n_recent: int, now: datetime) -> float | None:
    """Return the mean time between the latest closed trades, in days; None with fewer than two."""
    return _days_since(trades, len(trades) - n_recent, now) / n_recent if n_recent > 1 else None


def _days_since(trades: TradeColumns, index: int, now: datetime) -> float:
    moment = datetime.fromtimestamp(int(trades.closed_at[index].astype("datetime64[s]").astype(np.int64)), UTC)
    return max((now - moment) / timedelta(days=1), 0.0)


def _exposure(book: Book, trades: TradeColumns) -> float | None:
    """Return how the book stands; a flat one stands the way it has been trading."""
    if book.open_positions:
        return book.exposure
    recent = slice(-WINRATE_TRADES, None)
    notional = trades.notional[recent]
    total = float(notional.sum())
    if not len(notional) or not np.isfinite(total) or total <= 0:
        return None
    return float(notional @ np.where(trades.long[recent], 1.0, -1.0)) / total


def _stale_marks(book: Book, now: datetime, max_age: timedelta) -> tuple[Reason, ...]:
    old = [
        symbol
        for symbol, day in book.marks_as_of.items()
        if now - datetime.combine(day.astype("datetime64[D]").item(), datetime.min.time(), tzinfo=UTC)
        > max_age + timedelta(days=1)
    ]
    if not old:
        return ()
    hours = max_age / timedelta(hours=1)
    text = f"open positions in {', '.join(sorted(old)[:5])} are valued at prices older than {hours:g} hours"
    return (Reason(code="stale_marks", text=text),)


def _wild_step(book: Book, last_equity: float | None) -> tuple[Reason, ...]:
    if not last_step_is_wild(book.unit_values):
        return ()
    if last_equity is not None and last_equity > 0 and abs(book.equity / last_equity - 1.0) < SAME_LOOK:
        return ()
    text = "the last step of the equity is wild, and no second look confirms it yet"
    return (Reason(code="unconfirmed_equity", text=text),)

"""The held-back years, replayed as live trading: the trades of a strategy as fills, the market's closes as prices.

The days are real and in order, but moved: whole weeks are added, so that the replay goes on up to now. Nothing else
differs from what the strategy would have done then. Belongs here: trades -> fills. Does not belong here: the book they
go into (store).
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import numpy as np

from meta_pipeline.errors import InputError
from meta_pipeline.lab.prices import MARKETS, load_prices, market_named
from meta_pipeline.lab.replay import trades
from meta_pipeline.lab.strategy import Config
from meta_pipeline.policy.fills import Fill
from meta_pipeline.policy.prices import Price

CLOSE_AT: Final = time(21, tzinfo=UTC)
"""When a day's close is known, and trades at the close are filled."""

FIRST_DAY: Final = date(2016, 1, 4)
LAST_FIRST_DAY: Final = date(2017, 12, 29)
"""The replay begins at the first, and at its first run goes up to the second: a year of days is left to go on with."""


def days_to_move(now: datetime) -> int:
    """Return by how many days, whole weeks, the replay is moved if it is begun at `now`."""
    return (now.date() - LAST_FIRST_DAY).days // 7 * 7


def original_end(now: datetime, moved: int) -> date:
    """Return the last original day that is over at `now`.

    Raises
    ------
    InputError
        If the held-back days are used up.
    """
    last = now - timedelta(days=moved)
    end = last.date() if last.timetz() >= CLOSE_AT else last.date() - timedelta(days=1)
    ends = min(load_prices(market).dates[-1].item() for market in MARKETS)
    if end > ends:
        raise InputError(
            f"the held-back days end on {ends}, and the replay has come to {end}; begin a new one in another scope"
        )
    return end


def live_fills(
    strategy_id: str, config: Config, market_id: str, *, end: date, moved: int, capital: float
) -> list[Fill]:
    """Return what a strategy would have filled in a market from `FIRST_DAY` to an original day, moved.

    Parameters
    ----------
    capital
        What the strategy trades with in this market at the beginning, in money.
    """
    market = market_named(market_id)
    found = []
    for trade in trades(strategy_id, config, market_id, FIRST_DAY, end, capital=capital):
        at = moved_close(trade.trade_date, moved)
        found.append(
            Fill(
                execution_id=f"lab:{strategy_id}:{market_id}:{trade.trade_date}",
                strategy_id=strategy_id,
                symbol=market_id,
                side=trade.direction,
                quantity=trade.size,
                price=trade.price,
                fee=market.cost * trade.size * abs(trade.price),
                executed_at=at,
            )
        )
    return found


def live_prices(market_ids: Sequence[str], *, end: date, moved: int) -> list[Price]:
    """Return the markets' closes of four years up to an original day, moved."""
    found = []
    for market_id in market_ids:
        prices = load_prices(market_id).until(end)
        recent = prices.dates >= np.datetime64(end - timedelta(days=4 * 365), "D")
        found += [
            Price(symbol=market_id, at=moved_close(day, moved), close=float(close))
            for day, close in zip(prices.dates[recent].tolist(), prices.closes[recent].tolist(), strict=True)
        ]
    return found


def moved_close(day: date, moved: int) -> datetime:
    """Return when an original day's close is known in the replay."""
    return datetime.combine(day + timedelta(days=moved), CLOSE_AT)

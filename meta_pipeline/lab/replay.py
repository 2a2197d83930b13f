"""Replay one configuration on any days, the held-back ones included: its returns, or its trades."""

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests.run import Trade
from meta_pipeline.errors import InputError
from meta_pipeline.lab.backtest import backtest
from meta_pipeline.lab.campaign import returns_in
from meta_pipeline.lab.catalogue import strategy_named
from meta_pipeline.lab.prices import load_prices, market_named
from meta_pipeline.lab.strategy import Config
from meta_pipeline.lab.window import checked_window


def replay(
    strategy_id: str, config: Config, market: str, start: date, end: date
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Backtest one configuration on the days from `start` to `end`, both inclusive.

    This is the lab's registered backtest: what judges outcomes calls it for the old and the new configuration.

    Returns
    -------
    dates, returns
        Both of shape (n_days,): the trading days, datetime64[D], and the simple net return of each.

    Raises
    ------
    InputError
        For an unknown strategy or market, a configuration that breaks the declaration, or a window that cannot be
        simulated.
    """
    dates, returns = replay_many(strategy_id, [config], market, start, end)
    return dates, np.ascontiguousarray(returns[:, 0])


def replay_many(
    strategy_id: str, configs: Sequence[Config], market: str, start: date, end: date
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Replay many configurations at once: as `replay`, with returns of shape (n_days, n_configs)."""
    strategy, place = strategy_named(strategy_id), market_named(market)
    window = checked_window(place, load_prices(market), start, end)
    return returns_in(strategy, configs, place, window)


def trades(
    strategy_id: str, config: Config, market: str, start: date, end: date, *, capital: float = 1_000_000.0
) -> list[Trade]:
    """List the trades behind a replay, in order of time.

    Parameters
    ----------
    capital
        Equity at the close before `start`, in the market's currency. Sizes follow equity before costs.

    Returns
    -------
    Trades at closes: direction BUY or SELL, size in units (index points' worth, barrels), price per unit. The
    first one opens the position that the strategy arrives with, and is dated the close before the window. A trade
    decided and executed inside the window that only earns after it is left out, as are the returns it earns.

    Raises
    ------
    InputError
        As `replay`, and if capital is not positive.
    """
    if not capital > 0.0:
        raise InputError(f"capital is {capital}; it must be positive")
    strategy, place = strategy_named(strategy_id), market_named(market)
    window = checked_window(place, load_prices(market), start, end)
    paths = backtest(strategy, [config], place, load_prices(market).until(window.end))
    first = int(np.searchsorted(paths.dates, np.datetime64(window.start, "D")))
    exposure = paths.exposures[first:, 0]
    opening = paths.opening_closes[first:]
    gross = exposure * (paths.closes[first:] / opening - 1.0)
    equity = capital * np.concatenate([[1.0], np.cumprod(1.0 + gross)[:-1]])
    units = exposure * equity / opening
    steps = np.diff(units, prepend=0.0)
    traded = paths.turnovers[first:, 0] > 0.0
    traded[0] = units[0] != 0.0
    return [
        Trade(
            trade_date=paths.opening_dates[first + day].item(),
            ticker=market,
            direction="BUY" if steps[day] > 0.0 else "SELL",
            size=float(abs(steps[day])),
            price=float(opening[day]),
        )
        for day in np.flatnonzero(traded)
    ]

"""The backtester: from the wish of each day to positions, turnover and net returns.

Timing, the same in every market: the wish is formed at the close of day t from closes up to t, traded at the
close of t+1, and earns from there on (its first return is that of t+2). Opens are not used: WTI has none, and the
S&P 500's opens of these years repeat the close before on two days of five, so nobody could have traded at them.

Accounting: exposure is a multiple of equity and drifts with prices between trades, as a real holding does.
Prices are of an index and of spot oil: dividends, financing, and the roll of futures are left out, on both sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.lab.indicators import Indicators
from meta_pipeline.lab.prices import WARM_UP, Market, Prices
from meta_pipeline.lab.strategy import Config, LabStrategy

DELAY: Final = 2
"""Days from the close at which a position is decided to the end of the first day on which it earns."""

REBALANCE_BAND: Final = 0.1
"""A holding is left alone until it is this far from what is wished, relative to the larger of the two."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Paths:
    """What n configs did, day by day, from the first day that can be simulated.

    Parameters
    ----------
    dates
        Shape (n_days,), datetime64[D]: the day whose close ends the return.
    returns
        Shape (n_days, n_configs): simple net return of each day, as a fraction of equity.
    exposures
        Same shape: holding during the day, as a multiple of equity, negative for short.
    turnovers
        Same shape, not negative: value traded at the close before, as a multiple of equity. Its cost is in the
        return of this day.
    closes
        Shape (n_days,): the close that ends each day.
    opening_closes
        Shape (n_days,): the close before, at which the day's holding was traded.
    opening_dates
        Shape (n_days,): its day.
    """

    dates: NDArray[np.datetime64]
    returns: NDArray[np.float64]
    exposures: NDArray[np.float64]
    turnovers: NDArray[np.float64]
    closes: NDArray[np.float64]
    opening_closes: NDArray[np.float64]
    opening_dates: NDArray[np.datetime64]


def backtest(
    strategy: LabStrategy, configs: Sequence[Config], market: Market, prices: Prices, *, cost: float | None = None
) -> Paths:
    """Run many configurations of one strategy over one market's closes.

    Parameters
    ----------
    cost
        Cost as a fraction of the traded value; None takes the market's.

    Raises
    ------
    InputError
        If a configuration breaks the strategy's declaration, or there are too few closes.
    """
    if len(prices.closes) <= WARM_UP:
        raise InputError(
            f"{market.market_id} has {len(prices.closes)} closes up to the end of the window, and the first return "
            f"needs {WARM_UP + 1}; end later"
        )
    columns = strategy.columns(configs)
    indicators = Indicators(prices.closes)
    wish = strategy.directions(indicators, columns, WARM_UP - DELAY)
    sizes = full_positions(
        indicators.daily_volatility * np.sqrt(market.periods_per_year),
        columns["target_volatility"],
        columns["leverage_cap"],
    )
    goals = (wish * sizes)[WARM_UP - DELAY : len(wish) - DELAY]
    changes = indicators.returns[WARM_UP:]
    exposures, turnovers = hold(goals, changes)
    charged = market.cost if cost is None else cost
    return Paths(
        dates=prices.dates[WARM_UP:],
        returns=exposures * changes[:, None] - charged * turnovers,
        exposures=exposures,
        turnovers=turnovers,
        closes=prices.closes[WARM_UP:],
        opening_closes=prices.closes[WARM_UP - 1 : -1],
        opening_dates=prices.dates[WARM_UP - 1 : -1],
    )


def full_positions(
    volatility: NDArray[np.float64], target: NDArray[np.float64], cap: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Size a full position: target over estimated volatility, at most the cap.

    Parameters
    ----------
    volatility
        Shape (n_days,), annualised. Where it is zero or unknown the position is zero: what cannot be measured is
        not held.
    target, cap
        Shape (n_configs,).

    Returns
    -------
    Shape (n_days, n_configs), multiples of equity.
    """
    known = np.isfinite(volatility) & (volatility > 0.0)
    sizes = np.minimum(target / np.where(known, volatility, 1.0)[:, None], cap)
    sizes[~known] = 0.0
    return sizes


def hold(goals: NDArray[np.float64], changes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Follow the goals with as few trades as the rebalance band allows.

    Parameters
    ----------
    goals
        Shape (n_days, n_configs): exposure wished for each day, known when the day begins.
    changes
        Shape (n_days,): the market's return of each day.

    Returns
    -------
    exposures, turnovers
        Both of the shape of `goals`. Costs are paid from outside the holding, so that turnover does not depend on
        them. Equity that is gone stays gone: after a loss of everything the exposure is zero.
    """
    exposures, turnovers = np.empty_like(goals), np.empty_like(goals)
    held = np.zeros(goals.shape[1])
    solvent = np.ones(goals.shape[1])
    for day in range(len(goals)):
        goal = goals[day] * solvent
        trades = np.abs(goal - held) > REBALANCE_BAND * np.maximum(np.abs(goal), np.abs(held))
        exposure = np.where(trades, goal, held)
        exposures[day] = exposure
        turnovers[day] = np.abs(exposure - held)
        growth = 1.0 + exposure * changes[day]
        solvent = np.where(growth > 0.0, solvent, 0.0)
        held = exposure * solvent * (1.0 + changes[day]) / np.where(growth > 0.0, growth, 1.0)
    return exposures, turnovers

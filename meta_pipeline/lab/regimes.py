"""The regime of a market on each day: direction and turbulence, as known before the day begins."""

import bisect
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.lab.indicators import Indicators
from meta_pipeline.lab.prices import WARM_UP, Prices, load_prices

TREND_DAYS: Final = 200
"""UP while the close is above the average of this many days: the average most often looked at."""

TURBULENT_QUANTILE: Final = 2.0 / 3.0
"""TURBULENT while the volatility estimate is above this quantile of all its own past."""

LABELS: Final = ("CALM_UP", "CALM_DOWN", "TURBULENT_UP", "TURBULENT_DOWN")


def regimes(market: str, *, end: date | None = None) -> tuple[NDArray[np.datetime64], NDArray[np.str_]]:
    """Label the days of a market.

    Filtered, never smoothed: the label of day t is a function of the closes before t, so that slicing the return
    of t by it looks at nothing that was unknown when t began.

    Parameters
    ----------
    end
        Last day, inclusive. None: all days there are; a longer history does not change earlier labels.

    Returns
    -------
    dates, labels
        Both of shape (n_days,), from the first day that can be simulated; labels are among LABELS.

    Raises
    ------
    InputError
        If the market is unknown.
    """
    prices = load_prices(market)
    return label_days(prices if end is None else prices.until(end))


def label_days(prices: Prices) -> tuple[NDArray[np.datetime64], NDArray[np.str_]]:
    """Label the days of any price series, from close number WARM_UP on."""
    indicators = Indicators(prices.closes)
    up = prices.closes > indicators.average(TREND_DAYS)
    turbulent = _above_own_past(indicators.daily_volatility)
    state = np.where(turbulent, 2, 0) + np.where(up, 0, 1)
    return prices.dates[WARM_UP:], np.array(LABELS)[state[WARM_UP - 1 : -1]]


def _above_own_past(estimate: NDArray[np.float64]) -> NDArray[np.bool_]:
    past: list[float] = []
    above = np.zeros(len(estimate), dtype=bool)
    for day, value in enumerate(estimate.tolist()):
        if np.isnan(value):
            continue
        bisect.insort(past, value)
        above[day] = value > past[int(TURBULENT_QUANTILE * (len(past) - 1))]
    return above

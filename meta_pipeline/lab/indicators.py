"""Indicators of daily closes, each computed once per parameter.

Causal, bit for bit: row t is a function of the closes up to and including day t, computed from
windows that hold no other day (no running sums, whose rounding would carry one day into the next).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]

VOLATILITY_CENTRE_OF_MASS: Final = 60.0
"""Days. Moskowitz, Ooi and Pedersen (2012), equation 1, estimate volatility with this weight."""


class Indicators:
    """What the strategies look at, of one market's closes.

    Parameters
    ----------
    closes
        Shape (n_days,), positive and finite.

    Notes
    -----
    Every indicator has shape (n_days,) and is NaN on the first days, where its window is not full.
    """

    def __init__(self, closes: Series) -> None:
        self.closes = closes
        self.returns: Series = np.concatenate([[np.nan], closes[1:] / closes[:-1] - 1.0])
        self._cache: dict[tuple[str, int], Series] = {}
        self._volatility: Series | None = None

    def average(self, days: int) -> Series:
        """Average the last `days` closes, today's included."""
        return self._cached("average", days, lambda window: window.mean(axis=1), lag=0)

    def deviation(self, days: int) -> Series:
        """Score today's close, in standard deviations from the average of the last `days`, today's included (ddof 1).

        NaN where these closes are all the same.
        """

        def score(window: Series) -> Series:
            spread = window.std(axis=1, ddof=1)
            flat = window.max(axis=1) == window.min(axis=1)
            scores: Series = (window[:, -1] - window.mean(axis=1)) / np.where(flat, np.nan, spread)
            return scores

        return self._cached("deviation", days, score, lag=0)

    def highest(self, days: int) -> Series:
        """Find the highest of the `days` closes before today."""
        return self._cached("highest", days, lambda window: window.max(axis=1), lag=1)

    def lowest(self, days: int) -> Series:
        """Find the lowest of the `days` closes before today."""
        return self._cached("lowest", days, lambda window: window.min(axis=1), lag=1)

    @property
    def daily_volatility(self) -> Series:
        """Exponentially weighted standard deviation of daily returns, per day, today's return included.

        Weights fall by com / (1 + com) a day and sum to one; the mean is taken as zero, which over days it is.
        """
        if self._volatility is None:
            decay = VOLATILITY_CENTRE_OF_MASS / (1.0 + VOLATILITY_CENTRE_OF_MASS)
            squares, weights = 0.0, 0.0
            estimate = np.full(len(self.closes), np.nan)
            for day, change in enumerate(self.returns[1:].tolist(), start=1):
                squares = decay * squares + change * change
                weights = decay * weights + 1.0
                estimate[day] = np.sqrt(squares / weights)
            self._volatility = estimate
        return self._volatility

    def by_config(self, indicator: Callable[[int], Series], days: NDArray[np.float64]) -> Series:
        """Lay an indicator out for many configs: shape (n_days, n_configs), column i for `days[i]`."""
        levels, level_of = np.unique(days, return_inverse=True)
        stack = np.stack([indicator(int(level)) for level in levels], axis=1)
        return np.ascontiguousarray(stack[:, level_of])

    def _cached(self, name: str, days: int, reduce: Callable[[Series], Series], *, lag: int) -> Series:
        series = self._cache.get((name, days))
        if series is None:
            series = np.full(len(self.closes), np.nan)
            source = self.closes[: len(self.closes) - lag]
            if len(source) >= days:
                series[days - 1 + lag :] = reduce(np.lib.stride_tricks.sliding_window_view(source, days))
            self._cache[name, days] = series
        return series

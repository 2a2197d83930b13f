"""What the forests look at: thirty features of one symbol's bars, causal and without a scale.

Belongs here: the features, their names and their meaning. Does not belong here: what is predicted (labels).

Row t is a function of the bars up to and including t. No feature is a price: moves are measured in the symbol's own
volatility or average true range, so that symbols of any price can share a forest. Rows whose windows are not full, or
in which nothing moves, hold NaN; nothing is filled in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.hyperband.bars import Bars

Floats = NDArray[np.float64]

FEATURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "momentum_1": "log return of the last bar, over the volatility of 20 bars",
        "momentum_4": "log return of 4 bars, over the volatility of 20 bars times 2",
        "momentum_12": "log return of 12 bars, over the volatility of 20 bars times root 12",
        "momentum_48": "log return of 48 bars, over the volatility of 20 bars times root 48",
        "momentum_strength": "log return of 4 bars less its mean of 100 bars, in standard deviations of 100 bars",
        "rsi_14": "share of the gains among all moves of 14 bars, 0 to 1 (relative strength index, simple means)",
        "macd": "exponential means of 12 less 26 closes, over the average true range",
        "macd_histogram": "macd less its exponential mean of 9 bars",
        "bollinger_position": "close less its mean of 20, over two standard deviations of these closes",
        "bollinger_width": "standard deviation of 20 closes over their mean, relative to its mean of 100 bars",
        "volume_ratio": "volume over its mean of 20 bars (only where there is a volume)",
        "higher_high": "high less the highest of the 20 bars before, over the average true range",
        "higher_low": "low less the lowest of the 20 bars before, over the average true range",
        "market_structure": "share of higher highs less share of lower lows in 10 bars, -1 to 1",
        "volatility_20": "standard deviation of 20 log returns",
        "volatility_ratio": "volatility of 20 bars over that of 100",
        "atr_14": "average true range of 14 bars over the close",
        "hour": "hour of the day, UTC (only where bars are shorter than a day)",
        "weekday": "day of the week, Monday 0",
        "trend_strength": "distance of the mean of 10 closes from that of 20, over the average true range",
        "price_vs_sma10": "close less its mean of 10, over the average true range",
        "price_vs_sma50": "close less its mean of 50, over the average true range",
        "success_score": "share of these that hold: strong momentum, rising structure, volume, RSI, and trend",
        "close_location": "where the close lies between low and high, 0 to 1; 0.5 where they are the same",
        "gap": "open less the close before, over the average true range",
        "donchian_position": "where the close lies between the lowest and the highest of 50 closes, 0 to 1",
        "efficiency_ratio": "net move of 20 bars over the sum of their moves, 0 to 1 (Kaufman)",
        "drawdown": "log distance of the close below the highest of 100, over the volatility of 20 bars times 10",
        "skewness": "skewness of 50 log returns (population moments)",
        "autocorrelation": "correlation of log returns with those a bar before, 20 pairs",
    }
)
"""Name -> what it is. 30 where there are volumes and hours, 28 at least."""

STRONG_MOMENTUM: Final = 1.78  # standard deviations; the predecessor's figure
OVERBOUGHT: Final = 0.70
WARM_UP: Final = 118
"""Bars before the first row that can be complete: 100 widths of 20 closes each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """The features of one symbol.

    Parameters
    ----------
    names
        Of the columns.
    values
        Shape (n_bars, n_features), float64; NaN where a feature does not exist.
    """

    names: tuple[str, ...]
    values: Floats

    def column(self, name: str) -> Floats:
        """Return one feature, shape (n_bars,)."""
        return self.values[:, self.names.index(name)]


def features(bars: Bars) -> Features:
    """Compute the features of one symbol's bars."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = _moves(bars) | _price_shape(bars) | _calendar(bars)
        if bars.volume is not None:
            found["volume_ratio"] = bars.volume / _mean(bars.volume, 20)
        found["success_score"] = _success_score(found)
    names = tuple(name for name in FEATURES if name in found)
    values = np.column_stack([found[name] for name in names])
    values[~np.isfinite(values)] = np.nan
    return Features(names=names, values=values)


def volatility(bars: Bars, window: int = 20) -> Floats:
    """Return the standard deviation (ddof 1) of the last `window` log returns, per bar, shape (n_bars,).

    NaN on the first `window` bars, and where no price moved.
    """
    spread = _deviation(_log_returns(bars.close), window)
    spread[spread == 0.0] = np.nan
    return spread


def _moves(bars: Bars) -> dict[str, Floats]:
    logs, steps = np.log(bars.close), _log_returns(bars.close)
    sigma = volatility(bars)
    found = {f"momentum_{k}": _change(logs, k) / (sigma * np.sqrt(k)) for k in (1, 4, 12, 48)}
    four = _change(logs, 4)
    found["momentum_strength"] = (four - _mean(four, 100)) / _deviation(four, 100)
    gains, losses = _mean(np.maximum(steps, 0.0), 14), _mean(np.maximum(-steps, 0.0), 14)
    found["rsi_14"] = gains / (gains + losses)
    found["volatility_20"] = sigma
    found["volatility_ratio"] = sigma / _deviation(steps, 100)
    found["efficiency_ratio"] = np.abs(_change(logs, 20)) / (20.0 * _mean(np.abs(steps), 20))
    found["drawdown"] = (logs - _highest(logs, 100)) / (10.0 * sigma)
    found["skewness"] = _skewness(steps, 50)
    found["autocorrelation"] = _autocorrelation(steps, 20)
    return found


def _price_shape(bars: Bars) -> dict[str, Floats]:
    close, high, low = bars.close, bars.high, bars.low
    atr = _average_true_range(bars, 14)
    means = {n: _mean(close, n) for n in (10, 20, 50)}
    width = _deviation(close, 20)
    macd = (_exponential_mean(close, 12) - _exponential_mean(close, 26)) / atr
    span, bottom = high - low, _lowest(close, 50)
    higher, lower = (_change(high, 1) > 0).astype(np.float64), (_change(low, 1) < 0).astype(np.float64)
    return {
        "macd": macd,
        "macd_histogram": macd - _exponential_mean(macd, 9),
        "bollinger_position": (close - means[20]) / (2.0 * width),
        "bollinger_width": (width / means[20]) / _mean(width / means[20], 100),
        "higher_high": (high - _shift(_highest(high, 20))) / atr,
        "higher_low": (low - _shift(_lowest(low, 20))) / atr,
        "market_structure": _mean(higher, 10) - _mean(lower, 10),
        "atr_14": atr / close,
        "trend_strength": np.abs(means[10] - means[20]) / atr,
        "price_vs_sma10": (close - means[10]) / atr,
        "price_vs_sma50": (close - means[50]) / atr,
        "close_location": np.where(span > 0.0, (close - low) / np.where(span > 0.0, span, 1.0), 0.5),
        "gap": (bars.open - _shift(close)) / atr,
        "donchian_position": (close - bottom) / (_highest(close, 50) - bottom),
    }


def _calendar(bars: Bars) -> dict[str, Floats]:
    seconds = bars.times.astype(np.int64)
    found = {"weekday": ((seconds // 86_400 + 3) % 7).astype(np.float64)}  # 1970-01-01 was a Thursday
    if bars.intraday:
        found["hour"] = (seconds % 86_400) / 3_600.0
    return found


def _success_score(found: Mapping[str, Floats]) -> Floats:
    signs = [
        (found["momentum_strength"], np.abs(found["momentum_strength"]) > STRONG_MOMENTUM),
        (found["market_structure"], found["market_structure"] >= 0.0),
        (found["rsi_14"], found["rsi_14"] < OVERBOUGHT),
        (found["price_vs_sma50"], found["price_vs_sma50"] > found["price_vs_sma10"]),
    ]
    if "volume_ratio" in found:
        signs.append((found["volume_ratio"], found["volume_ratio"] > 1.0))
    known = np.all([np.isfinite(value) for value, _ in signs], axis=0)
    return np.where(known, np.mean([holds for _, holds in signs], axis=0), np.nan)


def _log_returns(close: Floats) -> Floats:
    return _change(np.log(close), 1)


def _change(series: Floats, lag: int) -> Floats:
    found = np.full(len(series), np.nan)
    found[lag:] = series[lag:] - series[:-lag]
    return found


def _shift(series: Floats) -> Floats:
    return np.concatenate([[np.nan], series[:-1]])


def _windows(series: Floats, size: int) -> Floats | None:
    """Return every window of `size` values, shape (n - size + 1, size); None if the series is shorter."""
    return np.lib.stride_tricks.sliding_window_view(series, size) if len(series) >= size else None


def _aligned(series: Floats, size: int, values: Floats | None) -> Floats:
    found = np.full(len(series), np.nan)
    if values is not None:
        found[size - 1 :] = values
    return found


def _mean(series: Floats, size: int) -> Floats:
    windows = _windows(series, size)
    return _aligned(series, size, None if windows is None else windows.mean(axis=1))


def _deviation(series: Floats, size: int) -> Floats:
    windows = _windows(series, size)
    return _aligned(series, size, None if windows is None else windows.std(axis=1, ddof=1))


def _highest(series: Floats, size: int) -> Floats:
    windows = _windows(series, size)
    return _aligned(series, size, None if windows is None else windows.max(axis=1))


def _lowest(series: Floats, size: int) -> Floats:
    return -_highest(-series, size)


def _skewness(series: Floats, size: int) -> Floats:
    windows = _windows(series, size)
    if windows is None:
        return _aligned(series, size, None)
    centred = windows - windows.mean(axis=1, keepdims=True)
    return _aligned(series, size, (centred**3).mean(axis=1) / (centred**2).mean(axis=1) ** 1.5)


def _autocorrelation(series: Floats, size: int) -> Floats:
    before = _shift(series)
    both, here, there = _mean(series * before, size), _mean(series, size), _mean(before, size)
    spread = np.sqrt((_mean(series**2, size) - here**2) * (_mean(before**2, size) - there**2))
    return (both - here * there) / spread


def _average_true_range(bars: Bars, size: int) -> Floats:
    before = _shift(bars.close)
    ranges = np.maximum(bars.high, before) - np.minimum(bars.low, before)
    atr = _mean(ranges, size)
    atr[atr == 0.0] = np.nan
    return atr


def _exponential_mean(series: Floats, span: int) -> Floats:
    """Average with weights that fall by 1 - 2 / (span + 1) a bar and sum to one, from the first number on."""
    from scipy.signal import lfilter

    known = np.flatnonzero(np.isfinite(series))
    found = np.full(len(series), np.nan)
    if not len(known):
        return found
    first = int(known[0])
    keep = 1.0 - 2.0 / (span + 1.0)
    inside = np.isfinite(series[first:])
    sums = lfilter([1.0], [1.0, -keep], np.where(inside, series[first:], 0.0))
    weights = lfilter([1.0], [1.0, -keep], inside.astype(np.float64))
    found[first:] = np.where(inside, sums / weights, np.nan)
    return found

"""What the four models learn to foretell, each a function of what comes *after* the decision.

Belongs here: the labels and how far they reach. Does not belong here: features, or how many bars are left out
between training and test (walk_forward).

All start at the price at which an order of bar t would be filled, and none reaches past bar t + horizon. A label that
only restated its own features, as the predecessor's for size and exit did, would teach a forest a rule that we know.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.bars import Bars
from meta_pipeline.hyperband.features import volatility

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """Labels of one symbol, each of shape (n_bars,); NaN where the future is not known yet or volatility is not.

    Parameters
    ----------
    entry
        1 if the upper barrier is met before the lower within the horizon, else 0; if neither is, or both in one bar,
        whether the last close that was looked at is above the fill. Barriers lie `barrier` times the volatility of the
        horizon away (triple barrier: Lopez de Prado, "Advances in Financial Machine Learning", 2018, chapter 3).
    position
        Net move over the horizon over the sum of its moves, 0 to 1: how well a position pays for its risk.
    exit
        1 if a long position is worth less a third of the horizon later, else 0.
    profit
        1 if a position in the direction of the last `horizon` bars pays more than a round trip costs, else 0.
    horizon
        Bars that a label looks ahead: training ends at least so many bars before a test begins.
    """

    entry: Floats
    position: Floats
    exit: Floats
    profit: Floats
    horizon: int


def labels(bars: Bars, *, horizon: int, barrier: float, round_trip_cost: float) -> Labels:
    """Compute the labels of one symbol's bars.

    Parameters
    ----------
    horizon
        Bars, at least 2.
    barrier
        Distance of the barriers, in standard deviations over the horizon; positive.
    round_trip_cost
        Fees and slippage of a position opened and closed, as a fraction of its value.

    Raises
    ------
    InputError
        If a parameter is out of range, or there are not more bars than the horizon.
    """
    if horizon < 2 or not barrier > 0 or not round_trip_cost >= 0:
        raise InputError(
            f"labels need a horizon of at least 2 bars, a positive barrier and a cost that is not negative, not "
            f"{horizon!r}, {barrier!r} and {round_trip_cost!r}"
        )
    if len(bars) <= horizon:
        raise InputError(f"{bars.symbol} has {len(bars)} bars; labels of horizon {horizon} need more")
    fill, highs, lows, closes = _futures(bars, horizon)
    n = len(fill)
    width = barrier * np.sqrt(horizon) * volatility(bars)[:n]
    known = np.isfinite(width)
    moves = closes / fill[:, None] - 1.0
    back = np.full(n, np.nan)
    back[horizon:] = np.log(bars.close[horizon:n] / bars.close[: n - horizon])
    followed = np.where(back == 0.0, np.nan, np.sign(back)) * moves[:, -1]
    found = {
        "entry": _first_barrier(highs / fill[:, None] - 1.0, lows / fill[:, None] - 1.0, moves[:, -1], width),
        "position": _efficiency(fill, closes),
        "exit": (moves[:, max(horizon // 3, 1) - 1] < 0.0).astype(np.float64),
        "profit": np.where(np.isnan(followed), np.nan, followed > round_trip_cost),
    }
    return Labels(
        **{name: _padded(np.where(known, value, np.nan), len(bars)) for name, value in found.items()}, horizon=horizon
    )


def _futures(bars: Bars, horizon: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Return, for each bar with a whole future, the fill and the highs, lows and closes of the bars after it."""
    opening, high, low, close = bars.execution_prices()
    view = np.lib.stride_tricks.sliding_window_view
    return (
        opening[1 : len(bars) - horizon + 1],
        view(high[1:], horizon),
        view(low[1:], horizon),
        view(close[1:], horizon),
    )


def _first_barrier(highs: Floats, lows: Floats, last: Floats, width: Floats) -> Floats:
    up, down = highs >= width[:, None], lows <= -width[:, None]
    never = highs.shape[1]
    first_up = np.where(up.any(axis=1), up.argmax(axis=1), never)
    first_down = np.where(down.any(axis=1), down.argmax(axis=1), never)
    return np.where(first_up == first_down, last > 0.0, first_up < first_down).astype(np.float64)


def _efficiency(fill: Floats, closes: Floats) -> Floats:
    path = np.log(np.column_stack([fill, closes]))
    way = np.abs(np.diff(path, axis=1)).sum(axis=1)
    return np.where(way > 0.0, np.abs(path[:, -1] - path[:, 0]) / np.where(way > 0.0, way, 1.0), np.nan)


def _padded(series: Floats, length: int) -> Floats:
    return np.concatenate([series, np.full(length - len(series), np.nan)])

"""The lab's real daily prices as bars.

Belongs here: how the lab's markets become bars. Does not belong here: files of users (bar_files).

Orders are filled at the next *close*: crude oil has no opens here, and the S&P 500's opens of these years repeat the
close before on two days of five, so nobody could have traded at them.
"""

from collections.abc import Sequence

import numpy as np

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.bars import Bars
from meta_pipeline.lab.prices import MARKETS, load_prices, market_named, read_quotes


def lab_bars(market_ids: Sequence[str] | None = None) -> tuple[Bars, ...]:
    """Return daily bars of the lab's markets, whole history.

    Parameters
    ----------
    market_ids
        Which; None: all of them.

    Raises
    ------
    InputError
        If a market is unknown, or the package `arch` is not installed.
    """
    wanted = tuple(MARKETS) if market_ids is None else tuple(dict.fromkeys(market_ids))
    if not wanted:
        raise InputError(f"no market was named; the lab has {', '.join(MARKETS)}")
    return tuple(_daily(market_id) for market_id in wanted)


def _daily(market_id: str) -> Bars:
    market = market_named(market_id)
    prices = load_prices(market_id)
    frame = read_quotes(market)
    if "High" not in frame.columns:
        low = high = opening = prices.closes
    else:
        opening, high, low = (frame[name].to_numpy(dtype=np.float64, copy=True) for name in ("Open", "High", "Low"))
    return Bars(
        symbol=market_id,
        times=prices.dates.astype("datetime64[s]"),
        open=opening,
        high=high,
        low=low,
        close=prices.closes,
        fills="next_close",
        periods_per_year=market.periods_per_year,
    )

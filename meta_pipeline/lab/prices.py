"""The lab's markets and their daily closes, as they ship in the package `arch`.

Belongs here: which markets there are, and their prices, cleaned. Does not belong here: anything
computed from prices (indicators, backtest).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

WARM_UP: Final = 300
"""Closes that only feed the indicators: the first return of any backtest ends at close number WARM_UP
(counted from zero). The longest window a knob may ask for is 250 closes."""

CAMPAIGN_END: Final = date(2012, 12, 31)
"""The split: campaigns see closes up to this day, later ones are held back so that outcomes can be replayed
on days that no proposal ever saw (2013 to 2018). Chosen as two thirds of the indices' history."""


@dataclass(frozen=True, kw_only=True)
class Market:
    """One market of the lab.

    Parameters
    ----------
    market_id, name, sector
        Id as stored with the runs, name for people, label for slicing.
    module, column
        Where `arch` keeps it: `arch.data.<module>.load()[column]`, which reads `<module>.csv.gz` beside it.
    cost
        Cost of trading, as a fraction of the traded value, one way: half the spread and slippage. An assumption,
        on the dear side of what index futures (5 basis points) and crude oil futures (10) cost over these years.
    periods_per_year
        Trading days a year.
    """

    market_id: str
    name: str
    sector: str
    module: str
    column: str
    cost: float
    periods_per_year: float = 252.0


MARKETS: Final[Mapping[str, Market]] = MappingProxyType(
    {
        market.market_id: market
        for market in (
            Market(
                market_id="SP500",
                name="S&P 500 index",
                sector="equity_index",
                module="sp500",
                column="Adj Close",
                cost=0.0005,
            ),
            Market(
                market_id="NASDAQ",
                name="NASDAQ Composite index",
                sector="equity_index",
                module="nasdaq",
                column="Adj Close",
                cost=0.0005,
            ),
            Market(
                market_id="WTI",
                name="Crude oil, WTI, Cushing, spot",
                sector="energy",
                module="wti",
                column="DCOILWTICO",
                cost=0.0010,
            ),
        )
    }
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prices:
    """Daily closes.

    Parameters
    ----------
    dates
        Shape (n_days,), datetime64[D], strictly increasing.
    closes
        Shape (n_days,), positive, finite, in the market's currency or index points.
    """

    dates: NDArray[np.datetime64]
    closes: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check the series, and freeze it.

        Raises
        ------
        InputError
            If lengths differ, dates do not increase, or a close is not a positive number.
        """
        if self.dates.shape != self.closes.shape or self.closes.ndim != 1:
            raise InputError(f"{self.dates.shape} dates for {self.closes.shape} closes; give one of each per day")
        if len(self.dates) > 1 and not bool(np.all(np.diff(self.dates) > np.timedelta64(0, "D"))):
            raise InputError("dates must be strictly increasing; sort them and drop repeated ones")
        bad = np.flatnonzero(~(np.isfinite(self.closes) & (self.closes > 0)))
        if len(bad):
            raise InputError(
                f"the close of {self.dates[bad[0]]} is {self.closes[bad[0]]}; drop days without a positive quote"
            )
        self.dates.setflags(write=False)
        self.closes.setflags(write=False)

    def until(self, end: date) -> "Prices":
        """Return the closes up to and including a day, and nothing of what came after."""
        n = int(np.searchsorted(self.dates, np.datetime64(end, "D"), side="right"))
        return Prices(dates=self.dates[:n], closes=self.closes[:n])


def market_named(market_id: str) -> Market:
    """Look a market up by its id.

    Raises
    ------
    InputError
        If there is no such market.
    """
    try:
        return MARKETS[market_id]
    except KeyError:
        raise InputError(f"market {market_id!r} is not in the lab; it has {', '.join(MARKETS)}") from None


@cache
def load_prices(market_id: str) -> Prices:
    """Read a market's whole history of daily closes.

    Days without a quote (290 rows of WTI, mostly holidays) are dropped, never filled: a filled day
    would count as a return of zero and flatter the volatility.

    Raises
    ------
    InputError
        If the market is unknown, or the package `arch` is not installed.
    """
    market = market_named(market_id)
    quotes = read_quotes(market)[market.column].dropna()
    return Prices(
        dates=quotes.index.to_numpy().astype("datetime64[D]"),
        closes=quotes.to_numpy(dtype=np.float64, copy=True),
    )


def read_quotes(market: Market) -> "DataFrame":
    """Read all that `arch` ships of a market: what its `load()` returns, one row a day, NaN where there is no quote.

    Raises
    ------
    InputError
        If the package `arch` is not installed.
    """
    import pandas as pd

    # Found, not imported: `import arch` loads its models and statsmodels, for seconds, and only a file of it is read.
    package = find_spec("arch")
    if package is None or not package.submodule_search_locations:
        raise InputError(
            "the lab's prices ship in the package arch, which is not installed; "
            "install it with: pip install 'meta-pipeline[lab]'"
        )
    file = Path(package.submodule_search_locations[0]) / "data" / market.module / f"{market.module}.csv.gz"
    frame = pd.read_csv(file, parse_dates=["Date"], index_col="Date")
    numbers: DataFrame = frame.apply(pd.to_numeric, errors="coerce")
    return numbers

"""From when to when: the window of a campaign or a replay, checked against what can be simulated."""

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from meta_pipeline.errors import InputError
from meta_pipeline.lab.prices import CAMPAIGN_END, WARM_UP, Market, Prices


@dataclass(frozen=True, kw_only=True)
class Window:
    """Days from `start` to `end`, both inclusive."""

    start: date
    end: date


def campaign_window(market: Market, prices: Prices, start: date | None, end: date | None) -> Window:
    """Return the window asked for; by default all the days up to the split that can be simulated.

    Raises
    ------
    InputError
        As `checked_window`.
    """
    return checked_window(market, prices, first_day(prices) if start is None else start, end or CAMPAIGN_END)


def checked_window(market: Market, prices: Prices, start: date, end: date) -> Window:
    """Check that the market can be simulated on every day of the window.

    Raises
    ------
    InputError
        If the window is empty, begins before the indicators are warm, or ends after the last close.
    """
    start, end = _day("start", start), _day("end", end)
    if end < start:
        raise InputError(f"the window ends on {end}, before it starts on {start}; swap them")
    first, last = first_day(prices), _as_date(prices.dates[-1])
    if start < first:
        raise InputError(
            f"{market.market_id} can be simulated from {first} on, as the {WARM_UP} closes before only feed "
            f"the indicators; start {start} is too early"
        )
    if end > last:
        raise InputError(f"{market.market_id}'s prices end on {last}; end {end} is too late")
    days = (prices.dates >= np.datetime64(start, "D")) & (prices.dates <= np.datetime64(end, "D"))
    if not days.any():
        raise InputError(f"{market.market_id} did not trade between {start} and {end}; choose a longer window")
    return Window(start=start, end=end)


def first_day(prices: Prices) -> date:
    """Return the first day that can be simulated."""
    return _as_date(prices.dates[WARM_UP])


def _day(name: str, value: date) -> date:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise InputError(f"{name} is {value!r} of type {type(value).__name__}; give a datetime.date")
    return value


def _as_date(day: np.datetime64) -> date:
    converted = day.astype("datetime64[D]").item()
    assert isinstance(converted, date)
    return converted

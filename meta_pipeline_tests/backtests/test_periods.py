"""What time stamps say about periods per year, and when they say nothing."""

import numpy as np
import pytest
from numpy.typing import NDArray

from meta_pipeline.backtests.periods import infer_periods_per_year
from meta_pipeline.lab.prices import MARKETS, load_prices
from meta_pipeline_tests.backtests.runs import trading_days


def seconds(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    return dates.astype("datetime64[s]").astype(np.int64)


def every(hours: float, n: int) -> NDArray[np.int64]:
    return np.arange(n, dtype=np.int64) * int(hours * 3600)


def months(step: int, n: int) -> NDArray[np.int64]:
    firsts = (np.arange(n) * step + 481).astype("datetime64[M]").astype("datetime64[D]")  # 481: February 2010
    return seconds(firsts) - 24 * 3600  # ends of months


@pytest.mark.parametrize(
    ("timestamps", "expected"),
    [
        (seconds(trading_days(2520)), 252.0),
        (seconds(trading_days(21)), 252.0),
        (every(24, 1000), 365.0),
        (every(4, 1000), 2190.0),
        (every(8, 1000), 1095.0),
        (every(1, 1000), 8760.0),
        (every(24 * 7, 200), 52.0),
        (months(1, 60), 12.0),
        (months(3, 20), 4.0),
        (months(12, 10), 1.0),
    ],
    ids=["weekdays", "a month of weekdays", "daily", "4h", "8h", "1h", "weekly", "monthly", "quarterly", "yearly"],
)
def test_regular_bars_are_recognised(timestamps: NDArray[np.int64], expected: float) -> None:
    assert infer_periods_per_year(timestamps).value == expected


@pytest.mark.parametrize("market_id", list(MARKETS))
def test_real_markets_are_recognised_in_any_window_of_a_year(market_id: str) -> None:
    dates = load_prices(market_id).dates
    for start in range(0, len(dates) - 252, 252):
        found = infer_periods_per_year(seconds(dates[start : start + 252]))
        assert found.value == 252.0, (dates[start], found.why)


def test_holidays_and_a_missing_week_do_not_hide_an_exchange() -> None:
    dates = trading_days(520)
    kept = np.delete(dates, [*range(100, 105), 20, 64, 150, 210, 300, 410])
    assert infer_periods_per_year(seconds(kept)).value == 252.0


SUNDAY_SESSIONS = np.concatenate([trading_days(500), trading_days(500)[4::5] + np.timedelta64(2, "D")])


@pytest.mark.parametrize(
    ("timestamps", "why"),
    [
        (seconds(trading_days(10)), "spans only 11 days"),
        (every(24, 1), "one time stamp"),
        (seconds(np.sort(SUNDAY_SESSIONS)), "daily bars on 6 weekdays"),
        (seconds(trading_days(1000)[np.arange(1000) % 5 < 2]), "daily bars on 2 weekdays"),
        (np.delete(every(24, 700), np.arange(0, 700, 3)), "fit neither an exchange"),
        (every(1, 2000)[np.arange(2000) % 24 < 7], "length of a session is not known"),
        (every(24 * 10, 100), "no regular bar"),
    ],
    ids=["two weeks", "one", "Sunday sessions", "Mondays and Tuesdays", "gaps", "sessions", "ten days"],
)
def test_what_is_ambiguous_is_refused_with_the_reason(timestamps: NDArray[np.int64], why: str) -> None:
    found = infer_periods_per_year(timestamps)
    assert found.value is None
    assert why in found.why

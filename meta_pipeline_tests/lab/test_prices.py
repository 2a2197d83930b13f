import importlib
import sys
from datetime import date

import numpy as np
import pandas as pd
import pytest

from meta_pipeline import lab
from meta_pipeline.errors import InputError
from meta_pipeline.lab.prices import WARM_UP, Prices, load_prices, read_quotes


def buy_and_hold_sharpe(closes: np.ndarray) -> float:
    returns = closes[1:] / closes[:-1] - 1
    return float(returns.mean() / returns.std(ddof=1) * np.sqrt(252))


def test_buy_and_hold_of_the_sp500_after_the_warm_up_has_the_public_sharpe_ratio() -> None:
    assert buy_and_hold_sharpe(load_prices("SP500").closes[WARM_UP - 1 :]) == pytest.approx(0.258993, abs=5e-7)


def test_buy_and_hold_of_the_sp500_over_all_days_has_another_sharpe_ratio() -> None:
    assert buy_and_hold_sharpe(load_prices("SP500").closes) == pytest.approx(0.282739, abs=5e-7)


@pytest.mark.parametrize(
    ("market", "n_days", "first", "last"),
    [
        ("SP500", 5031, "1999-01-04", "2018-12-31"),
        ("NASDAQ", 5031, "1999-01-04", "2018-12-31"),
        ("WTI", 8611 - 290, "1986-01-02", "2019-01-03"),
    ],
)
def test_every_market_ships_whole_and_without_the_days_that_have_no_quote(
    market: str, n_days: int, first: str, last: str
) -> None:
    prices = load_prices(market)
    assert len(prices.closes) == n_days
    assert (str(prices.dates[0]), str(prices.dates[-1])) == (first, last)


def test_a_day_without_a_quote_is_dropped_and_not_filled() -> None:
    christmas = np.datetime64("2012-12-25")
    dates = load_prices("WTI").dates
    assert christmas not in dates
    assert np.datetime64("2012-12-24") in dates


def test_every_market_holds_years_back_after_the_campaign() -> None:
    for market in lab.markets():
        later = load_prices(market.market_id).dates > np.datetime64(lab.CAMPAIGN_END)
        assert later.sum() >= 6 * 240


def test_prices_cannot_be_changed_by_whoever_reads_them() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_prices("SP500").closes[0] = 1.0


def test_prices_until_a_day_hold_nothing_of_what_came_after() -> None:
    prices = load_prices("SP500").until(date(2005, 1, 1))
    assert str(prices.dates[-1]) == "2004-12-31"


def test_an_unknown_market_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="'DAX' is not in the lab; it has SP500, NASDAQ, WTI"):
        load_prices("DAX")


@pytest.mark.parametrize("close", [0.0, -37.63, float("nan"), float("inf")])
def test_a_close_that_is_not_a_positive_number_is_refused_with_its_day(close: float) -> None:
    dates = np.array(["2020-04-17", "2020-04-20"], dtype="datetime64[D]")
    with pytest.raises(InputError, match="the close of 2020-04-20 is"):
        Prices(dates=dates, closes=np.array([18.27, close]))


def test_dates_that_do_not_increase_are_refused() -> None:
    dates = np.array(["2020-04-20", "2020-04-20"], dtype="datetime64[D]")
    with pytest.raises(InputError, match="strictly increasing"):
        Prices(dates=dates, closes=np.ones(2))


def test_as_many_closes_as_dates_are_asked_for() -> None:
    with pytest.raises(InputError, match="one of each per day"):
        Prices(dates=np.array(["2020-04-20"], dtype="datetime64[D]"), closes=np.ones(2))


@pytest.mark.parametrize("market", lab.markets(), ids=lambda market: market.market_id)
def test_what_is_read_is_what_the_package_would_load(market: lab.Market) -> None:
    shipped = importlib.import_module(f"arch.data.{market.module}").load()
    pd.testing.assert_frame_equal(read_quotes(market), shipped, check_exact=True)


def test_without_arch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "arch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "arch", None)
    with pytest.raises(InputError, match=r"pip install 'meta-pipeline\[lab\]'"):
        load_prices.__wrapped__("SP500")

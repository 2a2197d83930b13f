from collections import Counter
from datetime import date

import numpy as np
import pytest

from meta_pipeline import lab
from meta_pipeline.errors import InputError
from meta_pipeline.lab.prices import MARKETS, WARM_UP
from meta_pipeline.lab.regimes import LABELS


@pytest.mark.parametrize("market", list(MARKETS))
def test_every_day_that_can_be_simulated_has_a_label_and_every_label_its_days(market: str) -> None:
    dates, labels = lab.regimes(market)
    assert np.array_equal(dates, lab.load_prices(market).dates[WARM_UP:])
    counts = Counter(labels.tolist())
    assert set(counts) == set(LABELS)
    assert min(counts.values()) >= 0.02 * len(labels)


def test_the_autumn_of_2008_was_a_turbulent_fall() -> None:
    dates, labels = lab.regimes("SP500")
    autumn = (dates >= np.datetime64("2008-10-01")) & (dates <= np.datetime64("2008-12-31"))
    assert set(labels[autumn]) == {"TURBULENT_DOWN"}


def test_the_year_2017_was_a_calm_rise() -> None:
    dates, labels = lab.regimes("SP500")
    year = (dates >= np.datetime64("2017-01-01")) & (dates <= np.datetime64("2017-12-31"))
    assert set(labels[year]) == {"CALM_UP"}


def test_later_days_do_not_change_earlier_labels() -> None:
    dates, labels = lab.regimes("WTI", end=date(2005, 6, 30))
    later_dates, later_labels = lab.regimes("WTI")
    assert str(dates[-1]) == "2005-06-30"
    assert np.array_equal(later_dates[: len(dates)], dates)
    assert np.array_equal(later_labels[: len(labels)], labels)


def test_regimes_separate_calm_days_from_turbulent_ones() -> None:
    prices = lab.load_prices("SP500")
    returns = (prices.closes[1:] / prices.closes[:-1] - 1)[WARM_UP - 1 :]
    _, labels = lab.regimes("SP500")
    turbulent = np.char.startswith(labels, "TURBULENT")
    assert returns[turbulent].std() > 1.5 * returns[~turbulent].std()


def test_an_unknown_market_is_refused() -> None:
    with pytest.raises(InputError, match="'GOLD' is not in the lab"):
        lab.regimes("GOLD")

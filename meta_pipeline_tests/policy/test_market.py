"""Regime and volatility: each can occur, none looks ahead, and a broken tick changes neither."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.lab import load_prices
from meta_pipeline.policy.market import ENOUGH, MarketView, PriceSeries, assess
from meta_pipeline.policy.modes import Regime, Volatility


def series(returns: np.ndarray, volumes: np.ndarray | None = None, *, symbol: str = "X") -> PriceSeries:
    closes = 100 * np.exp(np.cumsum(np.concatenate([[0.0], returns])))
    days = np.datetime64("2024-01-01") + np.arange(len(closes))
    return PriceSeries(symbol=symbol, days=days, closes=closes, volumes=volumes)


def noise(seed: int = 1, n: int = 400, sigma: float = 0.01) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sigma, n)


def sideways() -> np.ndarray:
    """Swings of twenty days, down and up again: no trend over forty days, and no running in place over twenty."""
    down = np.concatenate([np.full(13, -0.003), np.full(7, 0.003)])
    return np.tile(np.concatenate([down, -down]), 10)


def said(returns: np.ndarray, volumes: np.ndarray | None = None) -> MarketView:
    return assess([series(returns, volumes)])


def test_a_trend_is_named_by_its_direction() -> None:
    up = np.concatenate([noise(), np.full(40, 0.006)])
    assert said(up).regime is Regime.BULL_TRENDING
    assert said(-up).regime is Regime.BEAR_TRENDING


def test_a_market_that_runs_in_place_is_choppy_and_one_that_swings_is_ranging() -> None:
    chop = np.concatenate([noise(), np.tile([0.01, -0.01], 30)])
    assert said(chop).regime is Regime.CHOPPY
    assert said(sideways()).regime is Regime.RANGING


def test_volatility_is_judged_against_its_own_past() -> None:
    quiet = np.concatenate([noise(), noise(3, 40, 0.002)])
    loud = np.concatenate([noise(), noise(3, 12, 0.025)])
    wild = np.concatenate([noise(), noise(4, 30, 0.08)])
    assert said(quiet).volatility is Volatility.LOW
    assert said(noise()).volatility is Volatility.NORMAL
    assert said(loud).volatility in {Volatility.HIGH, Volatility.EXTREME}
    assert (said(wild).volatility, said(wild).regime) == (Volatility.EXTREME, Regime.VOLATILE)
    assert said(noise(sigma=0.0001)).volatility is said(noise(sigma=0.05)).volatility


def test_a_market_without_volume_or_with_quotes_that_stand_still_is_illiquid() -> None:
    dry = np.concatenate([np.full(390, 1000.0), np.full(11, 50.0)])
    assert said(noise(), dry).regime is Regime.LOW_LIQUIDITY
    assert said(noise(), np.full(401, 1000.0)).regime is not Regime.LOW_LIQUIDITY
    still = np.concatenate([noise(), np.tile([0.0, 0.01, 0.0, -0.01], 5)])
    assert said(still).regime is Regime.LOW_LIQUIDITY


def test_too_short_a_history_says_nothing() -> None:
    assert assess([]) == MarketView(regime=None, volatility=None)
    assert said(noise(n=ENOUGH - 2)) == MarketView(regime=None, volatility=None)
    assert said(noise(n=ENOUGH - 1)).regime is not None


@given(st.integers(0, 1000), st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_later_closes_do_not_change_what_was_said(seed: int, later: int) -> None:
    returns = noise(seed, 300)
    known = series(returns)
    longer = series(np.concatenate([returns, noise(seed + 1, later, 0.05)]))
    seen = longer.days <= known.days[-1]
    cut = PriceSeries(symbol="X", days=longer.days[seen], closes=longer.closes[seen])
    assert assess([cut]) == assess([known])


def test_a_wild_tick_is_unconfirmed_while_it_is_the_last_and_forgotten_when_it_is_taken_back() -> None:
    calm = noise()
    wild = np.concatenate([calm, [2.0]])
    (remark,) = said(wild).remarks
    assert remark.code == "unconfirmed_price"
    assert said(wild).volatility is Volatility.EXTREME
    taken_back = np.concatenate([calm, [2.0, -2.0]])
    assert said(taken_back).remarks == ()
    assert said(taken_back).volatility is said(np.concatenate([calm, [0.0]])).volatility
    crash = np.concatenate([calm, [-0.25, -0.01, 0.02]])
    assert said(crash).remarks == ()
    assert said(crash).volatility is Volatility.EXTREME


def test_several_markets_are_judged_as_one_basket() -> None:
    up, down = np.concatenate([noise(), np.full(40, 0.006)]), np.concatenate([noise(7), np.full(40, -0.006)])
    assert assess([series(up, symbol="X"), series(up, symbol="Y")]).regime is Regime.BULL_TRENDING
    assert assess([series(up, symbol="X"), series(down, symbol="Y")]).regime is not Regime.BULL_TRENDING


@pytest.mark.parametrize(
    ("day", "volatility"), [(date(2008, 10, 15), Volatility.EXTREME), (date(2017, 10, 16), Volatility.LOW)]
)
def test_the_autumn_of_2008_was_extreme_and_that_of_2017_was_calm(day: date, volatility: Volatility) -> None:
    prices = load_prices("SP500").until(day)
    found = assess([PriceSeries(symbol="SP500", days=prices.dates, closes=prices.closes)])
    assert found.volatility is volatility

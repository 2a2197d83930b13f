"""Nothing up to day t may depend on a price after day t: checked bit for bit, on arbitrary prices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from meta_pipeline import lab
from meta_pipeline.lab.backtest import backtest
from meta_pipeline.lab.design import mixed_design
from meta_pipeline.lab.indicators import Indicators
from meta_pipeline.lab.prices import WARM_UP, Prices
from meta_pipeline.lab.regimes import label_days

N_DAYS = WARM_UP + 60
Floats = NDArray[np.float64]


def prices_of(closes: Floats) -> Prices:
    return Prices(dates=np.datetime64("2000-01-01") + np.arange(len(closes)), closes=closes)


@st.composite
def two_futures(draw: st.DrawFn) -> tuple[Floats, Floats, int]:
    """Two price paths that agree up to a day and differ after it, and that day."""
    last_common = draw(st.integers(WARM_UP - 5, N_DAYS - 2))
    changes = draw(arrays(np.float64, N_DAYS, elements=st.floats(-0.1, 0.1), fill=st.floats(-0.02, 0.02)))
    later = draw(arrays(np.float64, N_DAYS, elements=st.floats(-0.3, 0.3), fill=st.floats(-0.02, 0.02)))
    other = np.where(np.arange(N_DAYS) > last_common, later, changes)
    return 100 * np.cumprod(1 + changes), 100 * np.cumprod(1 + other), last_common


@settings(max_examples=25, deadline=None)
@given(futures=two_futures())
def test_indicators_do_not_see_the_future(futures: tuple[Floats, Floats, int]) -> None:
    one, other, last_common = futures
    known = slice(0, last_common + 1)
    for days in (2, 20, 250):
        for name in ("average", "deviation", "highest", "lowest"):
            assert np.array_equal(
                getattr(Indicators(one), name)(days)[known],
                getattr(Indicators(other), name)(days)[known],
                equal_nan=True,
            )
    assert np.array_equal(
        Indicators(one).daily_volatility[known], Indicators(other).daily_volatility[known], equal_nan=True
    )


@pytest.mark.parametrize("strategy", lab.strategies(), ids=lambda strategy: strategy.strategy_id)
@settings(max_examples=25, deadline=None)
@given(futures=two_futures())
def test_positions_and_returns_do_not_see_the_future(
    strategy: lab.LabStrategy, futures: tuple[Floats, Floats, int]
) -> None:
    one, other, last_common = futures
    market = lab.market_named("WTI")
    configs = mixed_design(strategy, 60, np.random.default_rng(0))
    first, second = (backtest(strategy, configs, market, prices_of(closes)) for closes in (one, other))
    returns, holdings = (slice(0, max(last_common + known - WARM_UP, 0)) for known in (1, 2))
    assert np.array_equal(first.returns[returns], second.returns[returns])
    # The holding of a day is known before the day: it is traded at the close that ends the day before.
    assert np.array_equal(first.exposures[holdings], second.exposures[holdings])
    assert np.array_equal(first.turnovers[holdings], second.turnovers[holdings])


@pytest.mark.parametrize("strategy", lab.strategies(), ids=lambda strategy: strategy.strategy_id)
@settings(max_examples=15, deadline=None)
@given(futures=two_futures())
def test_wishes_do_not_see_the_future(strategy: lab.LabStrategy, futures: tuple[Floats, Floats, int]) -> None:
    one, other, last_common = futures
    columns = strategy.columns(mixed_design(strategy, 60, np.random.default_rng(0)))
    wishes = [strategy.directions(Indicators(closes), columns, WARM_UP - 2) for closes in (one, other)]
    assert np.array_equal(wishes[0][: last_common + 1], wishes[1][: last_common + 1])


def test_a_wish_is_traded_a_whole_day_after_its_close_and_earns_from_there() -> None:
    """One jump at the close of day t turns a follower of trends at t, is traded at t+1, and earns in t+2."""
    strategy, market = lab.strategy_named("LAB_TREND"), lab.market_named("SP500")
    config = {**strategy.live_config, "fast_days": 5, "slow_days": 100}
    jump = WARM_UP + 10
    # A slow slide with a wobble (so that there is a volatility), then a jump that lifts the fast average at once.
    changes = -0.002 + 0.004 * (-1.0) ** np.arange(N_DAYS)
    changes[jump] = 0.8
    paths = backtest(strategy, [config], market, prices_of(100 * np.cumprod(1 + changes)))
    side = np.sign(paths.exposures[:, 0])
    assert (side[: jump + 2 - WARM_UP] == -1).all()
    assert (side[jump + 2 - WARM_UP :] == 1).all()


@pytest.mark.parametrize("strategy", lab.strategies(), ids=lambda strategy: strategy.strategy_id)
def test_the_end_of_the_history_changes_nothing_before_it(strategy: lab.LabStrategy) -> None:
    market, prices = lab.market_named("SP500"), lab.load_prices("SP500")
    configs = mixed_design(strategy, 60, np.random.default_rng(0))
    shorter = Prices(dates=prices.dates[:1500], closes=prices.closes[:1500])
    cut = backtest(strategy, configs, market, shorter).returns
    whole = backtest(strategy, configs, market, prices).returns
    assert cut.tobytes() == whole[: len(cut)].tobytes()


@settings(max_examples=25, deadline=None)
@given(futures=two_futures())
def test_the_regime_of_a_day_is_known_before_the_day_begins(futures: tuple[Floats, Floats, int]) -> None:
    one, other, last_common = futures
    until = max(last_common + 2 - WARM_UP, 0)
    assert label_days(prices_of(one))[1][:until].tolist() == label_days(prices_of(other))[1][:until].tolist()

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from meta_pipeline import lab
from meta_pipeline.errors import InputError
from meta_pipeline.lab.backtest import REBALANCE_BAND, backtest, full_positions, hold
from meta_pipeline.lab.design import mixed_design
from meta_pipeline.lab.indicators import Indicators
from meta_pipeline.lab.prices import MARKETS, WARM_UP, Prices
from meta_pipeline_tests.lab.plain_backtest import plain_backtest

Floats = NDArray[np.float64]
every_strategy = pytest.mark.parametrize("strategy", lab.strategies(), ids=lambda strategy: strategy.strategy_id)


@every_strategy
@pytest.mark.parametrize("market_id", list(MARKETS))
def test_the_vectorised_backtest_equals_a_plain_loop(strategy: lab.LabStrategy, market_id: str) -> None:
    market, prices = lab.market_named(market_id), lab.load_prices(market_id)
    short = Prices(dates=prices.dates[:2500], closes=prices.closes[:2500])
    configs = mixed_design(strategy, 100, np.random.default_rng(7))[::20]
    returns = backtest(strategy, configs, market, short).returns
    for column, config in enumerate(configs):
        plain = plain_backtest(strategy.strategy_id, config, short.closes.tolist(), cost=market.cost)
        np.testing.assert_allclose(returns[:, column], plain, rtol=1e-9, atol=1e-14)
        assert np.count_nonzero(plain) > 100


@every_strategy
def test_a_configuration_gives_the_same_bytes_alone_and_among_others(strategy: lab.LabStrategy) -> None:
    market, prices = lab.market_named("NASDAQ"), lab.load_prices("NASDAQ")
    configs = mixed_design(strategy, 60, np.random.default_rng(3))
    together = backtest(strategy, configs, market, prices).returns
    for column in (0, 31, 59):
        alone = backtest(strategy, [configs[column]], market, prices).returns
        assert together[:, column].tobytes() == alone[:, 0].tobytes()


@every_strategy
def test_every_basis_point_of_cost_lowers_returns_by_the_turnover_and_nothing_else(
    strategy: lab.LabStrategy,
) -> None:
    market, prices = lab.market_named("WTI"), lab.load_prices("WTI")
    configs = mixed_design(strategy, 60, np.random.default_rng(1))
    free, once, twice = (backtest(strategy, configs, market, prices, cost=cost) for cost in (0.0, 0.001, 0.002))
    assert np.array_equal(free.turnovers, twice.turnovers)
    np.testing.assert_allclose(free.returns - once.returns, 0.001 * once.turnovers, rtol=0, atol=1e-15)
    np.testing.assert_allclose(once.returns - twice.returns, 0.001 * once.turnovers, rtol=0, atol=1e-15)
    still = once.turnovers == 0.0
    assert still.any()
    assert np.array_equal(free.returns[still], twice.returns[still])
    assert (twice.returns[~still] < free.returns[~still]).all()


def test_a_holding_that_stays_pays_once() -> None:
    changes = np.array([0.03, -0.02, 0.05])
    exposures, turnovers = hold(np.ones((3, 1)), changes)
    assert turnovers[:, 0].tolist() == [1.0, 0.0, 0.0]
    assert exposures[:, 0] == pytest.approx([1.0, 1.0, 1.0])


def test_a_levered_holding_drifts_with_prices_until_it_leaves_the_band() -> None:
    exposures, turnovers = hold(np.full((4, 1), 2.0), np.array([0.02, -0.15, 0.0, 0.0]))
    drifted = 2 * 1.02 / 1.04
    fallen = drifted * 0.85 / (1 - 0.15 * drifted)
    assert exposures[:, 0] == pytest.approx([2.0, drifted, 2.0, 2.0])
    assert turnovers[:, 0] == pytest.approx([2.0, 0.0, fallen - 2.0, 0.0])
    assert fallen - 2.0 > REBALANCE_BAND * fallen


def test_a_flat_wish_is_followed_however_small_the_holding() -> None:
    exposures, turnovers = hold(np.array([[0.01], [0.0]]), np.zeros(2))
    assert exposures[:, 0].tolist() == [0.01, 0.0]
    assert turnovers[:, 0].tolist() == [0.01, 0.01]


def test_equity_that_is_gone_stays_gone() -> None:
    exposures, turnovers = hold(np.full((3, 2), [3.0, 1.0]), np.array([-0.4, 0.5, 0.5]))
    assert exposures[:, 0].tolist() == [3.0, 0.0, 0.0]
    assert turnovers[:, 0].tolist() == [3.0, 0.0, 0.0]
    assert exposures[:, 1] == pytest.approx([1.0, 1.0, 1.0])


@settings(max_examples=50, deadline=None)
@given(
    goals=arrays(np.float64, (20, 3), elements=st.floats(-2, 2)),
    changes=arrays(np.float64, 20, elements=st.floats(-0.5, 0.5)),
)
def test_a_holding_is_never_further_from_the_goal_than_the_band(goals: Floats, changes: Floats) -> None:
    exposures, turnovers = hold(goals, changes)
    ruined = np.vstack([np.zeros((1, 3), dtype=bool), (1 + exposures * changes[:, None] <= 0)[:-1]])
    aim = np.where(np.maximum.accumulate(ruined, axis=0), 0.0, goals)
    band = REBALANCE_BAND * np.maximum(np.abs(aim), np.abs(exposures))
    assert (np.abs(exposures - aim) <= band + 1e-12).all()
    assert (turnovers >= 0).all()
    assert np.isfinite(exposures).all()


def test_a_full_position_is_the_target_over_the_estimate_up_to_the_cap() -> None:
    sizes = full_positions(np.array([0.1, 0.3]), np.array([0.15, 0.15]), np.array([1.0, 2.0]))
    assert sizes == pytest.approx(np.array([[1.0, 1.5], [0.5, 0.5]]))


@pytest.mark.parametrize("estimate", [0.0, float("nan"), float("inf")])
def test_what_cannot_be_measured_is_not_held(estimate: float) -> None:
    assert full_positions(np.array([estimate]), np.array([0.15]), np.array([1.0])).tolist() == [[0.0]]


@pytest.mark.parametrize("market_id", list(MARKETS))
@pytest.mark.parametrize("target", [0.10, 0.20])
def test_a_full_position_in_real_prices_hits_its_target_volatility(market_id: str, target: float) -> None:
    indicators = Indicators(lab.load_prices(market_id).closes)
    sizes = full_positions(indicators.daily_volatility * np.sqrt(252), np.array([target]), np.array([10.0]))
    exposures, _ = hold(sizes[WARM_UP - 2 : -2], indicators.returns[WARM_UP:])
    realised = (exposures[:, 0] * indicators.returns[WARM_UP:]).std(ddof=1) * np.sqrt(252)
    assert realised == pytest.approx(target, rel=0.10)


@every_strategy
def test_no_exposure_exceeds_the_cap_by_more_than_the_drift_the_band_allows(strategy: lab.LabStrategy) -> None:
    configs = mixed_design(strategy, 60, np.random.default_rng(2))
    cap = np.array([config["leverage_cap"] for config in configs], dtype=np.float64)
    for market in lab.markets():
        exposures = backtest(strategy, configs, market, lab.load_prices(market.market_id)).exposures
        assert (np.abs(exposures) <= cap / (1 - REBALANCE_BAND) + 1e-12).all()


@every_strategy
def test_too_few_closes_are_refused_with_the_number_needed(strategy: lab.LabStrategy) -> None:
    prices = lab.load_prices("SP500")
    short = Prices(dates=prices.dates[:WARM_UP], closes=prices.closes[:WARM_UP])
    with pytest.raises(InputError, match="has 300 closes up to the end of the window, and the first return needs 301"):
        backtest(strategy, [strategy.live_config], lab.market_named("SP500"), short)


def test_prices_that_do_not_move_are_not_traded() -> None:
    flat = Prices(dates=np.datetime64("2000-01-01") + np.arange(350), closes=np.full(350, 10.0))
    for strategy in lab.strategies():
        paths = backtest(strategy, [strategy.live_config], lab.market_named("SP500"), flat)
        assert not paths.returns.any()
        assert not paths.exposures.any()

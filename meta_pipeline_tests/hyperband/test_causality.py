"""Nothing of the future is known: not to features, not to orders, not to fills."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from meta_pipeline.hyperband.bars import Bars, Fills
from meta_pipeline.hyperband.features import FEATURES, WARM_UP, features, volatility
from meta_pipeline.hyperband.labels import labels
from meta_pipeline.hyperband.orders import Foretold, Rules, orders
from meta_pipeline.hyperband.simulator import Orders, Simulation, simulate
from meta_pipeline_tests.hyperband.paths import changed_after, path

N = 400
HORIZON = 12
CONFIG = {
    "momentum_threshold": 1.5,
    "position_range_min": 0.3,
    "position_range_max": 0.9,
    "confidence_threshold": 0.5,
    "exit_threshold": 0.5,
}
RULES = Rules(
    target_volatility=0.2,
    leverage_cap=1.0,
    stop_loss=1.0,
    take_profit=1.5,
    horizon=HORIZON,
    allow_short=True,
    periods_per_year=2190.0,
)


@cache
def whole(fills: Fills) -> Bars:
    return path(N, seed=1, drift=0.3, fills=fills)


def decided(bars: Bars) -> Orders:
    """Orders from features alone: each model's answer is some function of the row, as a forest's would be."""
    seen = features(bars)
    back = np.full(len(bars), np.nan)
    back[HORIZON:] = np.sign(bars.close[HORIZON:] - bars.close[:-HORIZON])

    def squash(name: str) -> NDArray[np.float64]:
        return np.asarray(1.0 / (1.0 + np.exp(-seen.column(name))))

    return orders(
        Foretold(
            rises=squash("momentum_12"),
            size_rank=squash("skewness"),
            falls=squash("gap"),
            continues=squash("momentum_48"),
            usual_continues=np.full(len(bars), 0.5),
            last_direction=back,
            momentum=seen.column("momentum_strength"),
            volatility=volatility(bars),
        ),
        CONFIG,
        RULES,
    )


def traded(bars: Bars) -> Simulation:
    return simulate(bars.execution_prices(), decided(bars), fee=0.0005, slippage=0.0002)


@settings(max_examples=25, deadline=None)
@given(
    last_same=st.integers(150, N - 2), seed=st.integers(0, 2**31), fills=st.sampled_from(["next_open", "next_close"])
)
def test_other_bars_after_t_change_no_feature_order_fill_or_return_up_to_t(
    last_same: int, seed: int, fills: Fills
) -> None:
    here, there = whole(fills), changed_after(whole(fills), last_same, seed=seed)
    upto = slice(0, last_same + 1)
    assert np.array_equal(features(here).values[upto], features(there).values[upto], equal_nan=True)

    ours, theirs = decided(here), decided(there)
    for name in ("target", "leave", "stop", "take"):
        assert np.array_equal(getattr(ours, name)[upto], getattr(theirs, name)[upto])

    done, other = traded(here), traded(there)
    assert np.array_equal(done.returns[upto], other.returns[upto])
    for name in ("entry_bar", "exit_bar", "entry_price", "exit_price", "profit", "reason"):
        closed = [getattr(found.trips, name)[found.trips.exit_bar <= last_same] for found in (done, other)]
        assert np.array_equal(closed[0], closed[1])
    entered = [found.trips.entry_price[found.trips.entry_bar <= last_same] for found in (done, other)]
    assert np.array_equal(entered[0], entered[1])


def test_the_orders_of_that_test_do_trade_and_the_future_does_change_what_follows() -> None:
    here, there = whole("next_open"), changed_after(whole("next_open"), 300, seed=5)
    assert len(traded(here).trips) > 10
    assert not np.array_equal(features(here).values[301], features(there).values[301])
    assert not np.array_equal(traded(here).returns, traded(there).returns)


def test_a_feature_that_fills_backwards_would_be_seen() -> None:
    """Bug 13: the predecessor filled the first rows from later ones."""
    here, there = whole("next_open"), changed_after(whole("next_open"), 300, seed=5)
    centred = [np.convolve(bars.close, np.ones(3) / 3, mode="same") for bars in (here, there)]
    assert not np.array_equal(centred[0][:301], centred[1][:301])


@settings(max_examples=20, deadline=None)
@given(
    t=st.integers(40, N - HORIZON - 2), seed=st.integers(0, 2**31), fills=st.sampled_from(["next_open", "next_close"])
)
def test_a_label_sees_no_further_than_its_horizon(t: int, seed: int, fills: Fills) -> None:
    here = labels(whole(fills), horizon=HORIZON, barrier=1.0, round_trip_cost=0.001)
    changed = changed_after(whole(fills), t + HORIZON, seed=seed)
    there = labels(changed, horizon=HORIZON, barrier=1.0, round_trip_cost=0.001)
    for name in ("entry", "position", "exit", "profit"):
        assert np.array_equal(getattr(here, name)[: t + 1], getattr(there, name)[: t + 1], equal_nan=True)


def test_there_are_thirty_features_with_a_meaning_each() -> None:
    found = features(whole("next_open"))
    assert set(found.names) == set(FEATURES)
    assert len(found.names) == 30
    assert found.values.shape == (N, 30)
    assert not np.isnan(found.values[WARM_UP:]).any()
    assert np.isnan(found.values[WARM_UP - 1]).any()


def test_features_have_no_scale() -> None:
    here = whole("next_open")
    dear = Bars(
        symbol="X",
        times=here.times.copy(),
        volume=None if here.volume is None else here.volume * 1e6,
        **{name: getattr(here, name) * 1e4 for name in ("open", "high", "low", "close")},
    )
    np.testing.assert_allclose(features(dear).values, features(here).values, rtol=1e-6, atol=1e-6)


def test_where_nothing_moves_there_is_no_feature_and_no_order() -> None:
    still = np.full(N, 50.0)
    bars = Bars(symbol="X", times=whole("next_open").times.copy(), open=still, high=still, low=still, close=still)
    assert np.isnan(features(bars).column("momentum_4")).all()
    given = decided(bars)
    assert not given.target.any()
    assert (given.leave == 3).all()


@pytest.mark.parametrize("name", ["entry", "position", "exit", "profit"])
def test_no_label_is_a_rule_of_its_features(name: str) -> None:
    """Bug 13: two of the predecessor's labels were if-rules of the features that the forest was given."""
    from sklearn.ensemble import ExtraTreesRegressor

    bars = path(1500, seed=3)
    rows = features(bars).values
    answers = getattr(labels(bars, horizon=HORIZON, barrier=1.0, round_trip_cost=0.001), name)
    known = np.isfinite(rows).all(axis=1) & np.isfinite(answers)
    half = np.arange(len(bars)) < 800
    forest = ExtraTreesRegressor(n_estimators=20, min_samples_leaf=3, random_state=0, max_features="sqrt")
    forest.fit(rows[known & half], answers[known & half])
    late = np.arange(len(bars)) >= 800 + HORIZON
    guess, truth = forest.predict(rows[known & late]), answers[known & late]
    assert abs(np.corrcoef(guess, truth)[0, 1]) < 0.25  # noise foretells nothing
    rsi = features(bars).column("rsi_14")
    rule = (rsi > 0.7).astype(np.float64)  # a third of the predecessor's exit label
    forest.fit(rows[known & half], rule[known & half])
    assert np.corrcoef(forest.predict(rows[known & late]), rule[known & late])[0, 1] > 0.7

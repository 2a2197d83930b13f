"""The profile `classic`: the documented table to the last boundary, and the two documented examples."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from meta_pipeline.policy.classic import (
    aggressive_points,
    classic_mode,
    defensive_points,
    shift_by_opportunity,
    symbols_with_opportunity,
)
from meta_pipeline.policy.evaluate import Rules, evaluate
from meta_pipeline.policy.modes import Profile, Regime, RiskMode, Volatility
from meta_pipeline_tests.policy.builders import health, inputs, steady, table

CLASSIC = Rules(profile=Profile.CLASSIC)
D, N, A = RiskMode.DEFENSIVE, RiskMode.NORMAL, RiskMode.AGGRESSIVE

# Reading, the last value on this side of the boundary, the first beyond it, and what that one earns.
BOUNDARIES = [
    ("drawdown_pct", 4.999, 5.0, 2, 0),
    ("winrate", 0.45, 0.4499, 2, 0),
    ("equity_slope_pct_per_day", -0.5, -0.501, 2, 0),
    ("consecutive_losses", 4, 5, 1, 0),
    ("days_since_profit", 2.999, 3.0, 1, 0),
    ("volatility", Volatility.NORMAL, Volatility.HIGH, 1, 0),
    ("volatility", Volatility.LOW, Volatility.EXTREME, 1, 0),
    ("regime", Regime.RANGING, Regime.CHOPPY, 1, 0),
    ("regime", Regime.VOLATILE, Regime.LOW_LIQUIDITY, 1, 0),
    ("drawdown_pct", 2.001, 2.0, 0, 1),
    ("winrate", 0.5999, 0.60, 0, 1),
    ("equity_slope_pct_per_day", 1.0, 1.001, 0, 1),
    ("regime", Regime.RANGING, Regime.BULL_TRENDING, 0, 1),
    ("regime", Regime.RANGING, Regime.BEAR_TRENDING, 0, 1),
]


@pytest.mark.parametrize(("reading", "before", "beyond", "bad", "good"), BOUNDARIES)
def test_each_reading_earns_its_points_exactly_from_its_boundary_on(
    reading: str, before: object, beyond: object, bad: int, good: int
) -> None:
    quiet, loud = health(**{reading: before}), health(**{reading: beyond})
    assert (defensive_points(quiet)[0], aggressive_points(quiet)[0]) == (0, 0)
    assert (defensive_points(loud)[0], aggressive_points(loud)[0]) == (bad, good)


def test_the_mode_follows_from_the_points_in_every_combination() -> None:
    bad: list[dict[str, Any]] = [
        {},
        {"volatility": Volatility.HIGH},
        {"drawdown_pct": 6.0},
        {"drawdown_pct": 6.0, "winrate": 0.4},
    ]
    good: list[dict[str, Any]] = [{}, {"winrate": 0.61}, {"winrate": 0.61, "equity_slope_pct_per_day": 1.1}]
    for one, other in product(bad, good):
        found = health(**{**other, **one})
        points, signs = defensive_points(found)[0], aggressive_points(found)[0]
        wanted = D if points >= 3 else A if signs >= 2 and points == 0 else N
        assert classic_mode(found)[0] is wanted
    worst = health(
        drawdown_pct=50.0,
        winrate=0.1,
        equity_slope_pct_per_day=-3.0,
        consecutive_losses=9,
        days_since_profit=9.0,
        volatility=Volatility.EXTREME,
        regime=Regime.CHOPPY,
    )
    assert defensive_points(worst)[0] == 10


def test_the_first_documented_example_is_exact() -> None:
    """Drawdown 2.0 %, win rate 62 %, slope +1.2 %, bull trend, normal volatility; six strategies qualify."""
    found = health(drawdown_pct=2.0, winrate=0.62, equity_slope_pct_per_day=1.2, regime=Regime.BULL_TRENDING)
    statistics = table(*(steady(seed) for seed in range(6)))
    made = evaluate(inputs(statistics, health=found), CLASSIC)
    assert made.mode is A
    assert (made.limits.max_risk_per_trade, made.limits.min_confidence, made.limits.max_positions) == (0.015, 0.5, 15)
    assert len(made.strategies) == 6


def test_the_second_documented_example_is_exact() -> None:
    """Drawdown 7.0 %, win rate 42 %, slope -0.8 %, choppy, extreme volatility; two strategies are reliable."""
    found = health(
        drawdown_pct=7.0,
        winrate=0.42,
        equity_slope_pct_per_day=-0.8,
        regime=Regime.CHOPPY,
        volatility=Volatility.EXTREME,
    )
    statistics = table(steady(0), [1.0, -9.0] * 50, steady(1), [0.2, -9.0] * 50)
    made = evaluate(inputs(statistics, health=found), CLASSIC)
    assert made.mode is D
    assert (made.limits.max_risk_per_trade, made.limits.min_confidence, made.limits.max_positions) == (0.003, 0.7, 4)
    assert set(made.strategies) == {"S0", "S2"}


def test_s06_growth_of_exactly_one_per_cent_a_day_is_on_the_boundary_and_not_beyond_it() -> None:
    equity = 1000 * 1.01 ** np.arange(31)
    computed = float(np.mean(np.diff(equity) / equity[:-1])) * 100
    assert computed > 1.0  # by a rounding error
    assert aggressive_points(health(equity_slope_pct_per_day=computed))[0] == 0
    assert aggressive_points(health(equity_slope_pct_per_day=1.0 + 1e-6))[0] == 1


def test_s08_a_hot_ranking_of_symbols_never_leads_out_of_defensive() -> None:
    hot = {f"X{i}": 0.9 for i in range(10)}
    assert [shift_by_opportunity(mode, hot) for mode in (D, N, A)] == [D, A, A]
    crisis = health(drawdown_pct=50.0, consecutive_losses=9)
    for profile in Profile:
        made = evaluate(inputs(health=crisis, opportunities=hot, state=None), Rules(profile=profile))
        assert made.mode is D


def test_a_cold_ranking_takes_one_step_down_in_both_profiles() -> None:
    cold = {f"X{i}": 0.4 for i in range(10)}
    assert [shift_by_opportunity(mode, cold) for mode in (D, N, A)] == [D, D, N]
    assert shift_by_opportunity(N, {f"X{i}": 0.6 for i in range(8)} | {"Y": 0.7, "Z": 0.8}) is D
    for profile in Profile:
        assert evaluate(inputs(opportunities=cold), Rules(profile=profile)).mode is D


def test_only_symbols_with_opportunity_are_allowed_the_best_first_and_at_most_twenty() -> None:
    scores = {f"X{i:02}": i / 30 for i in range(30)}
    allowed = symbols_with_opportunity(scores)
    assert allowed[0] == "X29"
    assert all(scores[symbol] >= 0.65 - 1e-9 for symbol in allowed)
    assert len(symbols_with_opportunity({f"X{i}": 0.9 for i in range(30)})) == 20


def test_a_ranking_that_is_no_score_is_a_problem_and_not_a_boost() -> None:
    made = evaluate(inputs(opportunities={"X": float("nan")}), CLASSIC)
    assert made.mode is D
    assert made.reasons[0].code == "invalid_opportunity"


def test_the_classic_mode_has_no_memory() -> None:
    found = replace(health(), drawdown_pct=1.0, winrate=0.65)
    assert evaluate(inputs(health=found, state=None), CLASSIC).mode is A

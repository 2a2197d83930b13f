"""Weights that learn: the bounds that their papers prove, measured; and the budget they must fit into."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.policy.allocation import (
    adahedge,
    adahedge_bound,
    best_switching_loss,
    fixed_share,
    latest_fixed_share,
    natural_rate,
    regret,
)
from meta_pipeline.policy.evaluate import WEIGHT_DIGITS, evaluate
from meta_pipeline.policy.modes import RiskMode
from meta_pipeline.policy.risk_budget import BUDGET, expected_shortfall, scale_to_budget
from meta_pipeline_tests.policy.builders import health, in_mode, inputs, steady, table

loss_tables = st.tuples(
    st.integers(1, 40), st.integers(2, 5), st.integers(0, 2**32 - 1), st.sampled_from([1e-4, 1.0, 50.0])
).map(lambda drawn: drawn[3] * np.random.default_rng(drawn[2]).uniform(-1, 1, (drawn[0], drawn[1])))


@given(loss_tables)
@settings(max_examples=100, deadline=None)
def test_adahedge_regrets_no_more_than_its_theorem_allows(losses: np.ndarray) -> None:
    weights = adahedge(losses)
    assert np.allclose(weights.sum(axis=1), 1.0)
    assert (weights >= 0).all()
    assert regret(losses, weights) <= adahedge_bound(losses) + 1e-9


@given(loss_tables)
@settings(max_examples=60, deadline=None)
def test_adahedge_does_not_depend_on_the_units_of_the_losses(losses: np.ndarray) -> None:
    np.testing.assert_allclose(adahedge(1000 * losses), adahedge(losses), atol=1e-8)
    np.testing.assert_allclose(adahedge(losses + 7.0), adahedge(losses), atol=1e-6)


@given(loss_tables, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_fixed_share_regrets_no_more_than_its_bound_against_experts_that_switch(losses: np.ndarray, k: int) -> None:
    """The bound of Herbster and Warmuth (1998), for losses of a known range."""
    rounds, n = losses.shape
    if k >= rounds:
        return
    rate, alpha = natural_rate(losses), 0.05
    spread = float(np.max(np.ptp(losses, axis=1)))
    # The weight that a switch hands on is alpha / n here, one of the n among it.
    switching = k * math.log(n / alpha) + (rounds - 1 - k) * math.log(1 / (1 - alpha))
    bound = (math.log(n) + switching) / rate + rate * rounds * spread**2 / 8
    weights = fixed_share(losses, rate=rate, switch_rate=alpha)
    assert regret(losses, weights, switches=k) <= bound + 1e-9


def test_the_best_sequence_that_switches_is_that_of_trying_them_all() -> None:
    losses = np.random.default_rng(0).uniform(0, 1, (6, 3))
    for k in range(4):
        every = min(
            sum(losses[t, expert] for t, expert in enumerate(path))
            for path in itertools.product(range(3), repeat=6)
            if sum(a != b for a, b in itertools.pairwise(path)) <= k
        )
        assert best_switching_loss(losses, switches=k) == pytest.approx(every)
    assert best_switching_loss(losses[:0], switches=1) == 0.0


def test_when_the_best_strategy_changes_fixed_share_follows_and_adahedge_mourns() -> None:
    rng = np.random.default_rng(7)
    good = np.where(np.arange(400)[:, None] // 100 % 2 == np.array([0, 1]), -0.01, 0.01)
    losses = good + rng.normal(0, 0.02, (400, 2))
    equal = np.full((401, 2), 0.5)
    shared = regret(losses, fixed_share(losses, rate=natural_rate(losses) * 4), switches=3)
    assert shared < regret(losses, adahedge(losses), switches=3)
    assert shared < regret(losses, equal, switches=3)


def test_the_quick_form_is_the_last_row_of_the_long_one() -> None:
    losses = np.random.default_rng(1).normal(0, 0.01, (60, 5))
    np.testing.assert_allclose(latest_fixed_share(losses, rate=30.0), fixed_share(losses, rate=30.0)[-1], rtol=1e-12)
    assert latest_fixed_share(np.empty((0, 3)), rate=0.0) == (1 / 3,) * 3
    assert natural_rate(np.zeros((10, 3))) == 0.0


def test_the_expected_shortfall_is_the_mean_of_the_worst_days_and_never_below_the_normal_one() -> None:
    returns = np.concatenate([np.full(975, 0.001), np.full(25, -0.05)])
    assert expected_shortfall(returns) == pytest.approx(0.05)
    calm = np.tile([0.01, -0.01], 50)
    assert expected_shortfall(calm) == pytest.approx(2.337803 * calm.std(ddof=1))
    normal = np.random.default_rng(2).normal(0, 0.01, 200_000)
    assert expected_shortfall(normal) == pytest.approx(0.0233780, rel=0.02)
    assert expected_shortfall(np.full(100, 0.01)) == 0.0


def test_a_shortfall_that_cannot_be_told_gets_half_and_nothing_is_scaled_up() -> None:
    assert expected_shortfall(np.zeros(19)) is None
    assert expected_shortfall(np.array([np.nan] * 30)) is None
    assert scale_to_budget(None, RiskMode.AGGRESSIVE) == 0.5
    assert scale_to_budget(0.0, RiskMode.DEFENSIVE) == 1.0
    assert scale_to_budget(0.05, RiskMode.NORMAL) == pytest.approx(0.25)


@given(st.integers(0, 1000), st.floats(0.0005, 0.05), st.sampled_from([0.5, 9.0]))
@settings(max_examples=40, deadline=None)
def test_the_weights_sum_to_at_most_one_and_keep_the_shortfall_within_the_budget(
    seed: int, size: float, drawdown: float
) -> None:
    returns = np.random.default_rng(seed).normal(0, size, (120, 4))
    of = table(*(steady(i, 300) for i in range(4)))
    made = evaluate(inputs(of, returns=returns, health=health(drawdown_pct=drawdown), state=in_mode(RiskMode.NORMAL)))
    shares = [made.weights[name] for name in made.strategies]
    assert 0 < sum(shares) <= 1.0
    assert all(share >= 0 and round(share, WEIGHT_DIGITS) == share for share in shares)
    chosen = [int(name[1:]) for name in made.strategies]
    scaled = expected_shortfall(returns[:, chosen] @ (len(chosen) * np.array(shares)))
    assert scaled is not None
    assert scaled <= BUDGET[made.mode] * (1 + 1e-9)


def test_a_strategy_that_has_been_losing_gets_less() -> None:
    returns = np.zeros((60, 2))
    returns[:, 0] = -0.002
    returns[:, 1] = 0.002
    made = evaluate(
        inputs(table(steady(1), steady(2)), returns=returns + np.random.default_rng(0).normal(0, 1e-4, (60, 2)))
    )
    assert made.weights["S0"] < made.weights["S1"]

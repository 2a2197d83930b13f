"""The odds of a positive outcome are where the likelihood is largest, wherever the search begins."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from meta_pipeline.evidence.expected_value.probability import COLD, fit_win_odds


def by_scipy(score: np.ndarray, habit: np.ndarray, effects: np.ndarray) -> np.ndarray:
    x, won = np.column_stack([score, habit]), np.where(effects == 0, 0.5, effects > 0)

    def loss(beta: np.ndarray) -> float:
        odds = x @ beta
        return float(2 * np.sum(np.logaddexp(0, odds) - won * odds) + 1.5 * np.sum((beta - COLD) ** 2))

    return np.asarray(minimize(loss, COLD, bounds=[(0, None), (0, None)], method="L-BFGS-B", tol=1e-14).x)


@given(st.integers(0, 10_000), st.floats(0.05, 6.0), st.floats(-1.5, 1.5))
@example(117, 6.0, 0.0)  # together both would be negative, and one alone is not
@settings(max_examples=40, deadline=None)
def test_they_are_the_best_that_are_not_negative(seed: int, size: float, truth: float) -> None:
    rng = np.random.default_rng(seed)
    score, habit = rng.normal(0, size, 200), rng.normal(0, 0.3, 200)
    effects = truth * score - 0.5 * habit + rng.logistic(0, 1, 200)
    effects[:5] = 0.0
    found = fit_win_odds(score, habit, effects)
    assert (found.score, found.habit) == pytest.approx(by_scipy(score, habit, effects), abs=2e-4)


def test_a_few_large_claims_among_small_ones_do_not_carry_the_search_away() -> None:
    # From the cold rule a whole Newton step ends at odds of 93 per unit, where the curve is flat and nothing moves.
    rng = np.random.default_rng(0)
    score = np.concatenate([np.full(60, 2.8), rng.normal(0, 0.1, 420)])
    effects = np.concatenate([rng.normal(0.3, 0.3, 60), rng.normal(0, 0.3, 420)])
    found = fit_win_odds(score, np.zeros(480), effects)
    assert found.score == pytest.approx(0.661, abs=0.001)
    assert found.probability(np.array([2.8]), np.zeros(1))[0] == pytest.approx(np.mean(effects[:60] > 0), abs=0.01)

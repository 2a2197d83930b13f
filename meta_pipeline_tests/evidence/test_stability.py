import numpy as np
import pytest

from meta_pipeline.evidence.influence import MAX_DRAWDOWN, RISK_METRICS, SHARPE_RATIO, Runs, day_series
from meta_pipeline.evidence.metrics import summarize
from meta_pipeline.evidence.stability import Slices, drift, equal_periods, sign_consistency, slice_effects
from meta_pipeline_tests.evidence.worlds import business_days


def runs_of(returns: np.ndarray) -> Runs:
    n = returns.shape[1]
    return Runs(
        by_run=returns.T,
        columns=np.arange(n),
        summary=summarize(returns, 252),
        periods_per_year=np.full(n, 252.0),
    )


def effects(returns: np.ndarray, slices: np.ndarray, n_slices: int, groups: np.ndarray | None = None) -> Slices:
    runs = runs_of(returns)
    weights = np.array([[1.0], [-1.0]]) if returns.shape[1] == 2 else np.array([[0.5], [-0.5], [0.5], [-0.5]])
    series = day_series(runs, {SHARPE_RATIO: weights})[SHARPE_RATIO]
    blocks = np.zeros(len(weights), dtype=np.int64) if groups is None else groups
    return slice_effects(
        runs, weights, weights > 0, series, np.atleast_2d(slices), n_slices, blocks=blocks, groups=groups
    )


def test_slices_are_equal_in_calendar_time() -> None:
    slices = equal_periods(business_days(800), 8)
    assert np.bincount(slices) == pytest.approx(100, abs=3)
    assert np.all(np.diff(slices) >= 0)
    assert equal_periods(business_days(0), 8).shape == (0,)


def test_the_effect_of_a_slice_is_the_difference_of_sharpe_ratios_in_it() -> None:
    returns = np.random.default_rng(0).standard_normal((400, 2)) * 0.01
    slices = equal_periods(business_days(400), 4)
    found = effects(returns, slices, 4)
    for index in range(4):
        sharpe = summarize(returns[slices == index], 252).sharpe_ratio
        assert found.estimates[index, 0] == pytest.approx(sharpe[0] - sharpe[1])
        n = int((slices == index).sum())
        assert found.standard_errors[index, 0] == pytest.approx(np.sqrt(2 * 252 / n), rel=0.35)


def test_a_slice_without_enough_returns_has_no_effect() -> None:
    returns = np.random.default_rng(0).standard_normal((400, 2)) * 0.01
    returns[:100, 1] = np.nan
    found = effects(returns, equal_periods(business_days(400), 4), 4)
    assert np.isnan(found.estimates[0, 0])
    assert found.n_days[0, 0] == 0
    assert np.isfinite(found.estimates[1:]).all()


def test_regimes_may_differ_between_markets() -> None:
    returns = np.random.default_rng(1).standard_normal((300, 4)) * 0.01
    labels = np.stack([np.repeat([0, 1], 150), np.repeat([1, 0], 150)])
    found = effects(returns, labels, 2, np.array([0, 0, 1, 1]))
    early, late = summarize(returns[:150], 252).sharpe_ratio, summarize(returns[150:], 252).sharpe_ratio
    expected = 0.5 * (early[0] - early[1]) + 0.5 * (late[2] - late[3])
    assert found.estimates[0, 0] == pytest.approx(expected)


def test_drift_is_zero_where_slices_differ_no_more_than_their_errors() -> None:
    assert drift(np.array([0.1, 0.2, 0.15, 0.12]), np.full(4, 0.5)) == 0.0
    assert np.isnan(drift(np.array([0.1, 0.2]), np.full(2, 0.5)))


def test_drift_is_found_where_there_is_some() -> None:
    rng = np.random.default_rng(0)
    estimates = rng.normal(0.3, 1.0, 400) + rng.normal(0, 0.5, 400)
    assert drift(estimates, np.full(400, 0.5)) == pytest.approx(1.0, rel=0.1)


def test_sign_consistency_is_the_share_of_slices_that_agree() -> None:
    assert sign_consistency(np.array([0.1, -0.2, 0.3, np.nan]), 0.5) == pytest.approx(2 / 3)
    assert np.isnan(sign_consistency(np.array([np.nan]), 0.5))


@pytest.mark.parametrize("metric", RISK_METRICS)
def test_the_effect_of_a_slice_on_a_risk_metric_is_the_difference_of_that_metric_in_it(metric: str) -> None:
    returns = np.random.default_rng(4).standard_normal((800, 2)) * [0.02, 0.01]
    returns[:200, 0] = np.nan  # nothing to compare in the first of four slices
    runs, weights = runs_of(returns), np.array([[1.0], [-1.0]])
    series = day_series(runs, {metric: weights})[metric]
    slices = equal_periods(business_days(800), 4)
    blocks = np.zeros(2, dtype=np.int64)
    found = slice_effects(runs, weights, weights > 0, series, slices[None], 4, blocks=blocks, metric=metric)
    assert np.isnan(found.estimates[0, 0])
    for index in (1, 2, 3):
        inside = getattr(summarize(returns[slices == index], 252), metric)
        assert found.estimates[index, 0] == pytest.approx(inside[0] - inside[1])
    known = np.isfinite(found.standard_errors[1:, 0])
    assert known.all() or (metric == MAX_DRAWDOWN and not known.any())


def test_the_error_of_a_volatility_in_a_slice_is_that_of_independent_days() -> None:
    returns = np.random.default_rng(5).standard_normal((4000, 2)) * [0.02, 0.01]
    runs, weights = runs_of(returns), np.array([[1.0], [-1.0]])
    series = day_series(runs, {"volatility": weights})["volatility"]
    slices = equal_periods(business_days(4000), 4)
    blocks = np.zeros(2, dtype=np.int64)
    found = slice_effects(runs, weights, weights > 0, series, slices[None], 4, blocks=blocks, metric="volatility")
    exact = np.sqrt(252 * (0.02**2 + 0.01**2) / (2 * 1000))  # normal returns: sd / sqrt(2 n)
    assert found.standard_errors[:, 0] == pytest.approx(exact, rel=0.15)

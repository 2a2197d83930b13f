import numpy as np
import pytest

from meta_pipeline.evidence.influence import RISK_METRICS, SHARPE_RATIO, Runs, by_calendar_day, day_series
from meta_pipeline.evidence.metrics import summarize

METRICS = (SHARPE_RATIO, *RISK_METRICS)


def runs_of(returns: np.ndarray, periods_per_year: float = 252) -> Runs:
    n = returns.shape[1]
    return Runs(
        by_run=returns.T,
        columns=np.arange(n),
        summary=summarize(returns, periods_per_year),
        periods_per_year=np.full(n, periods_per_year),
    )


def sample(n_days: int = 400, n: int = 5) -> np.ndarray:
    return np.random.default_rng(2).standard_t(5, (n_days, n)) * 0.01 + 0.0005


@pytest.mark.parametrize("metric", METRICS)
def test_influences_sum_to_zero_and_vanish_outside_the_window(metric: str) -> None:
    returns = sample()
    returns[:90, 1] = np.nan
    returns[300:, 2] = np.nan
    returns[7::9, 3] = np.nan
    found = day_series(runs_of(returns), {metric: np.eye(5)})[metric]
    assert found.sum(axis=0) == pytest.approx(0.0, abs=1e-12)
    assert not found[np.isnan(returns)].any()


@pytest.mark.parametrize(("metric", "tolerance"), [(SHARPE_RATIO, 0.05), ("mean_return", 0.01), ("volatility", 0.03)])
def test_the_influence_is_what_leaving_a_day_out_does(metric: str, tolerance: float) -> None:
    returns = sample(300, 1)
    whole = getattr(summarize(returns, 252), metric)[0]
    found = day_series(runs_of(returns), {metric: np.ones((1, 1))})[metric][:, 0]
    without = np.array(
        [getattr(summarize(np.delete(returns, day, axis=0), 252), metric)[0] for day in range(len(returns))]
    )
    jackknife = -(without - whole)
    assert np.max(np.abs(jackknife - found)) < tolerance * np.max(np.abs(found))


def test_the_expected_shortfall_moves_with_its_tail_alone() -> None:
    returns = sample(400, 1)
    found = day_series(runs_of(returns), {"expected_shortfall": np.ones((1, 1))})["expected_shortfall"][:, 0]
    worst = np.argsort(returns[:, 0])[:20]
    assert np.all(found[worst[:-1]] < np.delete(found, worst).min())
    assert np.ptp(np.delete(found, worst)) == pytest.approx(0.0, abs=1e-15)


def test_the_drawdown_moves_with_the_days_from_peak_to_trough() -> None:
    returns = np.array([[0.1, -0.2, 0.05, -0.1, 0.3]]).T
    found = day_series(runs_of(returns), {"max_drawdown": np.ones((1, 1))})["max_drawdown"][:, 0]
    inside = found - found[0]
    kept = 0.8 * 1.05 * 0.9  # equity from the peak of day 0 to the trough of day 3
    assert inside[[0, 4]] == pytest.approx(0.0)
    assert inside[1:4] == pytest.approx(kept * np.log([0.8, 1.05, 0.9]))


def test_a_weighted_sum_of_runs_has_the_weighted_sum_of_influences() -> None:
    returns = sample()
    returns[:50, 4] = np.nan
    weights = np.random.default_rng(0).standard_normal((5, 3))
    runs = runs_of(returns)
    together = day_series(runs, dict.fromkeys(METRICS, weights))
    for metric in METRICS:
        single = day_series(runs, {metric: np.eye(5)})[metric]
        assert together[metric] == pytest.approx(single @ weights, abs=1e-12), metric


def test_the_standard_error_of_one_sharpe_ratio_is_that_of_lo() -> None:
    returns = np.random.default_rng(0).standard_normal((20000, 1)) * 0.01 + 0.001
    sharpe = 0.1  # per day
    found = day_series(runs_of(returns, 1.0), {SHARPE_RATIO: np.ones((1, 1))})[SHARPE_RATIO]
    assert np.sum(found**2) == pytest.approx((1 + sharpe**2 / 2) / 20000, rel=0.03)


def test_bars_of_one_calendar_day_are_taken_together() -> None:
    dates = np.array(["2020-01-01T04", "2020-01-01T08", "2020-01-02T04"], dtype="datetime64[s]")
    series, days = by_calendar_day(np.array([[1.0], [2.0], [4.0]]), dates)
    assert series.tolist() == [[3.0], [4.0]]
    assert days.tolist() == np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]").tolist()

import empyrical
import numpy as np
import pandas as pd
import pytest
import quantstats
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meta_pipeline.errors import InputError
from meta_pipeline.evidence import metrics
from meta_pipeline.evidence.metrics import summarize

ORACLES = {
    "sharpe_ratio": "sharpe_ratio",
    "volatility": "annual_volatility",
    "max_drawdown": "max_drawdown",
    "cumulative_return": "cum_returns_final",
    "annual_return": "annual_return",
    "expected_shortfall": "conditional_value_at_risk",
}


@pytest.fixture(scope="module")
def returns() -> np.ndarray:
    return np.random.default_rng(1).standard_t(5, (700, 7)) * 0.01 + 0.0003


def test_every_metric_agrees_with_empyrical(returns: np.ndarray) -> None:
    found = summarize(returns, 252)
    for run in range(returns.shape[1]):
        series = pd.Series(returns[:, run], index=pd.bdate_range("2015-01-01", periods=len(returns)))
        for name, oracle in ORACLES.items():
            assert getattr(found, name)[run] == pytest.approx(getattr(empyrical, oracle)(series), rel=1e-10), name


def test_sharpe_drawdown_and_win_rate_agree_with_quantstats(returns: np.ndarray) -> None:
    found = summarize(returns, 252)
    for run in range(returns.shape[1]):
        series = pd.Series(returns[:, run], index=pd.bdate_range("2015-01-01", periods=len(returns)))
        assert found.sharpe_ratio[run] == pytest.approx(quantstats.stats.sharpe(series), rel=1e-10)
        assert found.max_drawdown[run] == pytest.approx(quantstats.stats.max_drawdown(series), rel=1e-9)
        assert found.win_rate[run] == pytest.approx(quantstats.stats.win_rate(series), rel=1e-12)


def test_skewness_and_kurtosis_are_population_moments_and_kurtosis_is_raw(returns: np.ndarray) -> None:
    found = summarize(returns, 252)
    assert found.skewness == pytest.approx(scipy.stats.skew(returns, bias=True))
    assert found.kurtosis == pytest.approx(scipy.stats.kurtosis(returns, bias=True, fisher=False))


def test_the_risk_free_rate_is_subtracted_per_period(returns: np.ndarray) -> None:
    found = summarize(returns, 252, risk_free=0.0001)
    assert found.sharpe_ratio == pytest.approx(summarize(returns - 0.0001, 252).sharpe_ratio)
    assert found.mean_return == pytest.approx(summarize(returns, 252).mean_return)


def test_a_loss_on_the_first_day_is_a_drawdown() -> None:
    assert summarize([-0.1, 0.05, 0.2], 252).max_drawdown[0] == pytest.approx(-0.1)


def test_after_ruin_compounding_stops() -> None:
    found = summarize([0.1, -1.2, 5.0, 0.1], 252)
    assert found.ruined[0]
    assert found.cumulative_return[0] == -1.0
    assert found.max_drawdown[0] == -1.0
    assert found.annual_return[0] == -1.0


def test_a_curve_without_volatility_has_no_sharpe_ratio_and_says_why() -> None:
    found = summarize(np.full(300, 1e-4), 365)  # E02: the predecessor reported 1.4e13
    assert found.of_run(0)["sharpe_ratio"] is None
    assert found.reason("sharpe_ratio", 0) == "zero volatility"
    assert found.max_drawdown[0] == 0.0


def test_the_expected_shortfall_of_a_short_run_is_refused() -> None:
    found = summarize(np.random.default_rng(0).standard_normal((80, 1)) / 100, 252)  # E06
    assert found.of_run(0)["expected_shortfall"] is None
    assert "fewer than 5" in str(found.reason("expected_shortfall", 0))


def test_missing_days_are_as_if_they_were_not_there(returns: np.ndarray) -> None:
    gaps = returns.copy()
    gaps[:100, 0] = np.nan
    gaps[650:, 1] = np.nan
    gaps[5::7, 2] = np.nan
    gaps[:, 3] = np.nan
    found = summarize(gaps, 252)
    for run in (0, 1, 2, 4):
        alone = summarize(gaps[~np.isnan(gaps[:, run]), run], 252)
        for name in metrics.Summary.__dataclass_fields__:
            assert getattr(found, name)[run] == getattr(alone, name)[0], name
    assert found.n_observations[3] == 0
    assert found.of_run(3) == dict.fromkeys(found.of_run(3))
    assert found.reason("sharpe_ratio", 3) == "0 returns; at least 2 are needed"


def test_an_infinite_return_leaves_no_figure_and_no_warning() -> None:
    found = summarize(np.array([[0.1, np.inf, -0.1, 0.2]]).T, 252)
    assert set(found.of_run(0).values()) == {None}
    assert found.reason("volatility", 0) is not None


def test_how_runs_are_chunked_changes_no_bit(returns: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    many = np.tile(returns, (1, 40))
    whole = summarize(many, 252)
    monkeypatch.setattr(metrics, "CHUNK_RUNS", 16)
    parts = summarize(np.asfortranarray(many), 252)
    for name in metrics.Summary.__dataclass_fields__:
        assert np.array_equal(getattr(whole, name), getattr(parts, name), equal_nan=True), name


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="periods_per_year holds 0"):
        summarize([0.1, 0.2], 0)
    with pytest.raises(InputError, match="one for each of the 3 runs"):
        summarize(np.zeros((5, 3)), [252, 252])
    with pytest.raises(InputError, match="days x runs"):
        summarize(np.zeros((5, 3, 2)), 252)


def test_no_runs_and_no_days_give_empty_answers() -> None:
    assert len(summarize(np.empty((10, 0)), 252).sharpe_ratio) == 0
    assert summarize(np.empty((0, 2)), 252).n_observations.tolist() == [0, 0]


@given(arrays(np.float64, st.integers(2, 60), elements=st.floats(-0.9, 2.0, allow_nan=False)))
@settings(max_examples=60, deadline=None)
def test_drawdown_is_never_positive_and_never_below_minus_one(series: np.ndarray) -> None:
    found = summarize(series, 252)
    assert -1.0 <= found.max_drawdown[0] <= 0.0
    assert found.cumulative_return[0] >= -1.0
    equity = np.concatenate([[1.0], np.cumprod(1 + series)])
    assert found.max_drawdown[0] == pytest.approx(np.min(equity / np.maximum.accumulate(equity)) - 1, abs=1e-12)

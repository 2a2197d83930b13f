import numpy as np
import pytest
from arch.bootstrap import optimal_block_length
from arch.covariance.kernel import Bartlett, QuadraticSpectral
from statsmodels.stats.sandwich_covariance import S_hac_simple
from statsmodels.tsa.ar_model import AutoReg

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.longrun import automatic_bandwidth, automatic_block_length, sum_variance


def autoregressive(rho: float, n: int, seed: int) -> np.ndarray:
    shocks = np.random.default_rng(seed).standard_normal((n, 4))
    series = shocks.copy()
    for t in range(1, n):
        series[t] = rho * series[t - 1] + shocks[t]
    return np.asarray(series - series.mean(axis=0))


def test_with_bandwidth_zero_days_are_uncorrelated() -> None:
    series = autoregressive(0.5, 300, 0)
    assert sum_variance(series, bandwidth=0.0) == pytest.approx((series**2).sum(axis=0))


def test_the_bartlett_kernel_weighs_lags_as_newey_and_west_do() -> None:
    x = autoregressive(0.3, 200, 1)
    expected = (x**2).sum(axis=0) + sum(2 * (1 - lag / 4) * (x[lag:] * x[:-lag]).sum(axis=0) for lag in (1, 2, 3))
    assert sum_variance(x, bandwidth=4.0) == pytest.approx(expected)


def test_the_quadratic_spectral_kernel_is_that_of_andrews() -> None:
    x = autoregressive(0.3, 150, 2)
    lags = np.arange(1, 150)
    z = 6 * np.pi * (lags / 5.0) / 5
    kernel = 3 / z**2 * (np.sin(z) / z - np.cos(z))
    expected = (x**2).sum(axis=0) + sum(
        2 * k * (x[lag:] * x[:-lag]).sum(axis=0) for lag, k in zip(lags, kernel, strict=True)
    )
    assert sum_variance(x, kernel="quadratic_spectral", bandwidth=5.0) == pytest.approx(expected)


@pytest.mark.parametrize("kernel", ["bartlett", "quadratic_spectral"])
def test_the_automatic_bandwidth_finds_the_long_run_variance_of_an_autoregression(kernel: str) -> None:
    found = [sum_variance(autoregressive(0.5, 4000, s), kernel=kernel) / 4000 for s in range(8)]  # type: ignore[arg-type]
    assert float(np.mean(found)) == pytest.approx(1 / (1 - 0.5) ** 2, rel=0.08)


def test_the_bandwidth_follows_the_plug_in_formula() -> None:
    x = autoregressive(0.4, 1000, 3)[:, :1]
    rho = float((x[1:] * x[:-1]).sum() / (x * x).sum())
    alpha = 4 * rho**2 / ((1 - rho) ** 2 * (1 + rho) ** 2)
    assert automatic_bandwidth(x)[0] == pytest.approx(1.1447 * (alpha * 1000) ** (1 / 3))


@pytest.mark.parametrize("rho", [0.0, 0.1, 0.3, 0.6])
def test_the_block_length_is_that_of_arch(rho: float) -> None:
    series = np.hstack([autoregressive(rho, 1200, seed) for seed in range(5)])
    theirs = optimal_block_length(series)["circular"].to_numpy()
    ours = automatic_block_length(series)
    # arch divides autocovariances by slightly other variances, so now and then another lag counts as small.
    agree = np.isclose(ours, np.maximum(theirs, 1.0), rtol=1e-9)
    assert np.mean(agree) >= 0.75
    assert np.median(ours) == pytest.approx(np.median(np.maximum(theirs, 1.0)), rel=0.15)


@pytest.mark.parametrize("kernel", ["bartlett", "quadratic_spectral"])
def test_prewhitening_is_the_kernel_of_arch_on_the_residuals_of_statsmodels(kernel: str) -> None:
    x = autoregressive(0.6, 400, 5)
    found = sum_variance(x, kernel=kernel, bandwidth=5.0, prewhiten=True)  # type: ignore[arg-type]
    for column, variance in zip(x.T, found, strict=True):
        fitted = AutoReg(column, 1, trend="n").fit()
        # arch counts the lags of the Bartlett kernel, ours is where it reaches zero.
        theirs, width = (Bartlett, 4.0) if kernel == "bartlett" else (QuadraticSpectral, 5.0)
        long_run = float(np.squeeze(theirs(fitted.resid, width, center=False).cov.long_run))
        # arch divides by the number of residuals.
        assert variance == pytest.approx(400 * long_run / (1 - fitted.params[0]) ** 2, rel=1e-9)


def test_without_prewhitening_the_bartlett_kernel_is_that_of_statsmodels() -> None:
    x = autoregressive(0.3, 200, 6)
    expected = [float(np.squeeze(S_hac_simple(column[:, None], nlags=6))) for column in x.T]
    assert sum_variance(x, bandwidth=7.0) == pytest.approx(expected)
    assert sum_variance(x, bandwidth=7.0, prewhiten=False) == pytest.approx(expected)


def test_prewhitening_takes_most_of_the_bias_where_memory_is_long() -> None:
    series = [autoregressive(0.85, 800, seed) for seed in range(12)]
    truth = 1 / (1 - 0.85) ** 2
    plain = float(np.mean([sum_variance(x) for x in series])) / 800
    whitened = float(np.mean([sum_variance(x, prewhiten=True) for x in series])) / 800
    assert plain < 0.9 * truth
    assert abs(whitened - truth) < abs(plain - truth)


def test_prewhitening_stops_short_of_a_unit_root_and_passes_over_constants() -> None:
    trend = np.arange(100.0)[:, None] - 49.5
    assert np.isfinite(sum_variance(trend, prewhiten=True)).all()
    assert sum_variance(np.zeros((100, 2)), prewhiten=True).tolist() == [0.0, 0.0]
    assert sum_variance(np.zeros((1, 2)), prewhiten=True).tolist() == [0.0, 0.0]


def test_a_constant_series_has_no_memory() -> None:
    zeros = np.zeros((100, 2))
    assert automatic_block_length(zeros).tolist() == [1.0, 1.0]
    assert sum_variance(zeros).tolist() == [0.0, 0.0]


def test_unknown_kernels_and_negative_bandwidths_are_named() -> None:
    with pytest.raises(InputError, match="kernel is 'parzen'"):
        sum_variance(np.zeros((5, 1)), kernel="parzen")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"bandwidth is -1\.0"):
        sum_variance(np.zeros((5, 1)), bandwidth=-1.0)

"""The long-run variance of a day series, and how far its memory reaches.

Belongs here: kernel estimates with automatic bandwidth, and the automatic block length. Does not belong here:
what the series means (contrasts).

A day series here is a column of influences: it sums to zero over its days, and the variance of that sum is
the variance of an estimate. So `sum_variance` is in the estimate's unit squared, with nothing left to divide by.
"""

import math
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError

Floats = NDArray[np.float64]
Kernel = Literal["bartlett", "quadratic_spectral"]

# Andrews (1991), Econometrica 59(3), equation 6.2: factor and exponent of the optimal bandwidth, per kernel.
_ANDREWS: Final = {"bartlett": (1.1447, 1 / 3), "quadratic_spectral": (1.3221, 1 / 5)}

_MOST_MEMORY: Final = 0.97  # as Andrews and Monahan (1992): near one, plug-in and recolouring explode


def sum_variance(
    series: Floats, *, kernel: Kernel = "bartlett", bandwidth: float | None = None, prewhiten: bool = False
) -> Floats:
    """Return the variance of each column's sum, robust to heteroscedasticity and autocorrelation.

    Newey and West (1987) for the Bartlett kernel; Andrews (1991) for the quadratic spectral one; prewhitening as in
    Andrews and Monahan, Econometrica 60(4), 1992.

    Parameters
    ----------
    series
        Shape (n_days, n), no NaN; a day on which a series has nothing is zero.
    kernel
        "bartlett" or "quadratic_spectral".
    bandwidth
        Lag at which the Bartlett kernel reaches zero (the scale of the quadratic spectral one), in days; 0 for
        uncorrelated days. None: chosen per column by `automatic_bandwidth`.
    prewhiten
        Take a first-order autoregression out of each column before the kernel, and put its memory back after. Less
        biased where memory is long, at the price of more variance; the bandwidth is then that of the residuals.

    Returns
    -------
    ndarray
        Shape (n,), not negative.

    Raises
    ------
    InputError
        If the kernel is not known, or the bandwidth is negative.
    """
    _known(kernel)
    n_days, n = series.shape
    if bandwidth is not None and not bandwidth >= 0:
        raise InputError(f"bandwidth is {bandwidth!r}; it must not be negative (0 means uncorrelated days)")
    if prewhiten and n_days > 1:
        residuals, rho = _whitened(series)
        kept = n_days / (n_days - 1)  # the first day has no residual
        recoloured: Floats = sum_variance(residuals, kernel=kernel, bandwidth=bandwidth) * kept / (1.0 - rho) ** 2
        return recoloured
    widths = automatic_bandwidth(series, kernel=kernel) if bandwidth is None else np.full(n, float(bandwidth))
    variance = _dot(series, series)
    last = n_days - 1 if kernel == "quadratic_spectral" else min(n_days - 1, math.ceil(widths.max(initial=0.0)) - 1)
    for lag in range(1, last + 1):
        weights = _kernel_weights(kernel, lag, widths)
        if not weights.any():
            break
        variance = variance + 2.0 * weights * _dot(series[lag:], series[:-lag])
    return np.maximum(variance, 0.0)


def automatic_bandwidth(series: Floats, *, kernel: Kernel = "bartlett") -> Floats:
    """Return Andrews' plug-in bandwidth of each column, from a first-order autoregression.

    Returns
    -------
    ndarray
        Shape (n,), in days, between 0 and the number of days. A constant column has bandwidth 0.
    """
    _known(kernel)
    n_days = len(series)
    factor, exponent = _ANDREWS[kernel]
    power = _dot(series, series)
    with np.errstate(all="ignore"):
        rho = _dot(series[1:], series[:-1]) / power
    rho = np.clip(np.nan_to_num(rho), -_MOST_MEMORY, _MOST_MEMORY)
    alpha = 4 * rho**2 / (1 - rho) ** 4 if kernel == "quadratic_spectral" else 4 * rho**2 / (1 - rho**2) ** 2
    return np.minimum(factor * (alpha * n_days) ** exponent, float(n_days))


def automatic_block_length(series: Floats) -> Floats:
    """Return the block length that is best for a circular block bootstrap of each column's mean.

    Politis and White, Econometric Reviews 23(1), 2004, as corrected by Patton, Politis and White, Econometric
    Reviews 28(4), 2009.

    Parameters
    ----------
    series
        Shape (n_days, n), no NaN.

    Returns
    -------
    ndarray
        Shape (n,), in days, not rounded, at least 1.
    """
    n_days, n = series.shape
    if n_days < 8:
        return np.ones(n)
    run_of_small = max(5, int(math.log10(n_days)))
    most = math.ceil(math.sqrt(n_days)) + run_of_small
    longest = math.ceil(min(3 * math.sqrt(n_days), n_days / 3))
    centred = series - series.mean(axis=0)
    lags = min(most + run_of_small, n_days - 1)
    covariances = np.stack([_dot(centred[lag:], centred[: n_days - lag]) / n_days for lag in range(lags + 1)])
    small = 2 * math.sqrt(math.log10(n_days) / n_days)
    lengths = np.ones(n)
    for column in range(n):
        if covariances[0, column] > 0:
            lengths[column] = _block_length(covariances[:, column], small, run_of_small, most, n_days)
    return np.clip(lengths, 1.0, longest)


def _block_length(covariances: Floats, small: float, run_of_small: int, most: int, n_days: int) -> float:
    """Equation 9 of Patton, Politis and White, for one series."""
    significant = np.abs(covariances[1:] / covariances[0]) >= small
    starts = range(len(significant) - run_of_small + 1)
    # The first lag from which on a whole run of autocorrelations is small, as R's np::b.star and arch read it.
    reach = next((lag + 1 for lag in starts if not significant[lag : lag + run_of_small].any()), most)
    width = min(2 * reach, most)
    lags = np.arange(1, width + 1)
    flat_top = np.minimum(1.0, 2.0 * (1.0 - lags / width))
    tail = flat_top * covariances[1 : width + 1]
    curvature = 2.0 * float(np.sum(tail * lags))
    spectrum = float(covariances[0] + 2.0 * np.sum(tail))
    if spectrum == 0.0:
        return 1.0
    return float((2.0 * curvature**2 / (4.0 / 3.0 * spectrum**2)) ** (1 / 3) * n_days ** (1 / 3))


def _whitened(series: Floats) -> tuple[Floats, Floats]:
    """Return what least squares on the day before leaves of each column, and the coefficients."""
    before, after = series[:-1], series[1:]
    with np.errstate(all="ignore"):
        rho = np.nan_to_num(_dot(after, before) / _dot(before, before), posinf=0.0, neginf=0.0)
    rho = np.clip(rho, -_MOST_MEMORY, _MOST_MEMORY)
    return after - rho * before, rho


def _kernel_weights(kernel: Kernel, lag: int, widths: Floats) -> Floats:
    with np.errstate(all="ignore"):
        ratio = lag / widths
        if kernel == "bartlett":
            return np.nan_to_num(np.maximum(1.0 - ratio, 0.0))
        angle = 6 * np.pi * ratio / 5
        weights = 25 / (12 * np.pi**2 * ratio**2) * (np.sin(angle) / angle - np.cos(angle))
        return np.nan_to_num(np.where(widths > 0, weights, 0.0))


def _dot(a: Floats, b: Floats) -> Floats:
    """Return the inner product of each column of a with the same column of b."""
    return np.asarray(np.einsum("ti,ti->i", a, b), dtype=np.float64)


def _known(kernel: str) -> None:
    if kernel not in _ANDREWS:
        raise InputError(f"kernel is {kernel!r}; it is one of {sorted(_ANDREWS)}")

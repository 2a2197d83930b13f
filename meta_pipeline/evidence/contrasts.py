"""Comparisons of runs, with errors that hold on common days, fat tails, memory and unequal windows.

Belongs here: from day series to estimate, error, interval and p-value, for one contrast or many at once. Does not
belong here: which contrasts to take (design), or what to make of them (grades).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.bootstrap import studentised_draws
from meta_pipeline.evidence.influence import SHARPE_RATIO, Runs, by_calendar_day, day_series
from meta_pipeline.evidence.longrun import Kernel, automatic_block_length, sum_variance
from meta_pipeline.evidence.metrics import summarize

Floats = NDArray[np.float64]

NEGLIGIBLE: Final = 1e-9  # annualised units: below, a difference is rounding (a knob that only scales returns)


@dataclass(frozen=True, kw_only=True, eq=False)
class Contrasts:
    """Tests of several contrasts on the same days. Arrays have one entry per contrast; NaN where there is none.

    Parameters
    ----------
    estimates, standard_errors
        In the metric's unit.
    lower, upper
        Two-sided bootstrap-t interval, symmetric, at `confidence_level`.
    p_values
        One-sided: of no rise of the metric.
    statistics, draws
        Studentised estimates, and shape (n_draws, n) of their joint distribution under no effect.
    block_length
        Of the bootstrap, in days.
    n_days
        Days on which each contrast has weight.
    """

    estimates: Floats
    standard_errors: Floats
    lower: Floats
    upper: Floats
    p_values: Floats
    statistics: Floats
    draws: Floats
    confidence_level: float
    block_length: int
    n_days: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One comparison: estimate, error, two-sided interval, one-sided and two-sided p-value."""

    estimate: float
    standard_error: float
    lower: float
    upper: float
    confidence_level: float
    p_value: float
    p_value_two_sided: float
    n_days: int
    block_length: int


def sharpe_influence(returns: ArrayLike, periods_per_year: ArrayLike = 1.0) -> Floats:
    """Return the influence of each day on each run's Sharpe ratio.

    Parameters
    ----------
    returns
        Shape (n_days, n_runs) or (n_days,), NaN outside a run's window.
    periods_per_year
        One number or one per run; 1 gives the Sharpe ratio per period.

    Returns
    -------
    ndarray
        Shape (n_days, n_runs). Zero outside the window; each column sums to zero.
    """
    runs = _as_runs(returns, periods_per_year)
    return day_series(runs, {SHARPE_RATIO: np.eye(len(runs.columns))})[SHARPE_RATIO]


def contrast(
    returns: ArrayLike,
    weights: ArrayLike,
    periods_per_year: ArrayLike,
    *,
    dates: NDArray[np.datetime64] | None = None,
    metric: str = SHARPE_RATIO,
    confidence_level: float = 0.90,
    n_draws: int = 999,
    block_length: int | None = None,
    kernel: Kernel = "bartlett",
    prewhiten: bool = False,
    seed: int = 0,
) -> Contrast:
    """Compare runs: test a weighted sum of one metric over runs.

    Parameters
    ----------
    returns
        Shape (n_days, n_runs), NaN outside a run's window.
    weights
        Shape (n_runs,); usually sums to zero.
    periods_per_year
        One number or one per run.
    dates
        Shape (n_days,), increasing; bars of one calendar day are taken together. None: every row is a day.
    metric
        "sharpe_ratio", "mean_return", "volatility", "max_drawdown" or "expected_shortfall".
    confidence_level, n_draws, block_length, seed
        Of the interval and the bootstrap; block length None: automatic.
    kernel, prewhiten
        Of the standard error, as in `longrun.sum_variance`: "bartlett" or "quadratic_spectral", at its automatic
        bandwidth, with or without a first-order autoregression taken out first.

    Raises
    ------
    InputError
        If shapes do not agree, a run with weight has no such metric, or the kernel is not known.
    """
    runs = _as_runs(returns, periods_per_year)
    columns = np.asarray(weights, dtype=np.float64)
    if columns.shape != (len(runs.columns),):
        raise InputError(f"weights has shape {columns.shape}; give one weight for each of {len(runs.columns)} runs")
    values = runs.metric(metric)
    if not np.isfinite(values[columns != 0]).all():
        raise InputError(f"a run with weight has no {metric}; give it no weight, or leave it out")
    series = day_series(runs, {metric: columns[:, None]})[metric]
    if dates is not None:
        series, _ = by_calendar_day(series, dates)
    estimate = float(columns[columns != 0] @ values[columns != 0])
    tested = evaluate(
        np.array([estimate]),
        series,
        confidence_level=confidence_level,
        n_draws=n_draws,
        generator=np.random.default_rng(seed),
        block_length=block_length,
        kernel=kernel,
        prewhiten=prewhiten,
    )
    extreme = np.count_nonzero(np.abs(tested.draws[:, 0]) >= abs(tested.statistics[0]))
    return Contrast(
        estimate=estimate,
        standard_error=float(tested.standard_errors[0]),
        lower=float(tested.lower[0]),
        upper=float(tested.upper[0]),
        confidence_level=confidence_level,
        p_value=float(tested.p_values[0]),
        p_value_two_sided=(1 + extreme) / (1 + n_draws),
        n_days=int(tested.n_days[0]),
        block_length=tested.block_length,
    )


def ledoit_wolf(
    a: ArrayLike,
    b: ArrayLike,
    periods_per_year: float = 1.0,
    *,
    n_draws: int = 999,
    kernel: Kernel = "bartlett",
    prewhiten: bool = False,
    seed: int = 0,
) -> Contrast:
    """Test whether series a has a higher Sharpe ratio than series b on the same days.

    Ledoit and Wolf, "Robust performance hypothesis testing with the Sharpe ratio", Journal of Empirical
    Finance 15(5), 2008: the contrast with the weights 1 and -1.

    Parameters
    ----------
    a, b
        Shape (n_days,), the same days.
    periods_per_year
        1 gives Sharpe ratios per period.
    n_draws, kernel, prewhiten, seed
        As in `contrast`. The paper takes the quadratic spectral kernel, prewhitened.

    Raises
    ------
    InputError
        If the series differ in length, or the kernel is not known.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise InputError(f"the series have shapes {first.shape} and {second.shape}; give two of the same days")
    pair = np.column_stack([first, second])
    return contrast(pair, [1.0, -1.0], periods_per_year, n_draws=n_draws, kernel=kernel, prewhiten=prewhiten, seed=seed)


def evaluate(
    estimates: Floats,
    series: Floats,
    *,
    confidence_level: float,
    n_draws: int,
    generator: np.random.Generator,
    block_length: int | None = None,
    kernel: Kernel = "bartlett",
    prewhiten: bool = False,
) -> Contrasts:
    """Test many contrasts jointly: the bootstrap resamples the same days for all.

    The standard error is the larger of the one that allows for memory (by default Bartlett's kernel, automatic
    bandwidth) and the one that does not, so that chance negative autocorrelation never makes an effect look surer. The
    block length is the longest of the contrasts' automatic ones.

    Parameters
    ----------
    estimates
        Shape (n,). NaN: not tested.
    series
        Shape (n_days, n): day series.
    confidence_level, n_draws, generator, block_length
        Of the intervals and the bootstrap.
    kernel, prewhiten
        Of the standard error, as in `contrast`.
    """
    active = series != 0
    n_days = active.sum(axis=0)
    errors = standard_errors(series, kernel=kernel, prewhiten=prewhiten)
    negligible = errors <= NEGLIGIBLE
    length = block_length or choose_block_length(series)
    length = int(np.clip(length, 1, max(len(series) // 2, 1)))
    draws = studentised_draws(series, block_length=length, n_draws=n_draws, generator=generator)
    with np.errstate(all="ignore"):
        statistics = np.where(
            negligible,
            np.where(np.abs(estimates) <= NEGLIGIBLE, 0.0, np.sign(estimates) * np.inf),
            estimates / errors,
        )
    statistics = np.where(np.isnan(estimates), np.nan, statistics)
    draws[:, negligible] = 0.0
    p_values = (1.0 + np.count_nonzero(draws >= statistics, axis=0)) / (1.0 + n_draws)
    width = np.quantile(np.abs(draws), confidence_level, axis=0, method="higher") if n_draws else np.zeros(len(errors))
    width = np.maximum(width, float(ndtri(0.5 + confidence_level / 2))) * errors
    return Contrasts(
        estimates=estimates,
        standard_errors=np.where(np.isnan(estimates), np.nan, errors),
        lower=estimates - width,
        upper=estimates + width,
        p_values=np.where(np.isnan(estimates), np.nan, p_values),
        statistics=statistics,
        draws=draws,
        confidence_level=confidence_level,
        block_length=length,
        n_days=n_days,
    )


def standard_errors(series: Floats, *, kernel: Kernel = "bartlett", prewhiten: bool = False) -> Floats:
    """Return the standard error of each contrast from its day series, shape (n,)."""
    n = np.maximum((series != 0).sum(axis=0), 3)
    variance = np.maximum(sum_variance(series, kernel=kernel, prewhiten=prewhiten), sum_variance(series, bandwidth=0.0))
    errors: Floats = np.sqrt(variance * n / (n - 2))
    return errors  # each run gave a mean and a standard deviation


def choose_block_length(series: Floats) -> int:
    """Return the longest of the columns' automatic block lengths, in whole days; 1 if no column varies."""
    moving = series[:, standard_errors(series) > NEGLIGIBLE]
    return int(np.ceil(automatic_block_length(moving).max(initial=1.0)))


def _as_runs(returns: ArrayLike, periods_per_year: ArrayLike) -> Runs:
    matrix = np.asarray(returns, dtype=np.float64)
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    summary = summarize(matrix, periods_per_year)
    n_runs = matrix.shape[1]
    return Runs(
        by_run=matrix.T,
        columns=np.arange(n_runs),
        summary=summary,
        periods_per_year=np.broadcast_to(np.asarray(periods_per_year, dtype=np.float64), (n_runs,)),
    )

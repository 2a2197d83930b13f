"""Absolute tests of one Sharpe ratio: probabilistic and deflated Sharpe ratio, and the track record they need.

Belongs here: closed formulas for one Sharpe ratio and the best of many. Does not belong here: differences
between runs (contrasts).

Sharpe ratios are *per period* throughout, never annualised beside a daily number of observations; kurtosis is raw.
Two conventions for the variance of the estimated Sharpe ratio exist and both are offered as `variance_at`:
"estimate" takes it at the estimate, over n - 1 (Bailey and Lopez de Prado, "The Sharpe Ratio Efficient
Frontier", Journal of Risk 15(2), 2012, equation 8); "null" at the Sharpe ratio that is tested against, over n (Lopez de
Prado, Lipton and Zoonekynd, "How to use the Sharpe ratio", 2025).
"""

import math
from typing import Final, Literal

from scipy.special import ndtr, ndtri

from meta_pipeline.errors import InputError

VarianceAt = Literal["estimate", "null"]

_EULER_GAMMA: Final = 0.5772156649015329


def probabilistic_sharpe_ratio(
    sharpe_ratio: float,
    n_observations: int,
    *,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
    benchmark: float = 0.0,
    variance_at: VarianceAt = "estimate",
) -> float:
    """Return the probability that the true Sharpe ratio is above a benchmark.

    Parameters
    ----------
    sharpe_ratio, benchmark
        Per period.
    n_observations
        Number of returns, at least 2.
    skewness, kurtosis
        Of the returns, population moments; kurtosis raw (3 for a normal).
    variance_at
        The convention; see the module.

    Returns
    -------
    float
        Between 0 and 1. NaN if an input is NaN.

    Raises
    ------
    InputError
        If there are fewer than two observations, or the moments are impossible (kurtosis < 1 + skewness^2).
    """
    scale = _scale(sharpe_ratio, benchmark, skewness, kurtosis, variance_at)
    _at_least_two(n_observations)
    n = n_observations - 1 if variance_at == "estimate" else n_observations
    return float(ndtr((sharpe_ratio - benchmark) * math.sqrt(n) / scale))


def expected_maximum_sharpe_ratio(n_trials: float, variance: float = 1.0, mean: float = 0.0) -> float:
    """Return the Sharpe ratio that the best of many trials without skill shows on average.

    The approximation of Bailey and Lopez de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio
    Management 40(5), 2014, equation 6.

    Parameters
    ----------
    n_trials
        Number of distinct trials, at least 1; one trial has no maximum to expect above the mean.
    variance
        Of the Sharpe ratios across trials, in the unit that the answer shall have, squared.
    mean
        Of the Sharpe ratios across trials.

    Raises
    ------
    InputError
        If there are fewer than one trials, or the variance is negative.
    """
    if not n_trials >= 1:
        raise InputError(f"n_trials is {n_trials!r}; count at least the one trial that was made")
    if variance < 0:
        raise InputError(f"variance is {variance!r}; it cannot be negative")
    if n_trials == 1:
        return mean
    quantile = (1 - _EULER_GAMMA) * ndtri(1 - 1 / n_trials) + _EULER_GAMMA * ndtri(1 - 1 / (n_trials * math.e))
    return float(mean + math.sqrt(variance) * quantile)


def deflated_sharpe_ratio(
    sharpe_ratio: float,
    n_observations: int,
    *,
    n_trials: float,
    variance_of_trials: float,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
    variance_at: VarianceAt = "estimate",
) -> float:
    """Return the probability that the true Sharpe ratio is above what the best of all trials shows by luck.

    Parameters
    ----------
    sharpe_ratio
        Of the chosen trial, per period.
    n_observations
        Number of returns.
    n_trials
        *All* distinct trials ever scored. An effective number is for show: it accepts noise.
    variance_of_trials
        Variance across trials of the Sharpe ratio per period.
    skewness, kurtosis, variance_at
        As in `probabilistic_sharpe_ratio`.

    Raises
    ------
    InputError
        As `probabilistic_sharpe_ratio` and `expected_maximum_sharpe_ratio`.
    """
    benchmark = expected_maximum_sharpe_ratio(n_trials, variance_of_trials)
    return probabilistic_sharpe_ratio(
        sharpe_ratio,
        n_observations,
        skewness=skewness,
        kurtosis=kurtosis,
        benchmark=benchmark,
        variance_at=variance_at,
    )


def minimum_track_record_length(
    sharpe_ratio: float,
    *,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
    benchmark: float = 0.0,
    confidence: float = 0.95,
    variance_at: VarianceAt = "estimate",
) -> float:
    """Return how many periods it takes until the Sharpe ratio is shown to be above the benchmark.

    Bailey and Lopez de Prado 2012, equation 11.

    Returns
    -------
    float
        Number of periods; infinite if the Sharpe ratio is not above the benchmark.

    Raises
    ------
    InputError
        If the confidence is not between 0 and 1, or the moments are impossible.
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence!r}; it must be between 0 and 1, for instance 0.95")
    scale = _scale(sharpe_ratio, benchmark, skewness, kurtosis, variance_at)
    if sharpe_ratio <= benchmark:
        return math.inf
    needed = float(scale * ndtri(confidence) / (sharpe_ratio - benchmark)) ** 2
    return 1.0 + needed if variance_at == "estimate" else needed


def minimum_backtest_length(n_trials: float, sharpe_ratio: float) -> float:
    """Return the shortest backtest in which trials without skill are not expected to reach a Sharpe ratio.

    Bailey, Borwein, Lopez de Prado and Zhu, "Pseudo-Mathematics and Financial Charlatanism", Notices of the AMS
    61(5), 2014, theorem 1.

    Parameters
    ----------
    n_trials
        Number of independent trials.
    sharpe_ratio
        The Sharpe ratio that must not be reached by luck, positive.

    Returns
    -------
    float
        In years for an annualised Sharpe ratio, in periods for one per period.

    Raises
    ------
    InputError
        If the Sharpe ratio is not positive.
    """
    if not sharpe_ratio > 0:
        raise InputError(f"sharpe_ratio is {sharpe_ratio!r}; it must be positive")
    return (expected_maximum_sharpe_ratio(n_trials) / sharpe_ratio) ** 2


def _scale(sharpe_ratio: float, benchmark: float, skewness: float, kurtosis: float, variance_at: str) -> float:
    """Return the standard deviation of the Sharpe ratio's estimate times the root of the sample size."""
    if variance_at not in {"estimate", "null"}:
        raise InputError(f"variance_at is {variance_at!r}; it is 'estimate' (2012) or 'null' (2025)")
    if kurtosis < 1 + skewness**2 - 1e-9:
        raise InputError(
            f"kurtosis {kurtosis!r} with skewness {skewness!r} is impossible; give raw kurtosis (a normal has 3)"
        )
    at = sharpe_ratio if variance_at == "estimate" else benchmark
    return math.sqrt(max(1.0 - skewness * at + (kurtosis - 1.0) / 4.0 * at**2, 0.0)) or math.nan


def _at_least_two(n_observations: int) -> None:
    if n_observations < 2:
        raise InputError(f"n_observations is {n_observations!r}; a Sharpe ratio needs at least 2 returns")

"""Whether anything beats a benchmark once all that was tried is counted, and what cannot be told from the best.

Belongs here: Hansen's test of superior predictive ability, the stepwise test and the model confidence set, on return
series. Does not belong here: effects of knobs (contrasts), or a single Sharpe ratio (sharpe).

The bootstrap is `arch`'s, which compares the *means of losses*. What is fed to it are negative pseudo-returns whose
mean is the metric: for the mean return the returns themselves; for the Sharpe ratio its value plus the number of days
times the influence of each day, z - SR/2 (z^2 - 1) for z the standardised return. Influences sum to zero, so the mean
of the pseudo-returns *is* the Sharpe ratio, and resampling their mean is the delta method of Ledoit and Wolf (2008) for
every series at once. Leverage then makes no difference.

arch 8 has no studentised statistic in its test, whatever its option says; a volatile series would drown the others. So
each difference to the benchmark is divided by its long-run standard error before it is handed over, which gives
Hansen's statistic.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.contrasts import choose_block_length, sharpe_influence, standard_errors
from meta_pipeline.evidence.metrics import ZERO_VOLATILITY

Floats = NDArray[np.float64]
Metric = Literal["sharpe_ratio", "mean_return"]

MINIMUM_DAYS: Final = 20
PAIRWISE: Final = 40  # up to so many series the model confidence set compares all pairs; beyond, memory forbids it
_SAME: Final = 1e-10  # share of their variances below which the difference of two series is rounding


@dataclass(frozen=True, kw_only=True, eq=False)
class SuperiorPredictiveAbility:
    """Hansen's test: whether the best of many series is better than the benchmark or only the luckiest.

    Parameters
    ----------
    p_value
        Of "no series is better than the benchmark"; Hansen's consistent one. At least 1 / (n_draws + 1).
    p_value_lower, p_value_upper
        Its bounds: with all series that look worse left out, and with all of them counted as good as the benchmark.
    best
        Column of the series with the largest studentised difference.
    differences
        Shape (n_series,): metric of each series less the benchmark's, per period.
    standard_errors
        Shape (n_series,): of the differences; zero where a series is the benchmark.
    block_length, n_days
        Of the bootstrap, and of the sample.
    """

    p_value: float
    p_value_lower: float
    p_value_upper: float
    best: int
    differences: Floats
    standard_errors: Floats
    block_length: int
    n_days: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelConfidenceSet:
    """The series that cannot be told from the best.

    Parameters
    ----------
    included
        Columns in the set: it holds the best series with the given confidence.
    p_values
        Shape (n_series,): a series is in the set at level `size` where its p-value is above it.
    size
        One less the confidence.
    block_length, n_days
        Of the bootstrap, and of the sample.
    """

    included: tuple[int, ...]
    p_values: Floats
    size: float
    block_length: int
    n_days: int


@dataclass(frozen=True, kw_only=True, eq=False)
class _Comparison:
    """Differences to the benchmark, each over its standard error; columns that are the benchmark are left out."""

    studentised: Floats
    columns: NDArray[np.intp]
    differences: Floats
    errors: Floats
    block_length: int

    @property
    def losses_of_benchmark(self) -> Floats:
        return np.zeros(len(self.studentised))


def superior_predictive_ability(
    returns: ArrayLike,
    benchmark: ArrayLike,
    *,
    metric: Metric = "sharpe_ratio",
    n_draws: int = 999,
    block_length: int | None = None,
    seed: int = 0,
) -> SuperiorPredictiveAbility:
    """Test whether any series is better than a benchmark, all of them counted.

    Hansen, "A test for superior predictive ability", Journal of Business and Economic Statistics 23(4), 2005.

    Parameters
    ----------
    returns
        Shape (n_days, n_series), simple returns per period on the days of the benchmark: no NaN.
    benchmark
        Shape (n_days,): buy-and-hold, or the live configuration.
    metric
        "sharpe_ratio" or "mean_return".
    n_draws, block_length, seed
        Of the circular block bootstrap; block length None: automatic.

    Raises
    ------
    InputError
        If arch is not installed, shapes do not agree, a return is missing or infinite, there are fewer than 20 days,
        or a series without volatility has no Sharpe ratio.
    """
    compared = _against(returns, benchmark, metric, block_length)
    n_days = len(compared.studentised)
    lower = consistent = upper = 1.0
    best = 0
    if len(compared.columns):
        test = _arch().SPA(
            compared.losses_of_benchmark,
            -compared.studentised,
            block_size=compared.block_length,
            reps=n_draws,
            bootstrap="circular",
            seed=seed,
        )
        test.compute()
        lower, consistent, upper = (
            (1.0 + n_draws * float(test.pvalues[kind])) / (1.0 + n_draws) for kind in ("lower", "consistent", "upper")
        )
        best = int(compared.columns[np.argmax(compared.studentised.mean(axis=0))])
    return SuperiorPredictiveAbility(
        p_value=consistent,
        p_value_lower=lower,
        p_value_upper=upper,
        best=best,
        differences=compared.differences,
        standard_errors=compared.errors,
        block_length=compared.block_length,
        n_days=n_days,
    )


def stepwise_superior(
    returns: ArrayLike,
    benchmark: ArrayLike,
    *,
    size: float = 0.10,
    metric: Metric = "sharpe_ratio",
    n_draws: int = 999,
    block_length: int | None = None,
    seed: int = 0,
) -> tuple[int, ...]:
    """Return the series that are better than the benchmark, with at most `size` chance that any of them is not.

    Romano and Wolf, "Stepwise multiple testing as formalized data snooping", Econometrica 73(4), 2005.

    Parameters
    ----------
    returns, benchmark, metric, n_draws, block_length, seed
        As in `superior_predictive_ability`.
    size
        Chance allowed of any false finding, between 0 and 1.

    Returns
    -------
    tuple of int
        Columns, increasing.

    Raises
    ------
    InputError
        As `superior_predictive_ability`; and if the size is not between 0 and 1.
    """
    _check_size(size)
    compared = _against(returns, benchmark, metric, block_length)
    if not len(compared.columns):
        return ()
    # A last series that is always far worse: arch's steps fail once no series is left to test.
    hopeless = np.full((len(compared.studentised), 1), -1.0)
    test = _arch().StepM(
        compared.losses_of_benchmark,
        -np.hstack([compared.studentised, hopeless]),
        size=size,
        block_size=compared.block_length,
        reps=n_draws,
        bootstrap="circular",
        seed=seed,
    )
    test.compute()
    return tuple(sorted(int(compared.columns[int(found)]) for found in test.superior_models))


def model_confidence_set(
    returns: ArrayLike,
    *,
    size: float = 0.10,
    metric: Metric = "sharpe_ratio",
    n_draws: int = 999,
    block_length: int | None = None,
    seed: int = 0,
) -> ModelConfidenceSet:
    """Return the set of series that holds the best one with confidence 1 - size.

    Hansen, Lunde and Nason, "The model confidence set", Econometrica 79(2), 2011: the range statistic over all pairs
    for up to 40 distinct series, the maximum statistic beyond. Series that are the same (up to leverage, for the Sharpe
    ratio) are compared once and share their p-value.

    Parameters
    ----------
    returns
        Shape (n_days, n_series), simple returns per period on common days: no NaN.
    size
        Between 0 and 1.
    metric, n_draws, block_length, seed
        As in `superior_predictive_ability`.

    Raises
    ------
    InputError
        As `stepwise_superior`.
    """
    _check_size(size)
    pseudo = _pseudo_returns(_checked(returns, "returns"), metric)
    same_as = _representatives(pseudo)
    distinct, inverse = np.unique(same_as, return_inverse=True)
    used = pseudo[:, distinct]
    # Pairs differ from each other by no more memory than they have from their common mean.
    apart = used - used.mean(axis=1, keepdims=True)
    length = _block_length(apart, block_length)
    p_values = np.ones(len(distinct))
    if len(distinct) > 1:
        compared = _arch().MCS(
            -used,
            size=size,
            reps=n_draws,
            block_size=length,
            method="R" if len(distinct) <= PAIRWISE else "max",
            bootstrap="circular",
            seed=seed,
        )
        compared.compute()
        table = compared.pvalues
        p_values[table.index.to_numpy(dtype=np.intp)] = table["Pvalue"].to_numpy(dtype=np.float64)
    shared = p_values[inverse]
    return ModelConfidenceSet(
        included=tuple(int(column) for column in np.flatnonzero(shared > size)),
        p_values=shared,
        size=size,
        block_length=length,
        n_days=len(pseudo),
    )


def _arch() -> ModuleType:
    try:
        import arch.bootstrap
    except ImportError as error:
        raise InputError(
            "comparisons with a benchmark need the package arch, which is not installed; "
            "install it with: pip install 'meta-pipeline[lab]'"
        ) from error
    bootstrap: ModuleType = arch.bootstrap
    return bootstrap


def _against(returns: ArrayLike, benchmark: ArrayLike, metric: Metric, block_length: int | None) -> _Comparison:
    matrix, reference = _checked(returns, "returns"), np.asarray(benchmark, dtype=np.float64)
    if reference.shape != (len(matrix),):
        raise InputError(
            f"benchmark has shape {reference.shape}; give its return on each of the {len(matrix)} days of the series"
        )
    base = _pseudo_returns(_checked(reference[:, None], "benchmark"), metric)
    pseudo = _pseudo_returns(matrix, metric)
    gaps = pseudo - base
    differences = gaps.mean(axis=0)
    centred = gaps - differences
    errors = standard_errors(centred / len(matrix))
    spread = np.square(centred).sum(axis=0)
    own = np.square(pseudo - pseudo.mean(axis=0)).sum(axis=0) + np.square(base - base.mean()).sum()
    columns = np.flatnonzero(spread > _SAME * own)
    errors[spread <= _SAME * own] = 0.0
    # In units of one day's share of the standard error, so that a mean of the sample is a t-statistic over root n.
    scale = errors[columns] * np.sqrt(len(matrix))
    return _Comparison(
        studentised=gaps[:, columns] / scale,
        columns=columns,
        differences=differences,
        errors=errors,
        block_length=_block_length(centred[:, columns], block_length),
    )


def _pseudo_returns(matrix: Floats, metric: Metric) -> Floats:
    """Return one value per day and series whose mean is the metric per period."""
    if metric == "mean_return":
        return matrix
    if metric != "sharpe_ratio":
        raise InputError(f"metric is {metric!r}; it is 'sharpe_ratio' or 'mean_return'")
    mean, deviation = matrix.mean(axis=0), matrix.std(axis=0, ddof=1)
    flat = deviation <= ZERO_VOLATILITY * np.maximum(1.0, np.abs(mean))
    if flat.any():
        column = int(np.flatnonzero(flat)[0])
        raise InputError(f"series {column} does not vary, so it has no Sharpe ratio; leave it out")
    pseudo: Floats = mean / deviation + len(matrix) * sharpe_influence(matrix)
    return pseudo


def _representatives(pseudo: Floats) -> NDArray[np.intp]:
    """Return, per series, the first one that it equals up to rounding."""
    gram = pseudo.T @ pseudo / len(pseudo)
    power = np.diag(gram)
    apart = power[:, None] + power - 2.0 * gram
    return np.asarray(np.argmax(apart <= _SAME * (power[:, None] + power), axis=1), dtype=np.intp)


def _block_length(series: Floats, given: int | None) -> int:
    most = max(len(series) // 2, 1)
    if given is None:
        return min(choose_block_length(series - series.mean(axis=0)) if series.shape[1] else 1, most)
    if not 1 <= given <= most:
        raise InputError(f"block_length is {given!r}; for {len(series)} days it must be 1 to {most}")
    return given


def _checked(returns: ArrayLike, name: str) -> Floats:
    matrix = np.asarray(returns, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.shape[1]:
        raise InputError(f"{name} has shape {matrix.shape}; give days x series, at least one series")
    if len(matrix) < MINIMUM_DAYS:
        raise InputError(f"{name} has {len(matrix)} days; a comparison needs at least {MINIMUM_DAYS}")
    bad = ~np.isfinite(matrix)
    if bad.any():
        day, series = (int(place[0]) for place in np.nonzero(bad))
        raise InputError(
            f"{name} holds {float(matrix[day, series])} on day {day} of series {series} "
            f"({int(bad.sum())} such values); give the days that all series and the benchmark share"
        )
    return matrix


def _check_size(size: float) -> None:
    if not 0 < size < 1:
        raise InputError(f"size is {size!r}; it must be between 0 and 1, for instance 0.1")

"""How much each day moves each metric: influence functions of weighted sums of runs.

Belongs here: from runs and weights to one series per contrast, day by day. Does not belong here: what the series
say about significance (contrasts).

The influence of a day on a run's metric is the first-order change of the metric when that day counts a little more.
For the Sharpe ratio SR per period and z = (r - mean) / sd it is (z - SR/2 (z^2 - 1)) / T, zero outside the run's
window, summing to zero (the delta method of Ledoit and Wolf 2008, section 3). A weighted sum over runs has the weighted
sum of influences, so any comparison comes down to the variance of one series over days. Whatever the runs have
in common on a day, markets, factors, fat tails, is in it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.evidence.metrics import CHUNK_RUNS, Summary

Floats = NDArray[np.float64]

SHARPE_RATIO: Final = "sharpe_ratio"
MEAN_RETURN: Final = "mean_return"
VOLATILITY: Final = "volatility"
MAX_DRAWDOWN: Final = "max_drawdown"
EXPECTED_SHORTFALL: Final = "expected_shortfall"
RISK_METRICS: Final = (MEAN_RETURN, VOLATILITY, MAX_DRAWDOWN, EXPECTED_SHORTFALL)


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """The runs that contrasts are taken over: where their returns are, and their metrics.

    Parameters
    ----------
    by_run
        Shape (n_columns, n_days): the panel's returns, transposed, NaN where not observed.
    columns
        Shape (n_runs,): row of each run in `by_run`.
    summary
        Metrics of these runs, in the same order.
    periods_per_year
        Shape (n_runs,).
    tail
        Tail probability of the expected shortfall.
    """

    by_run: Floats
    columns: NDArray[np.intp]
    summary: Summary
    periods_per_year: Floats
    tail: float = 0.05

    def chunks(self, used: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.intp], Floats]]:
        """Yield run numbers and their rows (copies), a cache's worth at a time."""
        members = np.flatnonzero(used)
        for start in range(0, len(members), CHUNK_RUNS):
            chunk = members[start : start + CHUNK_RUNS]
            yield chunk, self.by_run[self.columns[chunk]]

    def metric(self, name: str) -> Floats:
        """Return one metric of every run, NaN where it is missing."""
        values: Floats = getattr(self.summary, name)
        return values


def day_series(runs: Runs, weights: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return the day series of every contrast.

    Parameters
    ----------
    runs
        The runs.
    weights
        Metric -> weights, shape (n_runs, n_contrasts).

    Returns
    -------
    dict
        Metric -> shape (n_days, n_contrasts): influence of each day on each weighted sum, in the metric's unit.
        Each column sums to zero.
    """
    n_days = runs.by_run.shape[1]
    series = {metric: np.zeros((n_days, columns.shape[1])) for metric, columns in weights.items()}
    used = np.zeros(len(runs.columns), dtype=bool)
    for columns in weights.values():
        used |= (columns != 0).any(axis=1)
    with np.errstate(all="ignore"):
        scale = _Scale.of(runs)
        for chunk, rows in runs.chunks(used):
            _add_moments(series, weights, scale, chunk, rows)
            if EXPECTED_SHORTFALL in weights:
                _add_shortfall(series[EXPECTED_SHORTFALL], weights[EXPECTED_SHORTFALL][chunk], runs, chunk, rows)
            if MAX_DRAWDOWN in weights:
                _add_drawdown(series[MAX_DRAWDOWN], weights[MAX_DRAWDOWN][chunk], rows)
    return series


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scale:
    """Per run: number of returns, mean and standard deviation (ddof 0) per period, root of periods per year."""

    n: Floats
    mean: Floats
    sd: Floats
    root: Floats

    @classmethod
    def of(cls, runs: Runs) -> "_Scale":
        n = runs.summary.n_observations.astype(np.float64)
        root = np.sqrt(runs.periods_per_year)
        mean = runs.summary.mean_return / runs.periods_per_year
        return cls(n=n, mean=mean, sd=runs.summary.volatility / root * np.sqrt((n - 1) / n), root=root)


def _add_moments(
    series: dict[str, Floats], weights: Mapping[str, Floats], scale: _Scale, chunk: NDArray[np.intp], rows: Floats
) -> None:
    """Add what follows from the first two moments: each influence is a r' + b r'^2 + c, r' the centred return."""
    missing = np.isnan(rows)
    deviation = rows - scale.mean[chunk][:, None]
    np.copyto(deviation, 0.0, where=missing)
    squares = deviation * deviation
    n, sd, root = scale.n[chunk], scale.sd[chunk], scale.root[chunk]
    ratio = scale.mean[chunk] / sd
    zero = np.zeros_like(n)
    coefficients = {
        SHARPE_RATIO: (root / (sd * n), -root * ratio / (2 * sd**2 * n), root * ratio / (2 * n)),
        MEAN_RETURN: (root**2 / n, zero, zero),
        VOLATILITY: (zero, root / (2 * sd * n), -root * sd / (2 * n)),
    }
    for metric, (linear, square, constant) in coefficients.items():
        if metric not in weights:
            continue
        columns = weights[metric][chunk]
        if linear.any():
            series[metric] += deviation.T @ (columns * linear[:, None])
        if square.any():
            series[metric] += squares.T @ (columns * square[:, None])
        if constant.any():
            series[metric] += _constant(columns * constant[:, None], missing)


def _constant(columns: Floats, missing: NDArray[np.bool_]) -> Floats:
    """Return per-run constants, added up over the runs that are observed on each day."""
    if missing.any():
        return (~missing).T.astype(np.float64) @ columns
    total: Floats = columns.sum(axis=0)
    return total


def _add_shortfall(target: Floats, columns: Floats, runs: Runs, chunk: NDArray[np.intp], rows: Floats) -> None:
    """Add the influence on the mean of the worst k returns: (q - ES)/T - (q - r)+ / k, q the k-th worst."""
    n = runs.summary.n_observations[chunk]
    worst = np.ceil(np.round(runs.tail * n, 9)).astype(np.int64)
    quantile = np.full(len(chunk), np.nan)
    for k in np.unique(worst[worst >= 1]):
        members = worst == k
        quantile[members] = np.partition(rows[members], k - 1, axis=1)[:, k - 1]
    excess = np.maximum(quantile[:, None] - rows, 0.0)
    missing = np.isnan(rows)
    np.copyto(excess, 0.0, where=missing)
    shortfall = runs.summary.expected_shortfall[chunk]
    known = np.isfinite(shortfall)
    per_tail = np.where(known, -1.0 / np.maximum(worst, 1), 0.0)
    constant = np.where(known, (quantile - shortfall) / np.maximum(n, 1), 0.0)
    target += np.nan_to_num(excess).T @ (columns * per_tail[:, None])
    target += _constant(columns * constant[:, None], missing)


def _add_drawdown(target: Floats, columns: Floats, rows: Floats) -> None:
    """Add the influence on the maximum drawdown, its peak and trough held where they are.

    log(1 + drawdown) is then the sum of log(1 + r) from peak to trough, so that a day within moves the drawdown by
    (1 + drawdown) log(1 + r), less the mean of that over the run.
    """
    missing = np.isnan(rows)
    growth = np.where(missing, 1.0, 1.0 + rows)
    equity = np.multiply.accumulate(growth, axis=1)
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
    ratio = equity / peak
    trough = np.argmin(ratio, axis=1)
    effect = np.zeros_like(rows)
    for run, end in enumerate(trough):
        top = peak[run, end]
        start = 0 if top <= 1.0 else int(np.argmax(equity[run, : end + 1] >= top)) + 1
        days = slice(start, int(end) + 1)
        effect[run, days] = ratio[run, end] * np.log(np.maximum(growth[run, days], 1e-12))
    n = np.maximum((~missing).sum(axis=1), 1)
    target += effect.T @ columns
    target += _constant(-columns * (effect.sum(axis=1) / n)[:, None], missing)


def by_calendar_day(series: Floats, dates: NDArray[np.datetime64]) -> tuple[Floats, NDArray[np.datetime64]]:
    """Add up the influences of each calendar day, so that markets with other bars meet on the day.

    Parameters
    ----------
    series
        Shape (n_periods, n).
    dates
        Shape (n_periods,), increasing.

    Returns
    -------
    series, days
        Shape (n_days, n), and the days.
    """
    days = dates.astype("datetime64[D]")
    starts = np.flatnonzero(np.concatenate([[True], days[1:] != days[:-1]])) if len(days) else np.array([], dtype=int)
    if len(starts) == len(days):
        return series, days
    return np.add.reduceat(series, starts, axis=0), days[starts]

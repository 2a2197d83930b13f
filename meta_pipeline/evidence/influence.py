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

    def chunks(self, used: NDArray[np.bool_]) -> Iterator["Chunk"]:
        """Yield the runs that are used, a cache's worth at a time."""
        members = np.flatnonzero(used)
        for start in range(0, len(members), CHUNK_RUNS):
            chunk = members[start : start + CHUNK_RUNS]
            rows = self.by_run[self.columns[chunk]]
            missing = np.isnan(rows)
            yield Chunk(members=chunk, rows=rows, missing=missing if missing.any() else None)

    def metric(self, name: str) -> Floats:
        """Return one metric of every run, NaN where it is missing."""
        values: Floats = getattr(self.summary, name)
        return values


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """Some runs: their numbers, a copy of their returns (runs x days), and where these are missing (None: nowhere)."""

    members: NDArray[np.intp]
    rows: Floats
    missing: NDArray[np.bool_] | None

    def without_missing(self, values: Floats) -> Floats:
        """Set values on missing days to zero, in place."""
        if self.missing is not None:
            np.copyto(values, 0.0, where=self.missing)
        return values

    def on_observed_days(self, columns: Floats) -> Floats:
        """Return constants per run, shape (runs, n), added up over the runs observed on each day."""
        if self.missing is not None:
            return np.asarray((~self.missing).T.astype(np.float64) @ columns)
        return np.asarray(columns.sum(axis=0))


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
    used = np.zeros(len(runs.columns), dtype=bool)
    for columns in weights.values():
        used |= (columns != 0).any(axis=1)
    accumulators: list[_Moments | _Shortfall | _Drawdown] = [_Moments(runs, weights)]
    if EXPECTED_SHORTFALL in weights:
        accumulators.append(_Shortfall(runs, weights[EXPECTED_SHORTFALL]))
    if MAX_DRAWDOWN in weights:
        accumulators.append(_Drawdown(runs, weights[MAX_DRAWDOWN]))
    with np.errstate(all="ignore"):
        for chunk in runs.chunks(used):
            for accumulator in accumulators:
                accumulator.add(chunk)
    series: dict[str, Floats] = {}
    for accumulator in accumulators:
        series.update(accumulator.series())
    return {metric: series[metric] for metric in weights}


class _Moments:
    """Metrics of the first two moments: each influence is a r' + b r'^2 + c, r' the centred return."""

    def __init__(self, runs: Runs, weights: Mapping[str, Floats]) -> None:
        n = runs.summary.n_observations.astype(np.float64)
        with np.errstate(all="ignore"):
            root = np.sqrt(runs.periods_per_year)
            self._mean = runs.summary.mean_return / runs.periods_per_year
            sd = runs.summary.volatility / root * np.sqrt((n - 1) / n)
            ratio = self._mean / sd
            linear = {SHARPE_RATIO: root / (sd * n), MEAN_RETURN: root**2 / n}
            square = {SHARPE_RATIO: -root * ratio / (2 * sd**2 * n), VOLATILITY: root / (2 * sd * n)}
            constant = {SHARPE_RATIO: root * ratio / (2 * n), VOLATILITY: -root * sd / (2 * n)}
        self._metrics = tuple(m for m in (SHARPE_RATIO, MEAN_RETURN, VOLATILITY) if m in weights)
        self._widths = [weights[metric].shape[1] for metric in self._metrics]
        # All metrics side by side, so that each pass over the returns is one matrix product.
        self._linear, self._square, self._constant = (
            np.concatenate(
                [weights[m] * part[m][:, None] if m in part else np.zeros_like(weights[m]) for m in self._metrics]
                or [np.zeros((len(n), 0))],
                axis=1,
            )
            for part in (linear, square, constant)
        )
        self._first = np.flatnonzero(self._linear.any(axis=0))
        self._second = np.flatnonzero(self._square.any(axis=0))
        n_days = runs.by_run.shape[1]
        self._total = np.zeros((n_days, self._linear.shape[1]))

    def add(self, chunk: Chunk) -> None:
        if not self._metrics:
            return
        members = chunk.members
        deviation = chunk.without_missing(chunk.rows - self._mean[members][:, None])
        self._total[:, self._first] += deviation.T @ self._linear[members][:, self._first]
        np.multiply(deviation, deviation, out=deviation)
        self._total[:, self._second] += deviation.T @ self._square[members][:, self._second]
        self._total += chunk.on_observed_days(self._constant[members])

    def series(self) -> dict[str, Floats]:
        parts = np.split(self._total, np.cumsum(self._widths)[:-1], axis=1) if self._widths else []
        return dict(zip(self._metrics, parts, strict=True))


class _Shortfall:
    """The mean of the worst k returns: (q - ES)/T - (q - r)+ / k, q the k-th worst."""

    def __init__(self, runs: Runs, weights: Floats) -> None:
        self._runs = runs
        self._weights = weights
        self._total = np.zeros((runs.by_run.shape[1], weights.shape[1]))

    def add(self, chunk: Chunk) -> None:
        summary = self._runs.summary
        n = summary.n_observations[chunk.members]
        worst = np.ceil(np.round(self._runs.tail * n, 9)).astype(np.int64)
        quantile = np.full(len(n), np.nan)
        for k in np.unique(worst[worst >= 1]):
            same = worst == k
            quantile[same] = np.partition(chunk.rows[same], k - 1, axis=1)[:, k - 1]  # NaN sorts last
        shortfall = summary.expected_shortfall[chunk.members]
        known = np.isfinite(shortfall) & np.isfinite(quantile)
        level = np.where(known, quantile, -np.inf)
        excess = np.subtract(level[:, None], chunk.rows)
        np.maximum(excess, 0.0, out=excess)
        chunk.without_missing(excess)
        columns = self._weights[chunk.members]
        self._total += excess.T @ (columns * np.where(known, -1.0 / np.maximum(worst, 1), 0.0)[:, None])
        constant = np.where(known, (quantile - shortfall) / np.maximum(n, 1), 0.0)
        self._total += chunk.on_observed_days(columns * constant[:, None])

    def series(self) -> dict[str, Floats]:
        return {EXPECTED_SHORTFALL: self._total}


class _Drawdown:
    """The maximum drawdown, its peak and trough held where they are.

    log(1 + drawdown) is then the sum of log(1 + r) from peak to trough, so that a day within moves the drawdown by
    (1 + drawdown) log(1 + r), less the mean of that over the run.
    """

    def __init__(self, runs: Runs, weights: Floats) -> None:
        self._weights = weights
        self._total = np.zeros((runs.by_run.shape[1], weights.shape[1]))

    def add(self, chunk: Chunk) -> None:
        growth = chunk.rows + 1.0
        if chunk.missing is not None:
            np.copyto(growth, 1.0, where=chunk.missing)
        equity = np.multiply.accumulate(growth, axis=1)
        peak = np.maximum.accumulate(equity, axis=1)
        np.maximum(peak, 1.0, out=peak)
        ratio = np.divide(equity, peak)
        trough = np.argmin(ratio, axis=1)
        effect = np.zeros_like(growth)
        for run, end in enumerate(trough.tolist()):
            top = peak[run, end]
            start = 0 if top <= 1.0 else int(np.argmax(equity[run, : end + 1] >= top)) + 1
            days = slice(start, end + 1)
            effect[run, days] = ratio[run, end] * np.log(np.maximum(growth[run, days], 1e-12))
        n = growth.shape[1] - (0 if chunk.missing is None else chunk.missing.sum(axis=1))
        columns = self._weights[chunk.members]
        self._total += effect.T @ columns
        self._total += chunk.on_observed_days(-columns * (effect.sum(axis=1) / np.maximum(n, 1))[:, None])

    def series(self) -> dict[str, Floats]:
        return {MAX_DRAWDOWN: self._total}


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

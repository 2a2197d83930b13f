"""Performance metrics of return series, for one run or ten thousand.

Belongs here: what one run's returns say about that run. Does not belong here: comparing runs
(contrasts) or judging whether a run may be used at all (the quality gate of backtests).

Conventions, each tested against empyrical-reloaded and quantstats: volatility with ddof 1;
Sharpe ratio arithmetic, the risk-free rate subtracted per period; skewness and kurtosis from
population moments, kurtosis raw (3 for a normal); drawdown not positive, compounded from the starting equity, so that
a loss on the first day counts; after ruin compounding stops at zero equity.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_pipeline.errors import InputError

Floats = NDArray[np.float64]

CHUNK_RUNS: Final = 128  # 128 runs x 2,500 days x 8 bytes = 2.5 MB: three buffers stay in a core's cache
ZERO_VOLATILITY: Final = 1e-12
MINIMUM_TAIL: Final = 5  # an expected shortfall of fewer than five returns is an anecdote


@dataclass(frozen=True, kw_only=True, eq=False)
class Summary:
    """Metrics per run, each an array of shape (n_runs,). NaN: not defined, `reason` says why.

    Parameters
    ----------
    n_observations
        Returns of the run that are not NaN.
    mean_return
        Arithmetic mean per period times periods per year.
    volatility
        Standard deviation (ddof 1) times the root of periods per year.
    sharpe_ratio
        Annualised, arithmetic, of returns less the risk-free rate.
    cumulative_return, annual_return
        Compounded growth over the run, and per year. -1 after ruin.
    max_drawdown
        Not positive: -0.2 is a fall of a fifth from the highest equity so far.
    win_rate
        Share of positive returns among those that are not zero.
    skewness, kurtosis
        Population moments of the returns; kurtosis raw.
    expected_shortfall
        Mean of the worst ceil(tail * n) returns, per period: negative for a loss.
    ruined
        Whether equity reached zero.
    """

    n_observations: NDArray[np.int64]
    mean_return: Floats
    volatility: Floats
    sharpe_ratio: Floats
    cumulative_return: Floats
    annual_return: Floats
    max_drawdown: Floats
    win_rate: Floats
    skewness: Floats
    kurtosis: Floats
    expected_shortfall: Floats
    ruined: NDArray[np.bool_]

    def reason(self, metric: str, run: int) -> str | None:
        """Say why a metric of one run is missing, or None if it is there."""
        if np.isfinite(getattr(self, metric)[run]):
            return None
        n = int(self.n_observations[run])
        if n < 2:
            return f"{n} returns; at least 2 are needed"
        if metric == "expected_shortfall":
            return f"{n} returns; the tail would hold fewer than {MINIMUM_TAIL}"
        if metric in {"sharpe_ratio", "skewness", "kurtosis"} and np.isfinite(self.volatility[run]):
            return "zero volatility"
        if metric == "win_rate":
            return "every return is zero"
        return "infinite or unknown: returns, or periods per year, are not finite"

    def take(self, runs: NDArray[np.intp]) -> "Summary":
        """Return the metrics of a selection of runs."""
        return Summary(**{item.name: getattr(self, item.name)[runs] for item in fields(self)})

    def of_run(self, run: int) -> dict[str, float | None]:
        """Return one run's metrics by name; None where missing."""
        values: dict[str, float | None] = {}
        for item in fields(self):
            if item.name in {"n_observations", "ruined"}:
                continue
            value = float(getattr(self, item.name)[run])
            values[item.name] = value if np.isfinite(value) else None
        return values


def summarize(
    returns: ArrayLike, periods_per_year: ArrayLike, *, risk_free: ArrayLike = 0.0, tail: float = 0.05
) -> Summary:
    """Compute every metric of every run.

    Parameters
    ----------
    returns
        Shape (n_days, n_runs), or (n_days,) for one run: simple returns per period. NaN where a run
        has no observation. Fastest when contiguous by run (`np.asfortranarray`).
    periods_per_year
        One number, or one per run. NaN gives NaN for what is annualised.
    risk_free
        Risk-free return per period, one number or one per run; only the Sharpe ratio uses it.
    tail
        Tail probability of the expected shortfall.

    Returns
    -------
    Summary
        Arrays of shape (n_runs,).

    Raises
    ------
    InputError
        If shapes do not agree, or a periods per year is not positive.
    """
    matrix = np.asarray(returns, dtype=np.float64)
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    if matrix.ndim != 2:
        raise InputError(f"returns has {matrix.ndim} dimensions; give days x runs")
    n_runs = matrix.shape[1]
    periods = _per_run(periods_per_year, n_runs, "periods_per_year")
    if bool(np.any(periods <= 0)):
        raise InputError(f"periods_per_year holds {periods[periods <= 0][0]}; it must be positive")
    table = np.full((n_runs, len(_COLUMNS)), np.nan)
    by_run = matrix.T

    workers = min(4, os.cpu_count() or 1, -(-n_runs // CHUNK_RUNS))

    def work(worker: int) -> None:
        buffers = np.empty((3, min(CHUNK_RUNS, n_runs), matrix.shape[0]))
        with np.errstate(all="ignore"):  # the error state belongs to a thread
            for start in range(worker * CHUNK_RUNS, n_runs, workers * CHUNK_RUNS):
                rows = slice(start, min(start + CHUNK_RUNS, n_runs))
                for members, observed in observed_groups(by_run[rows]):
                    table[rows][members] = _moments(observed, tail, buffers)

    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, range(workers)))
    elif n_runs:
        work(0)
    with np.errstate(all="ignore"):
        return _annualise(table, periods, _per_run(risk_free, n_runs, "risk_free"))


_COLUMNS: Final = ("n", "mean", "sd", "growth", "drawdown", "wins", "skewness", "kurtosis", "shortfall", "ruined")


def _per_run(value: ArrayLike, n_runs: int, name: str) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim > 1 or array.size not in {1, n_runs}:
        raise InputError(f"{name} has shape {array.shape}; give one number, or one for each of the {n_runs} runs")
    return np.broadcast_to(array, (n_runs,))


def _annualise(table: Floats, periods: Floats, risk_free: Floats) -> Summary:
    n, mean, sd, growth, drawdown, wins, skewness, kurtosis, shortfall, ruined = table.T
    flat = sd <= ZERO_VOLATILITY * np.maximum(1.0, np.abs(mean))
    root = np.sqrt(periods)
    years = n / periods
    return Summary(
        n_observations=np.nan_to_num(n).astype(np.int64),
        mean_return=mean * periods,
        volatility=sd * root,
        sharpe_ratio=np.where(flat, np.nan, (mean - risk_free) / sd * root),
        cumulative_return=growth - 1.0,
        annual_return=np.maximum(growth, 0.0) ** (1.0 / years) - 1.0,
        max_drawdown=drawdown,
        win_rate=wins,
        skewness=np.where(flat, np.nan, skewness),
        kurtosis=np.where(flat, np.nan, kurtosis),
        expected_shortfall=shortfall,
        ruined=ruined == 1.0,
    )


def observed_groups(rows: Floats) -> Iterator[tuple[NDArray[np.intp], Floats]]:
    """Split runs x days into groups that are observed on the same days, without their NaN.

    Yields
    ------
    members, observed
        Row numbers, and their values on the observed days, shape (members, observed days), contiguous.
    """
    everyone = np.arange(len(rows))
    missing = np.isnan(rows)
    if not missing.any():
        yield everyone, np.ascontiguousarray(rows)
        return
    packed = np.packbits(missing, axis=1)
    patterns: dict[bytes, list[int]] = {}
    for row in everyone:
        patterns.setdefault(packed[row].tobytes(), []).append(int(row))
    for members in patterns.values():
        index = np.asarray(members, dtype=np.intp)
        days = np.flatnonzero(~missing[members[0]])
        if len(days) and days[-1] - days[0] + 1 == len(days):  # one unbroken window: the usual case, and faster
            yield index, rows[index, days[0] : days[-1] + 1]
        else:
            yield index, np.ascontiguousarray(rows[index][:, days])


def _moments(rows: Floats, tail: float, buffers: Floats) -> Floats:
    """Return the table's rows for runs without NaN; shape (runs, columns)."""
    n_runs, n = rows.shape
    result = np.full((n_runs, len(_COLUMNS)), np.nan)
    result[:, 0] = n
    result[:, 9] = 0.0
    if n == 0:
        return result
    first, other, third_buffer = (buffer.reshape(-1)[: n_runs * n].reshape(n_runs, n) for buffer in buffers)
    mean = rows.mean(axis=1)
    result[:, 1] = mean
    deviation = np.subtract(rows, mean[:, None], out=first)
    squares = np.multiply(deviation, deviation, out=other)
    second = np.vecdot(deviation, deviation)
    if n > 1:
        result[:, 2] = np.sqrt(second / (n - 1))
    result[:, 6] = (np.vecdot(deviation, squares) / n) / (second / n) ** 1.5
    result[:, 7] = (np.vecdot(squares, squares) / n) / (second / n) ** 2
    result[:, 3], result[:, 4], result[:, 9] = _compound(rows, first, other)
    traded = np.count_nonzero(rows, axis=1)
    result[:, 5] = np.count_nonzero(rows > 0, axis=1) / np.where(traded > 0, traded, np.nan)
    worst = int(np.ceil(round(tail * n, 9)))
    if worst >= MINIMUM_TAIL:
        np.copyto(third_buffer, rows)
        third_buffer.partition(worst - 1, axis=1)
        result[:, 8] = third_buffer[:, :worst].mean(axis=1)
    result[~np.isfinite(mean), 1:9] = np.nan
    return result


def _compound(rows: Floats, equity: Floats, peak: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return final growth factor, maximum drawdown, and ruin; `equity` and `peak` are buffers."""
    ruined = rows.min(axis=1) <= -1.0
    np.add(rows, 1.0, out=equity)
    np.multiply.accumulate(equity, axis=1, out=equity)
    for run in np.flatnonzero(ruined):
        # Ruin: from the first return of -100 % or less on, there is no equity left to compound.
        equity[run, int(np.argmax(rows[run] <= -1.0)) :] = 0.0
    growth, first_day = equity[:, -1].copy(), equity[:, 0].copy()
    np.maximum(first_day, 1.0, out=equity[:, 0])  # the peak starts at the starting equity
    # Floats that are not negative are ordered like their bits, and integers accumulate faster.
    np.maximum.accumulate(equity.view(np.int64), axis=1, out=peak.view(np.int64))
    equity[:, 0] = first_day
    np.divide(equity, peak, out=peak)
    return growth, np.minimum(peak.min(axis=1) - 1.0, 0.0), ruined

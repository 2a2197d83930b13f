"""Returns reduced to half-years: three numbers per run, from which the Sharpe ratio of any sub-window follows.

Belongs here: the reduction, and Sharpe ratios of spans of half-years. Does not belong here: what is done with them
(expected_value), or where they are kept (store).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.evidence.metrics import CHUNK_RUNS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Days = NDArray[np.datetime64]

MINIMUM_RETURNS: Final = 20  # fewer in a span give no Sharpe ratio worth a name
_CANCELLED: Final = 1e-12  # a variance below this share of the mean square is what rounding left of zero


@dataclass(frozen=True, kw_only=True, eq=False)
class HalfYears:
    """Sums of returns per run and calendar half-year (January to June, July to December).

    Parameters
    ----------
    first
        Code of the first half-year: twice the year, plus one for the second half (`half_year_of`).
    n, total, squared
        Shape (n_half_years, n_runs): number of returns, their sum, the sum of their squares; zeros where a run has
        none. Simple returns per period as fractions.
    """

    first: int
    n: Integers
    total: Floats
    squared: Floats

    @property
    def stop(self) -> int:
        """Code of the half-year after the last."""
        return self.first + len(self.n)

    def sharpe(self, start: int, stop: int, periods_per_year: Floats) -> Floats:
        """Return each run's annualised Sharpe ratio over the half-years from `start` to before `stop`.

        Parameters
        ----------
        start, stop
            Codes of half-years; parts outside the record hold no returns.
        periods_per_year
            Shape (n_runs,).

        Returns
        -------
        ndarray
            Shape (n_runs,): mean over standard deviation (ddof 1), annualised; NaN for a run with fewer than 20
            returns there, or without volatility.
        """
        inside = slice(max(start - self.first, 0), max(stop - self.first, 0))
        n = self.n[inside].sum(axis=0).astype(np.float64)
        total, squared = self.total[inside].sum(axis=0), self.squared[inside].sum(axis=0)
        with np.errstate(all="ignore"):
            mean = total / n
            variance = (squared - n * mean**2) / (n - 1)
            known = (n >= MINIMUM_RETURNS) & (variance > _CANCELLED * squared / n)
            return np.where(known, mean / np.sqrt(variance) * np.sqrt(periods_per_year), np.nan)

    def spans(self) -> tuple[Integers, Integers]:
        """Return (first, stop) per run: codes of its first half-year with a return, and of the one after its last.

        Both are `first` for a run without returns.
        """
        present = self.n > 0
        some = present.any(axis=0)
        start = self.first + np.where(some, present.argmax(axis=0), 0)
        stop = self.first + np.where(some, len(self.n) - present[::-1].argmax(axis=0), 0)
        return start.astype(np.int64), stop.astype(np.int64)


def half_year_of(days: Days) -> Integers:
    """Return the code of the half-year of each day: 2 * year, plus 1 from July."""
    months = days.astype("datetime64[M]").astype(np.int64)  # since January 1970
    codes: Integers = 2 * 1970 + months // 6
    return codes


def first_day_of(code: int) -> np.datetime64:
    """Return the first day of a half-year, datetime64[D]."""
    return np.datetime64(f"{code // 2:04d}-{1 + 6 * (code % 2):02d}-01", "D")


def last_day_of(code: int) -> np.datetime64:
    """Return the last day of a half-year, datetime64[D]."""
    return first_day_of(code + 1) - np.timedelta64(1, "D")


def half_years(dates: Days, returns: Floats) -> HalfYears:
    """Reduce returns to half-years.

    Parameters
    ----------
    dates
        Shape (n_days,), strictly increasing.
    returns
        Shape (n_days, n_runs), NaN where a run has no observation. Fastest where it is contiguous by run.

    Returns
    -------
    HalfYears
        From the half-year of the first date to that of the last. The sums of a run depend on its own returns only, to
        the last bit.
    """
    codes = half_year_of(dates)
    n_runs = returns.shape[1]
    if not len(codes):
        nothing = np.zeros((0, n_runs))
        return HalfYears(first=0, n=nothing.astype(np.int64), total=nothing, squared=nothing)
    first, size = int(codes[0]), int(codes[-1] - codes[0]) + 1
    n, total, squared = np.zeros((size, n_runs), dtype=np.int64), np.zeros((size, n_runs)), np.zeros((size, n_runs))
    present, starts = np.unique(codes - first, return_index=True)
    for chunk in range(0, n_runs, CHUNK_RUNS):
        columns = slice(chunk, chunk + CHUNK_RUNS)
        rows = np.ascontiguousarray(returns[:, columns].T)
        known = ~np.isnan(rows)
        rows = np.where(known, rows, 0.0)
        n[present, columns] = np.add.reduceat(known, starts, axis=1, dtype=np.int64).T
        total[present, columns] = np.add.reduceat(rows, starts, axis=1).T
        squared[present, columns] = np.add.reduceat(rows * rows, starts, axis=1).T
    return HalfYears(first=first, n=n, total=total, squared=squared)

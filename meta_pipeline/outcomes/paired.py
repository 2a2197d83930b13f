"""Two configurations on the same days: the difference of a metric, its error, and its interval at every look.

Belongs here: numbers of one comparison. Does not belong here: what is concluded from them (judgement).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.counted import counted
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.confidence_sequence import mixture_factor
from meta_pipeline.evidence.contrasts import contrast, sharpe_influence
from meta_pipeline.evidence.longrun import sum_variance
from meta_pipeline.evidence.metrics import Summary, summarize
from meta_pipeline.proposals.outcome_rule import Metric

Days = NDArray[np.datetime64]
Floats = NDArray[np.float64]

BOOTSTRAP_DRAWS = 999
NEGLIGIBLE = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class MarketDays:
    """One market's days after a change: what the old and the new configuration earned on each.

    Parameters
    ----------
    dates
        Shape (n_days,), datetime64[D], strictly increasing.
    before, after
        Shape (n_days,): simple net returns of the old and of the new configuration.
    periods_per_year
        Of these returns.
    regimes
        Shape (n_days,): the label of each day, known when it began; empty text where unknown. None: no labels.
    """

    market: str
    dates: Days
    before: Floats
    after: Floats
    periods_per_year: float
    regimes: NDArray[np.str_] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Paired:
    """Markets on one calendar.

    Parameters
    ----------
    days
        Shape (n_days,): every day on which any market traded.
    before, after
        Shape (n_days, n_markets), NaN where a market did not trade.
    periods_per_year
        Shape (n_markets,).
    left_out
        Markets that cannot be compared, with the reason.
    """

    markets: tuple[str, ...]
    days: Days
    before: Floats
    after: Floats
    periods_per_year: Floats
    left_out: tuple[str, ...] = ()

    @property
    def n_days(self) -> int:
        """Days on which any market traded."""
        return len(self.days)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A metric under the new configuration less the same under the old one.

    Parameters
    ----------
    estimate, standard_error
        In the metric's unit, averaged over markets; the error allows for memory between days.
    lower, upper
        Confidence sequence: holds at this and every other look together, with probability 1 - alpha.
    bootstrap_lower, bootstrap_upper
        Studentised circular block bootstrap at 1 - alpha: valid for a single look only.
    """

    estimate: float
    standard_error: float
    lower: float
    upper: float
    bootstrap_lower: float
    bootstrap_upper: float
    alpha: float
    n_days: int

    @property
    def daily_deviation(self) -> float:
        """Long-run standard deviation of one day."""
        return self.standard_error * math.sqrt(self.n_days)


def on_one_calendar(found: Sequence[MarketDays]) -> Paired:
    """Align markets by date, and leave out those in which there is nothing to compare.

    A market is left out if it has fewer than three days, or if one of the two configurations never moved in it.

    Raises
    ------
    InputError
        If a market is given twice, or its arrays differ in length.
    """
    if len({one.market for one in found}) != len(found):
        raise InputError(f"a market is given twice among {[one.market for one in found]}; give each once")
    reasons = {one.market: _unusable(one) for one in found}
    used = [one for one in found if reasons[one.market] is None]
    days = np.unique(np.concatenate([one.dates for one in used])) if used else np.array([], dtype="datetime64[D]")
    before, after = np.full((2, len(days), len(used)), np.nan)
    for column, one in enumerate(used):
        rows = np.searchsorted(days, one.dates)
        before[rows, column], after[rows, column] = one.before, one.after
    return Paired(
        markets=tuple(one.market for one in used),
        days=days,
        before=before,
        after=after,
        periods_per_year=np.array([one.periods_per_year for one in used], dtype=np.float64),
        left_out=tuple(f"{market}: {why}" for market, why in reasons.items() if why is not None),
    )


def _unusable(one: MarketDays) -> str | None:
    if not one.dates.shape == one.before.shape == one.after.shape:
        raise InputError(
            f"{one.market} has {one.dates.shape} dates for {one.before.shape} and {one.after.shape} returns; "
            "give the same days for both configurations"
        )
    if len(one.dates) < 3:
        return counted(len(one.dates), "day")
    for name, returns in (("old", one.before), ("new", one.after)):
        if not float(np.std(returns)) > NEGLIGIBLE:
            return f"the {name} configuration never moved, so it has no Sharpe ratio"
    return None


def difference(paired: Paired, *, metric: Metric, alpha: float, tuned_for: int, seed: int) -> Difference:
    """Compare the two configurations, markets weighing the same.

    Raises
    ------
    InputError
        If no market is left, or the returns never differ.
    """
    n = len(paired.markets)
    if not n:
        raise InputError(f"no market can be compared ({'; '.join(paired.left_out) or 'there is none'})")
    matrix = np.column_stack([paired.after, paired.before])
    weights = np.concatenate([np.full(n, 1.0 / n), np.full(n, -1.0 / n)])
    return weighted(matrix, weights, np.tile(paired.periods_per_year, 2), metric=metric, alpha=alpha,
                    tuned_for=tuned_for, seed=seed)  # fmt: skip


def weighted(
    matrix: Floats, weights: Floats, periods: Floats, *, metric: Metric, alpha: float, tuned_for: int, seed: int
) -> Difference:
    """Return a weighted sum of one metric over return series, with both intervals.

    Parameters
    ----------
    matrix
        Shape (n_days, n_series), NaN where a series has no return.
    weights, periods
        Shape (n_series,).
    """
    tested = contrast(
        matrix, weights, periods, metric=metric, confidence_level=1.0 - alpha, n_draws=BOOTSTRAP_DRAWS, seed=seed
    )
    error = max(tested.standard_error, _prewhitened_error(matrix, weights, periods, metric))
    if not error > NEGLIGIBLE:
        raise InputError("the two configurations earned the same on every day")
    n_days = len(matrix)
    width = mixture_factor(n_days, alpha=alpha, tuned_for=tuned_for) * error
    return Difference(
        estimate=tested.estimate,
        standard_error=error,
        lower=tested.estimate - width,
        upper=tested.estimate + width,
        bootstrap_lower=tested.lower,
        bootstrap_upper=tested.upper,
        alpha=alpha,
        n_days=n_days,
    )


def _prewhitened_error(matrix: Floats, weights: Floats, periods: Floats, metric: Metric) -> float:
    """Return a standard error that long memory biases less than a kernel alone; looks are many, so bias adds up."""
    if metric == "sharpe_ratio":
        influences = sharpe_influence(matrix, periods)
    else:
        there = ~np.isnan(matrix)
        centred = np.where(there, matrix - np.nanmean(matrix, axis=0), 0.0)
        influences = centred * periods / there.sum(axis=0)
    series = (influences @ weights)[:, None]
    n = max(len(series), 3)
    return math.sqrt(float(sum_variance(series, prewhiten=True)[0]) * n / (n - 2))


def portfolio(paired: Paired) -> tuple[Floats, Floats]:
    """Return the old and the new configuration's return of each day, averaged over the markets that traded."""
    return np.nanmean(paired.before, axis=1), np.nanmean(paired.after, axis=1)


def averages(paired: Paired) -> tuple[Summary, Summary]:
    """Return every metric per market, under the old and the new configuration."""
    return (
        summarize(paired.before, paired.periods_per_year),
        summarize(paired.after, paired.periods_per_year),
    )

"""How an effect held over slices of the days: sub-periods, or regimes.

Belongs here: the effect per slice, sign consistency, drift. Does not belong here: the effect as a whole (contrasts).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.evidence.contrasts import standard_errors
from meta_pipeline.evidence.factors import Codes
from meta_pipeline.evidence.influence import MAX_DRAWDOWN, SHARPE_RATIO, Chunk, Runs
from meta_pipeline.evidence.metrics import summarize

Floats = NDArray[np.float64]

BALANCE: Final = 0.01  # of a block's weights may be left on one side
MINIMUM_SLICE_DAYS: Final = 20  # fewer returns of a run in a slice give no Sharpe ratio worth showing


@dataclass(frozen=True, kw_only=True, eq=False)
class Slices:
    """The effect of each contrast in each slice; NaN where a slice holds none.

    Parameters
    ----------
    estimates, standard_errors
        Shape (n_slices, n_contrasts), in the metric's unit; a drawdown's error within a slice is not known.
    n_days
        Shape (n_slices, n_contrasts): days of the slice on which the contrast has weight.
    """

    estimates: Floats
    standard_errors: Floats
    n_days: NDArray[np.int64]


def equal_periods(dates: NDArray[np.datetime64], n_periods: int) -> Codes:
    """Cut the calendar from first to last date into slices of equal length.

    Returns
    -------
    ndarray
        Shape (n_days,): slice of each date, 0 to n_periods - 1.
    """
    if not len(dates):
        return np.zeros(0, dtype=np.int64)
    seconds = dates.astype("datetime64[s]").astype(np.int64)
    span = int(seconds[-1] - seconds[0]) + 1
    slices: Codes = np.minimum((seconds - seconds[0]) * n_periods // span, n_periods - 1)
    return slices


def slice_effects(
    runs: Runs,
    weights: Floats,
    raised: NDArray[np.bool_],
    series: Floats,
    slices: Codes,
    n_slices: int,
    *,
    blocks: Codes,
    groups: Codes | None = None,
    metric: str = SHARPE_RATIO,
) -> Slices:
    """Return each contrast's effect on a metric within each slice of the days.

    The metric of every run is computed anew within the slice; runs with fewer than 20 returns there are left
    out, and with them their block unless its other weights still balance: a difference needs both of its sides.

    Parameters
    ----------
    runs
        The runs.
    weights
        Shape (n_runs, n_contrasts).
    raised
        Shape (n_runs, n_contrasts): whether a run is at the level that is judged (its weights add up to one).
    series
        Shape (n_days, n_contrasts): day series of the metric over the *panel's* dates.
    slices
        Shape (n_groups, n_days): slice of each date for each group of runs, -1 for none.
    n_slices
        Number of slices.
    blocks
        Shape (n_runs,): block of each run.
    groups
        Shape (n_runs,): group of each run (its market, say). None: all runs are of the first.
    metric
        The Sharpe ratio, or one of `influence.RISK_METRICS`. A drawdown is that of the slice's own days.
    """
    group = np.zeros(len(runs.columns), dtype=np.int64) if groups is None else groups
    used = (weights != 0).any(axis=1)
    found, counts = _metric_per_slice(runs, used, slices, n_slices, group, metric)
    present_groups = np.unique(group[used])
    shape = (n_slices, weights.shape[1])
    estimates, errors, days = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
    length = runs.summary.n_observations.astype(np.float64)
    for index in range(n_slices):
        present = np.isfinite(found[:, index])
        kept = _balanced(np.where(present[:, None], weights, 0.0), blocks)
        total = np.where(raised, kept, 0.0).sum(axis=0)
        # Where groups differ, a day is inside if it is for any of them: the error is rather too large than too small.
        inside = series[(slices[present_groups] == index).any(axis=0)]
        days[index] = (inside != 0).sum(axis=0)
        with np.errstate(all="ignore"):
            values = np.where(present, found[:, index], 0.0)
            estimates[index] = np.where(total > 1e-6, (values @ kept) / total, np.nan)
            # A slice sees a run for fewer days, so that each day moves its metric the more.
            size = np.abs(kept)
            longer = np.where(present, length / np.maximum(counts[:, index], 1), 0.0) @ size / size.sum(axis=0)
            errors[index] = standard_errors(inside) * longer / total
    errors[np.isnan(estimates) | (metric == MAX_DRAWDOWN)] = np.nan  # peak and trough are others in each slice
    days[np.isnan(estimates)] = 0
    return Slices(estimates=estimates, standard_errors=errors, n_days=days)


def _balanced(kept: Floats, blocks: Codes) -> Floats:
    """Set to zero the weights of blocks whose weights do not add up to zero any more."""
    n_blocks = int(blocks.max(initial=0)) + 1
    sums, sizes = np.zeros((n_blocks, kept.shape[1])), np.zeros((n_blocks, kept.shape[1]))
    np.add.at(sums, blocks, kept)
    np.add.at(sizes, blocks, np.abs(kept))
    return np.where((np.abs(sums) <= BALANCE * sizes)[blocks], kept, 0.0)


def _metric_per_slice(
    runs: Runs, used: NDArray[np.bool_], slices: Codes, n_slices: int, group: Codes, metric: str
) -> tuple[Floats, NDArray[np.float64]]:
    """Return metric and number of returns per run and slice, shape (n_runs, n_slices)."""
    shape = (len(runs.columns), n_slices)
    means = runs.summary.mean_return / runs.periods_per_year
    found, counts = np.full(shape, np.nan), np.zeros(shape)
    for one in np.unique(group[used]):
        member = np.zeros((slices.shape[1], n_slices))
        inside = np.flatnonzero(slices[one] >= 0)
        member[inside, slices[one][inside]] = 1.0
        for chunk in runs.chunks(used & (group == one)):
            periods = runs.periods_per_year[chunk.members]
            if metric == SHARPE_RATIO:
                found[chunk.members], counts[chunk.members] = _slice_moments(chunk, means, member, periods)
                continue
            for index in range(n_slices):
                part = summarize(chunk.rows[:, member[:, index] > 0].T, periods, tail=runs.tail)
                enough = part.n_observations >= MINIMUM_SLICE_DAYS
                found[chunk.members, index] = np.where(enough, getattr(part, metric), np.nan)
                counts[chunk.members, index] = part.n_observations
    return found, counts


def _slice_moments(chunk: Chunk, means: Floats, member: Floats, periods_per_year: Floats) -> tuple[Floats, Floats]:
    """Return Sharpe ratio and number of returns per run and slice of a chunk of runs."""
    mean = means[chunk.members][:, None]
    deviation = chunk.without_missing(chunk.rows - mean)
    n = np.broadcast_to(member.sum(axis=0), (len(chunk.members), member.shape[1]))
    if chunk.missing is not None:
        n = n - chunk.missing.astype(np.float64) @ member
    with np.errstate(all="ignore"):
        first = deviation @ member / n
        second = np.multiply(deviation, deviation, out=deviation) @ member / n - first**2
        value = (first + mean) / np.sqrt(second * n / (n - 1)) * np.sqrt(periods_per_year)[:, None]
        flat = second <= 1e-12 * np.maximum(first**2, 1e-12)
    return np.where((n >= MINIMUM_SLICE_DAYS) & ~flat, value, np.nan), n


def sign_consistency(estimates: Floats, whole: float) -> float:
    """Return the share of slices whose sign is that of the whole; NaN if no slice has an estimate."""
    present = estimates[np.isfinite(estimates)]
    return float(np.mean(np.sign(present) == np.sign(whole))) if len(present) else float("nan")


def drift(estimates: Floats, errors: Floats) -> float:
    """Return the standard deviation of the true effect between slices, sampling error taken off.

    The moment estimate of DerSimonian and Laird, Controlled Clinical Trials 7(3), 1986; zero where the slices
    differ no more than their errors explain. NaN with fewer than three slices.
    """
    known = np.isfinite(estimates) & np.isfinite(errors) & (errors > 0)
    if int(known.sum()) < 3:
        return float("nan")
    values, precision = estimates[known], 1.0 / errors[known] ** 2
    mean = float(np.sum(precision * values) / np.sum(precision))
    excess = float(np.sum(precision * (values - mean) ** 2)) - (len(values) - 1)
    scale = float(np.sum(precision) - np.sum(precision**2) / np.sum(precision))
    return float(np.sqrt(max(excess / scale, 0.0)))

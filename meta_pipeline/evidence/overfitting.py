"""How often the choice of the best backtest fails out of sample, and how many independent trials there were.

Belongs here: statements about a whole set of return series. Does not belong here: effects of single knobs (contrasts).

Both figures are *shown, never gates*: on pure noise the probability of backtest overfitting of one campaign scatters
with a standard deviation near 0.18, so that any threshold on it alone lets much noise through; an effective number of
trials taken as the number of trials accepts noise.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.metrics import ZERO_VOLATILITY

Floats = NDArray[np.float64]

MOST_BLOCKS: Final = 20  # 184,756 splits; each further pair of blocks multiplies them by four
_TIE: Final = 1e-12  # Sharpe ratios per period that differ by less are rounding: the same returns at another leverage


@dataclass(frozen=True, kw_only=True, eq=False)
class BacktestOverfitting:
    """The outcome of combinatorially symmetric cross-validation. Arrays have one entry per split.

    Parameters
    ----------
    probability
        Share of the splits in which the best in sample was no better than the median out of sample (logit <= 0).
    logits
        Shape (n_splits,): log odds of the relative rank, out of sample, of the best in sample. Positive is good.
    in_sample, out_of_sample
        Shape (n_splits,): Sharpe ratios *per period* of the best in sample, in its half and in the other.
    degradation_slope, degradation_intercept
        Least-squares line of `out_of_sample` on `in_sample`; NaN where `in_sample` does not vary.
    probability_of_loss
        Share of the splits in which the best in sample lost money out of sample.
    n_series, n_days, n_blocks
        Distinct series compared, days, and blocks the days were cut into.
    """

    probability: float
    logits: Floats
    in_sample: Floats
    out_of_sample: Floats
    degradation_slope: float
    degradation_intercept: float
    probability_of_loss: float
    n_series: int
    n_days: int
    n_blocks: int

    @property
    def n_splits(self) -> int:
        """Number of ways to choose half of the blocks."""
        return len(self.logits)


def probability_of_backtest_overfitting(returns: ArrayLike, n_blocks: int = 16) -> BacktestOverfitting:
    """Return how often the series that is best in one half of the days disappoints in the other.

    Combinatorially symmetric cross-validation: Bailey, Borwein, Lopez de Prado and Zhu, "The Probability of Backtest
    Overfitting", Journal of Computational Finance 20(4), 2017. Every half of the blocks is in sample once. Identical
    series count once. Series that tie in sample count as their average, and a tie out of sample takes the middle of
    its ranks, so that the order of the series changes nothing.

    Parameters
    ----------
    returns
        Shape (n_days, n_series), simple returns per period on *common* days: no NaN.
    n_blocks
        Even, 2 to 20. The days are cut into as many runs of consecutive days, whose lengths differ by one at most.

    Returns
    -------
    BacktestOverfitting

    Raises
    ------
    InputError
        If a return is missing or infinite, fewer than two distinct series or two days per block are given, the number
        of blocks does not fit, or a series is constant but not zero in half of the days.
    """
    matrix = _complete(returns)
    n_days = len(matrix)
    if n_blocks % 2 or not 2 <= n_blocks <= MOST_BLOCKS:
        raise InputError(f"n_blocks is {n_blocks!r}; give an even number from 2 to {MOST_BLOCKS}, for instance 16")
    if n_days < 2 * n_blocks:
        raise InputError(f"{n_days} days do not make {n_blocks} blocks of two or more; give more days or fewer blocks")
    matrix = np.unique(matrix, axis=1)
    n_series = matrix.shape[1]
    if n_series < 2:
        raise InputError("all series are identical; overfitting is a matter of choice among two or more")
    # Splits come in lexicographic order, in which the complement of a split has the mirrored place.
    in_sample = _sharpe_ratios(matrix, n_blocks)
    out_of_sample = in_sample[::-1]
    best, there, rank = _follow_the_best(in_sample, out_of_sample)
    relative = rank / (n_series + 1)
    logits = np.log(relative) - np.log1p(-relative)
    slope, intercept = _line(best, there)
    return BacktestOverfitting(
        probability=float(np.mean(relative <= 0.5)),
        logits=logits,
        in_sample=best,
        out_of_sample=there,
        degradation_slope=slope,
        degradation_intercept=intercept,
        probability_of_loss=float(np.mean(there < 0)),
        n_series=n_series,
        n_days=n_days,
        n_blocks=n_blocks,
    )


def effective_number_of_trials(returns: ArrayLike) -> float:
    """Return as how many uncorrelated series the given ones count: the participation ratio of their correlation.

    The square of the sum of the correlation matrix's eigenvalues over the sum of their squares. For show: the
    deflated Sharpe ratio counts all distinct trials, because with this number in their place it accepts noise.

    Parameters
    ----------
    returns
        Shape (n_days, n_series), on common days: no NaN. Series that do not vary are left out.

    Returns
    -------
    float
        Between 1 (all series move together) and the number of series; NaN if none varies.

    Raises
    ------
    InputError
        If a return is missing or infinite, or there are fewer than two days.
    """
    matrix = _complete(returns)
    if len(matrix) < 2:
        raise InputError(f"{len(matrix)} days have no correlation; give at least 2")
    deviation = matrix - matrix.mean(axis=0)
    length = np.linalg.norm(deviation, axis=0)
    moving = length > ZERO_VOLATILITY * np.sqrt(len(matrix)) * np.maximum(1.0, np.abs(matrix.mean(axis=0)))
    if not moving.any():
        return float("nan")
    unit = deviation[:, moving] / length[moving]
    # The squared eigenvalues of U'U and of UU' have the same sum; take the smaller of the two matrices.
    gram = unit.T @ unit if unit.shape[1] <= len(unit) else unit @ unit.T
    return float(unit.shape[1] ** 2 / np.sum(gram * gram))


def _complete(returns: ArrayLike) -> Floats:
    matrix = np.asarray(returns, dtype=np.float64)
    if matrix.ndim != 2:
        raise InputError(f"returns has shape {matrix.shape}; give days x series")
    bad = ~np.isfinite(matrix)
    if bad.any():
        day, series = (int(place[0]) for place in np.nonzero(bad))
        raise InputError(
            f"returns holds {float(matrix[day, series])} on day {day} of series {series} "
            f"({int(bad.sum())} such values); give the days that all series share, or leave out the series with gaps"
        )
    return matrix


def _sharpe_ratios(matrix: Floats, n_blocks: int) -> Floats:
    """Return the Sharpe ratio per period of each series in each half of the blocks, shape (n_splits, n_series)."""
    n_days = len(matrix)
    starts = np.linspace(0, n_days, n_blocks + 1).round().astype(np.int64)[:-1]
    centre = matrix.mean(axis=0)  # sums of squares about the mean lose no digits
    deviation = matrix - centre
    chosen = np.array(list(combinations(range(n_blocks), n_blocks // 2)))
    halves = np.zeros((len(chosen), n_blocks))
    np.put_along_axis(halves, chosen, 1.0, axis=1)
    days = (halves @ np.diff(np.append(starts, n_days)))[:, None]
    means = halves @ np.add.reduceat(deviation, starts, axis=0) / days
    squares = halves @ np.add.reduceat(deviation * deviation, starts, axis=0)
    spread = np.sqrt(np.maximum(squares - days * means**2, 0.0) / (days - 1))
    means += centre
    # Rounding of a sum of squares is relative to the series' whole spread, not to the half's.
    flat = spread <= np.maximum(ZERO_VOLATILITY, 1e-7 * np.sqrt(np.mean(deviation**2, axis=0)))
    earning = flat & (np.abs(means) > ZERO_VOLATILITY)
    if earning.any():
        series = int(np.flatnonzero(earning.any(axis=0))[0])
        raise InputError(
            f"a series (for instance one with mean {centre[series]:.3g}) is constant and not zero in half of the days, "
            "so it has no Sharpe ratio there; leave it out"
        )
    ratios: Floats = np.where(flat, 0.0, means / np.where(flat, 1.0, spread))
    return ratios


def _follow_the_best(in_sample: Floats, out_of_sample: Floats) -> tuple[Floats, Floats, Floats]:
    """Return, per split, the best Sharpe ratio in sample, what became of it, and its rank there (1 is worst)."""
    splits = np.arange(len(in_sample))
    winner = in_sample.argmax(axis=1)
    best = in_sample[splits, winner]
    there = out_of_sample[splits, winner].copy()
    rank = _ranks(out_of_sample, there)
    tied = in_sample >= best[:, None] - _TIE
    for split in np.flatnonzero(np.count_nonzero(tied, axis=1) > 1):
        values = out_of_sample[split, tied[split]]
        there[split] = values.mean()
        rank[split] = _ranks(np.broadcast_to(out_of_sample[split], (len(values), in_sample.shape[1])), values).mean()
    return best, there, rank


def _ranks(rows: Floats, values: Floats) -> Floats:
    """Return the rank of one value in each row, ties in the middle; the value itself is in the row."""
    below = np.count_nonzero(rows < values[:, None] - _TIE, axis=1)
    up_to = np.count_nonzero(rows <= values[:, None] + _TIE, axis=1)
    ranks: Floats = (below + up_to + 1) / 2.0
    return ranks


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    deviation = x - x.mean()
    power = float(deviation @ deviation)
    if power <= len(x) * _TIE**2:
        return float("nan"), float("nan")
    slope = float(deviation @ y) / power
    return slope, float(y.mean() - slope * x.mean())

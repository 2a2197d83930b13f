"""Corrections for looking at many effects at once.

Belongs here: p-values in, adjusted p-values out. Does not belong here: where p-values come from (contrasts), and
p-values that arrive over time (online_testing, whose names are given here too).

All functions return *adjusted* p-values in the order of the input: a hypothesis is rejected at
level q when its adjusted p-value is at most q. NaN stays NaN and is not counted.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.online_testing import LordPlusPlus, OnlineDecision

__all__ = [
    "LordPlusPlus",
    "OnlineDecision",
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "holm",
    "romano_wolf",
]

Floats = NDArray[np.float64]


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Adjust for the false discovery rate, valid for independent or positively dependent tests.

    Benjamini and Hochberg, Journal of the Royal Statistical Society B 57(1), 1995.

    Parameters
    ----------
    p_values
        Shape (n,), between 0 and 1; NaN where there is none.

    Raises
    ------
    InputError
        If a p-value is outside 0 to 1.
    """
    return _adjusted(p_values, lambda p: _step_up(p, 1.0))


def benjamini_yekutieli(p_values: ArrayLike) -> Floats:
    """Adjust for the false discovery rate under any dependence.

    Benjamini and Yekutieli, Annals of Statistics 29(4), 2001, theorem 1.3.

    Parameters
    ----------
    p_values
        Shape (n,), between 0 and 1; NaN where there is none.

    Raises
    ------
    InputError
        If a p-value is outside 0 to 1.
    """
    return _adjusted(p_values, lambda p: _step_up(p, float(np.sum(1.0 / np.arange(1, len(p) + 1)))))


def holm(p_values: ArrayLike) -> Floats:
    """Adjust for the chance of any false rejection, under any dependence.

    Holm, Scandinavian Journal of Statistics 6(2), 1979.

    Parameters
    ----------
    p_values
        Shape (n,), between 0 and 1; NaN where there is none.

    Raises
    ------
    InputError
        If a p-value is outside 0 to 1.
    """
    return _adjusted(p_values, _holm)


def romano_wolf(statistics: ArrayLike, draws: ArrayLike) -> Floats:
    """Adjust for the chance of any false rejection, using the dependence that the draws show.

    The step-down of Romano and Wolf, Econometrica 73(4), 2005, with the p-values of their
    "Efficient computation of adjusted p-values for resampling-based stepdown multiple testing",
    Statistics and Probability Letters 113, 2016. One-sided: large statistics are evidence. For two-sided
    tests hand in absolute values of both.

    Parameters
    ----------
    statistics
        Shape (n,): studentised statistics. NaN where there is none.
    draws
        Shape (n_draws, n): the same statistics recomputed on resamples and centred, so that they
        follow the distribution under the null; all columns of a row from the same resample. No NaN where there is a
        statistic: a draw that is not known cannot be counted as one that stayed below.

    Returns
    -------
    ndarray
        Shape (n,). The smallest possible value is 1 / (n_draws + 1).

    Raises
    ------
    InputError
        If the shapes do not agree, or a draw of a statistic is NaN.
    """
    observed = np.asarray(statistics, dtype=np.float64)
    resampled = np.asarray(draws, dtype=np.float64)
    if observed.ndim != 1 or resampled.ndim != 2 or resampled.shape[1] != len(observed):
        raise InputError(
            f"statistics has shape {observed.shape} and draws {resampled.shape}; expected (n,) and (n_draws, n)"
        )
    adjusted = np.full(len(observed), np.nan)
    present = np.flatnonzero(~np.isnan(observed))
    if not len(present):
        return adjusted
    unknown = np.isnan(resampled[:, present]).any(axis=0)
    if unknown.any():
        raise InputError(
            f"draws holds NaN in column {int(present[unknown][0])}; leave the resample out, or make the statistic NaN"
        )
    order = present[np.argsort(-observed[present], kind="stable")]
    # Column j of the running maximum holds, per draw, the largest of the statistics from j on down.
    maxima = np.maximum.accumulate(resampled[:, order[::-1]], axis=1)[:, ::-1]
    exceeding = np.count_nonzero(maxima >= observed[order], axis=0)
    p_values = (1.0 + exceeding) / (1.0 + len(resampled))
    adjusted[order] = np.maximum.accumulate(p_values)
    return adjusted


def _adjusted(p_values: ArrayLike, method: Callable[[Floats], Floats]) -> Floats:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1:
        raise InputError(f"p_values has shape {p.shape}; give a list of p-values")
    present = ~np.isnan(p)
    outside = present & ~((p >= 0) & (p <= 1))
    if outside.any():
        raise InputError(f"p_values holds {p[outside][0]!r}; a p-value is between 0 and 1")
    result = np.full(len(p), np.nan)
    if present.any():
        result[present] = method(p[present])
    return result


def _step_up(p: Floats, factor: float) -> Floats:
    n = len(p)
    order = np.argsort(-p, kind="stable")
    scaled = p[order] * factor * n / np.arange(n, 0, -1)
    result = np.empty(n)
    result[order] = np.minimum(np.minimum.accumulate(scaled), 1.0)
    return result


def _holm(p: Floats) -> Floats:
    n = len(p)
    order = np.argsort(p, kind="stable")
    result = np.empty(n)
    result[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(n, 0, -1)), 1.0)
    return result

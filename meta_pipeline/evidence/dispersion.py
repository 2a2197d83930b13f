"""How far return series lie apart on a day. Describes; decides nothing.

Belongs here: the dispersion of several series across, by day and by regime. Does not belong here: how one series
varies over time (metrics), or whether one of several is better (contrasts, superiority).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_pipeline.counted import counted
from meta_pipeline.errors import InputError

DESCRIPTIVE: Final = "Describes these series on these days; it has no error rate and decides nothing."
MINIMUM_DAYS: Final = 20  # fewer days have no median worth showing

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RegimeDispersion:
    """The dispersion on the days of one regime, as `Dispersion.daily`; None where it has fewer than 20 of them."""

    label: str
    n_days: int
    daily: float | None


@dataclass(frozen=True, kw_only=True)
class Dispersion:
    """How far series lie apart.

    Parameters
    ----------
    n_series, n_days
        Series, and days on which at least two of them have a return.
    daily
        Median over days of the standard deviation (ddof 1) across the series, in returns per period.
    relative
        The mean variance across over the mean square of all returns on these days: about 0 where all move as one, so
        that it hardly matters which is chosen; about 1 where they move each on its own; above 1 where against each
        other, n / (n - 1) at most.
    by_regime
        By label; empty where there are none.
    missing
        For each figure that is None: why.
    label
        What the figures are not.
    """

    n_series: int
    n_days: int
    daily: float | None = None
    relative: float | None = None
    by_regime: tuple[RegimeDispersion, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    label: str = DESCRIPTIVE


def dispersion_of(returns: ArrayLike, labels: NDArray[np.str_] | None = None) -> Dispersion:
    """Describe how far series lie apart. Neither their order nor that of the days matters.

    Parameters
    ----------
    returns
        Shape (n_days, n_series), simple returns per period; NaN where a series has none.
    labels
        Shape (n_days,): regime of each day, an empty text where it is not known. None: no regimes.

    Raises
    ------
    InputError
        If returns are no table, or there is not one label per day.
    """
    table = np.asarray(returns, dtype=np.float64)
    if table.ndim != 2 or (labels is not None and labels.shape != table.shape[:1]):
        raise InputError(f"returns has shape {table.shape}; give days x series, and one label per day")
    n_series = table.shape[1]
    # Sorted along the day, NaN last, so that sums do not hang on the order of the series.
    table = np.sort(table, axis=1)
    there = (~np.isnan(table)).sum(axis=1)
    days = np.flatnonzero(there >= 2)
    if len(days) < MINIMUM_DAYS:
        shared = counted(len(days), "day")
        few = f"{n_series} series, {shared} on which two of them have a return; at least {MINIMUM_DAYS} needed"
        return Dispersion(n_series=n_series, n_days=len(days), missing=dict.fromkeys(("daily", "relative"), few))
    held = table[days]
    variances = np.nanvar(held, axis=1, ddof=1)
    spread = np.sqrt(variances)
    squares = float(np.sort(np.nanmean(held**2, axis=1)).mean())
    missing = {} if squares > 0 else {"relative": "no return differs from zero"}
    regimes = []
    known = None if labels is None else np.asarray(labels)[days]
    for label in [] if known is None else sorted(set(known.tolist()) - {""}):
        inside = spread[known == label]
        median = float(np.median(inside)) if len(inside) >= MINIMUM_DAYS else None
        regimes.append(RegimeDispersion(label=label, n_days=len(inside), daily=median))
    return Dispersion(
        n_series=n_series,
        n_days=len(days),
        daily=float(np.median(spread)),
        relative=float(np.sort(variances).mean()) / squares if squares > 0 else None,
        by_regime=tuple(regimes),
        missing=missing,
    )

"""Periods per year from time stamps: determined by them, or refused, never assumed.

Belongs here: what a calendar says about itself. Does not belong here: what becomes of a run
whose calendar says nothing (quality).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

DAY: Final = 86_400
YEAR_DAYS: Final = 365.25

MIN_SPAN_DAYS: Final = 14
"""A window that holds fewer than two week-ends does not tell an exchange from round-the-clock trading."""

DECLARED_TOLERANCE: Final = 1.25
"""A declared figure may differ from the observed number of periods per year by this factor: holidays, halts and
conventions (250, 252, 260) stay inside; 252 against 365, or weekly against daily, do not."""

# Between exchanges of different countries the number of sessions a year runs from about 240 to 261.
_EXCHANGE_SESSIONS: Final = (225.0, 262.0)

# Spacing in days (smallest, median from, median to, largest) -> periods per year.
_SPARSE_BARS: Final = (
    ("weekly", (3, 6.5, 7.5, 11), 52.0),
    ("monthly", (24, 28, 31.5, 36), 12.0),
    ("quarterly", (84, 89, 93, 97), 4.0),
    ("yearly", (355, 360, 367, 372), 1.0),
)


@dataclass(frozen=True, kw_only=True)
class PeriodsPerYear:
    """What time stamps say.

    Parameters
    ----------
    value
        Periods per year, or None if the time stamps do not determine it.
    observed
        Periods counted per calendar year, without any convention; None below two time stamps.
    why
        The finding, or what is ambiguous, as the end of a sentence.
    """

    value: float | None
    observed: float | None
    why: str


def infer_periods_per_year(timestamps: NDArray[np.int64]) -> PeriodsPerYear:
    """Infer how many periods a year has from the time stamps of a run.

    Daily bars on five weekdays are an exchange (252), on seven round the clock (365); shorter bars are
    inferred only for round-the-clock markets (4 hours: 2190), as sessions differ between exchanges; weekly 52,
    monthly 12, quarterly 4, yearly 1.

    Parameters
    ----------
    timestamps
        Shape (n,), seconds since 1970, strictly increasing.
    """
    if len(timestamps) < 2:
        return PeriodsPerYear(value=None, observed=None, why="one time stamp has no spacing")
    steps = np.diff(timestamps)
    span = float(timestamps[-1] - timestamps[0]) / DAY
    observed = len(steps) / span * YEAR_DAYS
    median = float(np.median(steps)) / DAY
    if span < MIN_SPAN_DAYS:
        return PeriodsPerYear(
            value=None, observed=None, why=f"the window spans only {span:.3g} days, {MIN_SPAN_DAYS} are needed"
        )
    if abs(median - 1.0) < 0.1:
        return _daily(timestamps, observed)
    if median < 1.0:
        return _intraday(timestamps, float(np.median(steps)), observed)
    return _sparse(steps / DAY, median, observed)


def _weekdays(timestamps: NDArray[np.int64]) -> NDArray[np.intp]:
    """Count time stamps by weekday, Monday first (1970-01-01 was a Thursday)."""
    return np.bincount((timestamps // DAY + 3) % 7, minlength=7)


def _daily(timestamps: NDArray[np.int64], observed: float) -> PeriodsPerYear:
    counts = _weekdays(timestamps)
    traded = int(np.sum(counts > 0.05 * len(timestamps)))
    if traded == 7 and observed > 0.95 * 365:
        return PeriodsPerYear(value=365.0, observed=observed, why="daily bars on all seven weekdays")
    if traded == 5 and _like_an_exchange(timestamps, observed):
        return PeriodsPerYear(value=252.0, observed=observed, why="daily bars on five weekdays")
    return PeriodsPerYear(
        value=None,
        observed=observed,
        why=f"daily bars on {traded} weekdays, {observed:.4g} a year, fit neither an exchange (252) nor "
        "round-the-clock trading (365)",
    )


def _like_an_exchange(timestamps: NDArray[np.int64], observed: float) -> bool:
    # In a short window a cluster of holidays weighs more, so the count a year says less.
    low, high = _EXCHANGE_SESSIONS
    slack = 5.0 * YEAR_DAYS / (float(timestamps[-1] - timestamps[0]) / DAY)
    return low - slack <= observed <= high + slack


def _intraday(timestamps: NDArray[np.int64], step: float, observed: float) -> PeriodsPerYear:
    bars = 365.0 * DAY / step
    around_the_clock = bool(np.all(_weekdays(timestamps) > 0)) and abs(observed / bars - 1.0) < 0.1
    if around_the_clock:
        return PeriodsPerYear(value=bars, observed=observed, why=f"a bar every {step:g} seconds round the clock")
    return PeriodsPerYear(
        value=None,
        observed=observed,
        why=f"bars of {step:g} seconds with pauses ({observed:.5g} a year): the length of a session is not known",
    )


def _sparse(steps: NDArray[np.float64], median: float, observed: float) -> PeriodsPerYear:
    for name, (smallest, low, high, largest), value in _SPARSE_BARS:
        if low <= median <= high and smallest <= steps.min() and steps.max() <= largest:
            return PeriodsPerYear(value=value, observed=observed, why=f"{name} bars")
    return PeriodsPerYear(
        value=None,
        observed=observed,
        why=f"time stamps lie {steps.min():.4g} to {steps.max():.4g} days apart (median {median:.4g}), which is no "
        "regular bar",
    )

"""What an equity curve says: loss from the running peak, slope over calendar time, moves that nothing confirms.

Belongs here: functions of a curve of unit values (what one unit of capital has become, deposits taken out). Does not
belong here: where the curve comes from (book).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError

WILD_STEP: Final = 0.20
"""A step of the logarithm of the unit value beyond which one look is not enough."""

REVERSED: Final = 0.80

SECONDS_A_DAY: Final = 86_400.0


def confirmed(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which points of a curve are no wild tick: a step of more than 20 % that the next one takes back.

    The last point counts as confirmed here; whether it is, `last_step_is_wild` says.
    """
    keep = np.ones(len(values), dtype=bool)
    steps = np.diff(np.log(np.maximum(values, 1e-300)))
    for i in np.flatnonzero(np.abs(steps) > WILD_STEP).tolist():
        if keep[i] and i + 1 < len(steps) and -steps[i + 1] / steps[i] >= REVERSED:
            keep[i + 1] = False
    return keep


def last_step_is_wild(values: NDArray[np.float64]) -> bool:
    """Say whether the last point of a curve is a step that nothing has confirmed yet."""
    if len(values) < 2 or values[-1] <= 0 or values[-2] <= 0:
        return len(values) >= 1 and bool(values[-1] <= 0)
    return abs(float(np.log(values[-1] / values[-2]))) > WILD_STEP


def drawdown_pct(values: NDArray[np.float64]) -> float | None:
    """Return the present loss from the running peak, in per cent, 0..100.

    Wild ticks that were taken back make no peak.

    Parameters
    ----------
    values
        Shape (n,), the curve in order of time. NaN anywhere gives None.
    """
    if len(values) == 0 or not bool(np.all(np.isfinite(values))):
        return None
    peak = float(np.max(values[confirmed(values)]))
    if peak <= 0:
        return 100.0
    return float(min(max(0.0, 1.0 - values[-1] / peak), 1.0)) * 100.0


def slope_pct_per_day(seconds: NDArray[np.float64], values: NDArray[np.float64]) -> float | None:
    """Return the slope of the logarithm of a curve by least squares over calendar time, in per cent per day.

    Parameters
    ----------
    seconds
        Shape (n,), the time of each point; points need not be evenly spaced, and more of them change nothing.
    values
        Shape (n,), positive.

    Returns
    -------
    float or None
        None with fewer than two moments, or where a value is not positive or no number.

    Raises
    ------
    InputError
        If the lengths differ.
    """
    if seconds.shape != values.shape:
        raise InputError(f"{len(seconds)} times for {len(values)} values; give one time per value")
    if len(values) < 2 or not bool(np.all(np.isfinite(values) & (values > 0))):
        return None
    days = (seconds - seconds[0]) / SECONDS_A_DAY
    centred = days - days.mean()
    spread = float(centred @ centred)
    if spread <= 0.0:
        return None
    return 100.0 * float(centred @ np.log(values)) / spread

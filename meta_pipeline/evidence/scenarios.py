"""How bad a month can get for one configuration, and for the one that would take its place. Describes; decides nothing.

Belongs here: families of paths that both take on the same days, and whether the challenger's worst ones are no worse
than the baseline's less a tolerance. Does not belong here: the effect of a change and its error rate (contrasts), or
the losses of a single day (tails).

A family is a way to make paths out of the days on record: as they came, resampled, resampled from the days of one
regime, or as they came with heavier losses. None of them holds a day that is unlike every day on record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_pipeline.counted import counted
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.metrics import MINIMUM_TAIL

DESCRIPTIVE: Final = "Describes paths made of the days on record; it has no error rate, and nothing is stopped by it."
HORIZON: Final = 21  # days: a month of trading
TOLERANCE: Final = 0.01  # of equity, over the horizon
N_PATHS: Final = 2_000
BLOCK_DAYS: Final = 5  # days in a row that are resampled together, so that a bad week stays one
MINIMUM_WINDOWS: Final = 20  # windows that do not overlap; fewer have no worst twentieth
MINIMUM_REGIME_DAYS: Final = 60
HEAVIER: Final = 1.5  # what a loss is multiplied by

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ScenarioFamily:
    """The worst paths of one family, of both configurations.

    Parameters
    ----------
    name
        "as they came", "resampled", "resampled from LABEL", or "losses half as large again".
    n_paths
        Paths, the same days for both.
    baseline, challenger
        Expected shortfall of the return over the horizon: the mean of the worst twentieth of the paths, each by its
        own. -0.08 is a loss of 8 %. None: `missing` says why.
    passed
        Whether the challenger's is at least the baseline's less the tolerance; None: not known, which is no pass.
    """

    name: str
    n_paths: int = 0
    baseline: float | None = None
    challenger: float | None = None
    passed: bool | None = None
    missing: str | None = None


@dataclass(frozen=True, kw_only=True)
class Scenarios:
    """All families, and what they say together.

    Parameters
    ----------
    n_days
        Days on which both have a return.
    horizon
        Days of a path.
    tolerance
        Share of equity by which the challenger's expected shortfall may be worse.
    families
        In a fixed order.
    passed
        True: no family is worse than the tolerance allows. False: one is. None: none is, but one is not known.
    worst
        The family in which the challenger falls behind the most, or gets ahead the least; None if none is known.
    label
        What the figures are not.
    """

    n_days: int
    horizon: int
    tolerance: float
    families: tuple[ScenarioFamily, ...] = field(default=())
    passed: bool | None = None
    worst: str | None = None
    label: str = DESCRIPTIVE


def compare_scenarios(
    baseline: ArrayLike,
    challenger: ArrayLike,
    *,
    generator: np.random.Generator,
    labels: NDArray[np.str_] | None = None,
    horizon: int = HORIZON,
    tolerance: float = TOLERANCE,
    tail: float = 0.05,
) -> Scenarios:
    """Put two configurations through the same families of paths.

    Parameters
    ----------
    baseline, challenger
        Shape (n_days,), simple returns per period on the same days, in their order; NaN where there is none. Days on
        which one of them is missing are left out of both. A return of -1 or less ends the path at a loss of all.
    generator
        The source of randomness, of the resampled families.
    labels
        Shape (n_days,): regime of each day, an empty text where it is not known. None: no families of regimes.
    horizon, tolerance, tail
        Days of a path; not negative; share of the paths that is the tail, between 0 and 1.

    Raises
    ------
    InputError
        If lengths differ, or a setting makes no sense.
    """
    both = _paired(baseline, challenger, labels)
    if horizon < 1 or not tolerance >= 0 or not 0 < tail < 1:
        given = f"horizon is {horizon!r}, tolerance {tolerance!r}, tail {tail!r}"
        raise InputError(f"{given}; give at least one day, none below zero, and a share: for instance 21, 0.01, 0.05")
    known = ~np.isnan(both).any(axis=0)
    held = both[:, known]
    n_days = held.shape[1]
    whole = sorted(set([] if labels is None else np.asarray(labels)[known].tolist()) - {""})
    if n_days < MINIMUM_WINDOWS * horizon:
        why = f"{n_days} common days; {MINIMUM_WINDOWS * horizon} are needed for {MINIMUM_WINDOWS} separate windows"
        names = ("as they came", "losses half as large again", "resampled", *(f"resampled from {one}" for one in whole))
        families = [ScenarioFamily(name=name, missing=why) for name in names]
    else:
        heavier = np.where(held < 0, HEAVIER * held, held)
        everywhere = np.arange(n_days)
        families = [
            _judged("as they came", _windows(held, horizon), tolerance, tail),
            _judged("losses half as large again", _windows(heavier, horizon), tolerance, tail),
            _judged("resampled", _resampled(held, everywhere, horizon, generator), tolerance, tail),
        ]
        for label in whole:
            days = np.flatnonzero(np.asarray(labels)[known] == label)
            name = f"resampled from {label}"
            if len(days) < MINIMUM_REGIME_DAYS:
                why = f"{counted(len(days), 'day')} of this regime; at least {MINIMUM_REGIME_DAYS} are needed"
                families.append(ScenarioFamily(name=name, missing=why))
            else:
                families.append(_judged(name, _resampled(held, days, horizon, generator), tolerance, tail))
    return Scenarios(
        n_days=n_days,
        horizon=horizon,
        tolerance=tolerance,
        families=tuple(families),
        passed=_together(families),
        worst=_worst(families),
    )


def _paired(baseline: ArrayLike, challenger: ArrayLike, labels: NDArray[np.str_] | None) -> Floats:
    first, second = np.asarray(baseline, dtype=np.float64), np.asarray(challenger, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape or (labels is not None and labels.shape != first.shape):
        shapes = f"{first.shape} and {second.shape}"
        raise InputError(f"baseline and challenger have shapes {shapes}; give two series, and labels, of the same days")
    return np.stack([first, second])


def _windows(held: Floats, horizon: int) -> Floats:
    """Return the returns over all windows of the horizon as they came, shape (2, n_windows)."""
    views = np.lib.stride_tricks.sliding_window_view(held, horizon, axis=1)
    return _compounded(views)


def _resampled(held: Floats, days: NDArray[np.intp], horizon: int, generator: np.random.Generator) -> Floats:
    """Return the returns over paths of blocks of the given days, the first following the last; shape (2, N_PATHS)."""
    length = min(BLOCK_DAYS, horizon)
    starts = generator.integers(0, len(days), size=(N_PATHS, -(-horizon // length)))
    steps = (starts[:, :, None] + np.arange(length)).reshape(N_PATHS, -1)[:, :horizon] % len(days)
    return _compounded(held[:, days[steps]])


def _compounded(paths: Floats) -> Floats:
    grown: Floats = np.prod(1.0 + np.maximum(paths, -1.0), axis=-1) - 1.0  # once at zero it stays there
    return grown


def _judged(name: str, paths: Floats, tolerance: float, tail: float) -> ScenarioFamily:
    n_paths = paths.shape[1]
    worst = int(np.ceil(round(tail * n_paths, 9)))
    if worst < MINIMUM_TAIL:
        why = f"{counted(n_paths, 'path')}; the tail would hold fewer than {MINIMUM_TAIL}"
        return ScenarioFamily(name=name, n_paths=n_paths, missing=why)
    baseline, challenger = (float(one) for one in np.sort(paths, axis=1)[:, :worst].mean(axis=1))
    return ScenarioFamily(
        name=name,
        n_paths=n_paths,
        baseline=baseline,
        challenger=challenger,
        # Equal up to rounding is no worse.
        passed=challenger >= baseline - tolerance - 1e-12,
    )


def _together(families: Sequence[ScenarioFamily]) -> bool | None:
    verdicts = [family.passed for family in families]
    if False in verdicts:
        return False
    return None if None in verdicts or not verdicts else True


def _worst(families: Sequence[ScenarioFamily]) -> str | None:
    behind = [
        (family.challenger - family.baseline, family.name)
        for family in families
        if family.challenger is not None and family.baseline is not None
    ]
    return min(behind)[1] if behind else None

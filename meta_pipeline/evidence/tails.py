"""How heavy the losses of one return series are. Describes; decides nothing.

Belongs here: expected shortfall, Hill's index and the generalised Pareto distribution of a single series' worst
returns. Does not belong here: whether two configurations differ in them (contrasts), or what became of the series in
bad times (scenarios).

The worst returns are a handful by construction. So every figure has a least number of them, below which it is not
given, and what is extrapolated comes with its standard error.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_pipeline.counted import counted
from meta_pipeline.errors import InputError
from meta_pipeline.evidence.metrics import MINIMUM_TAIL

DESCRIPTIVE: Final = "Describes the losses of one series as they were; it has no error rate and decides nothing."
MINIMUM_EXCESSES: Final = 20  # fewer losses beyond the threshold make no tail index
MINIMUM_FITTED: Final = 50  # fewer, and the shape's standard error is 0.14 and more: as large as what is to be told
REGULAR: Final = -0.5  # at a lower shape the likelihood has no regular maximum (Smith, 1985)

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The losses of one series beyond a threshold.

    Parameters
    ----------
    n_days, n_excesses
        Returns, and those of them in the tail.
    threshold
        The return from which the tail begins, per period: a loss is negative.
    expected_shortfall
        Mean of the returns in the tail, per period: negative for losses.
    hill_index, hill_error
        Hill's estimate of the tail index alpha, the inverse of the mean log excess, and its standard error
        alpha / sqrt(n). The lower the heavier; below 2 the variance is infinite, below 1 the mean.
    pareto_shape, pareto_shape_error, pareto_scale
        Of the generalised Pareto distribution of the excesses, by maximum likelihood; the scale in returns per period.
        Where both exist, the shape estimates 1 / alpha; 0 is the tail of a normal distribution.
    extreme
        Share of the returns that is further out than the tail.
    extreme_shortfall
        Expected shortfall at `extreme` by that distribution, per period: what the worst days beyond those on record
        would be, if the tail goes on as it is.
    missing
        For each figure that is None: why.
    label
        What the figures are not.
    """

    n_days: int
    n_excesses: int
    threshold: float | None = None
    expected_shortfall: float | None = None
    hill_index: float | None = None
    hill_error: float | None = None
    pareto_shape: float | None = None
    pareto_shape_error: float | None = None
    pareto_scale: float | None = None
    extreme: float = 0.01
    extreme_shortfall: float | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    label: str = DESCRIPTIVE


def tail_of(returns: ArrayLike, *, tail: float = 0.05, extreme: float = 0.01) -> Tail:
    """Describe the worst returns of a series; their order does not matter.

    Hill, Annals of Statistics 3(5), 1975; Pickands, Annals of Statistics 3(1), 1975; the expected shortfall beyond a
    threshold as in McNeil, Frey and Embrechts, "Quantitative Risk Management", 2015, equation 5.20.

    Parameters
    ----------
    returns
        Shape (n_days,), simple returns per period, NaN where there is none.
    tail, extreme
        Shares of the returns: where the tail begins, and how far out it is extrapolated; extreme < tail < 1.

    Raises
    ------
    InputError
        If returns are not one series, or the shares are not in order.
    """
    series = np.asarray(returns, dtype=np.float64)
    if series.ndim != 1:
        raise InputError(f"returns has shape {series.shape}; give one series")
    if not 0 < extreme < tail < 1:
        raise InputError(f"tail is {tail!r}, extreme {extreme!r}; give 0 < extreme < tail < 1, for instance 0.05, 0.01")
    ordered = np.sort(series[~np.isnan(series)])
    n_days = len(ordered)
    worst = math.ceil(round(tail * n_days, 9))
    missing: dict[str, str] = {}
    figures: dict[str, float] = {}
    if worst < MINIMUM_TAIL:
        few = f"{counted(n_days, 'return')}; the tail would hold fewer than {MINIMUM_TAIL}"
        missing |= dict.fromkeys(("threshold", "expected_shortfall"), few)
    else:
        figures |= {"threshold": float(ordered[worst]), "expected_shortfall": float(ordered[:worst].mean())}
    figures |= _hill(ordered, worst, missing)
    figures |= _pareto(ordered, worst, extreme, missing)
    known = Tail(n_days=n_days, n_excesses=worst, extreme=extreme, missing=missing)
    return replace(known, **figures)  # type: ignore[arg-type]


def _hill(ordered: Floats, worst: int, missing: dict[str, str]) -> dict[str, float]:
    if worst < MINIMUM_EXCESSES or not (ordered[worst] < 0 and ordered[0] < ordered[worst]):
        why = f"fewer than {MINIMUM_EXCESSES} losses beyond a threshold that is a loss itself"
        missing |= dict.fromkeys(("hill_index", "hill_error"), why)
        return {}
    # The mean log excess is 1 / alpha, not alpha.
    alpha = 1.0 / float(np.mean(np.log(ordered[:worst] / ordered[worst])))
    return {"hill_index": alpha, "hill_error": alpha / math.sqrt(worst)}


def _pareto(ordered: Floats, worst: int, extreme: float, missing: dict[str, str]) -> dict[str, float]:
    names = ("pareto_shape", "pareto_shape_error", "pareto_scale", "extreme_shortfall")
    if worst < MINIMUM_FITTED or not (ordered[worst] < 0 and ordered[0] < ordered[worst]):
        why = f"fewer than {MINIMUM_FITTED} losses beyond a threshold that is a loss itself"
        missing |= dict.fromkeys(names, why)
        return {}
    excesses = ordered[worst] - ordered[:worst]
    unit = float(excesses.mean())
    from scipy.stats import genpareto  # a second to load, and needed once a night

    try:
        shape, _, scale = (float(value) for value in genpareto.fit(excesses / unit, floc=0.0))
    except RuntimeError as error:  # the search for the maximum did not converge
        missing |= dict.fromkeys(names, f"the generalised Pareto distribution could not be fitted: {error}")
        return {}
    if not REGULAR < shape < 1.0 or not math.isfinite(scale):
        why = f"a shape of {shape:.2f}: outside -0.5 to 1 there is no standard error, or no mean"
        missing |= dict.fromkeys(names, why)
        return {}
    scale *= unit
    beyond, rarer = -float(ordered[worst]), worst / (extreme * len(ordered))
    growth = (rarer**shape - 1.0) / shape if abs(shape) > 1e-9 else math.log(rarer)
    quantile = beyond + scale * growth
    shortfall = (quantile + scale - shape * beyond) / (1.0 - shape)
    return {
        "pareto_shape": shape,
        "pareto_shape_error": (1.0 + shape) / math.sqrt(worst),
        "pareto_scale": scale,
        "extreme_shortfall": -shortfall,
    }

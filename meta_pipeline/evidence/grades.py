"""What a contrast is worth: grade, expected uplift, predictive interval, what could have been found.

Belongs here: rules that turn tested contrasts into a grade and a claim. Does not belong here: the tests themselves
(contrasts, multiplicity), or whether something is proposed (proposals).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from meta_pipeline.evidence.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm, romano_wolf

Floats = NDArray[np.float64]

DAYS_PER_YEAR: Final = 365.25


def adjust(statistics: Floats, draws: Floats, p_values: Floats) -> dict[str, Floats]:
    """Correct a family of one-sided p-values in every way that is reported; each of shape (n,)."""
    return {
        "romano_wolf": romano_wolf(statistics, draws),
        "holm": holm(p_values),
        "benjamini_hochberg": benjamini_hochberg(p_values),
        "benjamini_yekutieli": benjamini_yekutieli(p_values),
    }


def grade(
    estimate: float,
    p_value: float,
    adjusted: Mapping[str, float],
    *,
    any_step_down: bool,
    alpha: float,
    smallest: float,
) -> str:
    """Grade one contrast: A, B, C or D.

    A: step-down adjusted p-value at most alpha, and an estimate of at least the smallest effect. B:
    Benjamini-Hochberg at alpha, in a campaign in which the step-down rejects anything at all. C: suggestive, the
    p-value at most alpha before correction. D: none.

    The condition on B keeps the rate of campaigns without any effect that show an A or a B at the
    step-down's: alone, the two procedures reject on slightly different noise, and the union of both exceeds alpha.

    Parameters
    ----------
    estimate, p_value
        Of the contrast; the p-value one-sided, not corrected.
    adjusted
        From `adjust`, for this contrast.
    any_step_down
        Whether the step-down rejects anything in the campaign at alpha.
    """
    if not (math.isfinite(estimate) and math.isfinite(p_value)) or estimate <= 0:
        return "D"
    if adjusted["romano_wolf"] <= alpha and estimate >= smallest:
        return "A"
    if any_step_down and adjusted["benjamini_hochberg"] <= alpha:
        return "B"
    return "C" if p_value <= alpha else "D"


def haircut(years: float, *, short: tuple[float, float], long: tuple[float, float]) -> float:
    """Return the share of a contrast that may be claimed before there is a ledger of outcomes.

    Parameters
    ----------
    years
        Length of the evidence.
    short, long
        (years, share): linear between the two, constant outside.
    """
    return float(np.interp(years, [short[0], long[0]], [short[1], long[1]]))


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What is expected of a change, in annualised Sharpe ratio.

    Parameters
    ----------
    expected
        The claim.
    lower, upper
        Predictive interval of the effect that will be realised over the horizon.
    probability_positive
        That the realised effect is positive.
    spread
        Standard deviation of the realised effect around the claim.
    """

    expected: float
    lower: float
    upper: float
    probability_positive: float
    spread: float


def claim(
    estimate: float,
    standard_error: float,
    *,
    share: float,
    drift: float,
    years: float,
    horizon: float,
    confidence_level: float,
) -> Claim:
    """Predict the effect realised over a horizon from a contrast, cold: without a ledger of outcomes.

    The claim is share * estimate. If that share is what a normal prior leaves of an estimate with this error, the
    true effect has the variance share * error^2 around the claim; the effect then drifts, and its realisation over
    a horizon has the error of a sample as long as the horizon. The three variances add up.

    Parameters
    ----------
    estimate, standard_error
        The contrast.
    share
        The haircut.
    drift
        Standard deviation of the effect between sub-periods; NaN counts as none known.
    years, horizon
        Length of the evidence, and of the time predicted, in years.
    confidence_level
        Of the predictive interval.
    """
    expected = share * estimate
    uncertain = share * standard_error**2
    drifting = 0.0 if math.isnan(drift) else drift**2
    realised = standard_error**2 * years / horizon
    spread = math.sqrt(uncertain + drifting + realised)
    probability = float(ndtr(expected / spread)) if spread > 0 else (0.5 if expected == 0 else float(expected > 0))
    return predicted(expected, spread, probability, confidence_level=confidence_level)


def predicted(expected: float, spread: float, probability: float, *, confidence_level: float) -> Claim:
    """Return a claim with its predictive interval: normal, `spread` around what is expected."""
    width = float(ndtri(0.5 + confidence_level / 2)) * spread
    return Claim(
        expected=expected,
        lower=expected - width,
        upper=expected + width,
        probability_positive=probability,
        spread=spread,
    )


def critical_value(draws: Floats, alpha: float) -> float:
    """Return the value that the largest of all studentised contrasts exceeds by chance with probability alpha."""
    if not draws.size:
        return float(ndtri(1 - alpha))
    return float(np.quantile(draws.max(axis=1), 1 - alpha, method="higher").item())


def smallest_detectable(standard_error: float, *, critical: float, power: float) -> float:
    """Return the true effect that is found with the given power, in the unit of the error."""
    return (critical + float(ndtri(power))) * standard_error


def days_needed(estimate: float, standard_error: float, n_days: int, *, critical: float, power: float) -> int | None:
    """Return the days of evidence in which an effect of the estimated size is found with the given power.

    Returns
    -------
    int or None
        None if the estimate is not positive: no length of evidence finds an effect that is not there.
    """
    if not estimate > 0 or not math.isfinite(standard_error):
        return None
    return math.ceil(n_days * (smallest_detectable(standard_error, critical=critical, power=power) / estimate) ** 2)


def effective_number(returns: Floats, summary_sd: Floats, summary_mean: Floats) -> float:
    """Return the effective number of independent series: n / (1 + (n - 1) * mean squared correlation).

    The participation ratio of the correlation matrix's eigenvalues. It is shown, never a gate.

    Parameters
    ----------
    returns
        Shape (n_days, n_runs), NaN where not observed; a day on which one of two series has none adds nothing.
    summary_sd, summary_mean
        Per period, shape (n_runs,); sd with ddof 0.
    """
    z = np.nan_to_num((returns - summary_mean) / summary_sd)
    length = np.sqrt((z * z).sum(axis=0))
    usable = length > 0
    z = z[:, usable] / length[usable]
    n = z.shape[1]
    if n < 2:
        return float(n)
    correlations = z.T @ z
    squared = (float(np.sum(correlations**2)) - n) / (n * (n - 1))
    return float(n / (1 + (n - 1) * max(squared, 0.0)))

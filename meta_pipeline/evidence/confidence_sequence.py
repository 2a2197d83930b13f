"""A confidence sequence: an interval that holds at every look, however often one looks.

Belongs here: the width of such an interval, and how long it takes to become narrow. Does not belong here: the series
it is about (contrasts, outcomes).

The boundary is Robbins' normal mixture (Annals of Mathematical Statistics 41(5), 1970; Howard, Ramdas, McAuliffe and
Sekhon, Annals of Statistics 49(2), 2021), in the asymptotic form of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas
("Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52(6), 2024, theorem
2.2): where partial sums are approximated by a Brownian motion, the variance may be estimated. For dependent days the
variance is the long-run one. Asymptotic means: looks begin after a minimum of days; tests measure the share of
series whose truth is ever left out.
"""

import math

from scipy.special import ndtri

from meta_pipeline.errors import InputError


def mixture_factor(n_days: int, *, alpha: float, tuned_for: int) -> float:
    """Return the half width of the interval at a look, in standard errors of the estimate at that look.

    Parameters
    ----------
    n_days
        Days so far, at least 1.
    alpha
        Probability, over all looks together, that the truth is ever outside; between 0 and 1.
    tuned_for
        Number of days at which the interval is about as narrow as it can be; it holds at every other too.

    Returns
    -------
    float
        Above the factor of a single look (1.64 for alpha 0.1), which it would have to be exceeded by if one
        looked again and again.

    Raises
    ------
    InputError
        If a parameter is out of range.
    """
    if n_days < 1 or tuned_for < 1 or not 0.0 < alpha < 1.0:
        raise InputError(f"n_days {n_days}, tuned_for {tuned_for}, alpha {alpha}: give days >= 1 and 0 < alpha < 1")
    mixed = n_days * _mixture_variance(alpha, tuned_for)
    return math.sqrt(2.0 * (mixed + 1.0) / mixed * math.log(math.sqrt(mixed + 1.0) / alpha))


def detectable_effect(
    daily_deviation: float, n_days: int, *, alpha: float, tuned_for: int, power: float = 0.8
) -> float:
    """Return the true effect whose interval leaves zero out at a look with the given probability.

    Parameters
    ----------
    daily_deviation
        Long-run standard deviation of one day, so that the standard error is this over the root of the days.
    power
        Probability of finding it at this look; looks before it only add to it.
    """
    error = daily_deviation / math.sqrt(n_days)
    return (mixture_factor(n_days, alpha=alpha, tuned_for=tuned_for) + float(ndtri(power))) * error


def days_to_detect(
    effect: float, daily_deviation: float, *, alpha: float, tuned_for: int, power: float = 0.8, most: int = 100_000
) -> int | None:
    """Return after how many days an effect is found with the given probability.

    Returns
    -------
    int or None
        None if the effect is zero, not known (NaN), or takes more than `most` days.
    """
    size = abs(effect)
    if not size > 0.0 or not math.isfinite(daily_deviation):
        return None

    def found(n_days: int) -> bool:
        return detectable_effect(daily_deviation, n_days, alpha=alpha, tuned_for=tuned_for, power=power) <= size

    if not found(most):
        return None
    low, high = 0, most  # the detectable effect falls with the days
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def _mixture_variance(alpha: float, tuned_for: int) -> float:
    # Waudby-Smith et al. (2024), section B.2: close to the best choice for the time it is tuned for.
    spread = -2.0 * math.log(alpha)
    return (spread + math.log(spread) + 1.0) / tuned_for if spread > 1.0 else 1.0 / tuned_for

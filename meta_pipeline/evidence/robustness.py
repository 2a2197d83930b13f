"""Where the wealth of one return series came from. Describes; decides nothing.

Belongs here: regime mix, concentration and best days of a single series. Does not belong here: how heavy its losses are
(tails), or whether a difference between configurations is real (contrasts).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.metrics import ZERO_VOLATILITY
from meta_pipeline.evidence.tails import Tail, tail_of

DESCRIPTIVE: Final = "Describes one series as it was; it has no error rate and decides nothing."
PRIOR_DAYS: Final = 252  # days of the whole that a regime's Sharpe ratio is drawn towards
BEST_DAYS: Final = 10
_OF_REGIMES: Final = ("regime_entropy", "concentration", "worst_regime", "worst_regime_sharpe")


@dataclass(frozen=True, kw_only=True)
class RegimeShare:
    """One regime's part in a series.

    Parameters
    ----------
    label
        Of the regime.
    n_days
        Days in it.
    log_wealth
        Sum of log(1 + r) over its days; None once all equity was lost.
    share
        Its absolute log wealth over that of all regimes: 1 where all was won, or lost, in this one. None with
        `log_wealth` of any regime, or where all are zero.
    sharpe, shrunk_sharpe
        Annualised; the second drawn towards the whole's by 252 of its days.
    """

    label: str
    n_days: int
    log_wealth: float | None
    share: float | None
    sharpe: float | None
    shrunk_sharpe: float | None


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """What a series rests on.

    Parameters
    ----------
    n_days
        Days with a return.
    regimes
        By label; empty where there are none.
    regime_entropy
        Of the mix of days, over the entropy of equal shares: 1 where all regimes are seen alike, 0 for one only.
    concentration
        Sum of squared shares of the regimes' absolute log wealth: 1 where one regime earned or lost everything.
    worst_regime, worst_regime_sharpe
        The regime with the lowest shrunken Sharpe ratio, and that ratio.
    best_days
        Share of the total log wealth that the best ten days made; above 1 where the others lost.
    tail
        Its losses.
    missing
        For each figure that is None: why.
    label
        What the figures are not.
    """

    n_days: int
    tail: Tail
    regimes: tuple[RegimeShare, ...] = ()
    regime_entropy: float | None = None
    concentration: float | None = None
    worst_regime: str | None = None
    worst_regime_sharpe: float | None = None
    best_days: float | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    label: str = DESCRIPTIVE


def robustness(
    returns: ArrayLike, periods_per_year: float, labels: NDArray[np.str_] | None = None, *, tail: float = 0.05
) -> Robustness:
    """Describe one series.

    Parameters
    ----------
    returns
        Shape (n_days,), simple returns per period, NaN where there is none.
    periods_per_year
        Positive.
    labels
        Shape (n_days,): the regime of each day, an empty text where it is not known. None: no regimes.
    tail
        Share of the returns that is the tail.

    Raises
    ------
    InputError
        If shapes do not agree.
    """
    series = np.asarray(returns, dtype=np.float64)
    if series.ndim != 1 or (labels is not None and labels.shape != series.shape):
        raise InputError(f"returns has shape {series.shape}; give one series, and one label per day")
    known = ~np.isnan(series)
    held = series[known]
    figures: dict[str, float | str | None] = {}
    missing: dict[str, str] = {}
    with np.errstate(all="ignore"):
        growth = np.log1p(np.maximum(held, -1.0))
    shares = () if labels is None else _shares(held, growth, np.asarray(labels)[known], periods_per_year)
    figures |= _mix(shares, missing)
    total = float(growth.sum()) if np.isfinite(growth).all() else math.nan
    if total > ZERO_VOLATILITY and len(held) > BEST_DAYS:
        figures["best_days"] = float(np.sort(growth)[-BEST_DAYS:].sum()) / total
    else:
        missing["best_days"] = "the series made no money"
    described = tail_of(held, tail=tail)
    return Robustness(n_days=len(held), tail=described, regimes=shares, missing=missing, **figures)  # type: ignore[arg-type]


def _shares(
    held: NDArray[np.float64], growth: NDArray[np.float64], labels: NDArray[np.str_], periods_per_year: float
) -> tuple[RegimeShare, ...]:
    root = math.sqrt(periods_per_year)
    whole = _sharpe(held)
    shares = []
    for label in sorted(set(labels.tolist()) - {""}):
        inside = held[labels == label]
        part, wealth = _sharpe(inside), float(growth[labels == label].sum())
        drawn = None
        if part is not None and whole is not None:
            drawn = (len(inside) * part + PRIOR_DAYS * whole) / (len(inside) + PRIOR_DAYS) * root
        shares.append(
            RegimeShare(
                label=label,
                n_days=len(inside),
                log_wealth=wealth if math.isfinite(wealth) else None,
                share=None,
                sharpe=None if part is None else part * root,
                shrunk_sharpe=drawn,
            )
        )
    sizes = [None if one.log_wealth is None else abs(one.log_wealth) for one in shares]
    total = math.fsum(math.nan if size is None else size for size in sizes)
    if not total > 0:  # nothing was won or lost, or all equity
        return tuple(shares)
    return tuple(replace(one, share=(size or 0.0) / total) for one, size in zip(shares, sizes, strict=True))


def _sharpe(returns: NDArray[np.float64]) -> float | None:
    if len(returns) < 2:
        return None
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation if deviation > ZERO_VOLATILITY else None


def _mix(shares: tuple[RegimeShare, ...], missing: dict[str, str]) -> dict[str, float | str | None]:
    if len(shares) < 2:
        missing |= dict.fromkeys(_OF_REGIMES, "fewer than two regimes")
        return {}
    days = np.array([one.n_days for one in shares], dtype=np.float64)
    mix = days / days.sum()
    found: dict[str, float | str | None] = {"regime_entropy": float(-(mix @ np.log(mix)) / math.log(len(mix)))}
    if all(one.share is not None for one in shares):
        found["concentration"] = math.fsum((one.share or 0.0) ** 2 for one in shares)
    else:
        missing["concentration"] = "all equity was lost, or none was ever won or lost"
    ranked = [(one.shrunk_sharpe, one.label) for one in shares if one.shrunk_sharpe is not None]
    if ranked:
        found["worst_regime_sharpe"], found["worst_regime"] = min(ranked)
    else:
        missing |= dict.fromkeys(("worst_regime", "worst_regime_sharpe"), "no regime has returns that vary")
    return found

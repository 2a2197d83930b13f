"""The effect of changes in slices of the days: sub-periods, and regimes.

Belongs here: which slices there are, and their records. Does not belong here: the effect in one (evidence.stability).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.evidence import stability
from meta_pipeline.evidence.influence import MAX_DRAWDOWN, SHARPE_RATIO
from meta_pipeline.proposals.campaign import Campaign
from meta_pipeline.proposals.candidate import SliceEffect, Stability

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sliced:
    """The effect of each change on one metric in each slice, and what the slices are called."""

    found: stability.Slices
    labels: tuple[str, ...]
    metric: str


def by_sub_period(
    campaign: Campaign, raised: NDArray[np.bool_], weights: Floats, series: Floats, metric: str = SHARPE_RATIO
) -> Sliced:
    """Judge changes in equal calendar slices.

    Parameters
    ----------
    raised, weights
        Shape (n_runs, n_changes): which runs are at the level that is judged, and the weights of the contrasts.
    series
        Shape (n_days, n_changes): day series of the metric over the panel's dates.
    metric
        As in `evidence.stability.slice_effects`.
    """
    n_periods = campaign.parameters.sub_periods
    slices = stability.equal_periods(campaign.panel.dates, n_periods)
    days = campaign.panel.dates.astype("datetime64[D]")
    labels = []
    for index in range(n_periods):
        inside = days[slices == index]
        labels.append(f"{inside[0]} to {inside[-1]}" if len(inside) else "no days")
    found = stability.slice_effects(
        campaign.runs,
        weights,
        raised,
        series,
        slices[None, :],
        n_periods,
        blocks=campaign.distinct.blocks,
        metric=metric,
    )
    return Sliced(found=found, labels=tuple(labels), metric=metric)


def by_regime(
    campaign: Campaign,
    raised: NDArray[np.bool_],
    weights: Floats,
    series: Floats,
    regimes: Mapping[str, NDArray[np.str_]] | None,
    metric: str = SHARPE_RATIO,
) -> Sliced | None:
    """Judge changes in each regime; None where no day carries a label. Parameters as in `by_sub_period`, `propose`."""
    if not regimes:
        return None
    names = sorted({str(label) for labels in regimes.values() for label in np.unique(labels)} - {""})
    markets = sorted(set(campaign.panel.markets))
    slices = np.full((len(markets), len(campaign.panel.dates)), -1, dtype=np.int64)
    for row, market in enumerate(markets):
        labels = regimes.get(market, regimes.get(""))
        if labels is not None:
            for code, name in enumerate(names):
                slices[row, np.asarray(labels) == name] = code
    group = np.array([markets.index(campaign.panel.markets[c]) for c in campaign.distinct.columns], dtype=np.int64)
    found = stability.slice_effects(
        campaign.runs,
        weights,
        raised,
        series,
        slices,
        len(names),
        blocks=campaign.distinct.blocks,
        groups=group,
        metric=metric,
    )
    return Sliced(found=found, labels=tuple(names), metric=metric)


def slice_effects_of(sliced: Sliced | None, change: int) -> tuple[SliceEffect, ...]:
    """Return the slices of one change; none where there are no slices."""
    if sliced is None:
        return ()
    result = []
    for index, label in enumerate(sliced.labels):
        estimate = float(sliced.found.estimates[index, change])
        error = float(sliced.found.standard_errors[index, change])
        known = bool(np.isfinite(estimate))
        result.append(
            SliceEffect(
                label=label,
                estimate=estimate if known else None,
                standard_error=error if known and np.isfinite(error) else None,
                n_days=int(sliced.found.n_days[index, change]),
                reason=None if known else "too few returns of both values in this slice",
                metric=sliced.metric,
            )
        )
    return tuple(result)


def stability_of(sliced: Sliced, change: int, whole: float) -> Stability:
    """Return how the effect of one change, `whole` over all days, held from slice to slice."""
    estimates, errors = sliced.found.estimates[:, change], sliced.found.standard_errors[:, change]
    consistency = stability.sign_consistency(estimates, whole)
    drift = stability.drift(estimates, errors)
    few = "fewer than three sub-periods hold enough returns"
    unknown = "the error of a drawdown within a sub-period is not known, so that nothing says how far it drifts"
    return Stability(
        sub_periods=slice_effects_of(sliced, change),
        sign_consistency=consistency if np.isfinite(consistency) else None,
        drift=drift if np.isfinite(drift) else None,
        reason=None if np.isfinite(drift) else unknown if sliced.metric == MAX_DRAWDOWN else few,
    )

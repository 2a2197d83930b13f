"""The numbers of every change: effects, multiplicity, risk, stability, regimes, claim.

Belongs here: running the evidence engine over a campaign's changes. Does not belong here: which change becomes a
proposal (screening).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from meta_pipeline.counted import counted
from meta_pipeline.evidence import grades
from meta_pipeline.evidence.contrasts import NEGLIGIBLE, Contrasts, choose_block_length, evaluate, standard_errors
from meta_pipeline.evidence.design import Weights
from meta_pipeline.evidence.influence import (
    EXPECTED_SHORTFALL,
    MAX_DRAWDOWN,
    RISK_METRICS,
    SHARPE_RATIO,
    VOLATILITY,
    by_calendar_day,
    day_series,
)
from meta_pipeline.proposals.campaign import Campaign
from meta_pipeline.proposals.candidate import Effect, SliceEffect, Stability
from meta_pipeline.proposals.changes import Change
from meta_pipeline.proposals.parameters import Parameters
from meta_pipeline.proposals.slicing import by_regime, by_sub_period, slice_effects_of, stability_of
from meta_pipeline.proposals.weighting import Weighting, weigh

Floats = NDArray[np.float64]

RISK_SIGN = {VOLATILITY: -1.0, MAX_DRAWDOWN: 1.0, EXPECTED_SHORTFALL: 1.0}
"""By which factor a difference counts as a *reduction* of risk."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Figures of the changes that have a contrast, one entry per change in the order handed in; and their weights."""

    effects: tuple[Effect, ...]
    other_effects: tuple[Effect, ...]
    local_effects: tuple[Effect, ...]
    risk_effects: tuple[tuple[Effect, ...], ...]
    stabilities: tuple[Stability, ...]
    regimes: tuple[tuple[SliceEffect, ...], ...]
    grades: tuple[str, ...]
    negligible: tuple[bool, ...]
    critical: float
    years: tuple[float, ...]
    weighting: Weighting


def evaluate_changes(
    campaign: Campaign, changes: Sequence[Change], regimes: Mapping[str, NDArray[np.str_]] | None
) -> Evaluation:
    """Evaluate changes that have a contrast, all on the same resampled days.

    Parameters
    ----------
    campaign
        The campaign.
    changes
        Changes without a refusal, at least one.
    regimes
        As in `propose`.
    """
    parameters = campaign.parameters
    n = len(changes)
    weighting = weigh(campaign, changes)
    tested = evaluate(
        weighting.estimates,
        weighting.daily,
        confidence_level=1 - parameters.alpha,
        n_draws=parameters.bootstrap_draws,
        generator=np.random.default_rng(parameters.seed),
        block_length=choose_block_length(weighting.daily[:, :n]),
    )
    negligible = (tested.standard_errors[:n] <= NEGLIGIBLE) & (np.abs(tested.estimates[:n]) <= NEGLIGIBLE)
    p_values = np.where(negligible, np.nan, tested.p_values[:n])
    adjusted = grades.adjust(np.where(negligible, np.nan, tested.statistics[:n]), tested.draws[:, :n], p_values)
    effects = tuple(
        _effect(campaign, change, weights, tested, index, {name: float(p[index]) for name, p in adjusted.items()})
        for index, (change, weights) in enumerate(zip(changes, weighting.primary, strict=True))
    )
    raised = raised_runs(changes)
    series = weighting.series[:, :n]
    periods = by_sub_period(campaign, raised, weighting.main, series)
    by_label = by_regime(campaign, raised, weighting.main, series, regimes)
    return Evaluation(
        effects=effects,
        other_effects=_further(campaign, changes, weighting.other, weighting.other_columns, tested),
        local_effects=_further(campaign, changes, weighting.local, weighting.local_columns, tested),
        risk_effects=_risk_effects(campaign, changes, weighting.main, effects),
        stabilities=tuple(stability_of(periods, index, effects[index].estimate or 0.0) for index in range(n)),
        regimes=tuple(slice_effects_of(by_label, index) for index in range(n)),
        grades=_grades(tested.estimates[:n], p_values, adjusted, parameters),
        negligible=tuple(bool(value) for value in negligible),
        critical=grades.critical_value(tested.draws[:, :n][:, ~negligible], parameters.alpha),
        years=tuple(_years(weighting.days, weighting.daily[:, index]) for index in range(n)),
        weighting=weighting,
    )


def _grades(
    estimates: Floats, p_values: Floats, adjusted: Mapping[str, Floats], parameters: Parameters
) -> tuple[str, ...]:
    any_step_down = bool(np.any(adjusted["romano_wolf"] <= parameters.alpha))
    return tuple(
        grades.grade(
            float(estimate),
            float(p_values[index]),
            {name: float(p[index]) for name, p in adjusted.items()},
            any_step_down=any_step_down,
            alpha=parameters.alpha,
            smallest=parameters.switching_cost,
        )
        for index, estimate in enumerate(estimates)
    )


def _further(
    campaign: Campaign,
    changes: Sequence[Change],
    weights: Sequence[Weights | None],
    columns: Sequence[int | None],
    tested: Contrasts,
) -> tuple[Effect, ...]:
    """Return effects outside the tested family: the other weighting, or the local contrast."""
    return tuple(
        _refused(SHARPE_RATIO, mine) if index is None else _effect(campaign, change, mine, tested, index, {})
        for change, mine, index in zip(changes, weights, columns, strict=True)
    )


def _effect(
    campaign: Campaign,
    change: Change,
    weights: Weights | None,
    tested: Contrasts,
    index: int,
    adjusted: Mapping[str, float],
) -> Effect:
    if weights is None or weights.weights is None:
        return _refused(SHARPE_RATIO, weights)
    used = weights.weights != 0
    return Effect(
        metric=SHARPE_RATIO,
        method=weights.method,
        estimate=float(tested.estimates[index]),
        standard_error=float(tested.standard_errors[index]),
        lower=float(tested.lower[index]),
        upper=float(tested.upper[index]),
        confidence_level=tested.confidence_level,
        p_value=float(tested.p_values[index]),
        adjusted_p_values={name: float(p) for name, p in adjusted.items() if np.isfinite(p)},
        baseline=_baseline(campaign, change, used, SHARPE_RATIO),
        n_pairs=weights.n_pairs,
        n_runs=int(used.sum()),
        n_blocks=len(np.unique(campaign.distinct.blocks[used])),
        n_days=int(tested.n_days[index]),
    )


def _refused(metric: str, weights: Weights | None) -> Effect:
    method = "none" if weights is None else weights.method
    reason = "no contrast" if weights is None or weights.reason is None else weights.reason
    return Effect(metric=metric, method=method, reason=reason)


def _baseline(campaign: Campaign, change: Change, used: NDArray[np.bool_], metric: str) -> float | None:
    """Return the metric's mean over the contrast's runs at the live value, weighted by their years."""
    if change.factor is None:
        return None
    values = campaign.runs.metric(metric)
    members = used & (change.factor.codes == change.low) & np.isfinite(values)
    years = campaign.design.years[members]
    return float(values[members] @ years / years.sum()) if members.any() else None


def _risk_effects(
    campaign: Campaign, changes: Sequence[Change], weights: Floats, effects: Sequence[Effect]
) -> tuple[tuple[Effect, ...], ...]:
    series = day_series(campaign.runs, dict.fromkeys(RISK_METRICS, weights))
    by_metric = [_risk_metric(campaign, changes, weights, series[metric], metric, effects) for metric in RISK_METRICS]
    return tuple(zip(*by_metric, strict=True))


def _risk_metric(
    campaign: Campaign,
    changes: Sequence[Change],
    weights: Floats,
    series: Floats,
    metric: str,
    effects: Sequence[Effect],
) -> list[Effect]:
    """Return one metric's differences, with normal intervals and one-sided p-values of no improvement."""
    level = 1 - campaign.parameters.alpha
    width = float(ndtri(0.5 + level / 2))
    values = campaign.runs.metric(metric)
    daily, _ = by_calendar_day(series, campaign.panel.dates)
    errors = standard_errors(daily)
    estimates = weights.T @ np.nan_to_num(values)
    result = []
    for index, change in enumerate(changes):
        used = weights[:, index] != 0
        if not np.isfinite(values[used]).all():
            without = counted(int((~np.isfinite(values[used])).sum()), "run has", "runs have")
            reason = f"{without} no {metric.replace('_', ' ')}"
            result.append(Effect(metric=metric, method=effects[index].method, reason=reason))
            continue
        estimate, error = float(estimates[index]), float(errors[index])
        better = RISK_SIGN.get(metric, 1.0) * estimate
        result.append(
            Effect(
                metric=metric,
                method=effects[index].method,
                estimate=estimate,
                standard_error=error,
                lower=estimate - width * error,
                upper=estimate + width * error,
                confidence_level=level,
                p_value=float(ndtr(-better / error)) if error > 0 else float(better <= 0),
                baseline=_baseline(campaign, change, used, metric),
                n_pairs=effects[index].n_pairs,
                n_runs=effects[index].n_runs,
                n_blocks=effects[index].n_blocks,
                n_days=effects[index].n_days,
            )
        )
    return result


def raised_runs(changes: Sequence[Change]) -> NDArray[np.bool_]:
    """Return which runs are at the level that is judged; shape (n_runs, n_changes)."""
    return np.column_stack([change.factor.codes == change.high for change in changes if change.factor is not None])


def _years(days: NDArray[np.datetime64], series: Floats) -> float:
    """Return the years from the first to the last day on which a contrast has weight."""
    active = np.flatnonzero(series)
    if not len(active):
        return 0.0
    span = (days[active[-1]] - days[active[0]]).astype("timedelta64[D]").astype(np.int64) + 1
    return float(span) / grades.DAYS_PER_YEAR

"""How the effect on a risk metric held over time, and in each regime: for proposals that are judged by risk.

Belongs here: the slices of the metric that a risk proposal rests on. Does not belong here: which change is proposed
(risk_types), or slices of the Sharpe ratio (evaluation).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.evidence.influence import MAX_DRAWDOWN, day_series
from meta_pipeline.proposals.campaign import Campaign
from meta_pipeline.proposals.candidate import Candidate
from meta_pipeline.proposals.changes import Change
from meta_pipeline.proposals.evaluation import Evaluation, raised_runs
from meta_pipeline.proposals.slicing import by_regime, by_sub_period, slice_effects_of, stability_of

NO_REGIMES: Final = "a drawdown runs over days of several regimes, so that it has no effect in one of them"


def over_time(
    candidate: Candidate,
    *,
    campaign: Campaign,
    tested: Sequence[Change],
    evaluation: Evaluation,
    regimes: Mapping[str, NDArray[np.str_]] | None,
) -> Candidate:
    """Return a risk candidate with the stability, and the effect by regime, of the metric that it is judged by.

    Parameters
    ----------
    candidate
        Its `effect` is on a risk metric; the change is one of `tested`.
    tested, evaluation
        Changes with a contrast, and their figures in the same order.
    regimes
        As in `propose`.
    """
    names = [(change.knob.path, change.from_value, change.to_value) for change in tested]
    index = names.index((candidate.knob, candidate.from_value, candidate.to_value))
    metric = candidate.effect.metric
    weights = evaluation.weighting.main[:, [index]]
    raised = raised_runs([tested[index]])
    series = day_series(campaign.runs, {metric: weights})[metric]
    periods = by_sub_period(campaign, raised, weights, series, metric)
    found = replace(candidate, stability=stability_of(periods, 0, candidate.effect.estimate or 0.0))
    if metric == MAX_DRAWDOWN:
        return replace(found, regimes=(), missing={**found.missing, "regimes": NO_REGIMES})
    kept = {name: why for name, why in found.missing.items() if name != "regimes"}
    labelled = by_regime(campaign, raised, weights, series, regimes, metric)
    return replace(found, regimes=slice_effects_of(labelled, 0), missing=kept)

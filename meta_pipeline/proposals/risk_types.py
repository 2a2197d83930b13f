"""The predecessor's two risk proposals, with impacts derived from data.

`risk_reduction` is looked for when too many configurations underperform, `risk_constraint` when one is too risky.
Both name a declared knob whose direction of risk is known, and a value that was run, whose reduction of risk is shown
by the runs. Where there is none, a note says so: no number is made up.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

import numpy as np
from scipy.special import ndtri

from meta_pipeline.canonical import JsonValue
from meta_pipeline.counted import counted
from meta_pipeline.evidence import grades
from meta_pipeline.evidence.factors import Role, combine
from meta_pipeline.evidence.multiplicity import holm
from meta_pipeline.proposals.campaign import Campaign
from meta_pipeline.proposals.candidate import Candidate, Effect, Grade, Note, ProposalType
from meta_pipeline.proposals.parameters import Parameters, RiskLimits
from meta_pipeline.proposals.rationale import METRIC_NAMES, show_level, write_rationale
from meta_pipeline.proposals.screening import risk_objection

REDUCES: Final = {"volatility": -1.0, "max_drawdown": 1.0, "expected_shortfall": 1.0}
_OF_THE_METRIC: Final = frozenset({"smallest_detectable_effect", "days_needed", "stability"})


@dataclass(frozen=True, kw_only=True)
class Triggers:
    """How many configurations underperform, and how many are too risky.

    Parameters
    ----------
    n_configurations
        Distinct configurations with a Sharpe ratio.
    n_underperforming
        Of these with a mean Sharpe ratio below the threshold.
    n_volatile, n_deep
        Of these with a mean volatility above, and a worst drawdown below, the threshold.
    """

    n_configurations: int
    n_underperforming: int
    n_volatile: int
    n_deep: int

    def to_json(self, parameters: Parameters) -> dict[str, JsonValue]:
        """Return the counts, beside the thresholds they were counted by."""
        return {
            **asdict(self),
            "underperformer_sharpe": parameters.underperformer_sharpe,
            "high_volatility": parameters.high_volatility,
            "deep_drawdown": parameters.deep_drawdown,
        }


def triggers(campaign: Campaign) -> Triggers:
    """Count configurations, not runs, beyond the predecessor's thresholds."""
    parameters = campaign.parameters
    named = [factor.codes for factor in campaign.distinct.factors if factor.role is Role.KNOB]
    if not len(campaign.distinct):
        return Triggers(n_configurations=0, n_underperforming=0, n_volatile=0, n_deep=0)
    config = combine([np.zeros(len(campaign.distinct), dtype=np.int64), *named])
    years = campaign.design.years
    total = np.bincount(config, weights=years)
    sharpe = np.bincount(config, weights=years * campaign.runs.metric("sharpe_ratio")) / total
    volatility = np.bincount(config, weights=years * campaign.runs.metric("volatility")) / total
    worst = np.zeros(len(total))
    np.minimum.at(worst, config, campaign.runs.metric("max_drawdown"))
    return Triggers(
        n_configurations=len(total),
        n_underperforming=int((sharpe < parameters.underperformer_sharpe).sum()),
        n_volatile=int((volatility > parameters.high_volatility).sum()),
        n_deep=int((worst < parameters.deep_drawdown).sum()),
    )


def risk_candidates(
    campaign: Campaign,
    candidates: Sequence[Candidate],
    limits: RiskLimits,
    *,
    over_time: Callable[[Candidate], Candidate],
) -> tuple[list[Candidate], list[Note]]:
    """Return at most one proposal of each risk type, and notes where none is possible.

    Parameters
    ----------
    campaign
        The campaign.
    candidates
        The candidates of parameter changes, screened.
    limits
        Limits on risk; what lowers one risk may raise another.
    over_time
        Gives a candidate the stability of the metric that it is judged by.
    """
    allowed = [candidate for candidate in candidates if risk_objection(candidate, limits) is None]
    taken = {candidate.knob for candidate in candidates if candidate.is_proposal}
    found = triggers(campaign)
    parameters = campaign.parameters
    proposals: list[Candidate] = []
    notes: list[Note] = []
    looked = _Looked(campaign=campaign, found=found, candidates=allowed, over_time=over_time)
    if found.n_volatile or found.n_deep:
        metric = "volatility" if found.n_volatile else "max_drawdown"
        why = (
            f"the campaign holds {counted(found.n_configurations, 'configuration')}, {found.n_volatile} with a "
            f"volatility above {100 * parameters.high_volatility:g} % and {found.n_deep} with a drawdown below "
            f"{100 * parameters.deep_drawdown:g} %"
        )
        _one(looked, taken, ProposalType.RISK_CONSTRAINT, metric, why, proposals, notes)
    if found.n_underperforming > parameters.underperformer_share * found.n_configurations:
        why = (
            f"the campaign holds {counted(found.n_configurations, 'configuration')}, {found.n_underperforming} with a "
            f"Sharpe ratio below {parameters.underperformer_sharpe:g}"
        )
        _one(looked, taken, ProposalType.RISK_REDUCTION, "expected_shortfall", why, proposals, notes)
    return proposals, notes


@dataclass(frozen=True, kw_only=True, eq=False)
class _Looked:
    """Where both types are looked for."""

    campaign: Campaign
    found: Triggers
    candidates: Sequence[Candidate]
    over_time: Callable[[Candidate], Candidate]


def _one(
    looked: _Looked,
    taken: set[str],
    kind: ProposalType,
    metric: str,
    why: str,
    proposals: list[Candidate],
    notes: list[Note],
) -> None:
    best = _best(looked.campaign, looked.candidates, metric, taken | {c.knob for c in proposals})
    if best is None:
        sentence = (
            f"{why}; but no declared knob of known risk direction has a value, free to be proposed, that is shown "
            f"to reduce {metric.replace('_', ' ')} without costing Sharpe ratio. No number is made up."
        )
        notes.append(Note(code=f"no_{kind}", sentence=sentence))
        return
    candidate, effect, critical = best
    parameters = looked.campaign.parameters
    error = effect.standard_error or 0.0
    reduction = REDUCES[metric] * (effect.estimate or 0.0)
    needed = grades.days_needed(reduction, error, effect.n_days, critical=critical, power=parameters.power)
    missing = {name: why for name, why in candidate.missing.items() if name not in _OF_THE_METRIC}
    if needed is None or needed <= effect.n_days:  # an error that shrinks with the days says nothing about few of them
        needed, missing["days_needed"] = None, "the days at hand are enough"
    made = replace(
        candidate,
        proposal_type=kind,
        grade=Grade.A,
        suppressed_by=None,
        suppression_reason=None,
        effect=effect,
        other_effects=(candidate.effect, *candidate.other_effects),
        smallest_detectable_effect=grades.smallest_detectable(error, critical=critical, power=parameters.power),
        days_needed=needed,
        trigger=looked.found.to_json(parameters),
        missing=missing,
    )
    made = looked.over_time(made)
    text = write_rationale(made)
    proposals.append(replace(made, rationale=f"{text} {why[0].upper()}{why[1:]}."))
    cure = f"{candidate.knob} = {show_level(candidate.to_value)} reduces the {METRIC_NAMES[metric]}"
    notes.append(Note(code=str(kind), sentence=f"{why}; {cure}."))


def _best(
    campaign: Campaign, candidates: Sequence[Candidate], metric: str, taken: set[str]
) -> tuple[Candidate, Effect, float] | None:
    """Return the change with the largest share of the metric taken away, among those that are shown to reduce it.

    With it comes the number of standard errors that the first of Holm's steps asks for.
    """
    knobs = {knob.path: knob for knob in campaign.knobs}
    tested = [(c, e) for c in candidates for e in c.risk_effects if e.metric in REDUCES and e.p_value is not None]
    adjusted = holm([effect.p_value or 0.0 for _, effect in tested])
    level = campaign.parameters.alpha * campaign.parameters.risk_alpha_share
    eligible = []
    for (candidate, effect), p in zip(tested, adjusted, strict=True):
        knob = knobs[candidate.knob]
        if (
            effect.metric == metric
            and candidate.knob not in taken
            and p <= level
            and candidate.risk_change == "reduces"
            and knob.objection_to_change(candidate.from_value, candidate.to_value) is None
            and _costs_nothing(candidate.effect)
            and effect.estimate is not None
            and effect.baseline
        ):
            share = REDUCES[metric] * effect.estimate / abs(effect.baseline)
            order = (-share, candidate.knob, show_level(candidate.to_value))
            eligible.append((order, candidate, replace(effect, adjusted_p_values={"holm": float(p)})))
    if not eligible:
        return None
    _, candidate, effect = min(eligible, key=lambda item: item[0])
    return candidate, effect, float(-ndtri(level / len(tested)))


def _costs_nothing(effect: Effect) -> bool:
    """Say whether the Sharpe ratio is not shown to fall: its interval reaches up to zero."""
    return effect.upper is not None and effect.upper >= -1e-9

"""The rules between a candidate and a proposal, in the order in which they are applied.

Grades A and B hold the rate of false proposals, so they are proposed whatever history claims of them, if the measured
effect is worth the switching cost. Others may be proposed by
expected value alone, once the family's ledger holds enough outcomes to say what a claim is worth.

Belongs here: which rule stops a candidate, and the sentence a person reads. Does not belong here: figures.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from meta_pipeline.evidence.expected_value.decision import choose
from meta_pipeline.evidence.expected_value.learning import ENOUGH
from meta_pipeline.proposals.candidate import Candidate, Effect, Grade, Rule
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.parameters import Parameters, RiskLimits
from meta_pipeline.proposals.rationale import show_level, signed

Objection = tuple[Rule, str]

GRADED: Final = frozenset({Grade.A, Grade.B})


def screen(candidate: Candidate, knob: Knob, parameters: Parameters, limits: RiskLimits) -> Objection | None:
    """Return the first rule that stops a candidate with an effect, or None."""
    objection = knob.objection_to_change(candidate.from_value, candidate.to_value)
    if objection is not None:
        return Rule.NOT_CHANGEABLE, objection
    if candidate.grade in GRADED:
        return _local(candidate) or risk_objection(candidate, limits) or _tiny(candidate, parameters)
    if not candidate.decision.get("may_propose"):
        return _weak(candidate, parameters)
    return _too_small(candidate, parameters) or _local(candidate) or risk_objection(candidate, limits)


def suppress(candidate: Candidate, objection: Objection) -> Candidate:
    """Return the candidate, stopped."""
    return replace(candidate, suppressed_by=objection[0], suppression_reason=objection[1])


def _weak(candidate: Candidate, parameters: Parameters) -> Objection | None:
    effect = candidate.effect
    if effect.estimate is None or effect.estimate <= 0:
        shown = "no" if effect.estimate is None else f"{signed(effect.estimate, 3)}"
        return Rule.NOT_BETTER, f"the estimated effect on the Sharpe ratio is {shown}, not an improvement"
    adjusted = effect.adjusted_p_values.get("romano_wolf")
    p = "" if adjusted is None else f" (adjusted p {adjusted:.3f}, alpha {parameters.alpha:g})"
    if candidate.grade is Grade.C:
        held = candidate.decision.get("ended_outcomes", 0)
        return Rule.SUGGESTIVE, (
            f"suggestive only{p}: proposals by expected value alone need a ledger of {ENOUGH} outcomes; it has {held}"
        )
    if candidate.grade is Grade.D:
        return Rule.WEAK_EVIDENCE, f"the effect cannot be told from noise{p}"
    return None


def _local(candidate: Candidate) -> Objection | None:
    local = candidate.local_effect
    if local is None or local.estimate is None or local.estimate >= 0:
        return None
    sentence = (
        f"at the live configuration the effect is {signed(local.estimate, 3)}: the average over other settings "
        "does not hold where it would be used"
    )
    return Rule.LOCAL_OPPOSITE_SIGN, sentence


def _tiny(candidate: Candidate, parameters: Parameters) -> Objection | None:
    estimate = candidate.effect.estimate
    if estimate is not None and estimate >= parameters.switching_cost:
        return None
    shown = "unknown" if estimate is None else signed(estimate, 3)
    return (
        Rule.BELOW_SWITCHING_COST,
        f"the estimated effect is {shown}, below the switching cost of {parameters.switching_cost:g}",
    )


def _too_small(candidate: Candidate, parameters: Parameters) -> Objection | None:
    uplift = candidate.expected_uplift
    if uplift is not None and uplift >= parameters.switching_cost:
        return None
    shown = "unknown" if uplift is None else f"{signed(uplift, 3)}"
    return (
        Rule.BELOW_SWITCHING_COST,
        f"the expected uplift is {shown}, below the switching cost of {parameters.switching_cost:g}",
    )


def risk_objection(candidate: Candidate, limits: RiskLimits) -> Objection | None:
    """Return the first limit on risk that the change would break, or that cannot be checked."""
    checks = (
        ("volatility", limits.volatility_rise, limits.volatility),
        ("expected_shortfall", limits.expected_shortfall_rise, None),
        ("max_drawdown", limits.drawdown_rise, limits.drawdown),
    )
    for metric, rise, ceiling in checks:
        if rise is None and ceiling is None:
            continue
        effect = candidate.risk_effect(metric)
        found = _unknown(metric, effect) or _rise(metric, effect, rise) or _ceiling(metric, effect, ceiling)
        if found is not None:
            return found
    return None


def _unknown(metric: str, effect: Effect | None) -> Objection | None:
    if effect is not None and effect.estimate is not None and effect.baseline is not None:
        return None
    why = "it was not computed" if effect is None or effect.reason is None else effect.reason
    return Rule.RISK_UNKNOWN, f"the change of {metric.replace('_', ' ')} is unknown ({why}), and a limit is set on it"


def _rise(metric: str, effect: Effect | None, rise: float | None) -> Objection | None:
    if rise is None or effect is None or effect.estimate is None or effect.baseline is None:
        return None
    worse = effect.estimate if metric == "volatility" else -effect.estimate
    if metric == "max_drawdown":
        if worse <= rise:
            return None
        return Rule.RISK_LIMIT, f"maximum drawdown deepens by {worse:.3f}; the limit is {rise:g}"
    allowed = rise * abs(effect.baseline)
    if worse <= allowed:
        return None
    name = metric.replace("_", " ")
    return Rule.RISK_LIMIT, f"{name} worsens by {worse:.4f} from {effect.baseline:.4f}; the limit is {rise:.0%} of it"


def _ceiling(metric: str, effect: Effect | None, ceiling: float | None) -> Objection | None:
    if ceiling is None or effect is None or effect.estimate is None or effect.baseline is None:
        return None
    after = effect.baseline + effect.estimate
    name = metric.replace("_", " ")
    broken = after > ceiling if metric == "volatility" else after < ceiling
    if not broken:
        return None
    return Rule.RISK_LIMIT, f"{name} would be {after:.3f}; the strategy's limit is {ceiling:g}"


def best_per_knob(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Keep the best of each knob's candidates that nothing stopped, graded ones first; it dominates the others."""
    best: dict[str, Candidate] = {}
    standing = (c for c in candidates if c.is_proposal)
    for candidate in sorted(standing, key=lambda one: (one.grade not in GRADED, rank(one))):
        best.setdefault(candidate.knob, candidate)
    result = []
    for candidate in candidates:
        winner = best.get(candidate.knob)
        if candidate.is_proposal and winner is not None and candidate is not winner:
            why = "the stronger evidence" if winner.grade < candidate.grade else "the larger expected uplift"
            sentence = f"{candidate.knob} = {show_level(winner.to_value)} has {why}"
            result.append(suppress(candidate, (Rule.DOMINATED, sentence)))
        else:
            result.append(candidate)
    return result


def one_at_a_time(candidates: Sequence[Candidate], parameters: Parameters) -> list[Candidate]:
    """Leave at most one proposal that rests on expected value alone: the largest claim, if no graded one is larger."""
    standing = [c for c in candidates if c.is_proposal]
    claims = np.asarray([np.nan if c.expected_uplift is None else c.expected_uplift for c in standing])
    names = np.asarray([c.knob for c in standing], dtype=np.object_)
    chosen = choose(claims, switching_cost=parameters.switching_cost, knob=names, several=parameters.several_changes)
    kept = {id(standing[index]) for index in chosen}
    result = []
    for candidate in candidates:
        if not candidate.is_proposal or candidate.grade in GRADED or id(candidate) in kept:
            result.append(candidate)
            continue
        best = standing[chosen[0]] if chosen else candidate
        sentence = f"{best.knob} = {show_level(best.to_value)} claims more, and changes are made one at a time"
        result.append(suppress(candidate, (Rule.ONE_CHANGE_AT_A_TIME, sentence)))
    return result


def rank(candidate: Candidate) -> tuple[float, str, str]:
    """Order by expected uplift, largest first; ties by name, so that the order is always the same."""
    uplift = candidate.expected_uplift
    return (-uplift if uplift is not None else float("inf"), candidate.knob, show_level(candidate.to_value))

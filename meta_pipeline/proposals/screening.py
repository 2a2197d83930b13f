"""The rules between a candidate and a proposal, in the order in which they are applied.

Belongs here: which rule stops a candidate, and the sentence a person reads. Does not belong here: figures.
"""

from collections.abc import Sequence
from dataclasses import replace

from meta_pipeline.proposals.candidate import Candidate, Effect, Grade, Rule
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.parameters import Parameters, RiskLimits
from meta_pipeline.proposals.rationale import show_level, signed

Objection = tuple[Rule, str]


def screen(candidate: Candidate, knob: Knob, parameters: Parameters, limits: RiskLimits) -> Objection | None:
    """Return the first rule that stops a candidate with an effect, or None."""
    objection = knob.objection_to_change(candidate.from_value, candidate.to_value)
    if objection is not None:
        return Rule.NOT_CHANGEABLE, objection
    return (
        _weak(candidate, parameters)
        or _local(candidate)
        or risk_objection(candidate, limits)
        or _too_small(candidate, parameters)
    )


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
        return Rule.SUGGESTIVE, f"suggestive only{p}: proposals by expected value alone need a ledger of outcomes"
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
    """Keep the best of each knob's candidates that nothing stopped; the others are dominated by it."""
    best: dict[str, Candidate] = {}
    for candidate in sorted((c for c in candidates if c.is_proposal), key=rank):
        best.setdefault(candidate.knob, candidate)
    result = []
    for candidate in candidates:
        winner = best.get(candidate.knob)
        if candidate.is_proposal and winner is not None and candidate is not winner:
            sentence = f"{candidate.knob} = {show_level(winner.to_value)} has the larger expected uplift"
            result.append(suppress(candidate, (Rule.DOMINATED, sentence)))
        else:
            result.append(candidate)
    return result


def rank(candidate: Candidate) -> tuple[float, str, str]:
    """Order by expected uplift, largest first; ties by name, so that the order is always the same."""
    uplift = candidate.expected_uplift
    return (-uplift if uplift is not None else float("inf"), candidate.knob, show_level(candidate.to_value))

"""The exit plan of a proposal: what its evaluation can find, and when, said before anything is applied."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.counted import counted
from meta_pipeline.evidence.confidence_sequence import days_to_detect, detectable_effect
from meta_pipeline.proposals.candidate import finite
from meta_pipeline.proposals.draft import ProposalDraft
from meta_pipeline.proposals.outcome_rule import METRIC_NAMES, OutcomeRule, rule_of

POWER: Final = 0.8


@dataclass(frozen=True, kw_only=True)
class ExitPlan:
    """What the judgement of a change will be able to say.

    Parameters
    ----------
    rule
        As fixed in the proposal; None: an older proposal without one, or one that cannot be read.
    claimed
        Expected improvement, in annualised Sharpe ratio.
    detectable
        Days after the change -> smallest true effect that is found by then with probability 0.8.
    days_needed
        Days after which the claimed effect is found with probability 0.8; None: never within 100,000 days, or unknown.
    reason
        Why effects cannot be said in advance, or None.
    """

    rule: OutcomeRule | None
    claimed: float | None = None
    detectable: Mapping[int, float] | None = None
    days_needed: int | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the plan as a JSON object."""
        return {
            "rule": None if self.rule is None else self.rule.to_json(),
            "claimed": finite(self.claimed),
            "detectable_effect": {str(days): finite(size) for days, size in (self.detectable or {}).items()},
            "days_needed": self.days_needed,
            "power": POWER,
            "reason": self.reason,
        }

    def sentences(self) -> tuple[str, ...]:
        """Return the plan in sentences, for an approver."""
        rule = self.rule
        if rule is None:
            return (f"Evaluation: {self.reason}.",)
        window = (
            f"Evaluation: {METRIC_NAMES[rule.metric]} against the old configuration replayed on the same days, for "
            f"{rule.evaluation_days} trading days, counted from day {rule.minimum_days} on. Kept once harm above "
            f"{rule.smallest_effect:g} is ruled out; a revert is called for once it is shown to be worse, at "
            f"{1 - rule.alpha:.0%} confidence over all nightly looks together."
        )
        guardrails = (
            f"Guardrails from day {rule.guardrail_days} on: drawdown deeper by {rule.drawdown_rise:.1%}, volatility "
            f"higher by {rule.volatility_rise:.0%}, Sharpe ratio of the worst regime lower by {rule.regime_fall:g} "
            "beyond chance."
        )
        return window, guardrails, self._power()

    def _power(self) -> str:
        if not self.detectable:
            return f"What it can find: not known in advance, {self.reason}."
        sizes = ", ".join(f"{size:.2f} after {counted(days, 'day')}" for days, size in self.detectable.items())
        if self.claimed is None:
            return f"What it finds with probability {POWER:g}: {sizes}."
        needed = "more days than any evaluation has" if self.days_needed is None else counted(self.days_needed, "day")
        return f"What it finds with probability {POWER:g}: {sizes}. The claimed {self.claimed:+.2f} needs {needed}."


def rule_in(draft: ProposalDraft) -> OutcomeRule | None:
    """Return the outcome rule of a proposal, or None if it has none.

    Raises
    ------
    InputError
        If the stored rule cannot be used.
    """
    return None if draft.outcome_rule is None else rule_of(draft.outcome_rule)


def exit_plan(draft: ProposalDraft) -> ExitPlan:
    """Say what the evaluation of a proposal will be able to find, from its rule and its evidence alone."""
    rule = rule_in(draft)
    if rule is None:
        return ExitPlan(rule=None, reason="no outcome rule was fixed, so nothing will be judged or reverted by itself")
    claimed = draft.expected_sharpe_improvement if rule.metric == "sharpe_ratio" else draft.expected_return_improvement
    deviation = _daily_deviation(draft.supporting_metrics, rule)
    if deviation is None:
        return ExitPlan(rule=rule, claimed=claimed, reason="the proposal carries no measured effect with an error")
    looks = sorted({rule.minimum_days, rule.evaluation_days})
    tuned = {"alpha": rule.alpha, "tuned_for": rule.tuned_for, "power": POWER}
    return ExitPlan(
        rule=rule,
        claimed=claimed,
        detectable={days: detectable_effect(deviation, days, **tuned) for days in looks},  # type: ignore[arg-type]
        days_needed=None if claimed is None else days_to_detect(claimed, deviation, **tuned),  # type: ignore[arg-type]
    )


def _daily_deviation(evidence: Mapping[str, Any], rule: OutcomeRule) -> float | None:
    """Return the long-run deviation of one day of the difference, from the local contrast if it has an error."""
    if rule.metric == "sharpe_ratio":
        effects = [evidence.get("local_effect"), evidence.get("effect"), *(evidence.get("other_effects") or ())]
    else:
        effects = [one for one in evidence.get("risk_effects") or () if one.get("metric") == rule.metric]
    for effect in effects:
        if not isinstance(effect, Mapping) or effect.get("metric") != rule.metric:
            continue
        error, n_days = effect.get("standard_error"), effect.get("n_days")
        if isinstance(error, int | float) and isinstance(n_days, int) and error > 0 and n_days > 0:
            return float(error) * math.sqrt(n_days)
    return None

"""Counters of what an agent decided, under the predecessor's documented names."""

from collections import Counter
from dataclasses import dataclass, field

from meta_pipeline.canonical import JsonValue
from meta_pipeline.meta_model.decision import Decision, Outcome

_FAMILIES = {"strong_consensus_": "strong_consensus", "meta_low_confidence_": "low_meta_confidence"}


def counter_key(reason: str) -> str:
    """Return the counter a reason falls under: reasons that carry an action or a figure share one."""
    for prefix, key in _FAMILIES.items():
        if reason.startswith(prefix):
            return key
    return reason


@dataclass(kw_only=True)
class DecisionCounts:
    """Decisions counted by outcome and, where it was no override, by reason."""

    total_predictions: int = 0
    meta_overrides: int = 0
    escalations: int = 0
    abstentions: int = 0
    rejected_votes: int = 0
    fallback_reasons: Counter[str] = field(default_factory=Counter)

    def add(self, decision: Decision) -> None:
        """Count one decision."""
        self.total_predictions += 1
        self.rejected_votes += len(decision.rejected)
        if decision.outcome is Outcome.OVERRIDE:
            self.meta_overrides += 1
            return
        self.escalations += decision.outcome is Outcome.ESCALATE
        self.abstentions += decision.outcome is Outcome.ABSTAIN
        self.fallback_reasons[counter_key(decision.reason)] += 1

    @property
    def override_rate(self) -> float:
        """Overrides as a share of all decisions, 0 where there are none."""
        return self.meta_overrides / self.total_predictions if self.total_predictions else 0.0

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the counts, ready for JSON."""
        return {
            "total_predictions": self.total_predictions,
            "meta_overrides": self.meta_overrides,
            "override_rate": self.override_rate,
            "escalations": self.escalations,
            "abstentions": self.abstentions,
            "rejected_votes": self.rejected_votes,
            "fallback_reasons": dict(sorted(self.fallback_reasons.items())),
        }

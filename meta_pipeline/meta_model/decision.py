"""A decision: what was decided, why, and on what."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.meta_model.actions import ACTIONS


class Outcome(StrEnum):
    """What the meta-model did with a question."""

    OVERRIDE = "override"
    """The meta-model's own action replaces the ensemble's."""
    DEFER = "defer"
    """The base ensemble's action stands."""
    ESCALATE = "escalate"
    """Somebody else must decide; HOLD until they do."""
    ABSTAIN = "abstain"
    """Nobody knows enough to act: HOLD."""


GUARDS: Final = (
    "votes",
    "quorum",
    "enabled",
    "model",
    "consensus",
    "alarm",
    "features",
    "regime",
    "prediction",
    "confidence",
    "threshold",
    "breaker",
)
"""The guards, in the order in which they are asked."""

PASSED: Final = "passed"
FLAGGED: Final = "flagged"
STOPPED: Final = "stopped"
NOT_REACHED: Final = "not_reached"

Verdicts = tuple[tuple[str, str], ...]


def _verdicts(stop: int, *, votes: bool, regime: bool) -> Verdicts:
    def verdict(index: int, guard: str) -> str:
        if index > stop:
            return NOT_REACHED
        if index == stop:
            return STOPPED
        flagged = (guard == "votes" and votes) or (guard == "regime" and regime)
        return FLAGGED if flagged else PASSED

    return tuple((guard, verdict(index, guard)) for index, guard in enumerate(GUARDS))


# Which guard stopped it (or none: the last index) -> votes flagged -> regime flagged -> all verdicts. There are
# fifty-two of them, so a decision looks its own up.
_ALL_VERDICTS: Final = tuple(
    tuple(tuple(_verdicts(stop, votes=votes, regime=regime) for regime in (False, True)) for votes in (False, True))
    for stop in range(len(GUARDS) + 1)
)
STOP_AT: Final = {guard: index for index, guard in enumerate(GUARDS)}
NO_STOP: Final = len(GUARDS)


def verdicts(stop: int, *, votes_flagged: bool, regime_flagged: bool) -> Verdicts:
    """Return every guard's verdict, given the guard that stopped the decision (`NO_STOP` if none did)."""
    return _ALL_VERDICTS[stop][votes_flagged][regime_flagged]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided, and what the decision rests on.

    Parameters
    ----------
    outcome
        What the meta-model did.
    action, confidence
        SELL, HOLD or BUY, and 0..1: the ensemble's score when deferring, the calibrated probability when
        overriding, 0 when nobody knows enough. Never raised above its evidence.
    reason
        One of the documented reasons, or of our own (see docs/meta-model.md).
    meta_confidence
        Largest calibrated probability of the model; None where the model was not asked.
    base_ensemble_action, base_ensemble_confidence
        The weighted ensemble's answer, always there.
    consensus_strength
        Share of votes and confidence behind the ensemble's action, on strong consensus only.
    probabilities
        Calibrated probabilities of SELL, HOLD, BUY; None where the model was not asked.
    threshold
        Confidence the model had to reach; above 1 when no confidence may act.
    guards
        Every guard with its verdict, in the order asked.
    rejected
        Votes that could not be used, with reasons.
    features_sha256, model_sha256, settings_sha256
        What the decision is a function of, beside the votes themselves.
    """

    outcome: Outcome
    action: str
    confidence: float
    reason: str
    meta_confidence: float | None
    base_ensemble_action: str
    base_ensemble_confidence: float
    consensus_strength: float | None
    probabilities: tuple[float, float, float] | None
    threshold: float
    guards: Verdicts
    rejected: tuple[tuple[str, str], ...]
    features_sha256: str | None
    model_sha256: str | None
    settings_sha256: str

    @property
    def use_meta(self) -> bool:
        """Whether the meta-model's action replaces the ensemble's."""
        return self.outcome is Outcome.OVERRIDE

    def as_contract(self) -> dict[str, JsonValue]:
        """Return exactly the documented keys of the predecessor, `consensus_strength` on consensus only."""
        contract: dict[str, JsonValue] = {
            "use_meta": self.use_meta,
            "action": self.action,
            "confidence": self.confidence,
            "reason": self.reason,
            "meta_confidence": self.meta_confidence,
            "base_ensemble_action": self.base_ensemble_action,
            "base_ensemble_confidence": self.base_ensemble_confidence,
        }
        if self.consensus_strength is not None:
            contract["consensus_strength"] = self.consensus_strength
        return contract

    def as_dict(self) -> dict[str, JsonValue]:
        """Return everything, ready for JSON: the documented keys and what the decision rests on."""
        probabilities = None if self.probabilities is None else dict(zip(ACTIONS, self.probabilities, strict=True))
        return {
            **self.as_contract(),
            "outcome": self.outcome.value,
            "consensus_strength": self.consensus_strength,
            "probabilities": probabilities,
            "threshold": self.threshold,
            "guards": dict(self.guards),
            "rejected": [list(pair) for pair in self.rejected],
            "features_sha256": self.features_sha256,
            "model_sha256": self.model_sha256,
            "settings_sha256": self.settings_sha256,
        }

"""`decide`: votes in, decision out. Pure, and it never raises on data.

The guards are asked in the documented order (model loaded, strong consensus, features, prediction, confidence in
range, threshold); ours stand where the predecessor had holes: quorum first, the alarm before the model, the breaker
before an override. docs/meta-model.md lists every reason.
"""

from hashlib import sha256
from math import log
from typing import Final, NamedTuple

from meta_pipeline.meta_model.actions import ACTIONS, BUY, HOLD, SELL
from meta_pipeline.meta_model.ballot import Ballot, read_ballot
from meta_pipeline.meta_model.decision import NO_STOP, STOP_AT, Decision, Outcome, verdicts
from meta_pipeline.meta_model.decision_settings import DEFAULT_SETTINGS, DecisionSettings
from meta_pipeline.meta_model.ensemble import Tally, strong_consensus, tally_votes
from meta_pipeline.meta_model.features import REGIME_INVALID, feature_values, packer, read_regime
from meta_pipeline.meta_model.model import Predictor, Probabilities
from meta_pipeline.meta_model.state import BREAKER_REASON, FRESH, AgentState, would_trip

NEVER: Final = 1.01
"""A threshold no confidence reaches: the model found none whose errors were bounded."""

_LOWER: Final = tuple(name.lower() for name in ACTIONS)
_LN3: Final = log(3.0)

_QUORUM: Final = STOP_AT["quorum"]
_ENABLED: Final = STOP_AT["enabled"]
_MODEL: Final = STOP_AT["model"]
_CONSENSUS: Final = STOP_AT["consensus"]
_ALARM: Final = STOP_AT["alarm"]
_FEATURES: Final = STOP_AT["features"]
_REGIME: Final = STOP_AT["regime"]
_PREDICTION: Final = STOP_AT["prediction"]
_CONFIDENCE: Final = STOP_AT["confidence"]
_THRESHOLD: Final = STOP_AT["threshold"]
_BREAKER: Final = STOP_AT["breaker"]


class _Asked(NamedTuple):
    """What the model was asked and said."""

    features_sha256: str | None = None
    probabilities: Probabilities | None = None
    confidence: float | None = None
    regime_flagged: bool = False


_NOT_ASKED: Final = _Asked()


class _Case(NamedTuple):
    """One question, with what is known before the model is asked."""

    ballot: Ballot
    tally: Tally
    model: Predictor | None
    settings: DecisionSettings
    threshold: float

    def ends(
        self,
        stop: int,
        outcome: Outcome,
        reason: str,
        action: int,
        confidence: float,
        asked: _Asked = _NOT_ASKED,
        strength: float | None = None,
    ) -> Decision:
        return Decision(
            outcome=outcome,
            action=ACTIONS[action],
            confidence=confidence,
            reason=reason,
            meta_confidence=asked.confidence,
            base_ensemble_action=ACTIONS[self.tally.action],
            base_ensemble_confidence=self.tally.confidence,
            consensus_strength=strength,
            probabilities=asked.probabilities,
            threshold=self.threshold,
            guards=verdicts(stop, votes_flagged=bool(self.ballot.rejected), regime_flagged=asked.regime_flagged),
            rejected=self.ballot.rejected,
            features_sha256=asked.features_sha256,
            model_sha256=None if self.model is None else self.model.sha256,
            settings_sha256=self.settings.digest,
        )

    def defers(self, stop: int, reason: str, asked: _Asked = _NOT_ASKED, strength: float | None = None) -> Decision:
        return self.ends(stop, Outcome.DEFER, reason, self.tally.action, self.tally.confidence, asked, strength)

    def abstains(self, stop: int, reason: str, asked: _Asked = _NOT_ASKED) -> Decision:
        return self.ends(stop, Outcome.ABSTAIN, reason, HOLD, 0.0, asked)

    def fails(self, stop: int, reason: str, asked: _Asked = _NOT_ASKED) -> Decision:
        """Answer an error: open defers to the ensemble, closed holds."""
        return self.defers(stop, reason, asked) if self.settings.fail_open else self.abstains(stop, reason, asked)


def decide(
    predictions: object,
    regime: object = None,
    *,
    model: Predictor | None,
    settings: DecisionSettings = DEFAULT_SETTINGS,
    symbol: str | None = None,
    state: AgentState = FRESH,
) -> Decision:
    """Decide between the base ensemble and the meta-model.

    Parameters
    ----------
    predictions
        Base model -> {"action": SELL, HOLD or BUY, "confidence": 0..1}; an absent model is left out or None.
        Whatever cannot be used is rejected with a reason, never raised.
    regime
        {"volatility": 0..1, "trend_strength": -1..1}; None or empty is neutral (0.5, 0.0).
    model
        The trained model; None where there is none.
    settings
        Thresholds and ways to fail.
    symbol
        Which weights of a model pooled partially over symbols are used.
    state
        What earlier decisions left: breaker, alarm, adaptive threshold. `state.advance` makes the next.

    Returns
    -------
    The decision. A function of the arguments and of nothing else.
    """
    ballot = read_ballot(predictions, settings.models)
    tally = tally_votes(ballot, settings.model_weights)
    case = _Case(ballot, tally, model, settings, _acting_threshold(model, settings, state))
    early = _without_votes(case)
    if early is not None:
        return early
    if model is None:
        return case.fails(_MODEL, "model_not_loaded")
    early = _without_asking(case, model, state)
    if early is not None:
        return early
    asked = _ask(case, model, regime, symbol)
    if isinstance(asked, Decision):
        return asked
    return _weigh(case, asked, state)


def _acting_threshold(model: Predictor | None, settings: DecisionSettings, state: AgentState) -> float:
    threshold = settings.meta_threshold
    if model is not None:
        bound = model.threshold
        if bound is None:
            return NEVER
        threshold = max(threshold, bound)
    return threshold if state.threshold is None else max(threshold, state.threshold)


def _without_votes(case: _Case) -> Decision | None:
    if case.ballot.n_votes == 0:
        return case.abstains(_QUORUM, "no_predictions")
    if case.ballot.n_explicit < case.settings.votes_needed:
        return case.abstains(_QUORUM, "quorum_not_met")
    return None if case.settings.enabled else case.defers(_ENABLED, "meta_disabled")


def _without_asking(case: _Case, model: Predictor, state: AgentState) -> Decision | None:
    consensus = strong_consensus(case.ballot, case.tally, case.settings.consensus_threshold)
    if consensus is not None:
        reason = "strong_consensus_" + _LOWER[consensus.action]
        return case.defers(_CONSENSUS, reason, strength=consensus.strength)
    if state.alarm:
        return case.fails(_ALARM, "exchangeability_alarm")
    if model.schema_sha256 != case.settings.schema_sha256:
        return case.fails(_FEATURES, "feature_dim_mismatch")
    return None


def _ask(case: _Case, model: Predictor, regime: object, symbol: str | None) -> _Asked | Decision:
    settings = case.settings
    seen = read_regime(regime, enabled=settings.enable_regime_features)
    flagged = seen.origin == REGIME_INVALID
    if flagged and not settings.fail_open:
        return case.abstains(_REGIME, "feature_error")
    features = packer(len(settings.names_of_features)).pack(*feature_values(case.ballot, seen))
    hashed = sha256(features).hexdigest()
    try:
        sell, hold, buy = model.probabilities(features, symbol)
    except Exception:  # documented check 4: whatever a model does wrong is the error `prediction_error`
        return case.fails(_PREDICTION, "prediction_error", _Asked(hashed, None, None, flagged))
    # A sum far from 1 fails too, and so does NaN, which no comparison accepts.
    if not (sell >= 0.0 and hold >= 0.0 and buy >= 0.0 and abs(sell + hold + buy - 1.0) <= 1e-6):
        return case.fails(_CONFIDENCE, "invalid_confidence", _Asked(hashed, None, None, flagged))
    return _Asked(hashed, (sell, hold, buy), max(sell, hold, buy), flagged)


def _weigh(case: _Case, asked: _Asked, state: AgentState) -> Decision:
    assert asked.probabilities is not None
    assert asked.confidence is not None
    confidence = asked.confidence
    if confidence < case.threshold:
        return _unsure(case, asked)
    action = _clear_argmax(asked.probabilities)
    if action is None:
        return case.abstains(_THRESHOLD, "meta_tie", asked)
    if state.breaker_open or would_trip(state, case.settings):
        return case.fails(_BREAKER, BREAKER_REASON, asked)
    return case.ends(NO_STOP, Outcome.OVERRIDE, "meta_override_" + _LOWER[action], action, confidence, asked)


def _clear_argmax(probabilities: Probabilities) -> int | None:
    """Return the most probable action; HOLD when it shares the lead, None when BUY and SELL alone share it."""
    sell, hold, buy = probabilities
    if hold >= sell and hold >= buy:
        return HOLD
    if sell == buy:
        return None
    return SELL if sell > buy else BUY


def _unsure(case: _Case, asked: _Asked) -> Decision:
    assert asked.confidence is not None
    if case.settings.escalate:
        why = _escalation(case, asked)
        if why is not None:
            return case.ends(_THRESHOLD, Outcome.ESCALATE, why, HOLD, 0.0, asked)
    if case.tally.tied:
        return case.abstains(_THRESHOLD, "ensemble_tie", asked)
    return case.defers(_THRESHOLD, f"meta_low_confidence_{asked.confidence:.2f}", asked)


def _escalation(case: _Case, asked: _Asked) -> str | None:
    settings, actions = case.settings, case.ballot.actions
    sell, hold, buy = actions.count(SELL), actions.count(HOLD), actions.count(BUY)
    if buy == sell and buy + sell == case.ballot.n_votes:
        return "split_vote"
    if 1.0 - max(sell, hold, buy) / case.ballot.n_votes >= settings.high_disagreement:
        return "high_disagreement"
    if case.tally.confidence < settings.low_ensemble_confidence:
        return "low_ensemble_confidence"
    assert asked.probabilities is not None
    entropy = -sum(p * log(p) for p in asked.probabilities if p > 0.0) / _LN3
    return "undecided_market" if entropy > settings.undecided_entropy else None

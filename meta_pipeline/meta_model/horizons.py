"""Several horizons, one model each, one decision."""

from collections.abc import Mapping
from dataclasses import dataclass

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.decide import decide
from meta_pipeline.meta_model.decision import Decision, Outcome
from meta_pipeline.meta_model.decision_settings import DEFAULT_SETTINGS, DecisionSettings
from meta_pipeline.meta_model.model import MetaModel, Predictor
from meta_pipeline.meta_model.outcome_log import OutcomeLog
from meta_pipeline.meta_model.prediction_log import PredictionLog
from meta_pipeline.meta_model.state import FRESH, AgentState
from meta_pipeline.meta_model.training import Training, train
from meta_pipeline.meta_model.training_settings import DEFAULT_TRAINING, TrainingSettings


@dataclass(frozen=True, kw_only=True)
class HorizonDecision:
    """One decision over several horizons.

    Parameters
    ----------
    outcome, action, confidence, reason
        As of `Decision`. Models that override must agree: then it is their action, with the smallest of their
        confidences (`horizons_agree_...`); else HOLD (`horizons_disagree`). If none overrides, the shortest horizon's
        decision stands as it is.
    by_horizon
        Horizon -> its own decision, the shortest first.
    """

    outcome: Outcome
    action: str
    confidence: float
    reason: str
    by_horizon: Mapping[str, Decision]

    @property
    def use_meta(self) -> bool:
        """Whether the meta-models' action replaces the ensemble's."""
        return self.outcome is Outcome.OVERRIDE

    def as_dict(self) -> dict[str, JsonValue]:
        """Return the decision, ready for JSON."""
        return {
            "use_meta": self.use_meta,
            "outcome": self.outcome.value,
            "action": self.action,
            "confidence": self.confidence,
            "reason": self.reason,
            "by_horizon": {name: decision.as_dict() for name, decision in self.by_horizon.items()},
        }


def decide_horizons(
    predictions: object,
    regime: object = None,
    *,
    models: Mapping[str, Predictor | None],
    settings: DecisionSettings = DEFAULT_SETTINGS,
    symbol: str | None = None,
    states: Mapping[str, AgentState] | None = None,
) -> HorizonDecision:
    """Decide once over several horizons.

    Parameters
    ----------
    predictions, regime, settings, symbol
        As of `decide`.
    models
        Horizon -> its model, or None where there is none; the shortest first.
    states
        Horizon -> what its earlier decisions left; missing ones are fresh.

    Raises
    ------
    InputError
        If no horizon is given.
    """
    if not models:
        raise InputError("no horizon was given; name at least one, with its model")
    known = states or {}
    each = {
        name: decide(predictions, regime, model=model, settings=settings, symbol=symbol, state=known.get(name, FRESH))
        for name, model in models.items()
    }
    overriding = [decision for decision in each.values() if decision.use_meta]
    actions = {decision.action for decision in overriding}
    if not overriding:
        first = next(iter(each.values()))
        return HorizonDecision(
            outcome=first.outcome,
            action=first.action,
            confidence=first.confidence,
            reason=first.reason,
            by_horizon=each,
        )
    if len(actions) > 1:
        return HorizonDecision(
            outcome=Outcome.ABSTAIN, action="HOLD", confidence=0.0, reason="horizons_disagree", by_horizon=each
        )
    (action,) = actions
    return HorizonDecision(
        outcome=Outcome.OVERRIDE,
        action=action,
        confidence=min(decision.confidence for decision in overriding),
        reason=f"horizons_agree_{action.lower()}",
        by_horizon=each,
    )


def train_horizons(
    predictions: PredictionLog,
    outcomes: Mapping[str, OutcomeLog],
    *,
    settings: TrainingSettings = DEFAULT_TRAINING,
    declared_kind: str | None = None,
    champions: Mapping[str, MetaModel] | None = None,
    code_version: str = "",
) -> dict[str, Training]:
    """Train one model per horizon on the same predictions, each put to the gate by itself."""
    known = champions or {}
    return {
        horizon: train(
            predictions,
            log,
            settings=settings,
            declared_kind=declared_kind,
            champion=known.get(horizon),
            code_version=code_version,
        )
        for horizon, log in outcomes.items()
    }

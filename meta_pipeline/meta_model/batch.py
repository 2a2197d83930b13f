"""`decide` for many rows at once: the same answers, as columns, for evaluation and backtests.

The guards that need a memory (breaker, alarm, adaptive threshold) and escalation are left out: each row is decided
as the first one of a fresh agent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.actions import BUY, HOLD, SELL
from meta_pipeline.meta_model.decide import NEVER
from meta_pipeline.meta_model.decision_settings import DecisionSettings
from meta_pipeline.meta_model.ensemble import SHARE_TOLERANCE, TIE_TOLERANCE
from meta_pipeline.meta_model.model import MetaModel
from meta_pipeline.meta_model.vote_table import VoteTable

Codes = NDArray[np.int8]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class EnsembleColumns(NamedTuple):
    """The weighted ensemble of many ballots; see `ensemble.Tally`."""

    actions: Codes
    confidences: Floats
    tied: Flags


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchDecisions:
    """Decisions as columns, each of shape (n,) but for `probabilities`, (n, 3).

    `overridden` is where the meta-model's action replaced the ensemble's, `asked` where its probabilities counted at
    all (quorum met, no consensus). The breaker is not applied; `override_rate` says what it would have seen.
    """

    actions: Codes
    confidences: Floats
    overridden: Flags
    asked: Flags
    probabilities: Floats
    ensemble: EnsembleColumns

    @property
    def override_rate(self) -> float:
        """Overrides as a share of all decisions, 0 where there are none."""
        return float(self.overridden.mean()) if len(self.overridden) else 0.0


def decide_many(
    votes: VoteTable, *, model: MetaModel, settings: DecisionSettings, symbols: Sequence[str] | None = None
) -> BatchDecisions:
    """Decide every row as a fresh agent would.

    Parameters
    ----------
    votes
        The ballots and regimes.
    model
        The trained model.
    settings
        As of `decide`; `escalate` is ignored.
    symbols
        One per row, for a model pooled partially over symbols.

    Raises
    ------
    InputError
        If votes, model and settings do not name the same base models in the same order.
    """
    if not votes.models == model.models == settings.models:
        raise InputError(
            f"the votes are of {votes.models}, the model of {model.models}, the settings of {settings.models}; "
            "they must name the same base models in the same order"
        )
    probabilities = model.probabilities_of(votes.features(regime=settings.enable_regime_features), symbols)
    return decide_from(votes, probabilities, model.threshold, settings)


def decide_from(
    votes: VoteTable, probabilities: Floats, model_threshold: float | None, settings: DecisionSettings
) -> BatchDecisions:
    """Decide every row, given the model's calibrated probabilities, shape (n, 3), and its own threshold."""
    ensemble = ensemble_of(votes, settings.model_weights)
    evidence = (votes.n_explicit >= settings.votes_needed) & ((votes.actions >= 0).any(axis=1))
    open_to_meta = evidence & settings.enabled & ~consensus_of(votes, ensemble, settings.consensus_threshold)
    held = open_to_meta & votes.regime_invalid & (not settings.fail_open) & settings.enable_regime_features
    asked = open_to_meta & ~held
    confidence = probabilities.max(axis=1)
    threshold = NEVER if model_threshold is None else max(settings.meta_threshold, model_threshold)
    sure = asked & (confidence >= threshold)
    choice = argmax_of(probabilities)
    overridden = sure & (choice >= 0)
    nothing = ~evidence | held | (sure & ~overridden)
    actions = np.where(overridden, choice, np.where(nothing, HOLD, ensemble.actions)).astype(np.int8)
    tied = asked & ~sure & ensemble.tied
    deferred = np.where(nothing | tied, 0.0, ensemble.confidences)
    return BatchDecisions(
        actions=actions,
        confidences=np.where(overridden, confidence, deferred),
        overridden=overridden,
        asked=asked,
        probabilities=probabilities,
        ensemble=ensemble,
    )


def argmax_of(probabilities: Floats) -> Codes:
    """Return the most probable action per row: HOLD when it shares the lead, -1 when BUY and SELL alone share it."""
    sell, hold, buy = probabilities.T
    choice = np.where(sell > buy, SELL, np.where(buy > sell, BUY, -1))
    return np.where((hold >= sell) & (hold >= buy), HOLD, choice).astype(np.int8)


def ensemble_of(votes: VoteTable, weights: Sequence[float]) -> EnsembleColumns:
    """Compute the weighted ensemble of every row, to the bit as `ensemble.tally_votes` does."""
    n = len(votes)
    scores, total = np.zeros((3, n)), np.zeros(n)
    for column, weight in enumerate(weights):
        voted, weighted = votes.actions[:, column], weight * votes.confidences[:, column]
        total += np.where(voted >= 0, weight, 0.0)
        for action in (SELL, HOLD, BUY):
            scores[action] += np.where(voted == action, weighted, 0.0)
    sell, hold, buy = scores
    sells = (sell > buy + TIE_TOLERANCE) & (sell > hold + TIE_TOLERANCE)
    buys = (buy > sell + TIE_TOLERANCE) & (buy > hold + TIE_TOLERANCE)
    holds = (hold > sell + TIE_TOLERANCE) & (hold > buy + TIE_TOLERANCE)
    actions = np.where(sells, SELL, np.where(buys, BUY, HOLD)).astype(np.int8)
    score = np.where(sells, sell, np.where(buys, buy, hold))
    confidences = np.divide(score, total, out=np.zeros(n), where=total > 0)
    return EnsembleColumns(actions, confidences, ~(sells | buys | holds) & (total > 0))


def consensus_of(votes: VoteTable, ensemble: EnsembleColumns, threshold: float) -> Flags:
    """Say which rows agree strongly, as `ensemble.strong_consensus` does."""
    n = len(votes)
    heads, present, behind, total = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    for column in range(votes.actions.shape[1]):
        voted = votes.actions[:, column]
        confidence = np.where(voted >= 0, votes.confidences[:, column], 0.0)
        agrees = voted == ensemble.actions
        present += voted >= 0
        heads += agrees
        total += confidence
        behind += np.where(agrees, confidence, 0.0)
    by_heads = np.divide(heads, present, out=np.zeros(n), where=present > 0)
    by_confidence = np.divide(behind, total, out=np.zeros(n), where=total > 0)
    agreed: Flags = np.minimum(by_heads, by_confidence) + SHARE_TOLERANCE >= threshold
    return agreed


def majority_of(votes: VoteTable) -> Codes:
    """Return the action with the most votes per row, HOLD when the lead is shared, as `ensemble.majority_action`."""
    sell, hold, buy = ((votes.actions == action).sum(axis=1) for action in (SELL, HOLD, BUY))
    buys, sells = (buy > sell) & (buy > hold), (sell > buy) & (sell > hold)
    return np.where(buys, BUY, np.where(sells, SELL, HOLD)).astype(np.int8)

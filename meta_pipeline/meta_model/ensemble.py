"""The base ensemble: what the base models say together, before any meta-model."""

from typing import Final, NamedTuple

from meta_pipeline.meta_model.actions import BUY, HOLD, SELL
from meta_pipeline.meta_model.ballot import Ballot

TIE_TOLERANCE: Final = 1e-12
"""Scores that differ by less are equal: 0.1 + 0.2 ties with 0.3."""

SHARE_TOLERANCE: Final = 1e-9
"""Three equal confidences of four are three quarters, whatever their sum rounds to."""


class Tally(NamedTuple):
    """The weighted ensemble's answer. `confidence` is the score of `action`, never above the strongest vote.

    `tied` says that the leading scores were equal, and that HOLD is the answer for that reason.
    """

    action: int
    confidence: float
    tied: bool


class Consensus(NamedTuple):
    """Strong agreement: the action, and the smaller of its shares of votes and of confidence."""

    action: int
    strength: float


def tally_votes(ballot: Ballot, weights: tuple[float, ...]) -> Tally:
    """Compute the weighted ensemble: score(a) = sum of weight x confidence over its votes / weight of all votes.

    The action of the highest score wins; equal leading scores are HOLD, so that swapping BUY and SELL in every vote
    swaps the answer. Nobody voting is HOLD with confidence 0.
    """
    scores = [0.0, 0.0, 0.0]
    total = 0.0
    for action, confidence, weight in zip(ballot.actions, ballot.confidences, weights, strict=True):
        if action >= 0:
            scores[action] += weight * confidence
            total += weight
    if total == 0.0:
        return Tally(HOLD, 0.0, False)
    sell, hold, buy = scores
    if sell > buy + TIE_TOLERANCE and sell > hold + TIE_TOLERANCE:
        return Tally(SELL, sell / total, False)
    if buy > sell + TIE_TOLERANCE and buy > hold + TIE_TOLERANCE:
        return Tally(BUY, buy / total, False)
    tied = not (hold > sell + TIE_TOLERANCE and hold > buy + TIE_TOLERANCE)
    return Tally(HOLD, hold / total, tied)


def strong_consensus(ballot: Ballot, tally: Tally, threshold: float) -> Consensus | None:
    """Return the action that enough base models agree on, by heads and by confidence; None if there is none.

    Both shares must reach the threshold, and the weighted ensemble must say the same: three votes without any
    confidence do not outvote one that has it.
    """
    if ballot.n_votes == 0:
        return None
    action = tally.action
    heads = ballot.actions.count(action) / ballot.n_votes
    if heads + SHARE_TOLERANCE < threshold:
        return None
    behind = total = 0.0
    for voted, confidence in zip(ballot.actions, ballot.confidences, strict=True):
        if voted >= 0:
            total += confidence
            if voted == action:
                behind += confidence
    if total == 0.0:
        return None
    strength = min(heads, behind / total)
    return Consensus(action, strength) if strength + SHARE_TOLERANCE >= threshold else None


def majority_action(ballot: Ballot) -> int:
    """Return the action with the most votes, HOLD when the lead is shared or nobody voted."""
    sell, hold, buy = (ballot.actions.count(action) for action in (SELL, HOLD, BUY))
    if buy > sell and buy > hold:
        return BUY
    if sell > buy and sell > hold:
        return SELL
    return HOLD

"""From the engine's candidate to the proposal that the machine puts before a person."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.candidate import Candidate, finite
from meta_pipeline.proposals.draft import ProposalDraft
from meta_pipeline.proposals.identity import MACHINE_ACTOR
from meta_pipeline.proposals.outcome_rule import OutcomeRule

SUPPORTING_FORMAT: Final = 1
"""Rises when a field of `supporting_metrics` is renamed or removed."""


def draft(
    candidate: Candidate,
    *,
    strategy_id: str,
    base_version: int,
    evidence_digest: str,
    market_id: str | None = None,
    author: str = MACHINE_ACTOR,
    outcome_rule: OutcomeRule | None = None,
    scenarios: Mapping[str, JsonValue] | None = None,
) -> ProposalDraft:
    """Write a candidate as a proposal, every number of it derived from the data.

    The claim is the candidate's expected uplift (after the haircut), not its raw contrast; the confidence is
    the calibrated probability, and the predecessor's score stands beside it. What is not known is None. The
    whole candidate goes along as `supporting_metrics`, so that an approval names the evidence too.

    Parameters
    ----------
    candidate
        One that no rule stopped.
    strategy_id, base_version
        The strategy, and the version of the live configuration that the evidence was judged against.
    evidence_digest
        Of the evidence (`Proposed.evidence_digest`); part of the proposal's id.
    market_id
        If the change is meant for one market only.
    author
        The machine that proposes. It can never be the human eye of its own proposal.
    outcome_rule
        How the change will be judged. A rise of volatility that the candidate itself expects is added to what its
        guardrail allows.
    scenarios
        The live configuration and the changed one in scenarios, for the approver to read; None: they were not at hand.

    Raises
    ------
    InputError
        If a rule stopped the candidate, or it changes nothing.
    """
    if not candidate.is_proposal:
        raise InputError(
            f"the candidate {candidate.knob} was stopped by the rule {candidate.suppressed_by} "
            f"({candidate.suppression_reason}); it is no proposal. A person may propose it with `proposals create`"
        )
    return ProposalDraft(
        strategy_id=strategy_id,
        proposal_type=str(candidate.proposal_type),
        target_component=candidate.knob,
        current=candidate.from_value,
        proposed=candidate.to_value,
        base_version=base_version,
        rationale=candidate.rationale,
        supporting_metrics={
            "format": SUPPORTING_FORMAT,
            **candidate.to_json(),
            **({} if scenarios is None else {"scenarios": scenarios}),
        },
        evidence_digest=evidence_digest,
        risk_change=candidate.risk_change,
        author=author,
        author_kind="machine",
        expected_sharpe_improvement=finite(candidate.expected_uplift),
        expected_return_improvement=candidate.expected_return_improvement,
        expected_risk_reduction=candidate.expected_risk_reduction,
        confidence_score=finite(candidate.probability_positive),
        legacy_confidence=finite(candidate.legacy_confidence),
        grade=str(candidate.grade),
        candidate_id=candidate.candidate_id(strategy_id=strategy_id, evidence_digest=evidence_digest),
        market_id=market_id,
        outcome_rule=None if outcome_rule is None else _expecting(outcome_rule, candidate).to_json(),
    )


def _expecting(rule: OutcomeRule, candidate: Candidate) -> OutcomeRule:
    """Allow for the rise of volatility that an approver is told of: it is no surprise to be stopped by."""
    effect = candidate.risk_effect("volatility")
    if effect is None or effect.estimate is None or not effect.baseline:
        return rule
    expected = finite(max(0.0, effect.estimate / effect.baseline))
    return rule if expected is None else replace(rule, volatility_rise=rule.volatility_rise + expected)

"""What tests of governance share: a strategy with knobs, and drafts, records and situations to judge."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from meta_pipeline.canonical import Level, digest
from meta_pipeline.proposals.checks import Budget, Situation
from meta_pipeline.proposals.digests import body_text, proposal_id, text_digest
from meta_pipeline.proposals.draft import Approval, ProposalDraft, ProposalRecord
from meta_pipeline.proposals.identity import name_key
from meta_pipeline.proposals.knobs import Knob, RiskDirection
from meta_pipeline.proposals.states import Status
from meta_pipeline.proposals.strategy import Strategy

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
KNOBS = (
    Knob(
        path="risk.max_vol",
        knob_type="float",
        lower=0.05,
        upper=0.95,
        risk_direction=RiskDirection.HIGHER_IS_RISKIER,
    ),
    Knob(path="risk.stop", knob_type="float", lower=0.0, upper=1.0, optional=True),
    Knob(path="risk.cap", knob_type="int", lower=1, upper=10, optional=True),
    Knob(path="risk", knob_type="json"),
    Knob(path="extras", knob_type="json", optional=True),
    Knob(path="lookback", knob_type="int", lower=5, upper=252, risk_direction=RiskDirection.NEUTRAL),
    Knob(path="alpha", knob_type="float", lower=0.0, upper=1.0, optional=True),
    Knob(path="mode", knob_type="str", choices=("fast", "slow")),
    Knob(path="portfolio_id", knob_type="str"),
    Knob(path="frozen", knob_type="float", changeable=False),
)
LIVE: dict[str, Any] = {
    "risk": {"max_vol": 0.5, "cap": 3},
    "lookback": 63,
    "mode": "fast",
    "portfolio_id": "P1",
    "frozen": 1.0,
    "untouched": {"deep": [1, 2.5, None]},
}


def strategy(strategy_id: str = "STRAT", **changes: Any) -> Strategy:
    fields: dict[str, Any] = {"strategy_id": strategy_id, "knobs": KNOBS, "live_config": LIVE, "family": "trend"}
    return Strategy(**{**fields, **changes})


def draft(knob: str = "risk.max_vol", current: Level = 0.5, proposed: Level = 0.25, **changes: Any) -> ProposalDraft:
    """A draft of the machine, with evidence."""
    evidence: dict[str, Any] = {"effect": {"estimate": 0.2}, "n_runs": 40}
    declared = next((declared for declared in KNOBS if declared.path == knob), None)
    fields: dict[str, Any] = {
        "strategy_id": "STRAT",
        "proposal_type": "config_parameter_change",
        "target_component": knob,
        "current": current,
        "proposed": proposed,
        "base_version": 1,
        "rationale": "it did better",
        "supporting_metrics": evidence,
        "evidence_digest": digest(evidence),
        "risk_change": "unknown" if declared is None else declared.risk_change(current, proposed),
        "author": "meta-pipeline",
        "author_kind": "machine",
        "expected_sharpe_improvement": 0.2,
        "expected_return_improvement": 0.01,
        "expected_risk_reduction": -0.02,
        "confidence_score": 0.8,
        "legacy_confidence": 0.74,
        "grade": "A",
    }
    return ProposalDraft(**{**fields, **changes})


def record(made: ProposalDraft | None = None, **changes: Any) -> ProposalRecord:
    """A stored proposal whose body and digest are those of its draft."""
    made = draft() if made is None else made
    ends = NOW + timedelta(days=14)
    body = body_text(made, attempt=1, created_at=NOW, expires_at=ends)
    stored = ProposalRecord(
        proposal_id=proposal_id(made),
        draft=made,
        body=body,
        body_digest=text_digest(body),
        status=Status.PENDING,
        created_at=NOW,
        expires_at=ends,
    )
    return replace(stored, **changes)


def approval(of: ProposalRecord, approver: str = "Bob", **changes: Any) -> Approval:
    given = Approval(
        approval_id=1,
        proposal_id=of.proposal_id,
        body_digest=of.body_digest,
        approver=approver,
        approver_key=name_key(approver),
        reason="",
        channel="python",
        channel_ref="",
        decided_at=NOW,
        expires_at=NOW + timedelta(hours=72),
    )
    return replace(given, **changes)


def situation(of: ProposalRecord | None = None, **changes: Any) -> Situation:
    """A situation in which everything passes."""
    of = record() if of is None else of
    fields: dict[str, Any] = {
        "record": of,
        "now": NOW,
        "live_version": 1,
        "live": LIVE,
        "knobs": {knob.path: knob for knob in KNOBS},
        "approver": "Bob",
        "approver_active": True,
        "approval": approval(of),
        "budget": Budget(limit=5, window=timedelta(hours=24)),
    }
    return Situation(**{**fields, **changes})

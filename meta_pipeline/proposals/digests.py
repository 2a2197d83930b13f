"""What is hashed: a proposal's id, and the body that an approval names.

A body is stored as the very text that was hashed. `tampering` writes it anew from the columns beside it,
so that neither can be changed without the other, and neither without the digest.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Final

from meta_pipeline.canonical import JsonValue, canonical_json, digest
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.candidate import level_to_json
from meta_pipeline.proposals.draft import ProposalDraft, ProposalRecord

BODY_FORMAT: Final = 3
"""Rises when the body's fields change; older bodies stay as they were hashed. 2: with the outcome rule; 3: and with the
sha256 of the report."""

ID_DIGITS: Final = 24


def proposal_id(draft: ProposalDraft, *, attempt: int = 1) -> str:
    """Return the id: a content hash of strategy, knob path, from, to, and evidence.

    Parameters
    ----------
    attempt
        Above 1 when the same change on the same evidence was proposed before and that proposal ended
        without being applied (expired, stale, superseded, withdrawn, or a rejection that lapsed).
    """
    content: dict[str, JsonValue] = {
        "strategy_id": draft.strategy_id,
        "knob": draft.target_component,
        "from": level_to_json(draft.current),
        "to": level_to_json(draft.proposed),
        "evidence_digest": draft.evidence_digest,
    }
    if attempt > 1:
        content["attempt"] = attempt
    return "prop-" + digest(content)[:ID_DIGITS]


def change_id(for_proposal: str) -> str:
    """Return the id of the change that applies a proposal. One proposal is applied at most once."""
    return "chg-" + digest({"applies": for_proposal})[:ID_DIGITS]


def body_text(draft: ProposalDraft, *, attempt: int, created_at: datetime, expires_at: datetime) -> str:
    """Return the canonical JSON of a proposal and its evidence: the text that is hashed and approved."""
    return canonical_json(_body(draft, attempt=attempt, created_at=created_at, expires_at=expires_at))


def attempt_of(record: ProposalRecord) -> int:
    """Return the attempt that a stored proposal was hashed with."""
    return int(json.loads(record.body)["attempt"])


def text_digest(text: str) -> str:
    """Return the sha256 of a text as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def instant(moment: datetime) -> str:
    """Write a time for hashing: UTC, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def tampering(record: ProposalRecord) -> str | None:
    """Say how a stored proposal differs from what was hashed, or None if it does not.

    Checked are: the digest of the stored body, the body against every column it was made from, and the id
    against the content.
    """
    found = text_digest(record.body)
    if found != record.body_digest:
        return f"its stored body has the digest {found[:12]}..., not {record.body_digest[:12]}..."
    body = json.loads(record.body)
    attempt = body.get("attempt")
    if not isinstance(attempt, int):
        return f"its body names no attempt ({attempt!r})"
    try:
        record.draft.check()
    except InputError as error:
        return f"its columns hold what no proposal can: {error}"
    anew = _body(record.draft, attempt=attempt, created_at=record.created_at, expires_at=record.expires_at)
    if canonical_json(anew) != record.body:
        differing = sorted(key for key in {*anew, *body} if _differs(anew.get(key), body.get(key)))
        return f"its columns differ from its hashed body in {', '.join(differing) or 'form'}"
    if proposal_id(record.draft, attempt=attempt) != record.proposal_id:
        return f"its content belongs to the id {proposal_id(record.draft, attempt=attempt)}"
    return None


def _differs(one: JsonValue, other: JsonValue) -> bool:
    return canonical_json(one) != canonical_json(other)


def _body(draft: ProposalDraft, *, attempt: int, created_at: datetime, expires_at: datetime) -> dict[str, JsonValue]:
    judged: dict[str, JsonValue] = {"format": 1}  # from before changes were judged, or judged by nothing
    if draft.outcome_rule is not None:
        judged = {"format": 2, "outcome_rule": dict(draft.outcome_rule)}
    if draft.report_sha256 is not None:
        judged |= {"format": BODY_FORMAT, "report_sha256": draft.report_sha256}
    return {
        **judged,
        "proposal_id": proposal_id(draft, attempt=attempt),
        "attempt": attempt,
        "strategy_id": draft.strategy_id,
        "market_id": draft.market_id,
        "candidate_id": draft.candidate_id,
        "proposal_type": draft.proposal_type,
        "target_component": draft.target_component,
        "current": level_to_json(draft.current),
        "proposed": level_to_json(draft.proposed),
        "base_version": draft.base_version,
        "expected_sharpe_improvement": _float(draft.expected_sharpe_improvement),
        "expected_return_improvement": _float(draft.expected_return_improvement),
        "expected_risk_reduction": _float(draft.expected_risk_reduction),
        "confidence_score": _float(draft.confidence_score),
        "legacy_confidence": _float(draft.legacy_confidence),
        "grade": draft.grade,
        "rationale": draft.rationale,
        "supporting_metrics": dict(draft.supporting_metrics),
        "evidence_digest": draft.evidence_digest,
        "risk_change": draft.risk_change,
        "author": draft.author,
        "author_kind": draft.author_kind,
        "created_at": instant(created_at),
        "expires_at": instant(expires_at),
    }


def _float(number: float | None) -> float | None:
    # The columns are double precision: what is hashed must read back as the same text.
    return None if number is None else float(number)

"""Records as the API shows them: JSON objects, times in ISO 8601 and UTC."""

from datetime import date, datetime
from typing import Any

from meta_pipeline.api.conditions import etag
from meta_pipeline.canonical import JsonValue
from meta_pipeline.proposals.candidate import level_to_json
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.store.audit import AuditEntry
from meta_pipeline.store.changes import ChangeRecord

Json = dict[str, JsonValue]

_DRAFT = (
    *("strategy_id", "market_id", "candidate_id", "proposal_type", "target_component", "base_version"),
    *("expected_sharpe_improvement", "expected_return_improvement", "expected_risk_reduction", "confidence_score"),
    *("legacy_confidence", "grade", "risk_change", "rationale", "author", "author_kind", "evidence_digest"),
    "report_sha256",
)
_MOMENTS = ("created_at", "expires_at", "approved_at", "approval_expires_at", "applied_at", "reverted_at")


def proposal_json(record: ProposalRecord) -> Json:
    """Return a proposal, with the ETag that decisions on it name."""
    draft = record.draft
    return {
        "proposal_id": record.proposal_id,
        "status": str(record.status),
        "status_reason": record.status_reason,
        **{name: getattr(draft, name) for name in _DRAFT},
        "current": level_to_json(draft.current),
        "proposed": level_to_json(draft.proposed),
        "approved_by": record.approved_by,
        "body_digest": record.body_digest,
        **{name: moment(getattr(record, name)) for name in _MOMENTS},
        "etag": proposal_etag(record),
    }


def proposal_etag(record: ProposalRecord) -> str:
    """Return the ETag of a proposal: of what it says, and of where it stands."""
    return etag(record.proposal_id, record.body_digest, record.status, moment(record.approval_expires_at))


def change_json(record: ChangeRecord) -> Json:
    """Return an applied change, with the ETag that a revert names."""
    fields: Json = {name: plain(getattr(record, name)) for name in record.__dataclass_fields__}
    fields["previous_value"] = level_to_json(record.previous_value)
    fields["new_value"] = level_to_json(record.new_value)
    fields["etag"] = change_etag(record)
    return fields


def change_etag(record: ChangeRecord) -> str:
    """Return the ETag of a change: of which it is, and of whether it is in force."""
    return etag(record.change_id, record.is_reverted, record.revert_version)


def entry_json(entry: AuditEntry) -> Json:
    """Return an audit entry; its payload is the very text that was hashed."""
    return {name: plain(getattr(entry, name)) for name in entry.__dataclass_fields__}


def row_json(row: dict[str, Any]) -> Json:
    """Return a row of plain values."""
    return {name: plain(value) for name, value in row.items()}


def moment(at: datetime | None) -> str | None:
    """Write a time; None stays None."""
    return None if at is None else at.isoformat()


def plain(value: Any) -> JsonValue:
    """Return a value of a row as JSON."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    # An absent key is shown by the functions above; here it is nothing that JSON knows.
    return value if value is None or isinstance(value, bool | int | float | str | list | dict) else str(value)

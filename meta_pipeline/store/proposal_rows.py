"""Proposals as rows: read, added, and moved from status to status by guarded updates.

Does not belong here: which drafts become proposals (proposals), and who may move one (governance).
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from meta_pipeline.errors import Conflict, NotFound
from meta_pipeline.proposals.draft import Approval, ProposalDraft, ProposalRecord
from meta_pipeline.proposals.states import SOURCES, Status, require_transition
from meta_pipeline.store import audit, strategies
from meta_pipeline.store.schema import approvals, meta_config_proposals, proposal_editors

_COLUMNS: Final = meta_config_proposals.c
_SHORTEST_PREFIX: Final = 4
_VERBS: Final = {Status.STALE: "stale", Status.EXPIRED: "expire", Status.SUPERSEDED: "supersede"}
_DRAFT_COLUMNS: Final = (
    *("strategy_id", "market_id", "candidate_id", "proposal_type", "target_component", "confidence_score"),
    *("expected_sharpe_improvement", "expected_return_improvement", "expected_risk_reduction", "rationale"),
    *("grade", "legacy_confidence", "risk_change", "base_version", "author", "author_kind", "evidence_digest"),
    "report_sha256",
)
_RECORD_COLUMNS: Final = (
    *("proposal_id", "body", "body_digest", "status_reason", "approved_by", "approved_at", "approval_expires_at"),
    *("applied_at", "reverted_at", "created_at", "expires_at"),
)


def get(connection: Connection, proposal_id: str) -> ProposalRecord:
    """Return one proposal.

    Raises
    ------
    NotFound
        If there is none of that id.
    """
    row = connection.execute(
        select(meta_config_proposals).where(_COLUMNS.proposal_id == _askable(proposal_id))
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no proposal {proposal_id!r}; see: meta-pipeline proposals list")
    return records_of(connection, [row])[0]


def find(connection: Connection, prefix: str) -> str:
    """Return the one proposal id that starts with a prefix (the leading "prop-" may be left out).

    Raises
    ------
    NotFound
        If none does, more than one does, or the prefix is shorter than four digits.
    """
    digits = _askable(prefix).removeprefix("prop-")
    if len(digits) < _SHORTEST_PREFIX:
        raise NotFound(f"{prefix!r} is too short for a proposal id; give at least {_SHORTEST_PREFIX} digits of it")
    found = connection.execute(
        select(_COLUMNS.proposal_id)
        .where(_COLUMNS.proposal_id.startswith(f"prop-{digits}", autoescape=True))
        .order_by(_COLUMNS.proposal_id)
        .limit(5)
    ).scalars()
    ids: list[str] = list(found)
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise NotFound(f"there is no proposal {prefix!r}; see: meta-pipeline proposals list")
    raise NotFound(f"{prefix!r} is the start of {', '.join(ids)}; give more digits")


def list_proposals(
    connection: Connection,
    *,
    strategy_id: str | None = None,
    status: Sequence[Status] = (),
    limit: int | None = None,
) -> list[ProposalRecord]:
    """Return proposals: the newest first, and among these the largest claim.

    Parameters
    ----------
    status
        Only proposals in one of these; empty: all.
    """
    statement = select(meta_config_proposals).order_by(
        _COLUMNS.created_at.desc(), _COLUMNS.expected_sharpe_improvement.desc().nulls_last(), _COLUMNS.proposal_id
    )
    if strategy_id is not None:
        statement = statement.where(_COLUMNS.strategy_id == strategy_id)
    if status:
        statement = statement.where(_COLUMNS.status.in_(status))
    return records_of(connection, connection.execute(statement.limit(limit)).all())


def count_by_status(connection: Connection, *, strategy_id: str | None = None) -> dict[Status, int]:
    """Return how many proposals there are in each status that occurs."""
    statement = select(_COLUMNS.status, func.count()).group_by(_COLUMNS.status).order_by(_COLUMNS.status)
    if strategy_id is not None:
        statement = statement.where(_COLUMNS.strategy_id == strategy_id)
    return {Status(status): count for status, count in connection.execute(statement)}


def lock(connection: Connection, proposal_id: str) -> ProposalRecord:
    """Lock a proposal's strategy until the transaction ends, then return the proposal as it is.

    Raises
    ------
    NotFound
        If there is none of that id.
    """
    strategies.lock(connection, get(connection, proposal_id).draft.strategy_id)
    return get(connection, proposal_id)


def move(connection: Connection, record: ProposalRecord, target: Status, **columns: Any) -> None:
    """Move a proposal to another status, if it is in one that allows it and its content is the one read.

    Parameters
    ----------
    columns
        What else is written in the same UPDATE.

    Raises
    ------
    IllegalTransition, StaleBase, Lapsed
        Naming the present status.
    Conflict
        If the content changed meanwhile.
    """
    moved = connection.execute(
        update(meta_config_proposals)
        .where(
            _COLUMNS.proposal_id == record.proposal_id,
            _COLUMNS.status.in_(SOURCES[target]),
            _COLUMNS.body_digest == record.body_digest,
        )
        .values(status=target, **columns)
    )
    if moved.rowcount == 1:
        return
    present = get(connection, record.proposal_id)
    require_transition(record.proposal_id, present.status, target, reason=present.status_reason)
    raise Conflict(f"the content of proposal {record.proposal_id} changed meanwhile; look at it again")


def end(connection: Connection, record: ProposalRecord, target: Status, *, reason: str) -> audit.Event:
    """Move an open proposal to an end that nobody decided (STALE, EXPIRED, SUPERSEDED), with the reason.

    Returns
    -------
    Event
        For the audit log. The caller appends it, after its last lock.
    """
    move(connection, record, target, status_reason=reason)
    return audit.Event(
        action=f"proposal.{_VERBS[target]}",
        subject_type="proposal",
        subject_id=record.proposal_id,
        payload={"from": record.status, "reason": reason, "body_digest": record.body_digest},
    )


def approval_of(connection: Connection, proposal_id: str) -> Approval | None:
    """Return the latest approval of a proposal, or None if there is none or a rejection came after it."""
    row = connection.execute(
        select(approvals)
        .where(approvals.c.proposal_id == proposal_id)
        .order_by(approvals.c.approval_id.desc())
        .limit(1)
    ).one_or_none()
    if row is None or row.decision != "approve":
        return None
    fields = row._asdict()
    del fields["decision"]
    return Approval(**fields)


def add(connection: Connection, record: ProposalRecord) -> None:
    """Write a new proposal."""
    draft = record.draft
    values = {name: getattr(draft, name) for name in _DRAFT_COLUMNS}
    connection.execute(
        insert(meta_config_proposals).values(
            **values,
            proposal_id=record.proposal_id,
            current_value=draft.current,
            proposed_value=draft.proposed,
            supporting_metrics=dict(draft.supporting_metrics),
            outcome_rule=None if draft.outcome_rule is None else dict(draft.outcome_rule),
            body=record.body,
            body_digest=record.body_digest,
            status=record.status,
            created_at=record.created_at,
            expires_at=record.expires_at,
        )
    )


def records_of(connection: Connection, rows: Sequence[Row[Any]]) -> list[ProposalRecord]:
    """Return the records of rows of the proposals' table, who edited them included."""
    editors: dict[str, set[str]] = {}
    ids = [row.proposal_id for row in rows]
    if ids:
        edited = connection.execute(select(proposal_editors).where(proposal_editors.c.proposal_id.in_(ids)))
        for edit in edited:
            editors.setdefault(edit.proposal_id, set()).add(edit.editor_key)
    return [
        ProposalRecord(
            draft=ProposalDraft(
                **{name: getattr(row, name) for name in _DRAFT_COLUMNS},
                current=row.current_value,
                proposed=row.proposed_value,
                supporting_metrics=row.supporting_metrics,
                outcome_rule=row.outcome_rule,
            ),
            **{name: getattr(row, name) for name in _RECORD_COLUMNS},
            status=Status(row.status),
            editor_keys=frozenset(editors.get(row.proposal_id, ())),
        )
        for row in rows
    ]


def _askable(text: str) -> str:
    """Return an id as it may be asked for: what no id can hold (NUL, half a character) matches nothing."""
    return text if text.isascii() and text.isprintable() else ""

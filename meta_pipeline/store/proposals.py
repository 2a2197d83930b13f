"""Saving proposals: each once, however often it is generated, and none that people turned down not long ago.

Reading and moving them is re-exported from `proposal_rows`, so that callers need one module.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, func, select

from meta_pipeline.canonical import Level, level_key
from meta_pipeline.errors import Blocked, MetaPipelineError
from meta_pipeline.proposals.candidate import level_to_json
from meta_pipeline.proposals.checks import (
    SAVE,
    error_of,
    first_failure,
    no_approved_rival,
    run_checks,
    tier_allows,
    undecided_in_time,
)
from meta_pipeline.proposals.configs import with_level
from meta_pipeline.proposals.diff import touched_keys
from meta_pipeline.proposals.digests import body_text, proposal_id, text_digest
from meta_pipeline.proposals.draft import ProposalDraft, ProposalRecord
from meta_pipeline.proposals.report_writer import ReportWriter
from meta_pipeline.proposals.situation import Situation
from meta_pipeline.proposals.states import REPEATABLE, Status
from meta_pipeline.settings import Settings
from meta_pipeline.store import audit, strategies
from meta_pipeline.store.proposal_rows import (
    add,
    approval_of,
    count_by_status,
    end,
    find,
    get,
    list_proposals,
    records_of,
)
from meta_pipeline.store.schema import approvals, meta_config_proposals
from meta_pipeline.store.situation import situation

__all__ = [
    "Refusal",
    "SaveResult",
    "Suppression",
    "approval_of",
    "count_by_status",
    "find",
    "get",
    "list_proposals",
    "save",
    "save_alone",
]

_COLUMNS: Final = meta_config_proposals.c
_PROPOSED: Final = (undecided_in_time, *SAVE, no_approved_rival, tier_allows)
"""What a report says of a proposal when it is made; who decides, freezes and the budget are looked at when that is."""


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """A draft that was not saved, because people turned the same change down not long ago.

    Parameters
    ----------
    proposal_id, status
        What was rejected, or applied and reverted.
    reason
        Why, in the words of the person who did.
    until
        From when on it may be proposed again.
    """

    draft: ProposalDraft
    proposal_id: str
    status: Status
    decided_at: datetime
    until: datetime
    reason: str

    def text(self) -> str:
        """Return the suppression in one sentence."""
        return (
            f"the same change, {self.proposal_id}, was {self.reason or self.status.lower()} (on "
            f"{self.decided_at:%Y-%m-%d}); it may be proposed again from {self.until:%Y-%m-%d} on"
        )


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A draft that was not saved, because no proposal may say what it says."""

    draft: ProposalDraft
    error: MetaPipelineError


@dataclass(frozen=True, kw_only=True)
class SaveResult:
    """What became of drafts.

    Parameters
    ----------
    new, existing
        Ids of what was added, and of what was there already.
    suppressed_by_rejection, refused
        What was not saved, and why. The others are not affected.
    superseded
        Older undecided proposals of the machine for the same change, on evidence that is now outdated.
    """

    new: tuple[str, ...] = ()
    existing: tuple[str, ...] = ()
    suppressed_by_rejection: tuple[Suppression, ...] = ()
    refused: tuple[Refusal, ...] = ()
    superseded: tuple[str, ...] = ()


def save(
    connection: Connection,
    drafts: Sequence[ProposalDraft],
    *,
    now: datetime,
    lifetime: timedelta,
    rejection_window: timedelta = timedelta(days=30),
    report: ReportWriter | None = None,
) -> SaveResult:
    """Save proposals. Saving the same ones again adds nothing.

    Every draft is judged on its own: one that is refused does not keep the others out.

    Parameters
    ----------
    lifetime
        How long an undecided proposal waits before it lapses.
    rejection_window
        How long a rejected change is not proposed again, and a reverted one not by the machine.
    report
        Writes what an approver will read; its sha256 is hashed and approved with the proposal. None: there is none.
    """
    found: dict[str, list[Any]] = {"new": [], "existing": [], "suppressed": [], "refused": [], "superseded": []}
    errors = _locked(connection, drafts)
    events: list[tuple[str, audit.Event]] = []
    for draft in drafts:
        try:
            if id(draft) in errors:
                raise errors[id(draft)]
            kind, what, event = _save_one(
                connection, draft, now=now, lifetime=lifetime, window=rejection_window, report=report
            )
        except MetaPipelineError as error:
            kind, what, event = "refused", Refusal(draft=draft, error=error), None
        found[kind].append(what)
        if event is not None:
            ended = _supersede_older(connection, draft, by=what)
            found["superseded"] += [one.subject_id for one in ended]
            events += [(draft.author, one) for one in (event, *ended)]
    # Last, and at once: an append holds the log until the end of the transaction, and reports take seconds to draw.
    for author, theirs in groupby(events, key=itemgetter(0)):
        audit.append_all(connection, [event for _, event in theirs], actor=author, at=now)
    return SaveResult(
        new=tuple(found["new"]),
        existing=tuple(found["existing"]),
        suppressed_by_rejection=tuple(found["suppressed"]),
        refused=tuple(found["refused"]),
        superseded=tuple(found["superseded"]),
    )


def save_alone(
    connection: Connection,
    draft: ProposalDraft,
    *,
    now: datetime,
    settings: Settings,
    report: ReportWriter | None = None,
) -> tuple[str, bool]:
    """Save a proposal that somebody asked for; return its id, and whether it is new.

    Raises
    ------
    Blocked
        If people turned the same change down not long ago.
    MetaPipelineError
        If no proposal may say what this one says.
    """
    saved = save(
        connection,
        [draft],
        now=now,
        lifetime=timedelta(days=settings.proposal_days),
        rejection_window=timedelta(days=settings.rejection_days),
        report=report,
    )
    if saved.refused:
        raise saved.refused[0].error
    if saved.suppressed_by_rejection:
        raise Blocked(saved.suppressed_by_rejection[0].text())
    return (saved.new + saved.existing)[0], bool(saved.new)


def _locked(connection: Connection, drafts: Sequence[ProposalDraft]) -> dict[int, MetaPipelineError]:
    """Lock the strategies of the drafts that can be stored, in order; return what is wrong with the others."""
    errors: dict[int, MetaPipelineError] = {}
    for draft in sorted(drafts, key=lambda draft: draft.strategy_id):
        try:
            draft.check()
            strategies.lock(connection, draft.strategy_id)
        except MetaPipelineError as error:
            errors[id(draft)] = error
    return errors


def _save_one(
    connection: Connection,
    draft: ProposalDraft,
    *,
    now: datetime,
    lifetime: timedelta,
    window: timedelta,
    report: ReportWriter | None,
) -> tuple[str, Any, audit.Event | None]:
    """Store one draft, or find it there; return what became of it, and what is to be put on record."""
    identity, attempt, present = _slot(connection, draft)
    if present is not None:
        return "existing", identity, None
    suppression = _suppression(connection, draft, now=now, window=window)
    if suppression is not None:
        return "suppressed", suppression, None
    body = body_text(draft, attempt=attempt, created_at=now, expires_at=now + lifetime)
    record = ProposalRecord(
        proposal_id=identity,
        draft=draft,
        body=body,
        body_digest=text_digest(body),
        status=Status.PENDING,
        created_at=now,
        expires_at=now + lifetime,
    )
    seen = situation(connection, record, now=now)
    failed = first_failure(run_checks(SAVE, seen))
    if failed is not None:
        raise error_of(failed)
    if report is not None:
        record = with_report(seen, report, attempt=attempt)
    add(connection, record)
    event = audit.Event(
        action="proposal.create",
        subject_type="proposal",
        subject_id=identity,
        payload={
            "strategy_id": draft.strategy_id,
            "target_component": draft.target_component,
            "from": level_to_json(draft.current),
            "to": level_to_json(draft.proposed),
            "base_version": draft.base_version,
            "body_digest": record.body_digest,
        },
    )
    return "new", identity, event


def with_report(seen: Situation, report: ReportWriter, *, attempt: int) -> ProposalRecord:
    """Write the report of a proposal, and return the proposal as it names it."""
    record, draft = seen.record, seen.record.draft
    live = dict(seen.live or {})
    after = with_level(live, draft.target_component, draft.proposed)
    sha256 = report(record, checks=run_checks(_PROPOSED, seen), touched=touched_keys(live, after, knobs=seen.knobs))
    draft = replace(draft, report_sha256=sha256)
    body = body_text(draft, attempt=attempt, created_at=record.created_at, expires_at=record.expires_at)
    return replace(record, draft=draft, body=body, body_digest=text_digest(body))


def _slot(connection: Connection, draft: ProposalDraft) -> tuple[str, int, str | None]:
    """Find the first attempt that is free, or that is in force: its id, number, and status."""
    attempt = 1
    while True:
        identity = proposal_id(draft, attempt=attempt)
        present = connection.execute(
            select(_COLUMNS.status).where(_COLUMNS.proposal_id == identity)
        ).scalar_one_or_none()
        if present is None or Status(present) not in REPEATABLE:
            return identity, attempt, present
        attempt += 1


def _suppression(
    connection: Connection, draft: ProposalDraft, *, now: datetime, window: timedelta
) -> Suppression | None:
    # A person may propose a reverted change again (another has to approve it); the machine waits.
    ends = (Status.REJECTED, Status.REVERTED) if draft.author_kind == "machine" else (Status.REJECTED,)
    rejected_at = (
        select(func.max(approvals.c.decided_at))
        .where(approvals.c.proposal_id == _COLUMNS.proposal_id, approvals.c.decision == "reject")
        .scalar_subquery()
    )
    ended_at = func.coalesce(_COLUMNS.reverted_at, rejected_at).label("ended_at")
    rows = connection.execute(
        select(
            _COLUMNS.proposal_id,
            _COLUMNS.status,
            _COLUMNS.status_reason,
            _COLUMNS.current_value,
            _COLUMNS.proposed_value,
            ended_at,
        )
        .where(
            _COLUMNS.strategy_id == draft.strategy_id,
            _COLUMNS.target_component == draft.target_component,
            _COLUMNS.status.in_(ends),
            ended_at > now - window,
        )
        .order_by(ended_at.desc())
    )
    for row in rows:
        if _same_change(row.current_value, row.proposed_value, draft):
            return Suppression(
                draft=draft,
                proposal_id=row.proposal_id,
                status=Status(row.status),
                decided_at=row.ended_at,
                until=row.ended_at + window,
                reason=row.status_reason or "",
            )
    return None


def _supersede_older(connection: Connection, draft: ProposalDraft, *, by: str) -> list[audit.Event]:
    if draft.author_kind != "machine":
        return []
    older = connection.execute(
        select(meta_config_proposals).where(
            _COLUMNS.strategy_id == draft.strategy_id,
            _COLUMNS.target_component == draft.target_component,
            _COLUMNS.status == Status.PENDING,
            _COLUMNS.author_kind == "machine",
            _COLUMNS.proposal_id != by,
            _COLUMNS.evidence_digest != draft.evidence_digest,
        )
    ).all()
    records = records_of(
        connection, [row for row in older if _same_change(row.current_value, row.proposed_value, draft)]
    )
    reason = f"newer evidence for the same change: {by}"
    return [end(connection, record, Status.SUPERSEDED, reason=reason) for record in records]


def _same_change(current: Level, proposed: Level, draft: ProposalDraft) -> bool:
    return (level_key(current), level_key(proposed)) == (level_key(draft.current), level_key(draft.proposed))

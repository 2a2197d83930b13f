"""Applying one proposal, inside the caller's transaction."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from meta_pipeline.errors import InputError, Unhealthy
from meta_pipeline.proposals.checks import APPLY, REVIEW, Check, Checker, Situation, error_of, first_failure, run_checks
from meta_pipeline.proposals.configs import with_level
from meta_pipeline.proposals.decision import ApplyResult
from meta_pipeline.proposals.diff import sentence, touched_keys
from meta_pipeline.proposals.digests import change_id
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.states import Status
from meta_pipeline.store import audit, changes, strategies
from meta_pipeline.store import proposal_rows as rows
from meta_pipeline.store.situation import situation


def apply_one(connection: Connection, proposal_id: str, *, actor: str, now: datetime) -> ApplyResult:
    """Apply one proposal, or say why not.

    Returns
    -------
    ApplyResult
        "applied", "already_applied", or "refused" with its error. What a refusal itself writes down (the
        proposal is STALE, or EXPIRED) is written; the caller commits it.
    """
    record = rows.lock(connection, proposal_id)
    if record.status in {Status.APPLIED, Status.KEPT}:
        return _already_applied(connection, record)
    seen = _situation(connection, record, now=now, lock=True)
    judged = _judge(seen, APPLY)
    failed = first_failure(judged.checks)
    if failed is not None:
        _end_if_over(connection, record, failed, actor, now)
        return judged
    assert seen.live is not None
    written = changes.write_apply(connection, record, seen.live, actor=actor, now=now)
    return replace(
        judged,
        outcome="applied",
        message=f"applied as change {written.change_id}: {_sentence(record)} {record.draft.strategy_id} is now at "
        f"version {written.new_version}.",
        new_version=written.new_version,
        superseded=written.superseded,
        made_stale=written.made_stale,
    )


def _situation(connection: Connection, record: ProposalRecord, *, now: datetime, lock: bool) -> Situation:
    approval = rows.approval_of(connection, record.proposal_id)
    return situation(connection, record, now=now, approval=approval, lock=lock)


def _judge(seen: Situation, checkers: tuple[Checker, ...]) -> ApplyResult:
    """Return the result of a proposal as far as the checks go: refused, or "would_apply"."""
    record = seen.record
    draft = record.draft
    checks = run_checks(checkers, seen)
    failed = first_failure(checks)
    live = dict(seen.live or {})
    try:
        after = with_level(live, draft.target_component, draft.proposed)
    except InputError:  # something on the way is no object; the check of the target says so
        after = live
    return ApplyResult(
        proposal_id=record.proposal_id,
        outcome="would_apply" if failed is None else "refused",
        message=f"would apply: {_sentence(record)}" if failed is None else failed.text,
        strategy_id=draft.strategy_id,
        change_id=change_id(record.proposal_id),
        base_version=draft.base_version,
        risk_change=draft.risk_change,
        touched=touched_keys(live, after, knobs=seen.knobs),
        before=live,
        after=after,
        checks=checks,
        error=None if failed is None else error_of(failed),
    )


def _already_applied(connection: Connection, record: ProposalRecord) -> ApplyResult:
    change = changes.of_proposal(connection, record.proposal_id)
    if change is None:
        raise Unhealthy(
            f"proposal {record.proposal_id} is {record.status}, but no change is on record; its status was changed by "
            "hand: run meta-pipeline audit verify"
        )
    live = strategies.live_config(connection, change.strategy_id)
    return ApplyResult(
        proposal_id=record.proposal_id,
        outcome="already_applied",
        message=f"already applied as change {change.change_id} by {change.applied_by} on "
        f"{change.applied_at:%Y-%m-%d %H:%M} UTC; nothing was written",
        strategy_id=change.strategy_id,
        change_id=change.change_id,
        base_version=change.base_version,
        new_version=change.new_version,
        risk_change=change.risk_change,
        before=live.config,
        after=live.config,
    )


def _end_if_over(connection: Connection, record: ProposalRecord, failed: Check, actor: str, now: datetime) -> None:
    """Write down that a proposal is STALE or EXPIRED, if that is what the failed check found."""
    if failed.becomes is not None:
        event = rows.end(connection, record, failed.becomes, reason=failed.text)
        audit.append(connection, event, actor=actor, at=now)


def preview(connection: Connection, proposal_id: str, *, now: datetime) -> ApplyResult:
    """Show what applying a proposal would do, with every check, without writing or locking anything.

    For a proposal that nobody has decided on, the checks are those that do not depend on who decides.
    """
    record = rows.get(connection, proposal_id)
    checkers = REVIEW if record.status is Status.PENDING else APPLY
    return _judge(_situation(connection, record, now=now, lock=False), checkers)


def _sentence(record: ProposalRecord) -> str:
    draft = record.draft
    return sentence(
        strategy_id=draft.strategy_id,
        path=draft.target_component,
        before=draft.current,
        after=draft.proposed,
        risk_change=draft.risk_change,
    )

"""One decision of one person about one proposal, inside the caller's transaction."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, get_args

from sqlalchemy import Connection, insert, select

from meta_pipeline import failpoints
from meta_pipeline.errors import DigestMismatch, InputError, MetaPipelineError
from meta_pipeline.proposals.checks import APPROVE, REJECT, before_signing, error_of, first_failure, run_checks
from meta_pipeline.proposals.decision import Channel, Decision, DecisionResult, Verdict
from meta_pipeline.proposals.diff import show
from meta_pipeline.proposals.draft import ProposalRecord, compatible
from meta_pipeline.proposals.identity import MAX_REASON, check_text, clean_name, clean_reason, name_key
from meta_pipeline.proposals.roles import Power
from meta_pipeline.proposals.signatures import read_signature
from meta_pipeline.proposals.situation import Check, Checker, Situation
from meta_pipeline.proposals.states import Status, require_transition
from meta_pipeline.store import audit, people, proposal_rows
from meta_pipeline.store.rules import Rules
from meta_pipeline.store.schema import approvals
from meta_pipeline.store.situation import situation

_RESULTS: Final[dict[Verdict, Status]] = {"approve": Status.APPROVED, "reject": Status.REJECTED}
_CHECKERS: Final[dict[Verdict, tuple[Checker, ...]]] = {"approve": APPROVE, "reject": REJECT}


@dataclass(frozen=True, kw_only=True)
class Act:
    """Who decides, by which way in, when, and by which rules.

    Raises
    ------
    InputError
        If the name, the channel, or the reference cannot be used.
    """

    approver: str
    channel: Channel
    channel_ref: str
    now: datetime
    rules: Rules

    def __post_init__(self) -> None:
        object.__setattr__(self, "approver", clean_name(self.approver))
        if self.channel not in get_args(Channel):
            raise InputError(f"channel {self.channel!r} is not one of {list(get_args(Channel))}")
        check_text(self.channel_ref, what="channel_ref", longest=128)


def check_decision(decision: Decision) -> None:
    """Check what can be checked of a decision without the database.

    Raises
    ------
    InputError
        If the verdict is unknown, the digest is none, or a rejection gives no reason.
    """
    if decision.verdict not in get_args(Verdict):
        raise InputError(f"the verdict {decision.verdict!r} is neither 'approve' nor 'reject'")
    if len(decision.digest) != 64 or not set(decision.digest) <= set("0123456789abcdef"):
        raise InputError(
            f"the digest {decision.digest[:80]!r} is no sha256 (64 hexadecimal digits); take it from: "
            f"meta-pipeline proposals show {decision.proposal_id[:64]!a}"
        )
    if decision.verdict == "reject":
        clean_reason(decision.reason, what=f"the rejection of {decision.proposal_id[:64]!a}")
    check_text(decision.reason, what="the reason", longest=MAX_REASON)
    if decision.signature is not None:
        read_signature(decision.signature)


def decide_one(connection: Connection, decision: Decision, act: Act) -> DecisionResult:
    """Carry out one decision.

    Returns
    -------
    DecisionResult
        With outcome "refused" where the refusal itself is written down (the proposal lapsed, or its base
        moved). Every other refusal is raised, and writes nothing.

    Raises
    ------
    MetaPipelineError
        What stops the decision.
    """
    check_decision(decision)
    record = proposal_rows.lock(connection, decision.proposal_id)
    failpoints.reach("approve.locked")
    people.require(connection, act.approver, Power.DECIDE)
    repeated = _repeated(connection, record, decision, act)
    if repeated is not None:
        return repeated
    target = _RESULTS[decision.verdict]
    require_transition(record.proposal_id, record.status, target, reason=record.status_reason)
    if decision.digest != record.body_digest:
        raise DigestMismatch(
            f"the decision on proposal {record.proposal_id} names the content {decision.digest[:12]}..., but it "
            f"is {record.body_digest[:12]}...; look at it again and decide on what it says now"
        )
    seen = situation(
        connection,
        record,
        now=act.now,
        rules=act.rules,
        approver=act.approver,
        decision=decision.verdict,
        signature=decision.signature,
        lock=True,
    )
    checks = run_checks(_CHECKERS[decision.verdict], seen)
    failpoints.reach("approve.checked")
    failed = first_failure(checks)
    if failed is not None:
        return _refused(connection, record, decision, failed, act)
    return _write(connection, seen, decision, act, checks=checks, notes=(*seen.notes, *_notes(connection, record, act)))


def checks_to_come(
    connection: Connection, record: ProposalRecord, verdict: Verdict, *, approver: str, now: datetime, rules: Rules
) -> tuple[Check, ...]:
    """Make every check that `decide_one` would make of a decision, for one who has not signed or sent it yet."""
    seen = situation(connection, record, now=now, rules=rules, approver=approver, decision=verdict)
    return (
        people.check_role(connection, approver, Power.DECIDE),
        _check_status(record, _RESULTS[verdict]),
        *run_checks(before_signing(_CHECKERS[verdict]), seen),
    )


def _check_status(record: ProposalRecord, target: Status) -> Check:
    try:
        require_transition(record.proposal_id, record.status, target, reason=record.status_reason)
    except MetaPipelineError as error:
        return Check(name="status", passed=False, error=type(error), text=str(error))
    return Check(name="status", passed=True, text=f"the proposal is {record.status}")


def _repeated(connection: Connection, record: ProposalRecord, decision: Decision, act: Act) -> DecisionResult | None:
    """Answer a decision that the same person made before: nothing is written twice.

    Once the proposal has moved on, only a retry of the very same act (the same gate run) is answered so.
    """
    last = connection.execute(
        select(approvals)
        .where(approvals.c.proposal_id == record.proposal_id)
        .order_by(approvals.c.approval_id.desc())
        .limit(1)
    ).one_or_none()
    if last is None or last.approver_key != name_key(act.approver):
        return None
    if (last.decision, last.body_digest) != (decision.verdict, decision.digest):
        return None
    same_act = act.channel_ref != "" and (last.channel, last.channel_ref) == (act.channel, act.channel_ref)
    if record.status is not _RESULTS[decision.verdict] and not same_act:
        return None
    done = "approved" if decision.verdict == "approve" else "rejected"
    return DecisionResult(
        proposal_id=record.proposal_id,
        verdict=decision.verdict,
        outcome="already",
        message=f"{last.approver} has already {done} proposal {record.proposal_id}, on {last.decided_at:%Y-%m-%d %H:%M}"
        f" UTC; it is {record.status}",
        status=record.status,
        approval_id=last.approval_id,
        approval_expires_at=last.expires_at,
    )


def _refused(
    connection: Connection, record: ProposalRecord, decision: Decision, failed: Check, act: Act
) -> DecisionResult:
    error = error_of(failed)
    if failed.becomes is None:
        raise error
    event = proposal_rows.end(connection, record, failed.becomes, reason=failed.text)
    audit.append(connection, event, actor=act.approver, at=act.now)
    return DecisionResult(
        proposal_id=record.proposal_id,
        verdict=decision.verdict,
        outcome="refused",
        message=str(error),
        status=failed.becomes,
        error=error,
    )


def _write(
    connection: Connection,
    seen: Situation,
    decision: Decision,
    act: Act,
    *,
    checks: tuple[Check, ...],
    notes: tuple[str, ...],
) -> DecisionResult:
    record, approving = seen.record, decision.verdict == "approve"
    expires_at = _ends(decision, act) if approving else None
    reason = decision.reason.strip()
    approval_id: int = connection.execute(
        insert(approvals)
        .values(
            proposal_id=record.proposal_id,
            body_digest=record.body_digest,
            decision=decision.verdict,
            approver=act.approver,
            approver_key=name_key(act.approver),
            reason=reason,
            channel=act.channel,
            channel_ref=act.channel_ref,
            decided_at=act.now,
            expires_at=expires_at,
            signature=None if decision.signature is None else decision.signature.strip(),
        )
        .returning(approvals.c.approval_id)
    ).scalar_one()
    failpoints.reach("approve.recorded")
    target = _RESULTS[decision.verdict]
    if approving:
        columns = {
            "approved_by": act.approver,
            "approved_at": act.now,
            "approval_expires_at": expires_at,
            "status_reason": reason or None,
        }
    else:
        columns = {"status_reason": f"rejected by {act.approver}: {reason}"}
    proposal_rows.move(connection, record, target, **columns)
    failpoints.reach("approve.moved")
    event = audit.Event(
        action=f"proposal.{decision.verdict}",
        subject_type="proposal",
        subject_id=record.proposal_id,
        payload={
            "body_digest": record.body_digest,
            "reason": reason,
            "channel": act.channel,
            "channel_ref": act.channel_ref,
            "approval_id": approval_id,
            **({} if decision.signature is None else {"signature": decision.signature.strip()}),
            **seen.facts,
        },
    )
    audit.append(connection, event, actor=act.approver, at=act.now)
    failpoints.reach("approve.audited")
    until = f", may be applied until {expires_at:%Y-%m-%d %H:%M} UTC" if expires_at is not None else ""
    return DecisionResult(
        proposal_id=record.proposal_id,
        verdict=decision.verdict,
        outcome="approved" if approving else "rejected",
        message=f"proposal {record.proposal_id} {target.lower()} by {act.approver}{until}",
        status=target,
        approval_id=approval_id,
        approval_expires_at=expires_at,
        notes=notes if approving else (),
        checks=checks,
    )


def _ends(decision: Decision, act: Act) -> datetime:
    """Return until when an approval holds: as long as the settings say, and no longer than it was signed for."""
    by_settings = act.now + act.rules.approval_lifetime
    if decision.signature is None:
        return by_settings
    return min(by_settings, read_signature(decision.signature).expires_at)


def _notes(connection: Connection, record: ProposalRecord, act: Act) -> tuple[str, ...]:
    """Say what an approver should know: which other open proposals an apply will end."""
    seen = situation(connection, record, now=act.now)
    same = {rival.proposal_id for rival in seen.rivals}
    notes = [f"competes with {rival.proposal_id} ({rival.path} -> {show(rival.proposed)})" for rival in seen.rivals]
    others = proposal_rows.list_proposals(connection, strategy_id=record.draft.strategy_id, status=[Status.APPROVED])
    notes += [
        f"{other.proposal_id} ({other.draft.target_component}) of the same strategy is approved too: "
        + _both(record, other)
        for other in others
        if other.proposal_id not in same and other.proposal_id != record.proposal_id
    ]
    return tuple(notes)


def _both(record: ProposalRecord, other: ProposalRecord) -> str:
    if compatible(record.draft, other.draft):
        return (
            "on the same evidence, so that --all-approved applies both together, and their outcome is judged as one; "
            "applied alone, one ends the other"
        )
    return "whichever is applied first moves the configuration, and makes the other stale"

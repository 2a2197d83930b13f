"""The checks that a proposal passes when it is approved, and again when it is applied.

Each check looks at a `Situation`, read under the lock of its strategy, and answers with a sentence,
whether it passed or not. Pure: what is done about a failure is up to the service (store.governance).
A further rule of the gate is one more function in `APPROVE` and `APPLY`.
"""

from datetime import datetime, timedelta
from typing import Final

from meta_pipeline.canonical import ABSENT, level_key
from meta_pipeline.counted import counted
from meta_pipeline.errors import (
    Blocked,
    Conflict,
    ContentTampered,
    DigestMismatch,
    FourEyes,
    Frozen,
    InputError,
    Lapsed,
    MetaPipelineError,
    NotAnApprover,
    NotPermitted,
    OverBudget,
    StaleBase,
)
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.proposals.diff import show
from meta_pipeline.proposals.digests import tampering
from meta_pipeline.proposals.identity import is_machine, name_key
from meta_pipeline.proposals.knob_groups import objection_inside
from meta_pipeline.proposals.signature_checks import can_sign, signed
from meta_pipeline.proposals.situation import Budget, Check, Checker, Rival, Situation
from meta_pipeline.proposals.states import Status, require_transition

__all__ = [
    "AFTERWARDS",
    "APPLY",
    "APPROVE",
    "ELIGIBLE",
    "EXEMPT",
    "REJECT",
    "REVIEW",
    "SAVE",
    "Budget",
    "Check",
    "Checker",
    "Rival",
    "Situation",
    "before_signing",
    "error_of",
    "first_failure",
    "run_checks",
]


def status_allows_apply(s: Situation) -> Check:
    """Whether the proposal waits to be applied."""
    try:
        require_transition(s.record.proposal_id, s.record.status, Status.APPLIED, reason=s.record.status_reason)
    except Conflict as error:
        return Check(name="status", passed=False, error=type(error), text=str(error))
    return _passed("status", f"the proposal is {s.record.status}")


def content(s: Situation) -> Check:
    """Whether the stored proposal still is what was hashed, and the file of its report what it names."""
    found = tampering(s.record)
    if found is None and s.report == "altered":
        text = (
            f"the file of the report {(s.record.draft.report_sha256 or '')[:12]}... that proposal "
            f"{s.record.proposal_id} names was changed since it was written, so that what was read there is not what "
            "the digest covers; restore it from a backup, and find out who can write to reports/ of the home folder"
        )
        return Check(name="content", passed=False, error=ContentTampered, text=text)
    if found is None:
        stored = f"the stored text has the digest {s.record.body_digest[:12]}..."
        whole = ("its report is as it was written",) if s.report == "whole" else ()
        return _passed("content", "; ".join((stored, *whole, *s.notes)))
    return Check(
        name="content",
        passed=False,
        error=ContentTampered,
        text=f"proposal {s.record.proposal_id} was changed in the database: {found}; "
        "withdraw it, look for who changed it, and propose anew",
    )


def undecided_in_time(s: Situation) -> Check:
    """Whether the proposal has not lapsed before it was decided."""
    if s.now < s.record.expires_at:
        return _passed("lifetime", f"may be decided until {_time(s.record.expires_at)}")
    return Check(
        name="lifetime",
        passed=False,
        error=Lapsed,
        becomes=Status.EXPIRED,
        text=f"proposal {s.record.proposal_id} lapsed on {_time(s.record.expires_at)}, undecided; propose it anew",
    )


def approved_content(s: Situation) -> Check:
    """Whether there is an approval, and it names exactly the stored content."""
    record = s.record
    if s.approval is None:
        text = f"no approval of proposal {record.proposal_id} is on record; approve it through the gate"
        return Check(name="approval", passed=False, error=NotPermitted, text=text)
    if s.approval.body_digest != record.body_digest:
        text = (
            f"the approval of proposal {record.proposal_id} by {s.approval.approver} names the content "
            f"{s.approval.body_digest[:12]}..., but the content is {record.body_digest[:12]}...; have it approved anew"
        )
        return Check(name="approval", passed=False, error=DigestMismatch, text=text)
    return _passed("approval", f"approved by {s.approval.approver} on {_time(s.approval.decided_at)}")


def approval_in_time(s: Situation) -> Check:
    """Whether the approval still holds."""
    ends = s.record.approval_expires_at if s.approval is None else s.approval.expires_at
    if ends is not None and s.now < ends:
        return _passed("approval lifetime", f"the approval holds until {_time(ends)}")
    lapsed = "never held" if ends is None else f"lapsed on {_time(ends)}"
    return Check(
        name="approval lifetime",
        passed=False,
        error=Lapsed,
        becomes=None if ends is None else Status.EXPIRED,
        text=f"the approval of proposal {s.record.proposal_id} {lapsed}; propose it anew and have it approved",
    )


def a_person(s: Situation) -> Check:
    """Whether the one who decides is a person."""
    who = s.approver
    if who is None:
        text = f"nobody has decided on proposal {s.record.proposal_id}; approve it first"
        return Check(name="person", passed=False, error=NotPermitted, text=text)
    if is_machine(who):
        text = f"{who!r} is a name reserved for machines, and a machine is never the human eye; decide as a person"
        return Check(name="person", passed=False, error=NotPermitted, text=text)
    return _passed("person", f"{who} is no name that machines use")


def on_the_list(s: Situation) -> Check:
    """Whether the one who decides is on the list of approvers now."""
    if s.approver_active:
        return _passed("approver", f"{s.approver} is on the list of approvers")
    text = f"{s.approver!r} is not on the list of approvers; a name is added with: meta-pipeline approvers add NAME"
    return Check(name="approver", passed=False, error=NotAnApprover, text=text)


def second_person(s: Situation) -> Check:
    """Whether the one who approves had no hand in the proposal."""
    who, record = s.approver, s.record
    key = None if who is None else name_key(who)
    try:
        author = name_key(record.draft.author)
    except InputError as error:
        return Check(name="four eyes", passed=False, error=FourEyes, text=f"the author is unknown: {error}")
    if key == author:
        text = f"{who!r} is the author of proposal {record.proposal_id}; somebody else has to approve it"
        return Check(name="four eyes", passed=False, error=FourEyes, text=text)
    if key in record.editor_keys:
        text = f"{who!r} edited proposal {record.proposal_id}; somebody who had no hand in it has to approve it"
        return Check(name="four eyes", passed=False, error=FourEyes, text=text)
    return _passed("four eyes", f"proposed by {record.draft.author}, and by nobody who approves")


def base(s: Situation) -> Check:
    """Whether the configuration still is the one the proposal was made against, and is what was hashed."""
    wanted = s.record.draft.base_version
    if not s.live_as_hashed:
        text = (
            f"version {s.live_version} of {s.record.draft.strategy_id} is not what was hashed when it went live; "
            "compare it with a backup, and look for who changed it in the database"
        )
        return Check(name="base", passed=False, error=ContentTampered, text=text)
    if s.live_version == wanted and s.live is not None:
        return _passed("base", f"the live configuration is version {wanted}, as when it was proposed")
    moved = f" ({s.moved_by})" if s.moved_by else ""
    text = (
        f"proposal {s.record.proposal_id} was made against version {wanted} of {s.record.draft.strategy_id}, "
        f"but live is {'no version' if s.live_version is None else f'version {s.live_version}'}{moved}; "
        "have it proposed anew against what is live"
    )
    return Check(name="base", passed=False, error=StaleBase, becomes=Status.STALE, text=text)


def target(s: Situation) -> Check:
    """Whether the key still is what the proposal says it is; one that was absent must still be absent."""
    draft = s.record.draft
    path = draft.target_component
    try:
        live = level_at(s.live or {}, path)
    except InputError as error:
        return Check(name="target", passed=False, error=Blocked, text=str(error))
    if level_key(live) == level_key(draft.current):
        return _passed("target", f"{path} is {show(live)}, as the proposal says")
    if draft.current is ABSENT:
        text = f"{path} was absent when proposal {s.record.proposal_id} was made, but is {show(live)} now; "
    else:
        text = (
            f"{path} is {show(live)} now, but proposal {s.record.proposal_id} changes it from {show(draft.current)}; "
        )
    text += "have it proposed anew against what is live"
    return Check(name="target", passed=False, error=StaleBase, becomes=Status.STALE, text=text)


def knob_allows(s: Situation) -> Check:
    """Whether the target is a declared knob whose type, bounds, choices and step allow the change."""
    draft = s.record.draft
    if s.knob is None:
        text = (
            f"{draft.target_component} is not a declared knob of {draft.strategy_id}; "
            f"declared are: {', '.join(sorted(s.knobs)) or 'none'}"
        )
        return Check(name="knob", passed=False, error=Blocked, text=text)
    objection = s.knob.objection_to_change(draft.current, draft.proposed) or objection_inside(
        s.knobs.values(), draft.target_component, draft.current, draft.proposed
    )
    if objection is not None:
        return Check(name="knob", passed=False, error=Blocked, text=objection)
    return _passed("knob", f"{show(draft.proposed)} is within what {s.knob.path} is declared to allow")


def risk_as_stated(s: Situation) -> Check:
    """Whether the change does to risk what the proposal says it does."""
    draft = s.record.draft
    now = "unknown" if s.knob is None else s.knob.risk_change(draft.current, draft.proposed)
    if now == draft.risk_change:
        return _passed("risk", f"effect on risk as stated: {now}")
    text = (
        f"proposal {s.record.proposal_id} states the effect on risk as {draft.risk_change!r}, but by the present "
        f"declaration of {draft.target_component} it is {now!r}; propose it anew"
    )
    return Check(name="risk", passed=False, error=Blocked, text=text)


def no_approved_rival(s: Situation) -> Check:
    """Whether no other proposal on the same target is approved."""
    approved = [rival for rival in s.rivals if rival.status is Status.APPROVED]
    if approved:
        rival = approved[0]
        text = (
            f"proposal {rival.proposal_id} ({rival.path} -> {show(rival.proposed)}) is approved for the same target; "
            "apply or reject that one first"
        )
        return Check(name="conflicts", passed=False, error=Conflict, text=text)
    if s.rivals:
        names = ", ".join(f"{rival.proposal_id} ({rival.path} -> {show(rival.proposed)})" for rival in s.rivals)
        return _passed("conflicts", f"competes with {names}; whichever is applied first supersedes the others")
    return _passed("conflicts", "no other open proposal on the same target")


def within_budget(s: Situation) -> Check:
    """Whether the strategy has not had as many changes as it may in so short a time."""
    if s.budget is None:
        text = f"the budget of changes of {s.record.draft.strategy_id} could not be read"
        return Check(name="budget", passed=False, error=OverBudget, text=text)
    spent, limit, hours = s.budget.spent, s.budget.limit, s.budget.window / timedelta(hours=1)
    if spent < limit:
        return _passed("budget", f"{spent} used of at most {counted(limit, 'change')} within {counted(hours, 'hour')}")
    text = (
        f"{s.record.draft.strategy_id} has had {counted(spent, 'change')} within {counted(hours, 'hour')}, and may "
        f"have {limit}; wait, or raise its limit with: meta-pipeline strategies limit"
    )
    return Check(name="budget", passed=False, error=OverBudget, text=text)


def not_frozen(s: Situation) -> Check:
    """Whether no freeze is in force, or the change reduces risk, which no freeze stops."""
    if not s.freezes:
        return _passed("freeze", "no freeze is in force")
    what = "; ".join(s.freezes)
    draft = s.record.draft
    if s.knob is not None and s.knob.risk_change(draft.current, draft.proposed) == "reduces":
        return _passed("freeze", f"{EXEMPT}: {what}")
    text = f"applies are frozen: {what}. What reduces risk, and reverts, are exempt; see: meta-pipeline freeze list"
    return Check(name="freeze", passed=False, error=Frozen, text=text)


def tier_allows(s: Situation) -> Check:
    """Whether the knob's tier lets it move at all, and by those who are about to move it."""
    path = s.record.draft.target_component
    if s.tier == "blocked":
        text = (
            f"{path} of {s.record.draft.strategy_id} is blocked: no proposal may move it; see: meta-pipeline automation"
        )
        return Check(name="tier", passed=False, error=Blocked, text=text)
    if s.tier != "four_eyes" or s.applier is None:
        means = ": one person approves it, and another applies it" if s.tier == "four_eyes" else ""
        return _passed("tier", f"{path} is of the tier {s.tier}{means}")
    approver = None if s.approver is None else name_key(s.approver)
    if is_machine(s.applier) or name_key(s.applier) == approver:
        text = (
            f"{path} takes two people, one who approves and another who applies; {s.applier!r} is "
            f"{'a machine' if is_machine(s.applier) else 'the one who approved'}; somebody else has to apply it"
        )
        return Check(name="tier", passed=False, error=FourEyes, text=text)
    return _passed("tier", f"approved by {s.approver}, applied by {s.applier}: two people")


EXEMPT: Final = "exempt, as it reduces risk, from what is in force"
"""How the check of freezes begins where a freeze was in force and did not stop the change."""

SAVE: Final[tuple[Checker, ...]] = (base, knob_allows, target, risk_as_stated)
"""What a proposal has to pass to be stored at all."""

_OPEN: Final[tuple[Checker, ...]] = (undecided_in_time, *SAVE, no_approved_rival, tier_allows)
_NOW: Final[tuple[Checker, ...]] = (within_budget, not_frozen)
"""What stops an apply for a while, and no approval."""

REVIEW: Final[tuple[Checker, ...]] = (content, *_OPEN, *_NOW)
"""What an approver wants to see passed before deciding."""

APPROVE: Final[tuple[Checker, ...]] = (content, a_person, second_person, on_the_list, signed, *_OPEN)
REJECT: Final[tuple[Checker, ...]] = (a_person, on_the_list, signed)

ELIGIBLE: Final[tuple[Checker, ...]] = (a_person, second_person, on_the_list, can_sign)
"""What is asked of the person who approves, whatever the proposal is."""

AFTERWARDS: Final[tuple[Checker, ...]] = _NOW
"""What applying asks that approving does not settle."""

APPLY: Final[tuple[Checker, ...]] = (
    *(status_allows_apply, content, approved_content, approval_in_time, a_person, second_person, on_the_list, signed),
    *(*SAVE, no_approved_rival, tier_allows, *_NOW),
)


def run_checks(checkers: tuple[Checker, ...], situation: Situation) -> tuple[Check, ...]:
    """Run all checks, in their order. Nothing is left out after a failure, so that a person sees all of it."""
    return tuple(checker(situation) for checker in checkers)


def before_signing(checkers: tuple[Checker, ...]) -> tuple[Checker, ...]:
    """Return the same checks for one who has not signed yet: whether they could, and not whether they did."""
    return tuple(can_sign if checker is signed else checker for checker in checkers)


def first_failure(checks: tuple[Check, ...]) -> Check | None:
    """Return the first check that failed, or None."""
    return next((check for check in checks if not check.passed), None)


def error_of(check: Check) -> MetaPipelineError:
    """Return the error that a failed check is raised as."""
    assert check.error is not None
    return check.error(check.text)


def _passed(name: str, text: str) -> Check:
    return Check(name=name, passed=True, text=text)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S %Z")

"""What each act has to end in, by the rules: who is refused with which error, and what is written otherwise.

Each function does the act in a `World` and returns what the service has to answer: the type of its error, or a word.
The order of the questions is that of the service, since only the first one that is answered with no is raised.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias

from meta_pipeline import errors
from meta_pipeline.canonical import Level
from meta_pipeline_tests.faults.expected_world import (
    APPROVAL_LIFE,
    BUDGET,
    MACHINE,
    OPEN,
    OVER,
    PATHS,
    PROPOSAL_LIFE,
    SUPPRESSED_FOR,
    Changed,
    Frozen,
    Proposed,
    World,
    get,
    key,
    touching,
)

Refusal: TypeAlias = type[errors.MetaPipelineError]
Answer: TypeAlias = str | Refusal
SIGNED_FOR: Final = timedelta(hours=48)
"""How long a signature of the sequences lets an approval hold: less than the settings do."""

_ENDS: Final = {"STALE": "stale", "EXPIRED": "expire", "SUPERSEDED": "supersede"}
_ILLEGAL: Final[dict[str, Refusal]] = {"STALE": errors.StaleBase, "EXPIRED": errors.Lapsed}


@dataclass(frozen=True)
class Wish:
    """A change that somebody wants."""

    strategy: str
    path: str
    after: Level
    author: str
    evidence: str


def propose(world: World, wish: Wish, *, ids: tuple[str, str]) -> Answer:
    """Let a person propose. `ids`: the id and the digest that the service gave it, if it did."""
    if not world.may(wish.author, "propose"):
        return errors.NotPermitted
    if wish.author == MACHINE:
        return errors.InputError
    return _save(world, wish, get(world.config(wish.strategy), wish.path), ids=ids)


def generate(world: World, wishes: list[Wish], *, ids: list[tuple[str, str]]) -> list[Answer]:
    """Let the machine propose several changes of what is live. `ids`: one per proposal that has to be new."""
    before = [get(world.config(wish.strategy), wish.path) for wish in wishes]
    given = iter(ids)
    answers: list[Answer] = []
    for wish, level in zip(wishes, before, strict=True):
        new = _foreseen(world, wish, level) == "new"
        answers.append(_save(world, wish, level, ids=next(given, ("none", "none")) if new else ("", "")))
    return answers


def _foreseen(world: World, wish: Wish, before: Level) -> Answer:
    draft = _draft(world, wish, before, ids=("", ""))
    if _there(world, draft) is not None:
        return "existing"
    if _suppressed(world, draft):
        return errors.Blocked if wish.author != MACHINE else "suppressed"
    return "new" if world.knobs_allow(wish.strategy, wish.path, before, wish.after) else errors.Blocked


def _save(world: World, wish: Wish, before: Level, *, ids: tuple[str, str]) -> Answer:
    foreseen = _foreseen(world, wish, before)
    if foreseen == "new":
        draft = _draft(world, wish, before, ids=ids)
        world.proposals.append(draft)
        world.log.append(("proposal.create", draft.proposal_id, wish.author))
        if wish.author == MACHINE:
            for older in world.of(wish.strategy, "PENDING"):
                if older.by_machine and older.change == draft.change and older.evidence != draft.evidence:
                    _end(world, older, "SUPERSEDED", by=MACHINE)
    return foreseen


def _draft(world: World, wish: Wish, before: Level, *, ids: tuple[str, str]) -> Proposed:
    return Proposed(
        proposal_id=ids[0],
        body_digest=ids[1],
        strategy=wish.strategy,
        path=wish.path,
        before=before,
        after=wish.after,
        base=world.version(wish.strategy),
        author=wish.author,
        evidence=wish.evidence,
        made_at=world.now,
        hands={key(wish.author)},
    )


def _there(world: World, draft: Proposed) -> Proposed | None:
    same = [one for one in world.proposals if one.content == draft.content and one.status not in OVER]
    return same[0] if same else None


def _suppressed(world: World, draft: Proposed) -> bool:
    ends = ("REJECTED", "REVERTED") if draft.by_machine else ("REJECTED",)
    return any(
        one.change == draft.change
        and one.turned_down_at is not None
        and one.turned_down_at > world.now - SUPPRESSED_FOR
        for one in world.of(draft.strategy, *ends)
    )


def decide(
    world: World, one: Proposed, verdict: str, who: str, *, body_digest: str, signed_with: str | None = None
) -> Answer:
    """Let somebody approve or reject. `signed_with`: whose key the decision is signed with, if it is."""
    target = "APPROVED" if verdict == "approve" else "REJECTED"
    if world.may(who, "decide") and one.last_decision == (key(who), verdict, body_digest) and one.status == target:
        return "already"
    refused = next(_objections_to_decision(world, one, verdict, who, body_digest, signed_with), None)
    if refused is not None:
        return _refused(world, one, refused, who)
    one.last_decision = (key(who), verdict, body_digest)
    one.status = target
    world.log.append((f"proposal.{verdict}", one.proposal_id, who))
    if verdict == "reject":
        one.turned_down_at = world.now
        return "rejected"
    one.approver, one.approved_at, one.signed_with = key(who), world.now, signed_with
    one.approval_ends = world.now + (APPROVAL_LIFE if signed_with is None else SIGNED_FOR)
    return "approved"


def _objections_to_decision(
    world: World, one: Proposed, verdict: str, who: str, body_digest: str, signed_with: str | None
) -> Iterator[Refusal]:
    approving = verdict == "approve"
    if not world.may(who, "decide"):
        yield errors.NotPermitted
    if one.status not in (("PENDING",) if approving else OPEN):
        yield _ILLEGAL.get(one.status, errors.IllegalTransition)
    if body_digest != one.body_digest:
        yield errors.DigestMismatch
    if who == MACHINE:
        yield errors.NotPermitted
    if approving and key(who) in one.hands:
        yield errors.FourEyes
    if key(who) not in world.approvers:
        yield errors.NotAnApprover
    if signed_with is not None and (signed_with != key(who) or signed_with in world.revoked_keys):
        yield errors.NotSigned
    if approving and world.now >= one.made_at + PROPOSAL_LIFE:
        yield errors.Lapsed
    if approving and not world.knobs_allow(one.strategy, one.path, one.before, one.after):
        yield errors.Blocked
    if approving and any(other.status == "APPROVED" for other in world.same_target(one)):
        yield errors.Conflict


def _refused(world: World, one: Proposed, refused: Refusal, who: str) -> Refusal:
    """Return a refusal, after writing down what it finds: an open proposal that has lapsed is over."""
    if refused is errors.Lapsed and one.status in OPEN:
        _end(world, one, "EXPIRED", by=who)
    return refused


def apply(world: World, one: Proposed, who: str) -> Answer:
    """Let somebody apply one proposal."""
    if not world.may(who, "apply"):
        return errors.NotPermitted
    if one.status == "APPLIED":
        return "already_applied"
    refused = next(_objections_to_apply(world, one, spent=world.spent(one.strategy)), None)
    if refused is not None:
        return _refused(world, one, refused, who)
    _write(world, one, who, together=[one])
    return "applied"


def _objections_to_apply(world: World, one: Proposed, *, spent: int) -> Iterator[Refusal]:
    if one.status != "APPROVED":
        yield _ILLEGAL.get(one.status, errors.IllegalTransition)
    if one.approval_ends is None or world.now >= one.approval_ends:
        yield errors.Lapsed
    if one.approver not in world.approvers:
        yield errors.NotAnApprover
    if one.signed_with in world.revoked_keys:
        yield errors.NotSigned
    if not world.knobs_allow(one.strategy, one.path, one.before, one.after):
        yield errors.Blocked
    if spent >= world.limits.get(one.strategy, BUDGET[0]):
        yield errors.OverBudget
    if world.is_frozen(one.strategy) and not one.reduces_risk:
        yield errors.Frozen


def _write(world: World, one: Proposed, who: str, *, together: list[Proposed]) -> None:
    competing = world.same_target(one)
    for other in world.of(one.strategy, *OPEN):
        if other not in together:
            _end(world, other, "SUPERSEDED" if other in competing else "STALE", by=who)
    change = Changed(
        change_id=f"change of {one.proposal_id}", proposal=one, version=world.version(one.strategy) + 1, at=world.now
    )
    world.changes.append(change)
    one.status = "APPLIED"
    world.log.append(("change.apply", one.proposal_id, who))


def apply_all(world: World, who: str) -> list[tuple[str, Answer]]:
    """Let somebody apply all that is approved: together what was made on one version and the same evidence."""
    waiting = [one for one in world.proposals if one.status == "APPROVED"]
    waiting.sort(key=lambda one: (one.approved_at, one.proposal_id))
    batches: list[list[Proposed]] = []
    for one in waiting:
        home = next((batch for batch in batches if all(_compatible(one, other) for other in batch)), None)
        if home is None:
            batches.append([one])
        else:
            home.append(one)
    answers = {one.proposal_id: answer for batch in batches for one, answer in _apply_batch(world, batch, who)}
    return [(one.proposal_id, answers[one.proposal_id]) for one in waiting]


def _compatible(one: Proposed, other: Proposed) -> bool:
    same = (one.strategy, one.base, one.evidence) == (other.strategy, other.base, other.evidence)
    return same and not touching(one.path, other.path)


def _apply_batch(world: World, batch: list[Proposed], who: str) -> list[tuple[Proposed, Answer]]:
    if len(batch) == 1:
        return [(batch[0], apply(world, batch[0], who))]
    if not world.may(who, "apply"):
        return [(one, errors.NotPermitted) for one in batch]
    answers: list[tuple[Proposed, Answer]] = []
    passed: list[Proposed] = []
    for one in batch:
        refused = next(_objections_to_apply(world, one, spent=world.spent(one.strategy) + len(passed)), None)
        answers.append((one, "applied" if refused is None else _refused(world, one, refused, who)))
        if refused is None:
            passed.append(one)
    for one in passed:
        _write(world, one, who, together=passed)
    return answers


def revert(world: World, change: Changed, who: str) -> Answer:
    """Let somebody revert a change. No freeze stops it."""
    if who == MACHINE or not world.may(who, "revert"):
        return errors.NotPermitted
    if change.reverted:
        return "already_reverted"
    one = change.proposal
    later = [other for other in world.in_force(one.strategy) if other.version > change.version]
    if any(touching(other.proposal.path, one.path) for other in later):
        return errors.Conflict
    for other in world.of(one.strategy, *OPEN):
        _end(world, other, "STALE", by=who)
    change.reverted = True
    one.status, one.turned_down_at = "REVERTED", world.now
    world.log.append(("change.revert", one.proposal_id, who))
    return "reverted"


def edit(world: World, one: Proposed, who: str, *, body_digest: str) -> Answer:
    """Let somebody rewrite why a proposal is made. `body_digest`: of the text that it then has."""
    if not world.may(who, "propose"):
        return errors.NotPermitted
    if one.status != "PENDING":
        return errors.IllegalTransition
    one.hands.add(key(who))
    one.body_digest = body_digest
    world.log.append(("proposal.edit", one.proposal_id, who))
    return "edited"


def withdraw(world: World, one: Proposed, who: str) -> Answer:
    """Let somebody take a proposal back."""
    if not world.may(who, "withdraw") or key(who) not in one.hands:
        return errors.NotPermitted
    if one.status not in OPEN:
        return _ILLEGAL.get(one.status, errors.IllegalTransition)
    one.status = "WITHDRAWN"
    world.log.append(("proposal.withdraw", one.proposal_id, who))
    return "withdrawn"


def tidy(world: World) -> Answer:
    """End what has lapsed."""
    for one in world.proposals:
        ends = one.made_at + PROPOSAL_LIFE if one.status == "PENDING" else one.approval_ends
        if one.status in OPEN and ends is not None and ends <= world.now:
            _end(world, one, "EXPIRED", by=MACHINE)
    return "tidied"


def freeze(world: World, strategy: str | None, who: str, *, number: int) -> Answer:
    """Let somebody freeze a strategy, or all of them."""
    if not world.may(who, "freeze"):
        return errors.NotPermitted
    world.freezes.append(Frozen(number=number, strategy=strategy))
    world.log.append(("freeze.add", str(number), who))
    return "frozen"


def lift(world: World, freeze: Frozen, who: str) -> Answer:
    """Let somebody lift a freeze."""
    if who == MACHINE or not world.may(who, "lift"):
        return errors.NotPermitted
    world.freezes.remove(freeze)
    world.log.append(("freeze.lift", str(freeze.number), who))
    return "lifted"


def grant(world: World, name: str, role: str, who: str) -> Answer:
    """Let somebody give a role."""
    if not _manages(world, who) or (key(name) == key(who) and "operator" in world.ever_given):
        return errors.NotPermitted
    held = world.held(name)
    others = held - {role}
    if others and "auditor" in {role, *others}:
        return errors.InputError
    if role in held:
        return errors.NothingToDo
    world.ever_given.add(role)
    if role == "approver":
        world.approvers.add(key(name))
        world.log.append(("approver.add", key(name), who))
    else:
        world.roles.setdefault(key(name), set()).add(role)
        world.log.append(("person.grant", key(name), who))
    return "granted"


def revoke(world: World, name: str, role: str, who: str) -> Answer:
    """Let somebody take a role away."""
    if not _manages(world, who):
        return errors.NotPermitted
    if role not in world.held(name):
        return errors.NotFound
    if role == "approver":
        world.approvers.discard(key(name))
        world.log.append(("approver.remove", key(name), who))
    else:
        world.roles[key(name)].discard(role)
        world.log.append(("person.revoke", key(name), who))
    return "revoked"


def revoke_key(world: World, owner: str, who: str) -> Answer:
    """Let somebody revoke an approver's key."""
    if key(owner) != key(who) and not _manages(world, who):
        return errors.NotPermitted
    if key(owner) in world.revoked_keys:
        return errors.NothingToDo
    world.revoked_keys.add(key(owner))
    world.log.append(("key.revoke", key(owner), who))
    return "revoked"


def limit(world: World, strategy: str, changes: int, who: str) -> Answer:
    """Let somebody set how many changes a strategy may have within a day."""
    if not world.may(who, "manage"):
        return errors.NotPermitted
    world.limits[strategy] = changes
    world.log.append(("strategy.limit", strategy, who))
    return "limited"


def redeclare(world: World, strategy: str, without: str | None, who: str) -> Answer:
    """Let somebody declare a strategy's knobs anew, all but one of them."""
    declared = set(PATHS) - {without}
    if declared == world.strategies[strategy]:
        return "declared"
    if not world.may(who, "manage"):
        return errors.NotPermitted
    world.strategies[strategy] = declared
    world.log.append(("strategy.redeclare", strategy, who))
    return "declared"


def _manages(world: World, who: str) -> bool:
    return who != MACHINE and world.may(who, "manage")


def _end(world: World, one: Proposed, status: str, *, by: str) -> None:
    one.status = status
    world.log.append((f"proposal.{_ENDS[status]}", one.proposal_id, by))

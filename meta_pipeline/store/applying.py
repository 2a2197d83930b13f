"""Applying one proposal, or several of one strategy together, inside the caller's transaction."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from meta_pipeline import failpoints
from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError, MetaPipelineError, NotFound, Unhealthy
from meta_pipeline.proposals.checks import APPLY, EXEMPT, REVIEW, error_of, first_failure, run_checks
from meta_pipeline.proposals.configs import with_level
from meta_pipeline.proposals.decision import ApplyResult
from meta_pipeline.proposals.diff import sentence, touched_keys
from meta_pipeline.proposals.digests import change_id
from meta_pipeline.proposals.draft import ProposalRecord, compatible
from meta_pipeline.proposals.roles import Power
from meta_pipeline.proposals.situation import Check, Checker, Situation
from meta_pipeline.proposals.states import Status
from meta_pipeline.store import audit, changes, people, strategies
from meta_pipeline.store import proposal_rows as rows
from meta_pipeline.store.last_look import look_again
from meta_pipeline.store.rules import Rules
from meta_pipeline.store.situation import situation


def apply_one(connection: Connection, proposal_id: str, *, actor: str, now: datetime, rules: Rules) -> ApplyResult:
    """Apply one proposal, or say why not.

    Returns
    -------
    ApplyResult
        "applied", "already_applied", or "refused" with its error. What a refusal itself writes down (the
        proposal is STALE, or EXPIRED) is written; the caller commits it.
    """
    record = rows.lock(connection, proposal_id)
    failpoints.reach("apply.locked")
    people.require(connection, actor, Power.APPLY)
    if record.status in {Status.APPLIED, Status.KEPT}:
        return _already_applied(connection, record)
    seen = _situation(connection, record, now=now, rules=rules, lock=True, applier=actor)
    judged = _judge(seen, APPLY)
    failpoints.reach("apply.checked")
    failed = first_failure(judged.checks)
    if failed is not None:
        _end_if_over(connection, record, failed, actor, now)
        return judged
    return _write(connection, seen, judged, actor=actor, now=now, rules=rules)


def batches(connection: Connection, ids: Sequence[str]) -> list[tuple[str, ...]]:
    """Say which of the approved proposals can be applied together, in the order of the first of each batch.

    Together go those of one strategy that were made against one version of its configuration, on the same evidence,
    and touch different keys: an approver of one of them knew the same world as that of the others. Every other one is
    a batch of its own, and after the first of its strategy it is refused as stale, naming the change that moved it.
    """
    found: list[list[tuple[str, ProposalRecord | None]]] = []
    for one in ids:
        try:
            record: ProposalRecord | None = rows.get(connection, one)
        except NotFound:
            record = None  # refused by name when its turn comes
        home = next((batch for batch in found if _belongs(record, [other for _, other in batch])), None)
        if home is None:
            found.append([(one, record)])
        else:
            home.append((one, record))
    return [tuple(one for one, _ in batch) for batch in found]


def apply_together(
    connection: Connection, ids: Sequence[str], *, actor: str, now: datetime, rules: Rules
) -> list[ApplyResult]:
    """Apply proposals of one strategy in one transaction: all that pass their checks, each as a change of its own.

    Each is judged as if it were applied alone, on the version that all were made against; a failure of one stops
    none of the others. Later ones count against the budget that earlier ones have left.
    """
    records = [rows.lock(connection, one) for one in ids]
    failpoints.reach("batch.locked")
    people.require(connection, actor, Power.APPLY)
    results: dict[str, ApplyResult] = {}
    passed: list[tuple[Situation, ApplyResult]] = []
    ends: list[tuple[ProposalRecord, Check]] = []
    for record in records:
        if record.status in {Status.APPLIED, Status.KEPT}:
            results[record.proposal_id] = _already_applied(connection, record)
            continue
        found = _situation(connection, record, now=now, rules=rules, lock=True, applier=actor)
        seen = _spent(found, len(passed))
        judged = _judge(seen, APPLY)
        results[record.proposal_id] = judged
        failed = first_failure(judged.checks)
        if failed is None:
            passed.append((seen, judged))
        else:
            ends.append((record, failed))
    failpoints.reach("batch.judged")
    for record, failed in ends:
        _end_if_over(connection, record, failed, actor, now)
    together = [seen.record.proposal_id for seen, _ in passed]
    for seen, judged in passed:
        done = _write(
            connection, _moved_on(connection, seen), judged, actor=actor, now=now, rules=rules, together=together
        )
        results[done.proposal_id] = done
        failpoints.reach("batch.one_written")
    failpoints.reach("batch.written")
    return [results[one] for one in ids]


def _belongs(record: ProposalRecord | None, batch: Sequence[ProposalRecord | None]) -> bool:
    if record is None or record.status is not Status.APPROVED:
        return False
    return all(other is not None and _compatible(record, other) for other in batch)


def _compatible(one: ProposalRecord, other: ProposalRecord) -> bool:
    there = other.status is Status.APPROVED and one.proposal_id != other.proposal_id
    return there and compatible(one.draft, other.draft)


def _spent(seen: Situation, more: int) -> Situation:
    if seen.budget is None:
        return seen
    return replace(seen, budget=replace(seen.budget, spent=seen.budget.spent + more))


def _moved_on(connection: Connection, seen: Situation) -> Situation:
    """Return a situation with the configuration that those before it in the batch have made."""
    live = strategies.live_config(connection, seen.record.draft.strategy_id)
    return replace(seen, live=live.config, live_version=live.version)


def _write(
    connection: Connection,
    seen: Situation,
    judged: ApplyResult,
    *,
    actor: str,
    now: datetime,
    rules: Rules,
    together: Sequence[str] = (),
) -> ApplyResult:
    """Write what a proposal that passed its checks means, and return what became of it."""
    record = seen.record
    assert seen.live is not None
    assert seen.live_version is not None
    exempt = [check.text for check in judged.checks if check.text.startswith(EXEMPT)]
    facts: dict[str, JsonValue] = {"exempt_from_freeze": list(seen.freezes)} if exempt else {}
    written = changes.write_apply(
        connection,
        record,
        seen.live,
        base_version=seen.live_version,
        actor=actor,
        now=now,
        together=together,
        facts={**facts, **seen.facts},
    )
    look_again(connection, seen, rules)
    people.require_still(connection, actor, Power.APPLY)
    after = with_level(seen.live, record.draft.target_component, record.draft.proposed)
    beside = f" (one of {len(together)} applied together)" if len(together) > 1 else ""
    return replace(
        judged,
        outcome="applied",
        message=f"applied as change {written.change_id}{beside}: {_sentence(record)} {record.draft.strategy_id} is now "
        f"at version {written.new_version}.",
        base_version=seen.live_version,
        new_version=written.new_version,
        before=dict(seen.live),
        after=after,
        superseded=written.superseded,
        made_stale=written.made_stale,
        notes=(*exempt, *seen.notes),
    )


def _situation(
    connection: Connection,
    record: ProposalRecord,
    *,
    now: datetime,
    rules: Rules,
    lock: bool,
    applier: str | None = None,
) -> Situation:
    approval = rows.approval_of(connection, record.proposal_id)
    return situation(connection, record, now=now, rules=rules, approval=approval, lock=lock, applier=applier)


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


def preview(connection: Connection, proposal_id: str, *, now: datetime, rules: Rules) -> ApplyResult:
    """Show what applying a proposal would do, with every check, without writing or locking anything.

    Of a proposal that nobody has decided on, only those checks are made that do not depend on who decides; what would
    be asked of whom says `standing.read_standing`.
    """
    record = rows.get(connection, proposal_id)
    checkers = REVIEW if record.status is Status.PENDING else APPLY
    return _judge(_situation(connection, record, now=now, rules=rules, lock=False), checkers)


def refused(proposal_id: str, error: MetaPipelineError) -> ApplyResult:
    """Return the result of a proposal that could not be judged at all."""
    return ApplyResult(proposal_id=proposal_id, outcome="refused", message=str(error), error=error)


def _sentence(record: ProposalRecord) -> str:
    draft = record.draft
    return sentence(
        strategy_id=draft.strategy_id,
        path=draft.target_component,
        before=draft.current,
        after=draft.proposed,
        risk_change=draft.risk_change,
    )

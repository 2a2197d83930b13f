"""Automatic application: the machine applies what its policy allows, and deliberately bad proposals keep watch over it.

A round first puts negative controls through the very function that applies (in a transaction that is rolled back);
if one of them gets past the check that should have stopped it, automation freezes until a person lifts that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, insert, select

from meta_pipeline.counted import counted
from meta_pipeline.errors import MetaPipelineError, NothingToDo, Unhealthy
from meta_pipeline.proposals.automatic import Automation, automatic_checks
from meta_pipeline.proposals.checks import error_of, first_failure
from meta_pipeline.proposals.decision import ApplyResult
from meta_pipeline.proposals.digests import change_id
from meta_pipeline.proposals.identity import MACHINE_ACTOR, name_key
from meta_pipeline.proposals.negative_controls import BadProposal, bad_proposals
from meta_pipeline.proposals.roles import Power
from meta_pipeline.proposals.situation import Check
from meta_pipeline.proposals.states import Status
from meta_pipeline.settings import Settings
from meta_pipeline.store import audit, changes, people, proposal_rows, strategies
from meta_pipeline.store.automation_freezes import freeze, frozen
from meta_pipeline.store.database import Database
from meta_pipeline.store.last_look import look_again
from meta_pipeline.store.outcome_rules import outcome_rule
from meta_pipeline.store.rules import Rules, rules_of
from meta_pipeline.store.schema import approvals
from meta_pipeline.store.schema_outcomes import negative_controls
from meta_pipeline.store.situation import situation
from meta_pipeline.store.tiers import Tier, list_tiers
from meta_pipeline.store.transactions import RunAgainError, in_transaction

_CONTROLS: Final = negative_controls.c


@dataclass(frozen=True, kw_only=True)
class ControlResult:
    """One bad proposal put through the checks. `refused`: the check that should stop it did."""

    strategy_id: str
    knob_path: str
    kind: str
    refused: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round of automation did.

    Parameters
    ----------
    controls
        Every negative control, with what became of it.
    results
        Every proposal that was looked at: applied, or why not.
    frozen
        Why automation is frozen; None: it is not.
    """

    controls: tuple[ControlResult, ...]
    results: tuple[ApplyResult, ...]
    frozen: str | None


def run(database: Database, *, now: datetime, settings: Settings, dry_run: bool = False) -> Round:
    """Put the negative controls through the checks, then apply what passes all of them, one proposal at a time.

    Parameters
    ----------
    dry_run
        Apply nothing: each proposal is judged by the real transaction, which is rolled back. The controls are real.

    Raises
    ------
    NothingToDo
        If no knob is automatic.
    """
    with database.connect() as connection:
        targets = [(row.strategy_id, row.path) for row in list_tiers(connection) if row.tier == Tier.AUTOMATIC]
    if not targets:
        raise NothingToDo("no knob is automatic; set one with: meta-pipeline automation tier STRATEGY KNOB automatic")
    rules = rules_of(settings)
    controls = [one for target in targets for one in _run_controls(database, *target, now=now, rules=rules)]
    passed = [one for one in controls if not one.refused]
    if passed:
        named = ", ".join(f"{one.kind} on {one.knob_path} of {one.strategy_id}" for one in passed)
        freeze(database, reason=f"a deliberately bad proposal passed: {named}", actor=MACHINE_ACTOR, now=now)
    with database.connect() as connection:
        stopped = frozen(connection)
        waiting = [
            record.proposal_id
            for strategy_id in sorted({strategy_id for strategy_id, _ in targets})
            for record in proposal_rows.list_proposals(connection, strategy_id=strategy_id, status=[Status.PENDING])
            if (strategy_id, record.draft.target_component) in targets
        ]
    results: list[ApplyResult] = []
    if settings.automation and stopped is None:
        results = [_isolated(database, one, now=now, rules=rules, dry_run=dry_run) for one in waiting]
    return Round(controls=tuple(controls), results=tuple(results), frozen=None if stopped is None else stopped.reason)


def apply_automatically(
    connection: Connection, proposal_id: str, *, now: datetime, rules: Rules, automation: Automation | None = None
) -> ApplyResult:
    """Apply one proposal by the machine's own decision, or say why not, inside the caller's transaction.

    Parameters
    ----------
    automation
        What is allowed; None: as the settings and the database say. Negative controls bring their own.
    """
    record = proposal_rows.lock(connection, proposal_id)
    allowed = automation or state_of(connection, record.draft.strategy_id, rules.settings)
    seen = situation(connection, record, now=now, rules=rules, lock=True, applier=MACHINE_ACTOR)
    checks = automatic_checks(seen, allowed)
    failed = first_failure(checks)
    if failed is not None:
        return _answer(record.proposal_id, record.draft.strategy_id, checks, failed)
    assert seen.live is not None
    assert seen.live_version is not None
    _approve(connection, record.proposal_id, checks, now=now, lifetime=rules.approval_lifetime)
    approved = proposal_rows.get(connection, proposal_id)
    written = changes.write_apply(
        connection,
        approved,
        seen.live,
        base_version=seen.live_version,
        actor=MACHINE_ACTOR,
        now=now,
        facts={"automatic": True, "checks": len(checks)},
    )
    look_again(connection, seen, rules)
    if automation is None and frozen(connection) is not None:
        raise RunAgainError("automation was frozen while this was applied")
    draft = record.draft
    return ApplyResult(
        proposal_id=proposal_id,
        outcome="applied",
        message=f"applied by the machine as change {written.change_id}; {draft.strategy_id} is now at version "
        f"{written.new_version}; undo it with: meta-pipeline changes revert {written.change_id}",
        strategy_id=draft.strategy_id,
        change_id=written.change_id,
        base_version=seen.live_version,
        new_version=written.new_version,
        risk_change=draft.risk_change,
        checks=checks,
        superseded=written.superseded,
        made_stale=written.made_stale,
    )


def _answer(proposal_id: str, strategy_id: str, checks: tuple[Check, ...], failed: Check) -> ApplyResult:
    return ApplyResult(
        proposal_id=proposal_id,
        outcome="refused",
        message=f"left to people: {failed.text}",
        strategy_id=strategy_id,
        change_id=change_id(proposal_id),
        checks=checks,
        error=error_of(failed),
    )


def _approve(
    connection: Connection, proposal_id: str, checks: Sequence[Check], *, now: datetime, lifetime: timedelta
) -> None:
    """Record that the machine decided, under its own name and through a channel of its own."""
    record = proposal_rows.get(connection, proposal_id)
    reason = f"automatic: {counted(len(checks), 'check')} passed"
    approval_id = connection.execute(
        insert(approvals)
        .values(
            proposal_id=proposal_id,
            body_digest=record.body_digest,
            decision="approve",
            approver=MACHINE_ACTOR,
            approver_key=name_key(MACHINE_ACTOR),
            reason=reason,
            channel="automation",
            channel_ref="",
            decided_at=now,
            expires_at=now + lifetime,
        )
        .returning(approvals.c.approval_id)
    ).scalar_one()
    proposal_rows.move(
        connection,
        record,
        Status.APPROVED,
        approved_by=MACHINE_ACTOR,
        approved_at=now,
        approval_expires_at=now + lifetime,
        status_reason=reason,
    )
    event = audit.Event(
        action="proposal.approve",
        subject_type="proposal",
        subject_id=proposal_id,
        payload={
            "body_digest": record.body_digest,
            "reason": reason,
            "channel": "automation",
            "channel_ref": "",
            "approval_id": approval_id,
            "checks": [check.to_json() for check in checks],
        },
    )
    audit.append(connection, event, actor=MACHINE_ACTOR, at=now)


def _isolated(database: Database, proposal_id: str, *, now: datetime, rules: Rules, dry_run: bool) -> ApplyResult:
    def work(connection: Connection) -> ApplyResult:
        # Where there are operators, one of them has to have made the machine one.
        people.require(connection, MACHINE_ACTOR, Power.APPLY)
        done = apply_automatically(connection, proposal_id, now=now, rules=rules)
        people.require_still(connection, MACHINE_ACTOR, Power.APPLY)
        return done

    try:
        done = in_transaction(database, work, dry_run=dry_run)
        return _as_dry_run(done) if dry_run else done
    except Unhealthy:
        raise
    except MetaPipelineError as error:
        return ApplyResult(proposal_id=proposal_id, outcome="refused", message=str(error), error=error)


def _as_dry_run(result: ApplyResult) -> ApplyResult:
    if result.outcome != "applied":
        return replace(result, dry_run=True)
    return replace(result, dry_run=True, outcome="would_apply", message=f"dry run, rolled back: {result.message}")


def state_of(connection: Connection, strategy_id: str, settings: Settings) -> Automation:
    """Return what the machine is allowed for a strategy now."""
    latest = connection.execute(
        select(func.max(_CONTROLS.ran_at)).where(_CONTROLS.strategy_id == strategy_id)
    ).scalar_one()
    passed = connection.execute(
        select(func.count()).where(
            _CONTROLS.strategy_id == strategy_id, _CONTROLS.ran_at == latest, _CONTROLS.refused.is_(False)
        )
    ).scalar_one()
    stopped = frozen(connection)
    return Automation(
        enabled=settings.automation,
        frozen=None if stopped is None else stopped.reason,
        controls_at=latest,
        controls_passed=int(passed),
        controls_age=timedelta(hours=settings.automation_controls_hours),
        cost=settings.switching_cost,
    )


def _run_controls(
    database: Database, strategy_id: str, path: str, *, now: datetime, rules: Rules
) -> list[ControlResult]:
    """Put bad proposals for one knob through the function that applies, roll each back, and write down the results."""
    # Were automation off or frozen, every control would be stopped by that, and say nothing about the other checks.
    trusting = Automation(
        enabled=True,
        frozen=None,
        controls_at=now,
        controls_passed=0,
        controls_age=timedelta(hours=1),
        cost=rules.settings.switching_cost,
    )
    with database.connect() as connection:
        strategy = strategies.load(connection, strategy_id)
        rule = outcome_rule(connection, strategy_id, rules.settings)
    bad = bad_proposals(strategy.strategy, path, live_version=strategy.live_version, now=now, rule=rule)
    found = [_try(database, strategy_id, one, now=now, rules=rules, trusting=trusting) for one in bad]

    def work(connection: Connection) -> None:
        rows = [
            {
                "strategy_id": one.strategy_id,
                "knob_path": one.knob_path,
                "kind": one.kind,
                "refused": one.refused,
                "detail": one.detail,
                "ran_at": now,
            }
            for one in found
        ]
        if rows:
            connection.execute(insert(negative_controls), rows)
        event = audit.Event(
            action="automation.controls",
            subject_type="strategy",
            subject_id=strategy_id,
            payload={"path": path, "n": len(found), "passed": [one.kind for one in found if not one.refused]},
        )
        audit.append(connection, event, actor=MACHINE_ACTOR, at=now)

    in_transaction(database, work)
    return found


def _try(
    database: Database, strategy_id: str, bad: BadProposal, *, now: datetime, rules: Rules, trusting: Automation
) -> ControlResult:
    def work(connection: Connection) -> ApplyResult:
        proposal_rows.add(connection, bad.record)
        return apply_automatically(connection, bad.record.proposal_id, now=now, rules=rules, automation=trusting)

    try:
        result = in_transaction(database, work, dry_run=True)
    except MetaPipelineError as error:
        refused, detail = False, f"the checks did not come to an answer: {error}"
    else:
        stopped = [check for check in result.checks if check.name == bad.stopped_by and not check.passed]
        refused = result.outcome == "refused" and bool(stopped)
        detail = stopped[0].text if stopped else f"the check {bad.stopped_by!r} let it pass: {result.message}"
    return ControlResult(
        strategy_id=strategy_id,
        knob_path=bad.record.draft.target_component,
        kind=bad.kind,
        refused=refused,
        detail=detail,
    )


def last_controls(connection: Connection) -> list[tuple[str, datetime, int, int]]:
    """Return (strategy, when, how many, how many passed) of the last round of each strategy's controls."""
    newest = (
        select(_CONTROLS.strategy_id, func.max(_CONTROLS.ran_at).label("ran_at"))
        .group_by(_CONTROLS.strategy_id)
        .subquery()
    )
    rows = connection.execute(
        select(
            _CONTROLS.strategy_id,
            _CONTROLS.ran_at,
            func.count(),
            func.count().filter(_CONTROLS.refused.is_(False)),
        )
        .join(newest, (newest.c.strategy_id == _CONTROLS.strategy_id) & (newest.c.ran_at == _CONTROLS.ran_at))
        .group_by(_CONTROLS.strategy_id, _CONTROLS.ran_at)
        .order_by(_CONTROLS.strategy_id)
    )
    return [(row[0], row[1], int(row[2]), int(row[3])) for row in rows]

"""THE governance service: what the gate, the command line and any other way in call to decide, apply and undo.

In one database transaction the strategy is locked, everything is checked again, and all that belongs
together is written; whatever fails rolls all of it back. Nothing here asks which way the caller came in:
the rules hold for all of them.

The order of locks is the same everywhere, so that nobody waits in a circle: strategies by id, then the
approver, then the audit log. Where PostgreSQL still sees a deadlock, the transaction is run again.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from meta_pipeline import failpoints
from meta_pipeline.errors import InputError, MetaPipelineError, NotFound, NotPermitted, Unhealthy
from meta_pipeline.proposals.decision import ApplyResult, Channel, Decision, DecisionResult, RevertResult
from meta_pipeline.proposals.identity import clean_name, clean_reason, is_machine
from meta_pipeline.proposals.standing import Standing
from meta_pipeline.proposals.states import Status
from meta_pipeline.settings import Settings
from meta_pipeline.store import anchors, proposal_rows
from meta_pipeline.store.applying import apply_one, apply_together, batches, refused
from meta_pipeline.store.applying import preview as _preview
from meta_pipeline.store.authoring import create, edit, withdraw
from meta_pipeline.store.database import Database
from meta_pipeline.store.decisions import Act, decide_one
from meta_pipeline.store.expiry import expire
from meta_pipeline.store.reverting import revert_one
from meta_pipeline.store.rules import Rules, rules_of
from meta_pipeline.store.standing import read_standing
from meta_pipeline.store.transactions import in_transaction

__all__ = ["apply", "apply_approved", "create", "decide", "edit", "expire", "preview", "revert", "standing", "withdraw"]

_Result = TypeVar("_Result", ApplyResult, RevertResult)


def decide(
    database: Database,
    decisions: Sequence[Decision],
    *,
    approver: str,
    channel: Channel,
    channel_ref: str,
    now: datetime,
    settings: Settings,
) -> list[DecisionResult]:
    """Approve or reject proposals, each in a transaction of its own.

    Parameters
    ----------
    approver
        The person who decides.
    channel, channel_ref
        The way in, and what there is to find it again by (the gate: its run id). A decision that is repeated
        with the same non-empty reference is answered "already", whatever has become of the proposal.

    Returns
    -------
    list of DecisionResult
        One per decision, in their order. A refusal (outcome "refused", with its error) never stops the others.

    Raises
    ------
    InputError
        If the approver's name, the channel or its reference cannot be used.
    """
    act = Act(
        approver=approver,
        channel=channel,
        channel_ref=channel_ref,
        now=now,
        rules=rules_of(settings),
    )
    ids = [decision.proposal_id for decision in decisions]
    twice = {proposal_id for proposal_id in ids if ids.count(proposal_id) > 1}
    return [_decide_isolated(database, decision, act, twice=twice) for decision in decisions]


def preview(connection: Connection, proposal_id: str, *, now: datetime, settings: Settings) -> ApplyResult:
    """Show what applying a proposal would do, with every check, without writing or locking anything."""
    return _preview(connection, proposal_id, now=now, rules=rules_of(settings))


def standing(
    connection: Connection, proposal_id: str, *, viewer: str | None, now: datetime, settings: Settings
) -> Standing:
    """Show who may decide on a proposal, and every check that one person's acts would be put through now.

    Parameters
    ----------
    viewer
        Who looks; None: only who may decide is shown.
    """
    return read_standing(connection, proposal_id, viewer=viewer, now=now, rules=rules_of(settings))


def apply(
    database: Database, proposal_id: str, *, actor: str, now: datetime, settings: Settings, dry_run: bool = False
) -> ApplyResult:
    """Apply one approved proposal to the live configuration.

    Parameters
    ----------
    actor
        Who applies: a person, or a machine that carries out what a person has approved.
    dry_run
        Run the real transaction and roll it back. A refusal is then returned and not raised.

    Returns
    -------
    ApplyResult
        "applied", or "already_applied" with the id of the change there is.

    Raises
    ------
    MetaPipelineError
        What stops it: wrong status, no valid approval, approver no longer on the list, configuration or key moved
        (the proposal is then STALE), approval lapsed (EXPIRED), knob not declared or value not allowed, a freeze, a
        budget that is spent, a role that the actor lacks, and so on.
    """
    who, rules = clean_name(actor), rules_of(settings)
    result = in_transaction(
        database,
        lambda connection: apply_one(connection, proposal_id, actor=who, now=now, rules=rules),
        dry_run=dry_run,
    )
    if not dry_run and result.outcome == "applied":
        failpoints.reach("apply.committed")
        result = replace(result, notes=(*result.notes, *_anchored(database, settings, now=now)))
    return _concluded(result, dry_run=dry_run)


def apply_approved(
    database: Database,
    strategy_id: str | None = None,
    *,
    actor: str,
    now: datetime,
    settings: Settings,
    dry_run: bool = False,
    proposal_ids: Sequence[str] | None = None,
) -> list[ApplyResult]:
    """Apply all approved proposals, those approved first coming first.

    Each in a transaction of its own, but for those of one strategy that were made against the same version, on the
    same evidence, and touch different keys: these are applied together, each as a change of its own.

    Parameters
    ----------
    strategy_id
        Only those of one strategy.
    dry_run
        All of them in one transaction that is rolled back, so that each is judged after those before it.
    proposal_ids
        Exactly these instead, in this order.

    Returns
    -------
    list of ApplyResult
        One per proposal, in their order. A refusal (outcome "refused", with its error) never stops the others. Where
        several changes of one strategy are approved that cannot be applied together, the first moves the
        configuration, and the others are refused as stale, naming the change that moved it.
    """
    who, rules = clean_name(actor), rules_of(settings)
    if proposal_ids is None:
        with database.connect() as connection:
            waiting = proposal_rows.list_proposals(connection, strategy_id=strategy_id, status=[Status.APPROVED])
        waiting.sort(key=lambda record: (record.approved_at or record.created_at, record.proposal_id))
        proposal_ids = [record.proposal_id for record in waiting]
    if dry_run:
        return in_transaction(
            database, lambda connection: _rehearse(connection, proposal_ids, who, now, rules), dry_run=True
        )
    with database.connect() as connection:
        found = batches(connection, proposal_ids)
    results = [result for batch in found for result in _apply_isolated(database, batch, who, now, rules)]
    if any(result.outcome == "applied" for result in results):
        notes = _anchored(database, settings, now=now)
        results = [replace(one, notes=(*one.notes, *notes)) if one.outcome == "applied" else one for one in results]
    return _in_order(results, proposal_ids)


def revert(
    database: Database,
    change_id: str,
    *,
    actor: str,
    reason: str,
    now: datetime,
    settings: Settings,
    dry_run: bool = False,
) -> RevertResult:
    """Restore the exact state before one change. One person may do it, at once.

    Parameters
    ----------
    dry_run
        Run the real transaction and roll it back. A refusal is then returned and not raised.

    Returns
    -------
    RevertResult
        "reverted", or "already_reverted" with what is on record.

    Raises
    ------
    Conflict
        If the key, one around it or one inside it was changed since, with the three-way difference.
    NotPermitted
        If the actor is a machine.
    InputError
        If there is no reason, or no such change (`NotFound`).
    """
    who = clean_name(actor)
    if is_machine(who):
        raise NotPermitted(
            f"{who!r} is a name reserved for machines; a change is reverted by a person (set META_PIPELINE_ACTOR)"
        )
    why, rules = clean_reason(reason, what=f"the revert of {change_id[:64]!a}"), rules_of(settings)
    result = in_transaction(
        database,
        lambda connection: revert_one(connection, change_id, actor=who, reason=why, now=now, rules=rules),
        dry_run=dry_run,
    )
    if not dry_run and result.outcome == "reverted":
        failpoints.reach("revert.committed")
        result = replace(result, notes=(*result.notes, *_anchored(database, settings, now=now)))
    return _concluded(result, dry_run=dry_run)


def _decide_isolated(database: Database, decision: Decision, act: Act, *, twice: set[str]) -> DecisionResult:
    try:
        if decision.proposal_id in twice:
            raise InputError(f"proposal {decision.proposal_id[:64]!a} is decided more than once; give one verdict")
        done = in_transaction(database, lambda connection: decide_one(connection, decision, act))
        failpoints.reach("approve.committed")
        return done
    except MetaPipelineError as error:
        refusal = error
    except SQLAlchemyError as error:
        refusal = _unforeseen(error)
    return DecisionResult(
        proposal_id=decision.proposal_id,
        verdict=decision.verdict,
        outcome="refused",
        message=str(refusal),
        status=_status_now(database, decision.proposal_id),
        error=refusal,
    )


def _status_now(database: Database, proposal_id: str) -> str | None:
    try:
        with database.connect() as connection:
            return proposal_rows.get(connection, proposal_id).status
    except (NotFound, Unhealthy, SQLAlchemyError):
        return None


def _rehearse(connection: Connection, ids: Sequence[str], actor: str, now: datetime, rules: Rules) -> list[ApplyResult]:
    results: list[ApplyResult] = []
    for batch in batches(connection, ids):
        try:
            with connection.begin_nested():
                results += _apply_batch(connection, batch, actor, now, rules)
        except MetaPipelineError as error:
            results += [refused(one, error) for one in batch]
    return _in_order([_as_dry_run(result) for result in results], ids)


def _apply_batch(
    connection: Connection, batch: Sequence[str], actor: str, now: datetime, rules: Rules
) -> list[ApplyResult]:
    if len(batch) == 1:
        return [apply_one(connection, batch[0], actor=actor, now=now, rules=rules)]
    return apply_together(connection, batch, actor=actor, now=now, rules=rules)


def _apply_isolated(
    database: Database, batch: Sequence[str], actor: str, now: datetime, rules: Rules
) -> list[ApplyResult]:
    try:
        results = in_transaction(database, lambda connection: _apply_batch(connection, batch, actor, now, rules))
        failpoints.reach("batch.committed")
        return results
    except MetaPipelineError as error:
        refusal = error
    except SQLAlchemyError as error:
        refusal = _unforeseen(error)
    return [refused(one, refusal) for one in batch]


def _in_order(results: Sequence[ApplyResult], ids: Sequence[str]) -> list[ApplyResult]:
    waiting = list(results)
    ordered = []
    for one in ids:  # an id that is asked for twice has two results
        ordered.append(next(result for result in waiting if result.proposal_id == one))
        waiting.remove(ordered[-1])
    return ordered


def _anchored(database: Database, settings: Settings, *, now: datetime) -> tuple[str, ...]:
    """Anchor the audit head, where that is wanted after each act; what was committed stays, whatever comes of it."""
    if not settings.audit_anchor_each_apply:
        return ()
    try:
        with database.connect() as connection:
            anchor = anchors.anchor_head(connection, settings, now=now)
    except (MetaPipelineError, SQLAlchemyError) as error:
        return (f"the audit head was NOT anchored: {error}",)
    return (f"audit head anchored at entry {anchor.seq}",)


def _concluded(result: _Result, *, dry_run: bool) -> _Result:
    if dry_run:
        return _as_dry_run(result)
    if result.error is not None:
        raise result.error
    return result


def _as_dry_run(result: _Result) -> _Result:
    if result.outcome not in {"applied", "reverted"}:
        return replace(result, dry_run=True)
    message = f"dry run, rolled back: {result.message}"
    if isinstance(result, ApplyResult):
        return replace(result, dry_run=True, message=message, outcome="would_apply")
    return replace(result, dry_run=True, message=message, outcome="would_revert")


def _unforeseen(error: SQLAlchemyError) -> MetaPipelineError:
    return Unhealthy(f"the database refused it, and nothing was written: {str(error).splitlines()[0]}")

"""THE governance service: what the gate, the command line and any other way in call to decide, apply and undo.

In one database transaction the strategy is locked, everything is checked again, and all that belongs
together is written; whatever fails rolls all of it back. Nothing here asks which way the caller came in:
the rules hold for all of them.

The order of locks is the same everywhere, so that nobody waits in a circle: strategies by id, then the
approver, then the audit log. Where PostgreSQL still sees a deadlock, the transaction is run again.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from meta_pipeline.errors import InputError, MetaPipelineError, NotFound, NotPermitted, Unhealthy
from meta_pipeline.proposals.decision import ApplyResult, Channel, Decision, DecisionResult, RevertResult
from meta_pipeline.proposals.identity import clean_name, clean_reason, is_machine
from meta_pipeline.proposals.states import Status
from meta_pipeline.settings import Settings
from meta_pipeline.store import proposal_rows
from meta_pipeline.store.applying import apply_one, preview
from meta_pipeline.store.authoring import create, edit, withdraw
from meta_pipeline.store.database import Database
from meta_pipeline.store.decisions import Act, decide_one
from meta_pipeline.store.expiry import expire
from meta_pipeline.store.reverting import revert_one
from meta_pipeline.store.transactions import in_transaction

__all__ = ["apply", "apply_approved", "create", "decide", "edit", "expire", "preview", "revert", "withdraw"]

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
        approval_lifetime=timedelta(hours=settings.approval_hours),
    )
    ids = [decision.proposal_id for decision in decisions]
    twice = {proposal_id for proposal_id in ids if ids.count(proposal_id) > 1}
    return [_decide_isolated(database, decision, act, twice=twice) for decision in decisions]


def apply(database: Database, proposal_id: str, *, actor: str, now: datetime, dry_run: bool = False) -> ApplyResult:
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
        (the proposal is then STALE), approval lapsed (EXPIRED), knob not declared or value not allowed, and so on.
    """
    who = clean_name(actor)
    result = in_transaction(
        database, lambda connection: apply_one(connection, proposal_id, actor=who, now=now), dry_run=dry_run
    )
    return _concluded(result, dry_run=dry_run)


def apply_approved(
    database: Database,
    strategy_id: str | None = None,
    *,
    actor: str,
    now: datetime,
    dry_run: bool = False,
    proposal_ids: Sequence[str] | None = None,
) -> list[ApplyResult]:
    """Apply all approved proposals, those approved first coming first, each in a transaction of its own.

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
        One per proposal. A refusal (outcome "refused", with its error) never stops the others. Where several
        changes of one strategy are approved, the first moves the configuration, and the others are refused
        as stale, naming the change that moved it.
    """
    who = clean_name(actor)
    if proposal_ids is None:
        with database.connect() as connection:
            waiting = proposal_rows.list_proposals(connection, strategy_id=strategy_id, status=[Status.APPROVED])
        waiting.sort(key=lambda record: (record.approved_at or record.created_at, record.proposal_id))
        proposal_ids = [record.proposal_id for record in waiting]
    if dry_run:
        return in_transaction(database, lambda connection: _rehearse(connection, proposal_ids, who, now), dry_run=True)
    return [_apply_isolated(database, one, actor=who, now=now) for one in proposal_ids]


def revert(
    database: Database, change_id: str, *, actor: str, reason: str, now: datetime, dry_run: bool = False
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
    why = clean_reason(reason, what=f"the revert of {change_id[:64]!a}")
    result = in_transaction(
        database, lambda connection: revert_one(connection, change_id, actor=who, reason=why, now=now), dry_run=dry_run
    )
    return _concluded(result, dry_run=dry_run)


def _decide_isolated(database: Database, decision: Decision, act: Act, *, twice: set[str]) -> DecisionResult:
    try:
        if decision.proposal_id in twice:
            raise InputError(f"proposal {decision.proposal_id[:64]!a} is decided more than once; give one verdict")
        return in_transaction(database, lambda connection: decide_one(connection, decision, act))
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


def _rehearse(connection: Connection, ids: Sequence[str], actor: str, now: datetime) -> list[ApplyResult]:
    results = []
    for one in ids:
        try:
            with connection.begin_nested():
                result = apply_one(connection, one, actor=actor, now=now)
        except MetaPipelineError as error:
            result = ApplyResult(proposal_id=one, outcome="refused", message=str(error), error=error)
        results.append(_as_dry_run(result))
    return results


def _apply_isolated(database: Database, proposal_id: str, *, actor: str, now: datetime) -> ApplyResult:
    try:
        return apply(database, proposal_id, actor=actor, now=now)
    except MetaPipelineError as error:
        refusal = error
    except SQLAlchemyError as error:
        refusal = _unforeseen(error)
    return ApplyResult(proposal_id=proposal_id, outcome="refused", message=str(refusal), error=refusal)


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

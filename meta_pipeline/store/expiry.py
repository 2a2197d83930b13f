"""Proposals and approvals that ran out of time."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, and_, or_, select

from meta_pipeline.proposals.identity import MACHINE_ACTOR
from meta_pipeline.proposals.states import OPEN, Status
from meta_pipeline.store import audit, proposal_rows, strategies
from meta_pipeline.store.schema import meta_config_proposals

_COLUMNS: Final = meta_config_proposals.c


def expire(connection: Connection, now: datetime) -> tuple[str, ...]:
    """End all proposals that lapsed undecided, and all whose approval lapsed before it was applied.

    Nothing depends on this being called: what lapsed is refused when it is decided or applied, too.

    Returns
    -------
    tuple of str
        Ids of the proposals that are EXPIRED now and were not before.
    """
    lapsed = or_(
        and_(_COLUMNS.status == Status.PENDING, _COLUMNS.expires_at <= now),
        # An approval that names no end is not one the service wrote: it holds no longer than one that ended.
        and_(
            _COLUMNS.status == Status.APPROVED,
            or_(_COLUMNS.approval_expires_at <= now, _COLUMNS.approval_expires_at.is_(None)),
        ),
    )
    found = connection.execute(
        select(_COLUMNS.strategy_id, _COLUMNS.proposal_id)
        .where(lapsed)
        .order_by(_COLUMNS.strategy_id, _COLUMNS.proposal_id)
    ).all()
    for strategy_id in sorted({row.strategy_id for row in found}):
        strategies.lock(connection, strategy_id)
    still = connection.execute(
        select(_COLUMNS.proposal_id)
        .where(lapsed, _COLUMNS.proposal_id.in_([row.proposal_id for row in found]))
        .order_by(_COLUMNS.proposal_id)
    ).scalars()
    events = []
    for proposal_id in still.all():
        record = proposal_rows.get(connection, proposal_id)
        assert record.status in OPEN
        undecided = record.status is Status.PENDING
        ended = record.expires_at if undecided else record.approval_expires_at
        what = "lapsed, undecided" if undecided else "its approval lapsed, not applied"
        when = "" if ended is None else f", on {ended:%Y-%m-%d %H:%M} UTC"
        events.append(proposal_rows.end(connection, record, Status.EXPIRED, reason=what + when))
    audit.append_all(connection, events, actor=MACHINE_ACTOR, at=now)
    return tuple(event.subject_id for event in events)

"""What holds for one strategy instead of the settings: its budget of changes, and who answers for it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from meta_pipeline.errors import InputError
from meta_pipeline.proposals.identity import clean_name
from meta_pipeline.proposals.roles import Power
from meta_pipeline.proposals.situation import Budget
from meta_pipeline.store import audit, people, strategies
from meta_pipeline.store.schema import config_change_log
from meta_pipeline.store.schema_governance import strategy_limits

_COLUMNS = strategy_limits.c


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one strategy; None: the settings hold, or nobody is named."""

    strategy_id: str
    owner: str | None = None
    max_changes: int | None = None
    window_hours: float | None = None


def get(connection: Connection, strategy_id: str) -> Limits:
    """Return a strategy's own limits; all None if it has none."""
    row = connection.execute(select(strategy_limits).where(_COLUMNS.strategy_id == strategy_id)).one_or_none()
    if row is None:
        return Limits(strategy_id=strategy_id)
    return Limits(strategy_id=strategy_id, owner=row.owner, max_changes=row.max_changes, window_hours=row.window_hours)


def set_limits(connection: Connection, limits: Limits, *, actor: str, now: datetime) -> Limits:
    """Replace a strategy's limits.

    Raises
    ------
    InputError
        If a limit is given without its window, or is out of range; if there is no such strategy (`NotFound`).
    NotPermitted
        If the one who asks may not.
    """
    people.require(connection, actor, Power.MANAGE)
    if (limits.max_changes is None) != (limits.window_hours is None):
        raise InputError("a limit of changes takes both: the most changes, and the hours in which they are counted")
    if limits.max_changes is not None and not 0 <= limits.max_changes < 2**31:
        raise InputError(f"a limit of {limits.max_changes} changes cannot be; give 0 or more")
    if limits.window_hours is not None and not 0 < limits.window_hours <= 24 * 366:
        raise InputError(f"a window of {limits.window_hours} hours cannot be; give up to a year")
    # When this returns, no apply that was judged by the former limit is under way any more.
    strategies.lock(connection, limits.strategy_id)
    strategies.load(connection, limits.strategy_id)
    written: dict[str, Any] = {
        "owner": None if limits.owner is None else clean_name(limits.owner),
        "max_changes": limits.max_changes,
        "window_hours": limits.window_hours,
        "set_by": clean_name(actor),
        "set_at": now,
    }
    before = get(connection, limits.strategy_id)
    connection.execute(
        upsert(strategy_limits)
        .values(strategy_id=limits.strategy_id, **written)
        .on_conflict_do_update(index_elements=["strategy_id"], set_=written)
    )
    event = audit.Event(
        action="strategy.limit",
        subject_type="strategy",
        subject_id=limits.strategy_id,
        payload={
            "owner": [before.owner, written["owner"]],
            "max_changes": [before.max_changes, limits.max_changes],
            "window_hours": [before.window_hours, None if limits.window_hours is None else float(limits.window_hours)],
        },
    )
    audit.append(connection, event, actor=actor, at=now)
    people.require_still(connection, actor, Power.MANAGE)
    return get(connection, limits.strategy_id)


def budget(connection: Connection, strategy_id: str, *, now: datetime, max_changes: int, window: timedelta) -> Budget:
    """Return a strategy's budget of changes and how much of it is spent; its own limit wins over the one given."""
    own = get(connection, strategy_id)
    if own.max_changes is not None and own.window_hours is not None:
        max_changes, window = own.max_changes, timedelta(hours=own.window_hours)
    applied = config_change_log.c
    spent: int = connection.execute(
        select(func.count()).where(applied.strategy_id == strategy_id, applied.applied_at > now - window)
    ).scalar_one()
    return Budget(limit=max_changes, window=window, spent=spent)

"""Declared strategies as lists show them: a page at a time, without their knobs and configurations.

Belongs here: what a list of many strategies needs. Does not belong here: a strategy whole (strategies).
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from meta_pipeline.proposals.states import OPEN
from meta_pipeline.store.schema import meta_config_proposals, strategies, strategy_knobs


@dataclass(frozen=True, kw_only=True)
class ListedStrategy:
    """A declared strategy in a list.

    Parameters
    ----------
    n_knobs
        How many knobs it declares.
    n_open
        Proposals that wait for a verdict or to be applied.
    """

    strategy_id: str
    family: str
    description: str
    live_version: int
    created_by: str
    created_at: datetime
    n_knobs: int
    n_open: int


def declared_ids(connection: Connection) -> list[str]:
    """Return the ids of all declared strategies, in their order."""
    columns = strategies.c
    statement = select(columns.strategy_id).where(columns.live_version.is_not(None)).order_by(columns.strategy_id)
    return list(connection.execute(statement).scalars())


def strategies_page(connection: Connection, *, limit: int, after: str | None) -> tuple[list[ListedStrategy], bool]:
    """Return declared strategies by id, from after an id on, and whether more follow."""
    columns, proposed = strategies.c, meta_config_proposals.c
    knobs = select(func.count()).where(strategy_knobs.c.strategy_id == columns.strategy_id).scalar_subquery()
    waiting = (
        select(func.count())
        .where(proposed.strategy_id == columns.strategy_id, proposed.status.in_(OPEN))
        .scalar_subquery()
    )
    statement = (
        select(
            columns.strategy_id,
            columns.family,
            columns.description,
            columns.live_version,
            columns.created_by,
            columns.created_at,
            knobs.label("n_knobs"),
            waiting.label("n_open"),
        )
        .where(columns.live_version.is_not(None))
        .order_by(columns.strategy_id)
        .limit(limit + 1)
    )
    if after is not None:
        statement = statement.where(columns.strategy_id > after)
    rows = [ListedStrategy(**row._asdict()) for row in connection.execute(statement)]
    return rows[:limit], len(rows) > limit

"""Changes that were applied in one transaction: they have no days of their own, and are judged as one.

Which they are follows from what rule 3 leaves possible: a proposal is only applied to the version it was made against,
unless it goes together with others made against the same one. So changes whose proposals name one base version of one
strategy were applied together, and no two others ever share a base.
"""

from itertools import groupby
from typing import Final

from sqlalchemy import Connection, Row, select

from meta_pipeline.store.changes import ChangeRecord, get
from meta_pipeline.store.schema import config_change_log, meta_config_proposals

_LOG: Final = config_change_log.c
_BASE: Final = meta_config_proposals.c.base_version
_CHANGES: Final = (
    select(config_change_log, _BASE.label("made_against"))
    .join(meta_config_proposals, meta_config_proposals.c.proposal_id == _LOG.proposal_id)
    .order_by(_LOG.strategy_id, _BASE, _LOG.new_version)
)


def applied_with(connection: Connection, change_id: str) -> tuple[ChangeRecord, ...]:
    """Return the changes that were applied in one transaction with a change, itself included, by version.

    Raises
    ------
    NotFound
        If there is no such change.
    """
    asked = get(connection, change_id)
    base = select(_BASE).where(meta_config_proposals.c.proposal_id == asked.proposal_id).scalar_subquery()
    rows = connection.execute(_CHANGES.where(_LOG.strategy_id == asked.strategy_id, base == _BASE))
    return tuple(_change(row) for row in rows)


def all_applied(connection: Connection, *, strategy_id: str | None = None) -> list[tuple[ChangeRecord, ...]]:
    """Return all changes, those applied in one transaction together, by time; each of one strategy if one is named."""
    statement = _CHANGES if strategy_id is None else _CHANGES.where(_LOG.strategy_id == strategy_id)
    rows = connection.execute(statement).all()
    sets = [
        tuple(_change(row) for row in of_base)
        for _, of_base in groupby(rows, key=lambda row: (row.strategy_id, row.made_against))
    ]
    return sorted(sets, key=lambda found: (found[0].applied_at, found[0].strategy_id, found[0].new_version))


def _change(row: Row[tuple[object, ...]]) -> ChangeRecord:
    values = row._asdict()
    del values["made_against"]
    return ChangeRecord(**values)

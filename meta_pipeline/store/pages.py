"""Long lists, a page at a time: rows after a key, never rows after a number of rows.

Belongs here: pages that more than one stage needs in the same way. Lists that fit on a page are in their own modules.
"""

from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, select, tuple_

from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.states import Status
from meta_pipeline.store.audit import AuditEntry
from meta_pipeline.store.changes import ChangeRecord
from meta_pipeline.store.proposal_rows import records_of
from meta_pipeline.store.schema import (
    approvals,
    audit_log,
    config_change_log,
    diagnostics_reports,
    meta_config_proposals,
)

After = tuple[datetime, str] | None
"""Time and id of the last row of the page before."""

Item = TypeVar("Item")


def proposals_page(
    connection: Connection, *, limit: int, after: After, status: tuple[Status, ...] = (), strategy_id: str | None = None
) -> tuple[list[ProposalRecord], bool]:
    """Return proposals, the newest first, and whether more follow."""
    columns = meta_config_proposals.c
    statement = _after(select(meta_config_proposals), columns.created_at, columns.proposal_id, after)
    if status:
        statement = statement.where(columns.status.in_(status))
    if strategy_id is not None:
        statement = statement.where(columns.strategy_id == strategy_id)
    rows, more = _cut(list(connection.execute(statement.limit(limit + 1))), limit)
    return records_of(connection, rows), more


def decisions_page(
    connection: Connection, *, limit: int, before: int | None, proposal_id: str | None = None
) -> tuple[list[dict[str, Any]], bool]:
    """Return decisions as they were recorded, the newest first, and whether more follow."""
    columns = approvals.c
    statement = select(approvals).order_by(columns.approval_id.desc()).limit(limit + 1)
    if before is not None:
        statement = statement.where(columns.approval_id < before)
    if proposal_id is not None:
        statement = statement.where(columns.proposal_id == proposal_id)
    return _cut([row._asdict() for row in connection.execute(statement)], limit)


def changes_page(
    connection: Connection,
    *,
    limit: int,
    after: After,
    strategy_id: str | None = None,
    reverted: bool | None = None,
    verdict: str | None = None,
) -> tuple[list[ChangeRecord], bool]:
    """Return applied changes, the newest first, and whether more follow."""
    columns = config_change_log.c
    statement = _after(select(config_change_log), columns.applied_at, columns.change_id, after)
    if strategy_id is not None:
        statement = statement.where(columns.strategy_id == strategy_id)
    if reverted is not None:
        statement = statement.where(columns.is_reverted == reverted)
    if verdict is not None:
        statement = statement.where(columns.outcome_verdict == verdict)
    rows = connection.execute(statement.limit(limit + 1))
    return _cut([ChangeRecord(**row._asdict()) for row in rows], limit)


def audit_page(
    connection: Connection, *, limit: int, before: int | None, subject_id: str | None = None
) -> tuple[list[AuditEntry], bool]:
    """Return audit entries, the newest first, and whether more follow."""
    columns = audit_log.c
    statement = select(audit_log).order_by(columns.seq.desc()).limit(limit + 1)
    if before is not None:
        statement = statement.where(columns.seq < before)
    if subject_id is not None:
        statement = statement.where(columns.subject_id == subject_id)
    return _cut([AuditEntry(**row._asdict()) for row in connection.execute(statement)], limit)


def diagnostics_page(
    connection: Connection, *, limit: int, after: After, strategy_id: str | None = None
) -> tuple[list[dict[str, Any]], bool]:
    """Return which diagnostics reports there are, those found last first, and whether more follow."""
    table = diagnostics_reports
    chosen = select(
        table.c.report_id,
        table.c.strategy_id,
        table.c.evidence_digest,
        table.c.page_sha256,
        table.c.created_at,
        table.c.seen_at,
    )
    statement = _after(chosen, table.c.seen_at, table.c.report_id, after)
    if strategy_id is not None:
        statement = statement.where(table.c.strategy_id == strategy_id)
    return _cut([row._asdict() for row in connection.execute(statement.limit(limit + 1))], limit)


def _after(statement: Select[Any], moment: ColumnElement[Any], name: ColumnElement[Any], after: After) -> Select[Any]:
    ordered = statement.order_by(moment.desc(), name.desc())
    return ordered if after is None else ordered.where(tuple_(moment, name) < after)


def _cut(rows: list[Item], limit: int) -> tuple[list[Item], bool]:
    return rows[:limit], len(rows) > limit

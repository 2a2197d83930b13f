"""Diagnostics reports, kept under the digest of what they say, and the count of runs by their state.

A report is written once. When the same evidence comes back, it is not written anew, but counts as the latest again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert

from meta_pipeline.canonical import digest
from meta_pipeline.diagnostics.diagnose import DiagnosticsReport
from meta_pipeline.diagnostics.records import DataHealth
from meta_pipeline.diagnostics.report_json import report_from_json
from meta_pipeline.errors import ContentTampered
from meta_pipeline.store.schema import backtest_runs
from meta_pipeline.store.schema import diagnostics_reports as table


@dataclass(frozen=True, kw_only=True)
class StoredReport:
    """A report as it is stored.

    Parameters
    ----------
    created_at, seen_at
        When it was first written, and when last found.
    page_sha256
        sha256 of the report as a document; None: none was written.
    """

    report_id: str
    strategy_id: str
    report: DiagnosticsReport
    created_at: datetime
    seen_at: datetime
    page_sha256: str | None = None


def write_report(
    connection: Connection,
    report: DiagnosticsReport,
    *,
    strategy_id: str,
    now: datetime,
    page_sha256: str | None = None,
) -> str:
    """Write a report; the same report again adds nothing, but is seen, and may have another document.

    Parameters
    ----------
    page_sha256
        sha256 of the report as a document, if there is one.

    Returns
    -------
    str
        The report's id.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        If there is no such strategy.
    """
    report_id = report.report_id(strategy_id=strategy_id)
    written = insert(table).values(
        report_id=report_id,
        strategy_id=strategy_id,
        evidence_digest=report.evidence_digest,
        body=report.to_json(),
        page_sha256=page_sha256,
        created_at=now,
        seen_at=now,
    )
    again = {
        "seen_at": func.greatest(table.c.seen_at, written.excluded.seen_at),
        "page_sha256": func.coalesce(written.excluded.page_sha256, table.c.page_sha256),
    }
    connection.execute(written.on_conflict_do_update(index_elements=[table.c.report_id], set_=again))
    return report_id


def latest_report(connection: Connection, strategy_id: str) -> StoredReport | None:
    """Read the report of a strategy that was found last, or None if there is none.

    Raises
    ------
    ContentTampered
        If it is not what was written.
    """
    newest = (
        _selected()
        .where(table.c.strategy_id == strategy_id)
        .order_by(table.c.seen_at.desc(), table.c.report_id)
        .limit(1)
    )
    row = connection.execute(newest).one_or_none()
    return None if row is None else _stored(row)


def read_report(connection: Connection, report_id: str) -> StoredReport | None:
    """Read one report by its id, or None if there is none.

    Raises
    ------
    ContentTampered
        If it is not what was written.
    """
    row = connection.execute(_selected().where(table.c.report_id == report_id)).one_or_none()
    return None if row is None else _stored(row)


def latest_pages(connection: Connection) -> dict[str, str]:
    """Return, by strategy, the sha256 of the document of the report that was found last; those without are left out."""
    newest = select(table.c.strategy_id, table.c.page_sha256).ext(distinct_on(table.c.strategy_id))
    rows = connection.execute(newest.order_by(table.c.strategy_id, table.c.seen_at.desc(), table.c.report_id))
    return {row.strategy_id: row.page_sha256 for row in rows if row.page_sha256 is not None}


def data_health(connection: Connection, strategy_id: str) -> DataHealth:
    """Count a strategy's runs by state, and the quarantined by reason code."""
    runs = backtest_runs.c
    counted = connection.execute(
        select(runs.state, runs.reason_code, func.count())
        .where(runs.strategy_id == strategy_id)
        .group_by(runs.state, runs.reason_code)
    ).all()
    return DataHealth.of_states({f"{state}:{why}" if why else str(state): int(n) for state, why, n in counted})


def _selected() -> Select[Any]:
    return select(
        table.c.report_id, table.c.strategy_id, table.c.body, table.c.page_sha256, table.c.created_at, table.c.seen_at
    )


def _stored(row: Row[Any]) -> StoredReport:
    # The body as it is stored, so that a report of an older format is still the one that was written.
    found = digest({"strategy_id": row.strategy_id, "report": row.body})
    if found != row.report_id:
        raise ContentTampered(
            f"the diagnostics report {row.report_id[:12]}... of {row.strategy_id} is not what was written: its content "
            f"has the digest {found[:12]}...; decide nothing by it, compare with a backup, and make it anew with: "
            "meta-pipeline nightly"
        )
    return StoredReport(
        report_id=row.report_id,
        strategy_id=row.strategy_id,
        report=report_from_json(row.body),
        created_at=row.created_at,
        seen_at=row.seen_at,
        page_sha256=row.page_sha256,
    )

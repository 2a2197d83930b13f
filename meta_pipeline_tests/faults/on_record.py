"""What the database has on record of governance, read in one statement; and the database emptied of it."""

import json
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text

from meta_pipeline.canonical import ABSENT, Level
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store.governed import TABLES

MORE_TABLES: Final = ("person_roles", "freezes", "strategy_limits", "approver_keys")
_EVERYTHING: Final = text("""
    SELECT 'proposal' AS kind, proposal_id AS subject, status AS one, '' AS two, '' AS three FROM meta_config_proposals
    UNION ALL
    SELECT 'strategy', strategy_id, version::text, config_json::text, '' FROM strategies
    JOIN config_versions USING (strategy_id) WHERE version = live_version
    UNION ALL
    SELECT 'change', proposal_id, coalesce(previous_value::text, 'absent'), coalesce(new_value::text, 'absent'),
        CASE WHEN is_reverted THEN 'reverted' ELSE 'in force' END FROM config_change_log
    UNION ALL
    SELECT 'entry', coalesce(c.proposal_id, e.subject_id), e.action, e.actor, e.seq::text
    FROM audit_log e LEFT JOIN config_change_log c ON c.change_id = e.subject_id WHERE e.seq > :seen""")


@dataclass(frozen=True, kw_only=True)
class OnRecord:
    """What is on record.

    Parameters
    ----------
    live
        Strategy -> version and configuration.
    statuses
        Proposal -> status.
    changes
        Proposal -> what its key was, what it became, and whether that was reverted.
    entries
        New entries of the audit log, sorted: action, subject, actor. The subject of a change is its proposal.
    """

    live: dict[str, tuple[int, Any]]
    statuses: dict[str, str]
    changes: dict[str, tuple[Level, Level, str]]
    entries: list[tuple[str, str, str]]


def reset(database: Database) -> None:
    """Empty the governed tables, which takes the rights of the owner and triggers that do not fire."""
    with database.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for table in (*TABLES, *MORE_TABLES):
            connection.execute(text(f"DELETE FROM {table}"))


def read(database: Database, *, after: int) -> OnRecord:
    """Read it, with the audit entries after a number."""
    with database.connect() as connection:
        rows = connection.execute(_EVERYTHING, {"seen": after}).all()
    kinds = ("proposal", "strategy", "change", "entry")
    found = {kind: [row for row in rows if row.kind == kind] for kind in kinds}
    return OnRecord(
        live={row.subject: (int(row.one), json.loads(row.two)) for row in found["strategy"]},
        statuses={row.subject: row.one for row in found["proposal"]},
        changes={row.subject: (_level(row.one), _level(row.two), row.three) for row in found["change"]},
        entries=sorted((row.one, row.subject, row.two) for row in found["entry"]),
    )


def _level(written: str) -> Level:
    return ABSENT if written == "absent" else json.loads(written)

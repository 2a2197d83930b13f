"""What has happened to a proposal or a change, from the audit log: as a table, and as JSON."""

from typing import TYPE_CHECKING

from meta_pipeline.canonical import JsonValue

if TYPE_CHECKING:
    from meta_pipeline.report.table import Table
    from meta_pipeline.store.audit import AuditEntry


def history_table(history: "list[AuditEntry]") -> "Table":
    """Show what happened, oldest first, from the audit log."""
    import json

    from meta_pipeline.report.table import Column, Table, day

    return Table(
        title="What has happened",
        columns=(
            Column(key="seq", header="Audit entry"),
            Column(key="at", header="When"),
            Column(key="who", header="Who"),
            Column(key="what", header="What"),
            Column(key="reason", header="Reason"),
        ),
        rows=tuple(
            {
                "seq": str(entry.seq),
                "at": day(entry.at),
                "who": f"{entry.actor} ({entry.actor_kind})",
                "what": entry.action,
                "reason": json.loads(entry.payload).get("reason") or "-",
            }
            for entry in reversed(history)
        ),
        empty="Nothing yet.",
    )


def history_json(history: "list[AuditEntry]") -> list[JsonValue]:
    """Return what happened as JSON, oldest first."""
    from meta_pipeline.cli.audit import entry_json

    return [entry_json(entry) for entry in reversed(history)]

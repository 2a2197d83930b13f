"""`meta-pipeline audit`: verify and list the audit log."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.report.table import Table
    from meta_pipeline.store.audit import AuditEntry

app = typer.Typer(no_args_is_help=True, help="Verify and list the audit log.")

LIMITS = (
    "The chain shows that no entry was changed, added in between or taken out. It cannot show that the newest entries "
    "were not cut off: compare the head with one that was noted earlier, outside this database."
)


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Walk the whole hash chain; exit code 7 at the first break."""
    from meta_pipeline.store import audit

    with common.open_database() as database, database.connect() as connection:
        found = audit.verify(connection)

    def human(console: "Console") -> None:
        console.print(f"{found.entries:,} entries hold together; head {found.head_hash}", markup=False, soft_wrap=True)
        console.print(LIMITS, markup=False)

    payload: JsonValue = {"verified": True, "entries": found.entries, "head_hash": found.head_hash, "limits": LIMITS}
    common.emit(payload, as_json=as_json, human=human)


@app.command("list")
def list_(
    subject: Annotated[str | None, typer.Option(help="Only entries about this proposal, change, strategy ...")] = None,
    action: Annotated[str | None, typer.Option(help="Only this kind: proposal, or proposal.approve.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this actor did.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List what happened, the newest first."""
    from meta_pipeline.store import audit

    with common.open_database() as database, database.connect() as connection:
        found = audit.entries(connection, subject_id=subject, action=action, actor=actor, limit=limit)
    common.emit(
        {"entries": [entry_json(entry) for entry in found]},
        as_json=as_json,
        human=lambda console: console.print(entries_table(found).rich()),
    )


def entry_json(entry: "AuditEntry") -> dict[str, JsonValue]:
    """Return an entry as a JSON object; its payload is parsed."""
    return {
        "seq": entry.seq,
        "at": entry.at.isoformat(),
        "actor": entry.actor,
        "actor_kind": entry.actor_kind,
        "action": entry.action,
        "subject_type": entry.subject_type,
        "subject_id": entry.subject_id,
        "payload": json.loads(entry.payload),
        "prev_hash": entry.prev_hash,
        "hash": entry.hash,
    }


def entries_table(found: "list[AuditEntry]") -> "Table":
    """Show entries: number, time, actor, action, subject, and the start of the hash."""
    from meta_pipeline.report.table import Column, Table, day

    return Table(
        title="Audit log",
        columns=(
            Column(key="seq", header="Entry"),
            Column(key="at", header="When"),
            Column(key="who", header="Who"),
            Column(key="action", header="What"),
            Column(key="subject", header="About"),
            Column(key="reason", header="Reason"),
            Column(key="hash", header="Hash"),
        ),
        rows=tuple(
            {
                "seq": str(entry.seq),
                "at": day(entry.at),
                "who": f"{entry.actor} ({entry.actor_kind})",
                "action": entry.action,
                "subject": entry.subject_id,
                "reason": json.loads(entry.payload).get("reason") or "-",
                "hash": entry.hash[:12],
            }
            for entry in found
        ),
        empty="No such entry.",
    )

"""`meta-pipeline audit`: verify, anchor, export, reseal and list the audit log."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.counted import counted

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.report.table import Table
    from meta_pipeline.store.anchors import Anchor
    from meta_pipeline.store.audit import AuditEntry

app = typer.Typer(no_args_is_help=True, help="Verify, anchor, export and list the audit log.")

LIMITS = (
    "The chain shows that no entry was changed, added in between or taken out. It cannot show that the newest entries "
    "were not cut off: compare the head with one that was noted earlier, outside this database (meta-pipeline audit "
    "anchor), and keep the anchors where the database's owner cannot write."
)


@app.command()
def verify(
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Only what was recorded since the last anchor.")
    ] = False,
    file: Annotated[Path | None, typer.Option(help="An export instead of the database; needs no database.")] = None,
    as_json: AsJson = False,
) -> None:
    """Walk the hash chain and hold it against the anchors; exit code 7 at the first break, or if it is a fork."""
    from meta_pipeline.store import anchors, audit
    from meta_pipeline.store.audit_export import read_export

    settings = common.settings()
    noted = anchors.read_anchors(anchors.place_of(settings))
    if file is not None:
        before, rows = read_export(file)
        found = audit.walk(anchors.held_against(rows, noted), after=before)
    else:
        with common.open_database() as database, database.connect() as connection:
            found = anchors.verify_anchored(connection, noted, since_last=incremental)
    last = noted[-1] if noted else None

    def human(console: "Console") -> None:
        console.print(
            f"{counted(found.entries, 'entry holds', 'entries hold')} together; head {found.head_hash}",
            markup=False,
            soft_wrap=True,
        )
        console.print(_anchored_text(last, len(noted), found.entries), markup=False)
        console.print(LIMITS, markup=False)

    payload: JsonValue = {
        "verified": True,
        "entries": found.entries,
        "head_hash": found.head_hash,
        "anchors": len(noted),
        "anchored_until": None if last is None else last.seq,
        "limits": LIMITS,
    }
    common.emit(payload, as_json=as_json, human=human)


@app.command()
def anchor(as_json: AsJson = False) -> None:
    """Verify what is new, and note the head down outside the database (META_PIPELINE_AUDIT_ANCHOR)."""
    from meta_pipeline.store import anchors

    settings = common.settings()
    with common.open_database() as database:
        now = common.time_of(database)
        with database.connect() as connection:
            made = anchors.anchor_head(connection, settings, now=now)
    _emit_anchor(made, f"anchored entry {made.seq:,}, {made.entry_hash}, as {made.name()}", as_json=as_json)


@app.command()
def reseal(
    reason: Annotated[str, typer.Option(help="Why the log is another one than was anchored: which restore, by whom.")],
    as_json: AsJson = False,
) -> None:
    """Accept the log after a restore that you know of. Recorded in the log, with the reason; an operator does it."""
    from meta_pipeline.store import anchors

    settings = common.settings()
    with common.open_database() as database:
        now = common.time_of(database)
        with database.begin() as connection:
            made = anchors.reseal(connection, settings, reason=reason, actor=common.actor(), now=now)
    told = (
        f"resealed at entry {made.seq:,}, generation {made.generation}; agreed with anchors until {made.agreed_until}"
    )
    _emit_anchor(made, told, as_json=as_json)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to write it, one JSON object per line; must not be there yet.")],
    since: Annotated[int, typer.Option(min=0, help="Only entries after this number.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write the log to a file that anybody can verify without the database: audit verify --file FILE."""
    from meta_pipeline.store import audit
    from meta_pipeline.store.audit_export import write_export

    with common.open_database() as database, database.connect() as connection:
        written = write_export(audit.stream(connection, after=since), file)
    payload: JsonValue = {"file": str(file), "entries": written}
    common.emit(
        payload,
        as_json=as_json,
        human=lambda console: console.print(
            f"{counted(written, 'entry', 'entries')} written to {file}", markup=False, soft_wrap=True
        ),
    )


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


def _anchored_text(last: "Anchor | None", count: int, entries: int) -> str:
    from meta_pipeline.report.table import day

    if last is None:
        return "No anchor is there yet, so a tail that was cut off would not be noticed: meta-pipeline audit anchor"
    behind = (
        ""
        if last.seq == entries
        else f"; {counted(entries - last.seq, 'entry since is', 'entries since are')} not anchored"
    )
    return f"It agrees with {counted(count, 'anchor')}, the last at entry {last.seq:,} on {day(last.at)}{behind}."


def _emit_anchor(made: "Anchor", told: str, *, as_json: bool) -> None:
    payload: JsonValue = {
        "seq": made.seq,
        "hash": made.entry_hash,
        "at": made.at.isoformat(),
        "generation": made.generation,
        "agreed_until": made.agreed_until,
        "name": made.name(),
    }
    common.emit(payload, as_json=as_json, human=lambda console: console.print(told, markup=False, soft_wrap=True))

"""`meta-pipeline changes`: list, show and revert applied changes."""

from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.cli.history import history_json, history_table
from meta_pipeline.cli.proposals import SHORT

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.proposals.decision import RevertResult
    from meta_pipeline.proposals.draft import Approval
    from meta_pipeline.report.table import Table
    from meta_pipeline.store.changes import ChangeRecord

app = typer.Typer(no_args_is_help=True, help="List, show and revert applied changes.")

ChangeId = Annotated[str, typer.Argument(metavar="ID", help="The change; the first digits are enough.")]


@app.command("list")
def list_(
    strategy: Annotated[str | None, typer.Option(help="Only this strategy.")] = None,
    reverted: Annotated[
        bool | None, typer.Option("--reverted/--in-force", help="Only those reverted, or only those in force.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List changes of live configurations, the newest first."""
    from meta_pipeline.store import changes

    with common.open_database() as database, database.connect() as connection:
        records = changes.list_changes(connection, strategy_id=strategy, reverted=reverted, limit=limit)
    common.emit(
        {"changes": [change_json(record) for record in records]},
        as_json=as_json,
        human=lambda console: console.print(changes_table(records).rich()),
    )


@app.command()
def show(change_id: ChangeId, as_json: AsJson = False) -> None:
    """Show one change: what it did, who approved and applied it, whether it is in force, and its audit entries."""
    from meta_pipeline.outcomes.plan import exit_plan
    from meta_pipeline.store import applied_together, audit, change_outcomes, changes, proposals, strategies

    with common.open_database() as database, database.connect() as connection:
        found = changes.find(connection, change_id)
        record = changes.get(connection, found)
        batch = applied_together.applied_with(connection, found)
        approval = proposals.approval_of(connection, record.proposal_id)
        live = strategies.live_config(connection, record.strategy_id)
        now = changes.three_way(record, live.config)
        history = audit.entries(connection, subject_id=found, limit=100)
        looks = change_outcomes.looks(connection, found)
        plan = exit_plan(proposals.get(connection, record.proposal_id).draft)
    approved = {} if approval is None else _approved(approval)

    def human(console: "Console") -> None:
        from meta_pipeline.report.outcomes import outcome_facts, together_facts
        from meta_pipeline.report.text import visible

        otherwise = record.evaluation_missing_reason or changes.NOT_JUDGED
        facts = _facts(record, approved, live=now.text())
        facts += together_facts(batch, found)
        facts += outcome_facts(looks[0] if looks else None, otherwise=otherwise)
        facts += [("exit plan", sentence) for sentence in plan.sentences()]
        for what, value in facts:
            console.print(f"{what:<13} {visible(value)}", markup=False, soft_wrap=True)
        console.print(history_table(history).rich())

    payload: JsonValue = {
        **change_json(record),
        **approved,
        "together": [one.change_id for one in batch if one.change_id != found],
        "three_way": now.text(),
        "live_version": live.version,
        "outcome": looks[0].body if looks else None,
        "looks": [
            {"judged_until": one.judged_until.isoformat(), "simulated": one.simulated, "verdict": one.verdict}
            for one in looks
        ],
        "exit_plan": plan.to_json(),
        "history": list(history_json(history)),
    }
    common.emit(payload, as_json=as_json, human=human)


@app.command()
def revert(
    change_id: ChangeId,
    reason: Annotated[str, typer.Option(help="Why.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Run the real transaction and roll it back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Restore the exact state before a change. One person may, at once; refused if the key was changed since."""
    from meta_pipeline.store import changes, governance

    with common.open_database() as database:
        with database.connect() as connection:
            found = changes.find(connection, change_id)
        result = governance.revert(
            database,
            found,
            actor=common.actor(),
            reason=reason,
            now=common.time_of(database),
            settings=common.settings(),
            dry_run=dry_run,
        )
    common.emit(result.to_json(), as_json=as_json, human=lambda console: _print_revert(console, result))
    if result.error is not None:
        raise typer.Exit(result.error.exit_code)


def change_json(record: "ChangeRecord") -> dict[str, JsonValue]:
    """Return a stored change as a JSON object; times in ISO 8601, UTC."""
    from dataclasses import fields

    from meta_pipeline.proposals.candidate import level_to_json

    values: dict[str, JsonValue] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name in {"previous_value", "new_value"}:
            values[field.name] = level_to_json(value)
        else:
            values[field.name] = value.isoformat() if hasattr(value, "isoformat") else value
    return values


def changes_table(records: "list[ChangeRecord]") -> "Table":
    """Show changes: what, versions, risk, who applied it and when, and whether it was reverted."""
    from meta_pipeline.report.table import Column, Table, day
    from meta_pipeline.report.tables import change_text

    return Table(
        title="Changes",
        columns=(
            Column(key="id", header="Change"),
            Column(key="strategy", header="Strategy"),
            Column(key="knob", header="Knob"),
            Column(key="change", header="From → to"),
            Column(key="version", header="Version"),
            Column(key="risk", header="Risk"),
            Column(key="applied", header="Applied"),
            Column(key="by", header="By"),
            Column(key="state", header="State"),
        ),
        rows=tuple(
            {
                "id": record.change_id[: SHORT - 1],
                "strategy": record.strategy_id,
                "knob": record.target_component,
                "change": change_text(record.previous_value, record.new_value),
                "version": f"{record.base_version} → {record.new_version}",
                "risk": record.risk_change,
                "applied": day(record.applied_at),
                "by": record.applied_by,
                "state": _state(record),
            }
            for record in records
        ),
        empty="No such change.",
    )


def _state(record: "ChangeRecord") -> str:
    from meta_pipeline.report.table import day

    if not record.is_reverted:
        return "in force" if record.outcome_verdict is None else f"in force, judged {record.outcome_verdict}"
    return f"reverted by {record.reverted_by}, {day(record.reverted_at)}: {record.reversion_reason}"


def _approved(approval: "Approval") -> dict[str, str]:
    """Say who approved, why, by which way in, and with which key."""
    from meta_pipeline.errors import InputError
    from meta_pipeline.proposals.signatures import read_signature

    said = {"approved_by": approval.approver, "approval_reason": approval.reason, "approval_channel": approval.channel}
    if approval.signature is None:
        return said
    try:
        return said | {"approval_key": read_signature(approval.signature).key_id}
    except InputError:  # a hand that altered it is found by the check of the apply; showing it must not fail
        return said | {"approval_key": "that cannot be read"}


def _facts(record: "ChangeRecord", approved: dict[str, str], *, live: str) -> list[tuple[str, str]]:
    from meta_pipeline.proposals.diff import sentence
    from meta_pipeline.report.table import day

    told = sentence(
        strategy_id=record.strategy_id,
        path=record.target_component,
        before=record.previous_value,
        after=record.new_value,
        risk_change=record.risk_change,
    )
    reason, key = approved.get("approval_reason"), approved.get("approval_key")
    decided = f"{approved.get('approved_by', '?')}, by way of {approved.get('approval_channel', '?')}"
    decided += f", signed with the key {key}" if key else ", not signed"
    return [
        ("change", record.change_id),
        ("what", told),
        ("proposal", record.proposal_id),
        ("version", f"{record.base_version} -> {record.new_version}"),
        ("approved by", decided + (f": {reason}" if reason else "")),
        ("applied by", f"{record.applied_by}, {day(record.applied_at)}"),
        ("state", _state(record)),
        ("now", live),
    ]


def _print_revert(console: "Console", result: "RevertResult") -> None:
    from meta_pipeline.report.decisions import touched_table
    from meta_pipeline.report.text import visible

    console.print(visible(result.message), markup=False)
    if result.touched:
        console.print(touched_table(result.touched).rich())
    for note in result.notes:
        console.print(f"note: {visible(note)}", markup=False)
    if result.made_stale:
        console.print(f"makes stale: {', '.join(result.made_stale)}", markup=False)

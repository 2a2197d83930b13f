"""`meta-pipeline proposals`: list, show, compare, author, correct and withdraw proposals."""

from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.canonical import ABSENT, JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.cli.experiment_plan import experiments
from meta_pipeline.cli.history import history_json, history_table
from meta_pipeline.cli.report_files import proposal_reports

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.proposals.decision import ApplyResult
    from meta_pipeline.proposals.draft import ProposalRecord
    from meta_pipeline.proposals.states import Status
    from meta_pipeline.report.table import Table
    from meta_pipeline.store.database import Database

app = typer.Typer(no_args_is_help=True, help="List, show, compare and author proposals.")
app.command()(experiments)

ProposalId = Annotated[str, typer.Argument(metavar="ID", help="The proposal; the first digits are enough.")]
Strategy = Annotated[str | None, typer.Option(help="Only this strategy.")]
SHORT = 13
"""Characters of an id in tables: enough to name it on the command line."""


@app.command("list")
def list_(
    strategy: Strategy = None,
    status: Annotated[list[str] | None, typer.Option(help="Only this status; may be given more than once.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are decided and done with.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List proposals; by default those that are open (PENDING or APPROVED)."""
    from meta_pipeline.proposals.states import OPEN
    from meta_pipeline.store import proposals

    wanted = _statuses(status) if status else (() if everything else OPEN)
    with common.open_database() as database, database.connect() as connection:
        records = proposals.list_proposals(connection, strategy_id=strategy, status=wanted, limit=limit)
        counts = proposals.count_by_status(connection, strategy_id=strategy)
    counted = ", ".join(f"{count:,} {name}" for name, count in counts.items())

    def human(console: "Console") -> None:
        console.print(proposals_table(records).rich())
        console.print(f"In the database: {counted or 'none'}.", markup=False)

    payload: JsonValue = {
        "proposals": [proposal_json(record) for record in records],
        "counts": {str(name): count for name, count in counts.items()},
    }
    common.emit(payload, as_json=as_json, human=human)


@app.command()
def show(proposal_id: ProposalId, as_json: AsJson = False) -> None:
    """Show one proposal as an approver reads it: who may decide, every check for you now, what has happened to it."""
    from meta_pipeline.outcomes.plan import exit_plan
    from meta_pipeline.store import audit, governance, proposals, scorecards

    settings = common.settings()
    with common.open_database() as database, database.connect() as connection:
        found = proposals.find(connection, proposal_id)
        record, seen = _seen(database, connection, found)
        standing = governance.standing(
            connection, found, viewer=common.actor(), now=common.time_of(database), settings=settings
        )
        history = audit.entries(connection, subject_id=found, limit=100)
        scores = scorecards.scorecard(connection)

    def human(console: "Console") -> None:
        from meta_pipeline.report.approval import approval_sheet
        from meta_pipeline.report.outcomes import track_record

        sheet = approval_sheet(
            record,
            checks=seen.checks,
            touched=seen.touched,
            track_record=track_record(scores, record.draft.proposal_type),
            approval_hours=settings.approval_hours,
            standing=standing,
        )
        console.print(sheet.rich())
        console.print(history_table(history).rich())

    common.emit(
        {
            **proposal_json(record),
            "body": record.body,
            "exit_plan": exit_plan(record.draft).to_json(),
            "track_record": [score.to_json() for score in scores if score.proposal_type == record.draft.proposal_type],
            "preview": seen.to_json(),
            "standing": standing.to_json(),
            "history": history_json(history),
        },
        as_json=as_json,
        human=human,
    )


@app.command()
def diff(proposal_id: ProposalId, as_json: AsJson = False) -> None:
    """Show exactly what would change: touched keys, direction of risk, effective configuration, checks."""
    from meta_pipeline.store import proposals

    with common.open_database() as database, database.connect() as connection:
        record, seen = _seen(database, connection, proposals.find(connection, proposal_id))
    common.emit(
        {"proposal": proposal_json(record), **seen.to_json()},
        as_json=as_json,
        human=lambda console: print_effect(console, seen),
    )


@app.command()
def scorecard(as_json: AsJson = False) -> None:
    """Show what proposals of each type claimed, and what their changes brought."""
    from meta_pipeline.store import scorecards

    with common.open_database() as database, database.connect() as connection:
        scores = scorecards.scorecard(connection)

    def human(console: "Console") -> None:
        from meta_pipeline.report.outcomes import scorecard_table

        console.print(scorecard_table(scores).rich())

    common.emit({"scorecard": [score.to_json() for score in scores]}, as_json=as_json, human=human)


@app.command()
def create(
    strategy: Annotated[str, typer.Option(help="The strategy.")],
    knob: Annotated[str, typer.Option(help="Path of a declared knob.")],
    reason: Annotated[str, typer.Option(help="Why; the approver reads it.")],
    to: Annotated[str | None, typer.Option(help="The new value.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the key instead of giving it a value.")] = False,
    as_json: AsJson = False,
) -> None:
    """Propose a change yourself. You are its author; somebody else has to approve it."""
    from meta_pipeline.proposals.knobs import typed_value
    from meta_pipeline.store import governance, strategies

    if (to is None) != remove:
        raise common.UsageError("say what the knob shall become: either --to VALUE or --remove")
    settings = common.settings()
    with common.open_database() as database:
        with database.connect() as connection:
            declared = strategies.load(connection, strategy).knobs.get(knob)
        # An undeclared knob is refused by the service, which names those that there are.
        value = ABSENT if to is None else to if declared is None else typed_value(declared, to)
        made = governance.create(
            database,
            strategy_id=strategy,
            knob=knob,
            proposed=value,
            reason=reason,
            author=common.actor(),
            now=common.time_of(database),
            settings=settings,
            report=proposal_reports(database),
        )
    record = made.record
    told = "saved" if made.new else "there already"

    def human(console: "Console") -> None:
        from meta_pipeline.report.text import visible

        console.print(visible(f"{_sentence(record)} Proposal {record.proposal_id} is {told}."), markup=False)
        console.print(f"  digest {record.body_digest}", markup=False, soft_wrap=True)
        console.print(f"  somebody else approves it:  meta-pipeline approve {record.proposal_id}", soft_wrap=True)

    common.emit({"new": made.new, **proposal_json(record)}, as_json=as_json, human=human)


@app.command()
def edit(
    proposal_id: ProposalId,
    rationale: Annotated[str, typer.Option(help="The new rationale.")],
    as_json: AsJson = False,
) -> None:
    """Rewrite the rationale of a pending proposal. Its digest changes, and you can then not approve it."""
    from meta_pipeline.store import governance, proposals

    with common.open_database() as database:
        with database.connect() as connection:
            found = proposals.find(connection, proposal_id)
        record = governance.edit(
            database,
            found,
            rationale=rationale,
            editor=common.actor(),
            now=common.time_of(database),
            report=proposal_reports(database),
        )
    common.emit(
        proposal_json(record),
        as_json=as_json,
        human=lambda console: console.print(
            f"{record.proposal_id} edited; its digest is now {record.body_digest}", markup=False, soft_wrap=True
        ),
    )


@app.command()
def withdraw(
    proposal_id: ProposalId,
    reason: Annotated[str, typer.Option(help="Why it is taken back.")],
    as_json: AsJson = False,
) -> None:
    """Take back a proposal of your own."""
    from meta_pipeline.store import governance, proposals

    with common.open_database() as database:
        with database.connect() as connection:
            found = proposals.find(connection, proposal_id)
        record = governance.withdraw(database, found, actor=common.actor(), reason=reason, now=common.time_of(database))
    common.emit(
        proposal_json(record),
        as_json=as_json,
        human=lambda console: console.print(f"{record.proposal_id} is withdrawn", markup=False, soft_wrap=True),
    )


def proposal_json(record: "ProposalRecord") -> dict[str, JsonValue]:
    """Return a stored proposal as a JSON object; times in ISO 8601, UTC."""
    from meta_pipeline.proposals.candidate import level_to_json

    draft = record.draft
    moments = ("created_at", "expires_at", "approved_at", "approval_expires_at", "applied_at", "reverted_at")
    times = {name: None if (at := getattr(record, name)) is None else at.isoformat() for name in moments}
    return {
        "proposal_id": record.proposal_id,
        "status": str(record.status),
        "status_reason": record.status_reason,
        "strategy_id": draft.strategy_id,
        "market_id": draft.market_id,
        "candidate_id": draft.candidate_id,
        "proposal_type": draft.proposal_type,
        "target_component": draft.target_component,
        "current": level_to_json(draft.current),
        "proposed": level_to_json(draft.proposed),
        "base_version": draft.base_version,
        "expected_sharpe_improvement": draft.expected_sharpe_improvement,
        "expected_return_improvement": draft.expected_return_improvement,
        "expected_risk_reduction": draft.expected_risk_reduction,
        "confidence_score": draft.confidence_score,
        "legacy_confidence": draft.legacy_confidence,
        "grade": draft.grade,
        "risk_change": draft.risk_change,
        "rationale": draft.rationale,
        "author": draft.author,
        "author_kind": draft.author_kind,
        "approved_by": record.approved_by,
        "body_digest": record.body_digest,
        "evidence_digest": draft.evidence_digest,
        **times,
    }


def proposals_table(records: "list[ProposalRecord]") -> "Table":
    """Show proposals: what changes, the effect with its interval, grade, risk, status, and when they lapse."""
    from meta_pipeline.report.approval import evidence_of
    from meta_pipeline.report.table import Column, Kind, Table, day
    from meta_pipeline.report.tables import change_text, effect_text

    rows = []
    for record in records:
        draft = record.draft
        evidence = evidence_of(draft)
        ends = record.approval_expires_at if record.status == "APPROVED" else record.expires_at
        rows.append(
            {
                "id": record.proposal_id[:SHORT],
                "strategy": draft.strategy_id,
                "knob": draft.target_component,
                "change": change_text(draft.current, draft.proposed),
                "effect": None if evidence is None else effect_text(evidence.effect),
                "uplift": draft.expected_sharpe_improvement,
                "grade": draft.grade,
                "risk": draft.risk_change,
                "status": str(record.status),
                "author": draft.author,
                "expires": day(ends) if record.status in {"PENDING", "APPROVED"} else "-",
                "digest": record.body_digest[:8],
            }
        )
    return Table(
        title="Proposals",
        columns=(
            Column(key="id", header="Proposal"),
            Column(key="strategy", header="Strategy"),
            Column(key="knob", header="Knob"),
            Column(key="change", header="From → to"),
            Column(key="effect", header="Effect"),
            Column(key="uplift", header="Expected uplift", kind=Kind.SIGNED),
            Column(key="grade", header="Grade"),
            Column(key="risk", header="Risk"),
            Column(key="status", header="Status"),
            Column(key="author", header="Author"),
            Column(key="expires", header="Lapses"),
            Column(key="digest", header="Digest"),
        ),
        rows=tuple(rows),
        note="Effect: on the annualised Sharpe ratio unless named. Uplift: expected of that ratio." if rows else "",
        empty="No such proposal.",
    )


def print_effect(console: "Console", seen: "ApplyResult") -> None:
    """Print what an apply does or would do: sentence, touched keys, checks, effective configuration."""
    import json

    from meta_pipeline.report.decisions import checks_table, touched_table
    from meta_pipeline.report.text import visible

    console.print(visible(seen.message), markup=False)
    if seen.outcome == "already_applied":
        return
    console.print(touched_table(seen.touched).rich())
    if seen.checks:
        console.print(checks_table(seen.checks).rich())
    for note in seen.notes:
        console.print(f"note: {visible(note)}", markup=False)
    for what, ids in (("supersedes", seen.superseded), ("makes stale", seen.made_stale)):
        if ids:
            console.print(f"{what}: {', '.join(ids)}", markup=False)
    version = f", version {seen.new_version}" if seen.new_version else ""
    console.print(f"Effective configuration of {visible(seen.strategy_id or '?')}{version}:", markup=False)
    text = json.dumps(seen.after, indent=2, sort_keys=True, ensure_ascii=False)
    console.print("\n".join(visible(line) for line in text.splitlines()), markup=False)


def _seen(database: "Database", connection: object, proposal_id: str) -> "tuple[ProposalRecord, ApplyResult]":
    from sqlalchemy import Connection

    from meta_pipeline.store import governance, proposals

    assert isinstance(connection, Connection)
    record = proposals.get(connection, proposal_id)
    return record, governance.preview(connection, proposal_id, now=common.time_of(database), settings=common.settings())


def _statuses(names: list[str]) -> "tuple[Status, ...]":
    from meta_pipeline.proposals.states import Status

    unknown = [name for name in names if name.upper() not in Status.__members__]
    if unknown:
        raise common.UsageError(f"status {unknown[0]!r} is none; there are: {', '.join(Status.__members__)}")
    return tuple(Status(name.upper()) for name in names)


def _sentence(record: "ProposalRecord") -> str:
    from meta_pipeline.proposals.diff import sentence

    draft = record.draft
    return sentence(
        strategy_id=draft.strategy_id,
        path=draft.target_component,
        before=draft.current,
        after=draft.proposed,
        risk_change=draft.risk_change,
    )

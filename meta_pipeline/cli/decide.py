"""`meta-pipeline approve`, `reject` and `apply`: the gate's own service, from the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.cli.proposals import ProposalId, print_effect
from meta_pipeline.errors import NothingToDo

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from meta_pipeline.proposals.decision import ApplyResult, DecisionResult, Verdict
    from meta_pipeline.store.database import Database

_WHOLE_ID = len("prop-") + 24

Digest = Annotated[
    str | None,
    typer.Option(help="Digest of what you decide on, 64 digits. Without it the proposal is shown and you are asked."),
]


def approve(
    proposal_id: ProposalId,
    digest: Digest = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    sign: Annotated[Path | None, typer.Option(metavar="KEYFILE", help="Sign with this private key.")] = None,
    sign_only: Annotated[
        bool, typer.Option("--sign-only", help="Only print the signature, for the gate's form; nothing is decided.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Approve one proposal, as the person you are. Nothing is applied by that."""
    if sign_only:
        _sign_only(proposal_id, digest=digest, key_file=sign, as_json=as_json)
        return
    _decide(proposal_id, "approve", digest=digest, reason=reason, sign=sign, as_json=as_json)


def reject(
    proposal_id: ProposalId,
    reason: Annotated[str, typer.Option(help="Why. The same change is then not proposed again for a while.")],
    digest: Digest = None,
    as_json: AsJson = False,
) -> None:
    """Reject one proposal, with a reason."""
    _decide(proposal_id, "reject", digest=digest, reason=reason, as_json=as_json)


def apply(
    proposal_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The proposal; the first digits are enough.")
    ] = None,
    all_approved: Annotated[
        bool, typer.Option("--all-approved", help="All approved proposals, each in a transaction of its own.")
    ] = False,
    strategy: Annotated[str | None, typer.Option(help="With --all-approved: only this strategy.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Run the real transaction and roll it back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Apply one approved proposal, or all of them, to the live configuration."""
    from meta_pipeline.store import governance, proposals

    if (proposal_id is None) != all_approved:
        raise common.UsageError("say what to apply: either a proposal's ID or --all-approved")
    who, settings = common.actor(), common.settings()
    with common.open_database() as database:
        if proposal_id is None:
            results = governance.apply_approved(
                database, strategy, actor=who, now=common.time_of(database), settings=settings, dry_run=dry_run
            )
            _emit_batch(results, as_json=as_json)
            return
        with database.connect() as connection:
            found = proposals.find(connection, proposal_id)
        result = governance.apply(
            database, found, actor=who, now=common.time_of(database), settings=settings, dry_run=dry_run
        )
    common.emit(result.to_json(), as_json=as_json, human=lambda console: print_effect(console, result))
    if result.error is not None:
        raise typer.Exit(result.error.exit_code)


def _sign_only(proposal_id: str, *, digest: str | None, key_file: Path | None, as_json: bool) -> None:
    """Print a signature. With the whole id and the digest no database is needed: the key may live elsewhere."""
    from datetime import timedelta

    if key_file is None:
        raise common.UsageError("say which key signs: --sign KEYFILE")
    settings = common.settings()
    now, found, named = common.now(), proposal_id, digest
    if digest is None or len(proposal_id) != _WHOLE_ID:
        from meta_pipeline.store import proposals

        with common.open_database() as database:
            now = common.time_of(database)
            with database.connect() as connection:
                found = proposals.find(connection, proposal_id)
            named = digest if digest is not None else _confirmed(database, found, "sign", as_json=as_json)
    assert named is not None
    ends = now + timedelta(hours=settings.approval_hours)
    line = _signature(found, named, "approve", key_file=key_file, expires_at=ends)

    def human(console: "Console") -> None:
        # For copying into a form: never wrapped.
        console.print(line, markup=False, soft_wrap=True)

    payload: JsonValue = {"proposal_id": found, "digest": named, "signature": line, "expires_at": ends.isoformat()}
    common.emit(payload, as_json=as_json, human=human)


def _signature(proposal_id: str, digest: str, verdict: "Verdict", *, key_file: Path, expires_at: "datetime") -> str:
    from meta_pipeline.proposals.signatures import Message, is_locked, read_private_key, sign

    passphrase = typer.prompt(f"Passphrase of {key_file}", hide_input=True, err=True) if is_locked(key_file) else None
    message = Message(
        proposal_id=proposal_id,
        body_digest=digest.strip().lower(),
        decision=verdict,
        approver=common.actor(),
        expires_at=expires_at.replace(microsecond=0),
    )
    return sign(read_private_key(key_file, passphrase=passphrase), message).text()


def _decide(
    proposal_id: str,
    verdict: "Verdict",
    *,
    digest: str | None,
    reason: str,
    as_json: bool,
    sign: Path | None = None,
) -> None:
    from datetime import timedelta

    from meta_pipeline.proposals.decision import Decision
    from meta_pipeline.store import governance, proposals

    settings = common.settings()
    with common.open_database() as database:
        with database.connect() as connection:
            found = proposals.find(connection, proposal_id)
        named = digest if digest is not None else _confirmed(database, found, verdict, as_json=as_json)
        now, line = common.time_of(database), None
        if sign is not None:
            ends = now + timedelta(hours=settings.approval_hours)
            line = _signature(found, named, verdict, key_file=sign, expires_at=ends)
        wanted = Decision(
            proposal_id=found, digest=named.strip().lower(), verdict=verdict, reason=reason, signature=line
        )
        (result,) = governance.decide(
            database, [wanted], approver=common.actor(), channel="cli", channel_ref="", now=now, settings=settings
        )
    if result.error is not None:
        raise result.error
    common.emit(result.to_json(), as_json=as_json, human=lambda console: _print_decision(console, result))


def _confirmed(database: "Database", proposal_id: str, verdict: str, *, as_json: bool) -> str:
    """Show the proposal, and have the person type the start of the digest of what was shown."""
    from meta_pipeline.report.approval import approval_sheet
    from meta_pipeline.report.outcomes import track_record
    from meta_pipeline.store import governance, proposals, scorecards

    with database.connect() as connection:
        record = proposals.get(connection, proposal_id)
        past = track_record(scorecards.scorecard(connection), record.draft.proposal_type)
        now, who = common.time_of(database), common.actor()
        seen = governance.preview(connection, proposal_id, now=now, settings=common.settings())
        standing = governance.standing(connection, proposal_id, viewer=who, now=now, settings=common.settings())
    if as_json:
        raise common.UsageError(f"with --json nobody is asked; give --digest {record.body_digest}")
    sheet = approval_sheet(
        record,
        checks=seen.checks,
        touched=seen.touched,
        track_record=past,
        approval_hours=common.settings().approval_hours,
        standing=standing,
    )
    common.console(stderr=True).print(sheet.rich())
    common.confirm_digest(record.body_digest, what=f"{verdict} {proposal_id}")
    return record.body_digest


def _print_decision(console: "Console", result: "DecisionResult") -> None:
    from meta_pipeline.report.decisions import checks_table
    from meta_pipeline.report.text import visible

    console.print(visible(result.message), markup=False)
    if result.checks:
        console.print(checks_table(result.checks).rich())
    for note in result.notes:
        console.print(f"  note: {visible(note)}", markup=False)
    if result.outcome == "approved":
        console.print(f"  next:  meta-pipeline apply {result.proposal_id} --dry-run", markup=False, soft_wrap=True)


def _emit_batch(results: "list[ApplyResult]", *, as_json: bool) -> None:
    if not results:
        raise NothingToDo("no proposal is approved, so there is nothing to apply")

    def human(console: "Console") -> None:
        from meta_pipeline.report.decisions import applies_table

        rehearsed = any(result.dry_run for result in results)
        title = "What would be applied; all of it was rolled back" if rehearsed else "Applied changes"
        console.print(applies_table(results, title=title).rich())

    payload: JsonValue = {"results": [result.to_json() for result in results]}
    common.emit(payload, as_json=as_json, human=human)
    refused = next((result.error for result in results if result.error is not None), None)
    if refused is not None:
        raise typer.Exit(refused.exit_code)

"""meta-pipeline nightly: aggregates, diagnostics and proposals, once, for all that is pending."""

from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.cli import common
from meta_pipeline.counted import counted
from meta_pipeline.errors import MetaPipelineError, NotFound, NothingToDo

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.canonical import JsonValue
    from meta_pipeline.orchestration.once import RunSummary
    from meta_pipeline.orchestration.open_proposals import OpenLine
    from meta_pipeline.orchestration.resources import DatabaseResource

app = typer.Typer()


@app.command()
def nightly(
    strategy: Annotated[str | None, typer.Option(help="Only this strategy.")] = None,
    shard: Annotated[
        str | None, typer.Option(help="Only part i of n of the strategies, as i/n: several of these share a night.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show Dagster's log, on standard error.")] = False,
    as_json: common.AsJson = False,
) -> None:
    """Absorb all pending runs, write the diagnostics, propose, judge changes; then show what waits for a person.

    Runs the same Dagster job as the nightly schedule, in this process; with --shard, on its part of the strategies.
    With DAGSTER_HOME set, the run shows in the UI.

    Exit code 3: nothing was pending, and no proposal is open.
    """
    from meta_pipeline.orchestration.isolation import watched_by
    from meta_pipeline.orchestration.once import run_nightly
    from meta_pipeline.orchestration.open_proposals import read_open
    from meta_pipeline.orchestration.refreshing import Shard
    from meta_pipeline.orchestration.resources import DatabaseResource

    settings = common.settings()
    part = None if shard is None else Shard.parse(shard)
    with common.open_database() as opened:
        database = DatabaseResource(opened, settings=lambda: settings, clock=common.now)
        if strategy is not None:
            _require_strategy(database, strategy)
        pending = _pending(database, strategy)
        chosen = () if strategy is None else (strategy,)
        with common.progress("Aggregates, diagnostics, proposals", total=None) as step, watched_by(step):
            summary = run_nightly(database, strategies=chosen, shard=part, verbose=verbose)
        if summary.error is not None:
            raise MetaPipelineError(f"the run {summary.run_id} failed: {summary.error}")
        with database.connect() as connection:
            lines = read_open(connection, now=database.now(), strategy_id=strategy)
            suppressed = _suppressed(database, strategy)
            commands = next_commands(lines, has_approver=_has_approver(database))
    if not pending and not lines:
        raise NothingToDo("nothing was pending, and no proposal is open")
    payload = _payload(summary, lines, suppressed, pending, commands)
    common.emit(
        payload, as_json=as_json, human=lambda console: _show(console, summary, lines, suppressed, pending, commands)
    )
    if summary.failed_checks:
        raise typer.Exit(MetaPipelineError.exit_code)


def next_commands(lines: "list[OpenLine]", *, has_approver: bool) -> list[str]:
    """Write the commands that come next, for the proposal with the largest claim that is still pending.

    Parameters
    ----------
    lines
        The open proposals.
    has_approver
        Whether anybody may approve yet.
    """
    pending = [line.record for line in lines if line.is_pending]
    if not pending:
        return [f"meta-pipeline apply {line.record.proposal_id} --dry-run" for line in lines[:1]]
    best = max(pending, key=lambda record: record.draft.expected_sharpe_improvement or 0.0)
    return [
        *([] if has_approver else ["meta-pipeline approvers add NAME"]),
        f"meta-pipeline proposals show {best.proposal_id}",
        f"meta-pipeline approve {best.proposal_id} --digest {best.body_digest}",
        f"meta-pipeline apply {best.proposal_id} --dry-run",
        f"meta-pipeline apply {best.proposal_id}",
    ]


def _require_strategy(database: "DatabaseResource", strategy: str) -> None:
    """Refuse a name that no strategy has: it would be quietly about nothing."""
    from sqlalchemy import select

    from meta_pipeline.store.schema import strategies

    with database.connect() as connection:
        known = set(connection.execute(select(strategies.c.strategy_id)).scalars())
    if strategy not in known:
        raise NotFound(f"there is no strategy {strategy!r}; there are: {', '.join(sorted(known)[:20]) or 'none yet'}")


def _pending(database: "DatabaseResource", strategy: str | None) -> int:
    from meta_pipeline.store.backtests import pending_runs

    with database.connect() as connection:
        waiting = pending_runs(connection, now=database.now()).strategies
    return sum(found.n_runs for found in waiting if strategy is None or found.strategy_id == strategy)


def _suppressed(database: "DatabaseResource", strategy: str | None) -> dict[str, int]:
    from meta_pipeline.orchestration.evidence_state import evidence_state
    from meta_pipeline.store.candidates import suppressed_counts

    total: dict[str, int] = {}
    with database.connect() as connection:
        names = evidence_state(connection).strategies
        for name in names if strategy is None else [strategy]:
            for rule, count in suppressed_counts(connection, name).items():
                total[rule] = total.get(rule, 0) + count
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _has_approver(database: "DatabaseResource") -> bool:
    from meta_pipeline.store.approvers import list_approvers

    with database.connect() as connection:
        return any(approver.active for approver in list_approvers(connection))


def _payload(
    summary: "RunSummary",
    lines: "list[OpenLine]",
    suppressed: dict[str, int],
    pending: int,
    commands: list[str],
) -> "dict[str, JsonValue]":
    from meta_pipeline.orchestration.open_proposals import open_table

    return {
        "run_id": summary.run_id,
        "pending_before": pending,
        "proposals": [dict(row) for row in open_table(lines).rows],
        "suppressed": dict(suppressed),
        "failed_checks": list(summary.failed_checks),
        "anchored_at_entry": summary.anchored,
        "next": list(commands),
    }


def _show(
    console: "Console",
    summary: "RunSummary",
    lines: "list[OpenLine]",
    suppressed: dict[str, int],
    pending: int,
    commands: list[str],
) -> None:
    from meta_pipeline.orchestration.open_proposals import open_table
    from meta_pipeline.report.tables import suppressed_counts_table

    console.print(open_table(lines).rich())
    console.print(suppressed_counts_table(suppressed).rich())
    where = " (in Dagster's UI: make dev)" if summary.kept else ""
    were = f"{counted(pending, 'run was', 'runs were')} pending"
    console.print(f"{were}; run {summary.run_id}{where}", markup=False)
    if summary.anchored is not None:
        console.print(f"The audit log verifies, and is anchored at entry {summary.anchored:,}.", markup=False)
    for failed in summary.failed_checks:
        console.print(f"check failed: {failed}", markup=False, style="bold red")
    if commands:
        console.print("\nNext:")
        for command in commands:
            # Commands are for copying: never wrapped.
            console.print(f"  {command}", markup=False, soft_wrap=True)

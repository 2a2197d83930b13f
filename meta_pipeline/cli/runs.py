"""`meta-pipeline runs`: look at stored backtest runs."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.canonical import JsonValue
    from meta_pipeline.report.table import Table
    from meta_pipeline.store.runs import RunRecord

app = typer.Typer(no_args_is_help=True, help="List and show backtest runs.")


@app.command("list")
def list_(
    strategy: Annotated[str | None, typer.Option(help="Only this strategy.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only this campaign.")] = None,
    state: Annotated[str | None, typer.Option(help="accepted, metrics_only or quarantined.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only runs in quarantine for this reason code.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List runs, and count them by state."""
    from meta_pipeline.backtests import ReasonCode, RunState
    from meta_pipeline.store import runs

    _one_of("state", state, [str(one) for one in RunState])
    _one_of("reason", reason, [str(one) for one in ReasonCode])
    with common.open_database() as database, database.connect() as connection:
        found = runs.list_runs(
            connection, strategy_id=strategy, campaign_id=campaign, state=state, reason_code=reason, limit=limit
        )
        counts = runs.count_runs(connection, strategy_id=strategy, campaign_id=campaign)

    def human(console: "Console") -> None:
        console.print(_table(found).rich())
        counted = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        console.print(f"In the database: {counted or 'none'}.", markup=False)

    payload: dict[str, JsonValue] = {"runs": [run.to_json() for run in found], "counts": dict(counts)}
    common.emit(payload, as_json=as_json, human=human)


def _one_of(name: str, value: str | None, allowed: list[str]) -> None:
    if value is not None and value not in allowed:
        raise common.UsageError(f"--{name} {value!r} is none of: {', '.join(allowed)}")


def _table(found: "list[RunRecord]") -> "Table":
    from meta_pipeline.report.table import Column, Kind, Table

    return Table(
        title="Runs",
        columns=(
            Column(key="run", header="run"),
            Column(key="strategy", header="strategy"),
            Column(key="campaign", header="campaign"),
            Column(key="market", header="market"),
            Column(key="window", header="window"),
            Column(key="sharpe", header="Sharpe", kind=Kind.SIGNED),
            Column(key="state", header="state"),
            Column(key="reason", header="why"),
        ),
        rows=tuple(
            {
                "run": run.run_id,
                "strategy": run.strategy_id,
                "campaign": run.campaign_id,
                "market": run.market_id,
                "window": f"{run.start_date or '?'} to {run.end_date or '?'}",
                "sharpe": _sharpe(run),
                "state": run.state if run.reason_code is None else run.reason_code,
                "reason": run.reason or "",
            }
            for run in found
        ),
        empty="No such runs. Hand some in: meta-pipeline ingest PATH --strategy S --campaign C",
    )


def _sharpe(run: "RunRecord") -> float | None:
    value = run.computed.get("sharpe_ratio", run.reported.get("annualised_sharpe"))
    return value if isinstance(value, float) else None


@app.command()
def show(run_id: Annotated[str, typer.Argument(metavar="ID", help="The run.")], as_json: AsJson = False) -> None:
    """Show all that is stored of one run but its returns."""
    from meta_pipeline.store import runs

    with common.open_database() as database, database.connect() as connection:
        found = runs.read_run(connection, run_id)

    def human(console: "Console") -> None:
        from meta_pipeline.report.text import visible

        for name, value in found.to_json().items():
            written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            console.print(f"{name:<16} {visible(written)}", markup=False, soft_wrap=True)

    common.emit(found.to_json(), as_json=as_json, human=human)

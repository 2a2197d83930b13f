"""`meta-pipeline ingest`: backtest runs from files, through the quality gate, into the database."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.counted import counted
from meta_pipeline.errors import InsufficientData, NothingToDo

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.backtests import BacktestRun, IngestSummary
    from meta_pipeline.backtests.importers import ImportedCampaign
    from meta_pipeline.canonical import JsonValue
    from meta_pipeline.store.database import Database

app = typer.Typer()

WARNINGS_SHOWN = 10


@app.command()
def ingest(
    path: Annotated[Path, typer.Argument(exists=True, help="A folder with runs and returns tables, or a runs table.")],
    strategy: Annotated[str, typer.Option(help="Strategy of the runs.")],
    campaign: Annotated[str, typer.Option(help="Campaign of the runs.")],
    market: Annotated[str, typer.Option(help="Market of runs that name none.")] = "",
    periods_per_year: Annotated[
        float | None, typer.Option(help="Of runs that give none; unset: inferred from their dates, or refused.")
    ] = None,
    importer: Annotated[str | None, typer.Option(help="Name of the importer; unset: whichever knows the path.")] = None,
    keep_open: Annotated[bool, typer.Option("--keep-open", help="More runs of this campaign are coming.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ingest a campaign, and close it: its evidence is then refreshed at once.

    What cannot be evidence is kept in quarantine, with a reason code and a sentence that names the value. The same
    campaign again adds nothing. A closed campaign that gets new runs is opened again, and closed at the end.

    Exit code 3: there were no runs; 8: all runs were put into quarantine.
    """
    from meta_pipeline.backtests import record
    from meta_pipeline.backtests.importers import Delivery, choose
    from meta_pipeline.store.backtests import RunStore

    # A number that annualises nothing would put every run into quarantine.
    if periods_per_year is not None and not 0 < periods_per_year < float("inf"):
        raise common.UsageError(
            f"--periods-per-year is {periods_per_year}; say how many returns a year has, such as 252"
        )
    status = common.console(stderr=True)
    with status.status(f"Reading {path.name} ..."):
        delivery = Delivery(
            strategy_id=strategy, campaign_id=campaign, market_id=market, periods_per_year=periods_per_year
        )
        found = choose(path, importer).read(path, delivery)
    if found.n_runs == 0:
        raise NothingToDo(f"{path} holds no runs")
    with common.open_database() as database:
        sink = RunStore(database, actor=common.actor(), clock=common.now)
        summary = record(_with_progress(found, status), into=sink)
        n_labels = _finish(database, found, strategy, campaign, keep_open=keep_open)
    payload: dict[str, JsonValue] = {
        "strategy_id": strategy,
        "campaign_id": campaign,
        "campaign_closed": not keep_open,
        **summary.to_json(),
        "regime_labels": n_labels,
        "warnings": list(found.warnings),
    }
    common.emit(payload, as_json=as_json, human=lambda console: _show(console, summary, found, n_labels, keep_open))
    if summary.n_quarantined == summary.total:
        raise typer.Exit(InsufficientData.exit_code)


def _with_progress(found: "ImportedCampaign", console: "Console") -> "Iterator[BacktestRun]":
    """Yield the runs, with a progress bar on a terminal and none elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Checking runs", total=found.n_runs)
        for run in found.runs:
            yield run
            progress.advance(task)
        progress.update(task, description="Writing")


def _finish(database: "Database", found: "ImportedCampaign", strategy: str, campaign: str, *, keep_open: bool) -> int:
    """Write the regime labels, close the campaign; return the number of labels that were new."""
    from meta_pipeline.store.backtests import close_campaign
    from meta_pipeline.store.regimes import write_regimes

    with database.begin() as connection:
        n_labels = sum(write_regimes(connection, one.market_id, one.dates, one.labels) for one in found.regimes)
        if not keep_open:
            close_campaign(connection, strategy, campaign, now=common.now())
    return n_labels


def _show(
    console: "Console", summary: "IngestSummary", found: "ImportedCampaign", n_labels: int, keep_open: bool
) -> None:
    from meta_pipeline.report.table import Cell, Column, Kind, Table
    from meta_pipeline.report.text import visible

    rows: list[dict[str, Cell]] = [
        {"became": "accepted", "runs": summary.accepted, "example": ""},
        {"became": "metrics only", "runs": summary.metrics_only, "example": ""},
        {"became": "known before", "runs": summary.duplicates, "example": ""},
    ]
    rows[2:2] = [
        {"became": f"quarantined: {code}", "runs": count, "example": summary.examples.get(code, "")}
        for code, count in summary.quarantined.items()
    ]
    table = Table(
        title=counted(summary.total, "run"),
        columns=(
            Column(key="became", header="became"),
            Column(key="runs", header="runs", kind=Kind.COUNT),
            Column(key="example", header="for example"),
        ),
        rows=tuple(rows),
    )
    console.print(table.rich())
    told = [*found.warnings[:WARNINGS_SHOWN]]
    if len(found.warnings) > WARNINGS_SHOWN:
        told.append(f"{len(found.warnings) - WARNINGS_SHOWN} more warnings; see --json")
    for sentence in _sentences(summary, told, n_labels, keep_open):
        console.print(visible(sentence), markup=False)


def _sentences(summary: "IngestSummary", told: Iterable[str], n_labels: int, keep_open: bool) -> Iterator[str]:
    yield from told
    if n_labels:
        yield f"{n_labels:,} regime labels were new"
    yield from summary.hints
    if keep_open:
        yield "The campaign stays open: its evidence is refreshed once it has been quiet for a while."
    elif summary.accepted + summary.metrics_only:
        yield "The campaign is closed. Next: meta-pipeline nightly (or leave it to the sensor)"

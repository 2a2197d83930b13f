"""meta-pipeline lab: a real campaign on real prices, into the database."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.cli import common

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy import Connection

    from meta_pipeline.backtests import BacktestRun, IngestSummary
    from meta_pipeline.canonical import JsonValue
    from meta_pipeline.lab import LabStrategy
    from meta_pipeline.store.database import Database

app = typer.Typer(no_args_is_help=True, help="A real campaign on real prices.")


@dataclass(frozen=True, kw_only=True)
class CampaignResult:
    """What became of one strategy's campaign."""

    strategy_id: str
    campaign_id: str
    live_version: int
    windows: tuple[str, ...]
    summary: "IngestSummary"

    def to_json(self) -> "dict[str, JsonValue]":
        """Return the result as a JSON object."""
        return {
            "strategy_id": self.strategy_id,
            "campaign_id": self.campaign_id,
            "live_version": self.live_version,
            "windows": list(self.windows),
            **self.summary.to_json(),
        }


@app.callback()
def _group() -> None:
    """Keep `run` a subcommand: Typer would fold a single command into the group."""


@app.command()
def run(
    configs: Annotated[int, typer.Option(help="Configurations per strategy; each is run in every market.")] = 300,
    seed: Annotated[int | None, typer.Option(help="Seed of the draw of configurations; unset: the settings'.")] = None,
    as_json: common.AsJson = False,
) -> None:
    """Backtest three strategies in three markets, and hand the runs in as any user would.

    Declares the strategies where they are not, around whose live configuration the campaign is then drawn, stores
    the markets' regimes, ingests the runs through the quality gate, and closes the campaigns. Again, it adds nothing.
    """
    drawn = common.settings().seed if seed is None else seed
    status = common.console(stderr=True)
    with common.open_database() as database, status.status("Reading prices ...") as shown:
        results = run_campaigns(
            database, n_configs=configs, seed=drawn, actor=common.actor(), clock=common.now, say=shown.update
        )
    payload: dict[str, JsonValue] = {"seed": drawn, "campaigns": [result.to_json() for result in results]}
    common.emit(payload, as_json=as_json, human=lambda console: _show(console, results))


def run_campaigns(
    database: "Database",
    *,
    n_configs: int,
    seed: int,
    actor: str,
    clock: Callable[[], datetime],
    say: Callable[[str], None] = lambda _: None,
) -> list[CampaignResult]:
    """Run the lab's campaigns into a database.

    All backtests are done before anything is written, and the runs of a strategy are written in one transaction; what
    was cut short is completed by running again.

    Raises
    ------
    InputError
        If the prices are not installed, or the number of configurations or the seed is out of range.
    """
    from meta_pipeline import lab
    from meta_pipeline.backtests import record
    from meta_pipeline.store.backtests import RunStore, close_campaign
    from meta_pipeline.store.transactions import in_transaction

    campaigns = []
    for declared in lab.strategies():
        say(f"{declared.strategy_id}: backtesting {n_configs} configurations in {len(lab.markets())} markets ...")
        strategy, version = _around_live(database, declared)
        campaigns.append((strategy, version, lab.campaign(strategy, n_configs=n_configs, seed=seed)))
    strategies = [strategy for strategy, _, _ in campaigns]
    in_transaction(database, lambda connection: _declare(connection, strategies, actor=actor, now=clock()))
    sink = RunStore(database, actor=actor, clock=clock)
    results = []
    for strategy, version, runs in campaigns:
        say(f"{strategy.strategy_id}: writing {len(runs)} runs ...")
        summary = record(runs, into=sink)
        name = runs[0].campaign_id
        with database.begin() as connection:
            close_campaign(connection, strategy.strategy_id, name, now=clock())
        results.append(
            CampaignResult(
                strategy_id=strategy.strategy_id,
                campaign_id=name,
                live_version=version,
                windows=_windows(runs),
                summary=summary,
            )
        )
    return results


def _around_live(database: "Database", declared: "LabStrategy") -> "tuple[LabStrategy, int]":
    """Return the strategy with the configuration that is live in the database, and its version."""
    from meta_pipeline.errors import NotFound
    from meta_pipeline.lab import with_live
    from meta_pipeline.store.strategies import live_config

    with database.connect() as connection:
        try:
            live = live_config(connection, declared.strategy_id)
        except NotFound:
            return declared, 1
    return with_live(declared, live.config), live.version


def _declare(connection: "Connection", strategies: "Sequence[LabStrategy]", *, actor: str, now: datetime) -> None:
    """Declare the strategies, and write the regimes of the days that campaigns see."""
    from meta_pipeline import lab
    from meta_pipeline.store.regimes import write_regimes
    from meta_pipeline.store.strategies import declare

    for strategy in strategies:
        declare(connection, strategy, actor=actor, now=now)
    for market in lab.markets():
        dates, labels = lab.regimes(market.market_id, end=lab.CAMPAIGN_END)
        write_regimes(connection, market.market_id, dates, labels)


def _windows(runs: "Sequence[BacktestRun]") -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{run.market_id} {run.start_date} to {run.end_date}" for run in runs))


def _show(console: "Console", results: "Sequence[CampaignResult]") -> None:
    from rich.table import Table

    table = Table(title="The lab's campaigns, on real prices", title_justify="left")
    for column in ("strategy", "campaign", "live"):
        table.add_column(column)
    for column in ("accepted", "quarantined", "known before"):
        table.add_column(column, justify="right")
    for result in results:
        summary = result.summary
        counts = (summary.accepted, summary.n_quarantined, summary.duplicates)
        table.add_row(
            result.strategy_id, result.campaign_id, f"version {result.live_version}", *(f"{n:,}" for n in counts)
        )
    console.print(table)
    for window in results[0].windows:
        console.print(f"  {window}")
    for result in results:
        for code, count in result.summary.quarantined.items():
            console.print(f"  {result.strategy_id}: {count} in quarantine, {code}")
    added = sum(result.summary.added for result in results)
    console.print(
        f"\n{added:,} new runs; later days are held back for outcomes. Next: meta-pipeline nightly"
        if added
        else "\nNothing new: these campaigns were there. Next: meta-pipeline nightly"
    )

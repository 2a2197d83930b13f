"""meta-pipeline lab: a real campaign on real prices, into the database."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meta_pipeline.cli import common
from meta_pipeline.counted import counted

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


@app.command()
def experiment(
    plan: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="As `proposals experiments --output` writes it.")
    ],
    as_json: common.AsJson = False,
) -> None:
    """Make the missing runs of a plan, and hand them in to the campaigns that they are missing from.

    Exit code 3: the plan asks for no run.
    """
    from meta_pipeline import lab
    from meta_pipeline.backtests import record
    from meta_pipeline.errors import NothingToDo
    from meta_pipeline.store.backtests import RunStore, close_campaign

    runs = lab.run_plan(_read(plan))
    if not runs:
        raise NothingToDo(f"{plan} asks for no run: every change that the runs hint at is identified")
    campaigns = sorted({(run.strategy_id, run.campaign_id) for run in runs})
    with common.open_database() as database:
        summary = record(runs, into=RunStore(database, actor=common.actor(), clock=common.now))
        with database.begin() as connection:
            for strategy_id, campaign_id in campaigns:
                close_campaign(connection, strategy_id, campaign_id, now=common.now())
    payload: dict[str, JsonValue] = {"campaigns": [name for _, name in campaigns], **summary.to_json()}

    def human(console: "Console") -> None:
        console.print(
            f"{counted(summary.total, 'run')} made, {summary.accepted:,} of them new evidence. "
            "Next: meta-pipeline nightly",
            markup=False,
        )

    common.emit(payload, as_json=as_json, human=human)


def _read(path: Path) -> "dict[str, JsonValue]":
    import json

    import yaml

    from meta_pipeline.errors import InputError

    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as a plan: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds {type(found).__name__}, not a plan; write one with: proposals experiments")
    return found


@app.command()
def future(
    days: Annotated[
        int | None, typer.Option(min=1, help="Calendar days that are played; unset: all that are held back.")
    ] = None,
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Play up to this day instead.")] = None,
    as_json: common.AsJson = False,
) -> None:
    """Play held-back years as the days after each applied change, and judge the changes and experiments by them.

    Each day after a change stands for one real day that no campaign saw, whole weeks moved; which days are a change's
    is decided by its configuration version alone. Looks are stored, marked as simulated. Exit code 3: nothing is due.
    """
    from datetime import timedelta

    from meta_pipeline import lab
    from meta_pipeline.errors import InputError, NothingToDo
    from meta_pipeline.store import experiments
    from meta_pipeline.store.judging import judge_all

    if days is not None and as_of is not None:
        raise common.UsageError("give either --days or --as-of, not both")
    now, settings = common.now(), common.settings()
    longest = (
        max(lab.load_prices(market.market_id).dates[-1].item() for market in lab.markets()) - lab.CAMPAIGN_END
    ).days
    until = as_of.date() if as_of is not None else now.date() + timedelta(days=longest if days is None else days)
    if until < now.date():
        raise InputError(f"{until} is in the past; the nightly job judges days that are over")
    with common.open_database() as database, common.console(stderr=True).status("Playing held-back days ...") as shown:
        nights = [
            judge_all(
                database, now=now, settings=settings, until=until, simulated=True, strategy_id=strategy.strategy_id,
                say=shown.update,
            )
            for strategy in lab.strategies()
        ]  # fmt: skip
        looked = experiments.look_at_all(database, until=until, now=now, settings=settings, simulated=True)
    failed = {name: why for night in nights for name, why in night.failed.items()}
    if failed:
        raise InputError("; ".join(f"{name}: {why}" for name, why in failed.items()))
    judged = [one for night in nights for one in night.judged if one.look is not None]
    if not judged and not looked:
        raise NothingToDo("no change and no experiment of the lab is due; apply one first: meta-pipeline apply ID")
    follows = {one.change_id: one.text for night in nights for one in night.recommendations}
    payload: dict[str, JsonValue] = {
        "until": until.isoformat(),
        "changes": [
            {
                "change_id": one.change_id,
                "together": list(one.together),
                "strategy_id": one.strategy_id,
                "outcome": one.outcome,
                "kept": one.kept,
                "judgement": one.look.body,
                "follows": follows.get(one.change_id),
            }
            for one in judged
            if one.look is not None
        ],
        "experiments": [{"experiment_id": one.experiment_id, "verdict": one.verdict} for one in looked],
    }

    def human(console: "Console") -> None:
        from meta_pipeline.report.outcomes import judged_table, judged_with

        rows = [
            (one.strategy_id, one.look, "; ".join(filter(None, ["kept" if one.kept else "", judged_with(one)])))
            for one in judged
        ]
        console.print(judged_table(rows).rich())
        for one in judged:
            if one.look is not None:
                console.print(f"{one.change_id}: {one.look.reason}", markup=False, soft_wrap=True)
        for text in follows.values():
            console.print(text, markup=False, soft_wrap=True)
        for look in looked:
            console.print(
                f"{look.experiment_id}: {look.verdict} after {counted(look.n_days, 'day')}",
                markup=False,
                soft_wrap=True,
            )
        console.print(f"\nHeld-back days were played up to {until}. Next: meta-pipeline changes show ID", markup=False)

    common.emit(payload, as_json=as_json, human=human)


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
        wide = f"{counted(n_configs, 'configuration')} in {counted(len(lab.markets()), 'market')}"
        say(f"{declared.strategy_id}: backtesting {wide} ...")
        strategy, version = _around_live(database, declared)
        campaigns.append((strategy, version, lab.campaign(strategy, n_configs=n_configs, seed=seed)))
    strategies = [strategy for strategy, _, _ in campaigns]
    in_transaction(database, lambda connection: _declare(connection, strategies, actor=actor, now=clock()))
    sink = RunStore(database, actor=actor, clock=clock)
    results = []
    for strategy, version, runs in campaigns:
        say(f"{strategy.strategy_id}: writing {counted(len(runs), 'run')} ...")
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
    from meta_pipeline.report.table import Column, Kind, Table

    table = Table(
        title="The lab's campaigns, on real prices",
        columns=(
            Column(key="strategy", header="Strategy"),
            Column(key="campaign", header="Campaign"),
            Column(key="live", header="Live version", kind=Kind.COUNT),
            Column(key="accepted", header="Accepted", kind=Kind.COUNT),
            Column(key="quarantined", header="Quarantined", kind=Kind.COUNT),
            Column(key="known", header="Known before", kind=Kind.COUNT),
        ),
        rows=tuple(
            {
                "strategy": one.strategy_id,
                "campaign": one.campaign_id,
                "live": one.live_version,
                "accepted": one.summary.accepted,
                "quarantined": one.summary.n_quarantined,
                "known": one.summary.duplicates,
            }
            for one in results
        ),
    )
    console.print(table.rich())
    for window in results[0].windows:
        console.print(f"  {window}")
    for result in results:
        for code, count in result.summary.quarantined.items():
            console.print(f"  {result.strategy_id}: {count} in quarantine, {code}")
    added = sum(result.summary.added for result in results)
    console.print(
        f"\n{counted(added, 'new run')}; later days are held back for outcomes. Next: meta-pipeline nightly"
        if added
        else "\nNothing new: these campaigns were there. Next: meta-pipeline nightly"
    )

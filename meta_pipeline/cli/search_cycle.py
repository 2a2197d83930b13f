"""`meta-pipeline search declare|propose|shadow|watch`: what joins a search to the loop."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.cli.report_files import proposal_reports
from meta_pipeline.counted import counted

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.store.search_watch import Watched

Name = Annotated[str, typer.Argument(help="The search's name.")]


def declare(
    strategy: Annotated[str, typer.Argument(help="Its id, for instance FOREST_BTC.")] = "FOREST_LAB",
    data: Annotated[
        Path | None, typer.Option(help="OHLCV bars, parquet or CSV; unset: the lab's real daily prices.")
    ] = None,
    origin: Annotated[
        str | None, typer.Option(help="Who recorded the file's prices; no winner is proposed without.")
    ] = None,
    symbols: Annotated[str | None, typer.Option(help="Which of its symbols, separated by commas; unset: all.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="What is fixed, KEY=JSON, as in --set fee=0.001; often.")
    ] = None,
    live: Annotated[
        Path | None, typer.Option(help="JSON file of the 22 parameters that trade now; unset: the usual ones.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Declare a four-model strategy: 22 knobs, and the configuration that searches are compared with."""
    from meta_pipeline.cli.search_input import evaluator_settings, read_object
    from meta_pipeline.hyperband.forest_strategy import FORESTS, USUAL, as_declared, declaration
    from meta_pipeline.store import strategies

    fixed = evaluator_settings(FORESTS, data, symbols, r=1, eta=2, more=set_ or [], origin=origin)
    fixed = {key: value for key, value in fixed.items() if key not in {"max_resource", "eta"}}
    made = declaration(strategy, fixed=fixed, parameters=USUAL if live is None else as_declared(read_object(live)))
    with common.open_database() as database, database.begin() as connection:
        done = strategies.declare(connection, made, actor=common.actor(), now=common.time_of(database))
    told = f"{strategy} has {counted(len(made.knobs), 'knob')}. Next: meta-pipeline search run --strategy {strategy}"
    common.emit(
        {"strategy_id": strategy, "created": done.created, "live_version": done.live_version},
        as_json=as_json,
        human=lambda console: console.print(told, markup=False, soft_wrap=True),
    )


def propose(name: Name, as_json: AsJson = False) -> None:
    """Make the winner of a search a proposal, with its verdict as evidence. Somebody else approves it."""
    from meta_pipeline.store import search_cycle

    with common.open_database() as database:
        identity = search_cycle.propose_winner(
            database,
            name,
            actor=common.actor(),
            now=common.time_of(database),
            settings=common.settings(),
            report=proposal_reports(database),
        )
    told = f"Proposal {identity} is saved; somebody else approves it:  meta-pipeline approve {identity}"
    common.emit(
        {"search": name, "proposal_id": identity},
        as_json=as_json,
        human=lambda console: console.print(told, markup=False, soft_wrap=True),
    )


def shadow(name: Name, as_json: AsJson = False) -> None:
    """Trade the winner of a search on paper beside the live configuration, from tomorrow on. Nothing goes live."""
    from meta_pipeline.cli.experiments import experiment_json
    from meta_pipeline.store import search_cycle

    with common.open_database() as database:
        found = search_cycle.shadow_winner(
            database, name, actor=common.actor(), now=common.time_of(database), settings=common.settings()
        )
    told = f"{found.experiment_id} is running; the night looks at it:  meta-pipeline experiments status"
    common.emit(
        experiment_json(found, None),
        as_json=as_json,
        human=lambda console: console.print(told, markup=False, soft_wrap=True),
    )


def watch(
    strategy: Annotated[str, typer.Argument(help="The strategy.")] = "FOREST_LAB",
    drawdown: Annotated[float, typer.Option(max=0, help="Fall below the highest equity.")] = -0.20,
    total_return: Annotated[float, typer.Option("--return", max=0, help="Compounded since the first trade.")] = -0.10,
    sharpe_ratio: Annotated[float, typer.Option("--sharpe", help="Annual, from 20 days on.")] = 0.0,
    losing_streak: Annotated[int, typer.Option(min=1, help="Losses in a row.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Hold a strategy's real outcomes against limits: closed trades, and paper trading. Exit code 8: one has fired."""
    from meta_pipeline.hyperband.watching import Limits
    from meta_pipeline.store.search_watch import watch as watched

    limits = Limits(
        drawdown=drawdown, total_return=total_return, sharpe_ratio=sharpe_ratio, losing_streak=losing_streak
    )
    with common.open_database() as database, database.connect() as connection:
        found = watched(connection, strategy, limits=limits)
    payload: Any = {"strategy_id": strategy, "watched": [one.to_json() for one in found]}
    common.emit(payload, as_json=as_json, human=lambda console: _print(console, strategy, found))
    if any(one.fired for one in found):
        raise typer.Exit(8)


def _print(console: "Console", strategy: str, found: "list[Watched]") -> None:
    from meta_pipeline.report.search import triggers_table

    console.print(triggers_table(strategy, [one.to_json() for one in found]).rich())

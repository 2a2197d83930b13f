"""`meta-pipeline search`: find parameters by Hyperband, go on after a crash, look at what was found."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meta_pipeline.canonical import JsonValue
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.cli.search_bar import bar_of
from meta_pipeline.cli.search_cycle import declare, propose, shadow, watch
from meta_pipeline.cli.search_input import (
    FORESTS,
    described_by,
    evaluator_settings,
    executor_named,
    one_thread_each,
    read_object,
    usual_name,
    worker_name,
)

if TYPE_CHECKING:
    from meta_pipeline.hyperband.executors import Executor
    from meta_pipeline.hyperband.ledger import Ledger
    from meta_pipeline.hyperband.results import SearchResult
    from meta_pipeline.hyperband.search_settings import SearchSettings
    from meta_pipeline.store.database import Database
    from meta_pipeline.store.search_ledgers import SearchPlace

app = typer.Typer(no_args_is_help=True, help="Find a strategy's parameters by Hyperband, on real prices.")
for command in (declare, propose, shadow, watch):
    app.command()(command)

Name = Annotated[str, typer.Argument(help="The search's name.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes that evaluate; unset: one per core. Never changes what is found.")
]
WhereToRun = Annotated[
    Literal["local", "in-process", "dask", "dagster"],
    typer.Option("--executor", help="What runs the evaluations; dagster: begin here, launch `hyperband_search` there."),
]
Scheduler = Annotated[str | None, typer.Option(help="Address of a Dask scheduler; unset: a cluster on this machine.")]
Iterations = Annotated[int | None, typer.Option(min=1, help="How often all brackets run in all.")]


@app.command()
def run(
    data: Annotated[
        Path | None, typer.Option(help="OHLCV bars, parquet or CSV; unset: the lab's real daily prices.")
    ] = None,
    symbols: Annotated[str | None, typer.Option(help="Which of its symbols, separated by commas; unset: all.")] = None,
    r: Annotated[int, typer.Option("--r", help="R: units of the resource that the best configurations get.")] = 81,
    eta: Annotated[int, typer.Option(help="One in eta is promoted.")] = 3,
    iterations: Annotated[int, typer.Option(min=1, help="How often all brackets run.")] = 1,
    allocation: Annotated[
        Literal["algorithm1", "table1"], typer.Option(help="Which of the two published tables.")
    ] = "algorithm1",
    sampler: Annotated[Literal["bohb", "random"], typer.Option(help="How configurations are drawn.")] = "bohb",
    promotion: Annotated[
        Literal["synchronous", "asha"],
        typer.Option(help="asha waits for nobody, and gives up that the same search finds the same."),
    ] = "synchronous",
    overlap: Annotated[
        int, typer.Option(min=0, help="Brackets that may run beside the oldest: busier workers, later lessons.")
    ] = 0,
    objectives: Annotated[
        str, typer.Option(help="Several objectives, METRIC:max,METRIC:min...; `pareto`: the usual ones.")
    ] = "",
    live: Annotated[
        Path | None, typer.Option(help="JSON file of the live configuration, evaluated on the same days.")
    ] = None,
    min_improvement: Annotated[
        float, typer.Option(min=0, help="Share by which the best must be above the live one.")
    ] = 0.05,
    seed: Annotated[int | None, typer.Option(help="Root of every draw; unset: the settings'.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the search; unset: made of data and settings.")] = None,
    evaluator: Annotated[str, typer.Option(help="Your own strategy: package.module:function.")] = FORESTS,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the evaluator, KEY=JSON; may be given often.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(help="A declared strategy: its data, beside its live configuration. FOREST_LAB declares itself."),
    ] = None,
    origin: Annotated[
        str | None, typer.Option(help="Who recorded the file's prices; no winner is proposed without.")
    ] = None,
    workers: Workers = None,
    executor: WhereToRun = "local",
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Search; the same command again goes on where it was, and changes nothing once it is finished."""
    from dataclasses import replace

    from meta_pipeline.hyperband.protocol import Reference
    from meta_pipeline.hyperband.search_settings import PARETO, SearchSettings, parse_objectives

    drawn = common.settings().seed if seed is None else seed
    if strategy is not None:
        if data or symbols or live or set_ or name or origin or evaluator != FORESTS:
            raise common.UsageError(
                "--strategy brings its name, data, origin, settings and live configuration: leave the others out"
            )
        given = _of_strategy(strategy, r=r, eta=eta, seed=drawn, iterations=iterations)
    else:
        reference = Reference(
            target=evaluator,
            settings=evaluator_settings(evaluator, data, symbols, r=r, eta=eta, more=set_ or [], origin=origin),
        )
        built = reference.build()
        given = SearchSettings(
            name=name or usual_name(data, built.fingerprint, f"r{r}-eta{eta}-seed{drawn}"),
            maximum_resource=r,
            eta=eta,
            iterations=iterations,
            seed=drawn,
            live_config=None if live is None else read_object(live),
            evaluator=reference,
            fingerprint=built.fingerprint,
            space=built.space,
            described=described_by(built),
        )
    given = replace(
        given,
        allocation=allocation,
        sampler=sampler,
        promotion=promotion,
        overlap=overlap,
        objectives=parse_objectives(PARETO if objectives == "pareto" else objectives),
        min_improvement=min_improvement,
    )
    if executor == "dagster":
        _begin_for_dagster(given, as_json=as_json)
        return
    with _opened(given.name) as (place, database):
        from meta_pipeline.hyperband.ledger import create_or_open

        def begin() -> "Ledger":
            return create_or_open(place.storage, given)

        _go_on(place, database, given.name, begin, executor_named(executor, workers, scheduler), as_json=as_json)


def _of_strategy(strategy: str, *, r: int, eta: int, seed: int, iterations: int) -> "SearchSettings":
    """Return the search of a declared strategy; the lab's own is declared if it is not there."""
    from meta_pipeline.hyperband.forest_strategy import FOREST_LAB, search_of
    from meta_pipeline.store import search_cycle, strategies

    with common.open_database() as database, database.begin() as connection:
        if strategy == FOREST_LAB:
            search_cycle.declare_lab(connection, actor=common.actor(), now=common.time_of(database))
        config = strategies.live_config(connection, strategy).config
    return search_of(strategy, config, maximum_resource=r, eta=eta, seed=seed, iterations=iterations)


@app.command()
def resume(
    name: Name,
    iterations: Iterations = None,
    workers: Workers = None,
    executor: WhereToRun = "local",
    scheduler: Scheduler = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a search that was interrupted, or give a finished one more iterations."""
    from meta_pipeline.hyperband.ledger import open_existing

    with _opened(name) as (place, database):

        def begin() -> "Ledger":
            ledger = open_existing(place.storage, name)
            if iterations is not None:
                ledger.extend(ledger.settings.with_iterations(iterations))
            return ledger

        _go_on(place, database, name, begin, executor_named(executor, workers, scheduler), as_json=as_json)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="One search; unset: all.")] = None, as_json: AsJson = False
) -> None:
    """List the searches, or say how far one is; also while it runs."""
    from meta_pipeline.hyperband.ledger import open_existing, searches
    from meta_pipeline.hyperband.results import result_of
    from meta_pipeline.report import search as shown

    with _opened(name or "") as (place, _):
        names = searches(place.storage) if name is None else [name]
        ledgers = [open_existing(place.storage, each) for each in names]
        results = [result_of(ledger.settings, ledger.entries()) for ledger in ledgers]
    payload: list[JsonValue] = [shown.status_json(result) for result in results]
    common.emit(
        {"searches": payload},
        as_json=as_json,
        human=lambda console: console.print(shown.status_table(results).rich()),
    )


@app.command()
def show(
    name: Name,
    top: Annotated[int, typer.Option(min=1, help="How many of the best configurations.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show what a search found: the configurations that had the whole resource, the best first."""
    result, verdict = _result(name)
    _show(result, top=top, as_json=as_json, verdict=verdict)


@app.command()
def export(
    name: Name,
    into: Annotated[Path, typer.Option("--into", help="Folder; made if it is not there.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Write top_configs.json, optimization_history.csv and hyperband_results.json into a folder."""
    from meta_pipeline.report.search import write_files

    result, _ = _result(name)
    written = write_files(result, into)
    told = "\n".join(str(path) for path in written)
    common.emit(
        {"written": [str(path) for path in written]},
        as_json=as_json,
        human=lambda console: console.print(told, markup=False),
    )


def _go_on(
    place: "SearchPlace",
    database: "Database",
    name: str,
    begin: Callable[[], "Ledger"],
    executor: "Executor",
    *,
    as_json: bool,
) -> None:
    """Be the coordinator until the search is finished; what it has found is written down however it ends."""
    import time

    from meta_pipeline.hyperband.results import result_of
    from meta_pipeline.hyperband.search import Search
    from meta_pipeline.store import search as kept
    from meta_pipeline.store.search_cycle import judge_finished
    from meta_pipeline.store.search_outage import is_outage, outlived

    one_thread_each()
    with place.lock(name):
        ledger = begin()

        def recorded() -> "SearchResult":
            found = result_of(ledger.settings, ledger.entries())
            with database.begin() as connection:
                kept.record(connection, found, place=place.described, now=common.now())
            return found

        search = Search(ledger, place.checkpoints, worker=worker_name(), clock=time.time)
        try:
            with executor, bar_of(ledger.settings) as on_progress:
                search.run(executor, on_progress=on_progress)
        except BaseException as error:
            if not is_outage(error):
                recorded()
            raise
        result = outlived(recorded)
        with common.console(stderr=True).status("Judging the best configuration ..."):
            verdict = judge_finished(database, place, ledger, result, actor=common.actor(), now=common.now())
    _show(result, top=5, as_json=as_json, verdict=verdict)


def _show(result: "SearchResult", *, top: int, as_json: bool, verdict: "dict[str, JsonValue] | None" = None) -> None:
    from rich.console import Console

    from meta_pipeline.report import search as shown

    def human(console: Console) -> None:
        console.print(shown.top_table(result, limit=top).rich())
        for line in shown.summary_lines(result):
            console.print(line, markup=False)
        if verdict is not None:
            console.print(shown.gates_table(verdict).rich())
            console.print(str(verdict["summary"]), markup=False)

    common.emit({**result.to_json(), "verdict": verdict}, as_json=as_json, human=human)


def _result(name: str) -> "tuple[SearchResult, dict[str, JsonValue] | None]":
    """Return what a search has found so far, and the verdict on it if it was judged."""
    from meta_pipeline.errors import NotFound
    from meta_pipeline.hyperband.ledger import open_existing
    from meta_pipeline.hyperband.results import result_of
    from meta_pipeline.store import search as kept

    with _opened(name) as (place, database):
        ledger = open_existing(place.storage, name)
        result = result_of(ledger.settings, ledger.entries())
        try:
            with database.connect() as connection:
                verdict = kept.get(connection, name).verdict
        except NotFound:  # it runs for the first time, right now
            verdict = None
    judged = verdict is not None and verdict.get("digest") == result.digest
    return result, dict(verdict) if judged and verdict is not None else None


@contextmanager
def _opened(name: str, *, shared: bool = False) -> "Iterator[tuple[SearchPlace, Database]]":
    """Open where a search is: in PostgreSQL if the settings name a server, or it was begun there (`shared`).

    Otherwise it is in a folder of the project's home.
    """
    from meta_pipeline.store import search as kept
    from meta_pipeline.store.search_ledgers import database_place, folder_place

    with common.open_database() as database:
        with database.connect() as connection:
            begun_there = any(
                found.search_name == name and found.place == database.url for found in kept.list_searches(connection)
            )
        if database.is_embedded and not (shared or begun_there):
            yield folder_place(common.settings().home / "search", name), database
        else:
            from meta_pipeline.orchestration.search_worker import checkpoints_of

            yield database_place(database, checkpoints_of(name, database)), database


def _begin_for_dagster(given: "SearchSettings", *, as_json: bool) -> None:
    """Write the search into PostgreSQL, where Dagster's workers find it, and say how it is launched."""
    from meta_pipeline.hyperband.ledger import create_or_open
    from meta_pipeline.hyperband.results import result_of
    from meta_pipeline.store import search as kept

    with _opened(given.name, shared=True) as (place, database):
        ledger = create_or_open(place.storage, given)
        result = result_of(ledger.settings, ledger.entries())
        with database.begin() as connection:
            kept.record(connection, result, place=place.described, now=common.now())
    launch: JsonValue = {"resources": {"search_of_run": {"config": {"search": given.name}}}}
    told = f"{given.name} is begun. Launch the job hyperband_search in Dagster with the configuration\n{launch}"
    common.emit(
        {"search": given.name, "job": "hyperband_search", "run_config": launch},
        as_json=as_json,
        human=lambda console: console.print(told, markup=False),
    )

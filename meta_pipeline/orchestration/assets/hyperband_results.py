"""The asset `hyperband_results`: a search for better parameters, judged; a winner is proposed, never deployed."""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import dagster as dg

from meta_pipeline.counted import counted
from meta_pipeline.errors import Blocked, MetaPipelineError, NotFound
from meta_pipeline.orchestration.assets import GROUP, RESEARCH, WEEKLY
from meta_pipeline.orchestration.metadata import commands_value, on_the_pages, picture_value, table_value
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from meta_pipeline.hyperband.checkpoints import CheckpointStore
    from meta_pipeline.hyperband.executors import Executor
    from meta_pipeline.hyperband.progress import Progress
    from meta_pipeline.hyperband.results import SearchResult
    from meta_pipeline.hyperband.search import Search
    from meta_pipeline.hyperband.search_settings import SearchSettings
    from meta_pipeline.report.files import ProposalReports

NAME: Final = "hyperband_results"
QUIET: Final = "no_outcome_calls_for_somebody"
SECONDS_BETWEEN_LINES: Final = 5.0


class SearchRequest(dg.Config):
    """Which search. Strategy and as-of day say what is searched; the rest, how much.

    Parameters
    ----------
    strategy
        A declared four-model strategy. The lab's own is declared if it is not there.
    as_of
        Day (2026-11-20) after which bars are left out; empty: all there are.
    r, eta, seed, iterations
        As in `meta-pipeline search run`, so that both are the same search; seed unset: the settings'.
    workers
        Processes that evaluate; 0: one per core.
    propose
        Whether a winner is proposed.
    """

    strategy: str = "FOREST_LAB"
    as_of: str = ""
    r: int = 81
    eta: int = 3
    seed: int | None = None
    iterations: int = 1
    workers: int = 0
    propose: bool = True


@dg.asset(
    name=NAME,
    deps=["live_config"],
    group_name=GROUP,
    owners=RESEARCH,
    kinds={"optuna", "scikitlearn", "postgresql"},
    freshness_policy=WEEKLY,
    check_specs=[
        dg.AssetCheckSpec(
            QUIET,
            asset=NAME,
            description="Drawdown, return, Sharpe ratio and losing streak of the strategy's real outcomes are quiet.",
        )
    ],
    description=(
        "Parameters of the four-model strategy, searched by Hyperband on real prices beside the live configuration, "
        "and the verdict of all gates on the best. A winner becomes a proposal; the usual answer is that there is none."
    ),
)
def hyperband_results(
    context: dg.AssetExecutionContext, config: SearchRequest, database: dg.ResourceParam[DatabaseResource]
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare type only
    """Search, or go on with a search; judge; propose a winner; look at real outcomes."""
    from meta_pipeline.hyperband.ledger import create_or_open
    from meta_pipeline.hyperband.results import result_of
    from meta_pipeline.hyperband.search import Search
    from meta_pipeline.orchestration.search_worker import checkpoints_of
    from meta_pipeline.proposals.identity import MACHINE_ACTOR
    from meta_pipeline.store import search as kept
    from meta_pipeline.store.search_cycle import judge_finished
    from meta_pipeline.store.search_ledgers import database_place
    from meta_pipeline.store.search_outage import is_outage, outlived

    wanted = _wanted(config, database)
    opened = database.opened
    # In PostgreSQL, so that `hyperband_search` may do the evaluations on other machines, before this run or beside it.
    place = database_place(opened, checkpoints_of(wanted.name, opened))
    with place.lock(wanted.name):
        ledger = create_or_open(place.storage, wanted)

        def recorded() -> "SearchResult":
            found = result_of(ledger.settings, ledger.entries())
            with database.begin() as connection:
                kept.record(connection, found, place=place.described, now=database.now())
            return found

        search = Search(ledger, place.checkpoints, worker=context.run.run_id, clock=time.time)
        try:
            with _executor(config.workers) as executor:
                search.run(executor, on_progress=_progress_of(context, search))
        except BaseException as error:
            if not is_outage(error):
                recorded()
            raise
        result = outlived(recorded)
        context.log.info("judging the best of %d configurations", len(result.entries))
        verdict = judge_finished(opened, place, ledger, result, actor=MACHINE_ACTOR, now=database.now())
    context.log.info(str(verdict["summary"]) if verdict else "Nothing can be judged.")
    proposed = _propose(config, wanted.name, verdict, database)
    halves = _halves(result, place.checkpoints.build())
    return dg.MaterializeResult(
        metadata={
            **_metadata(result, verdict, proposed, halves),
            **on_the_pages(
                database.settings,
                (("this search", f"search?{urlencode({'name': result.settings.name})}"), ("every search", "searches")),
            ),
        },
        data_version=dg.DataVersion(result.digest),
        check_results=[_quiet(config.strategy, database)],
    )


def _wanted(config: SearchRequest, database: DatabaseResource) -> "SearchSettings":
    from meta_pipeline.hyperband.forest_strategy import FOREST_LAB, search_of
    from meta_pipeline.proposals.identity import MACHINE_ACTOR
    from meta_pipeline.store import search_cycle, strategies

    with database.begin() as connection:
        if config.strategy == FOREST_LAB:
            search_cycle.declare_lab(connection, actor=MACHINE_ACTOR, now=database.now())
        live = strategies.live_config(connection, config.strategy).config
    return search_of(
        config.strategy,
        live,
        maximum_resource=config.r,
        eta=config.eta,
        seed=database.settings.seed if config.seed is None else config.seed,
        iterations=config.iterations,
        until=config.as_of or None,
    )


def _executor(workers: int) -> "Executor":
    """Return processes of this machine, or this process alone."""
    from meta_pipeline.hyperband.executors import InProcess, LocalPool

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return InProcess() if workers == 1 else LocalPool(workers or cores)


def _progress_of(context: dg.AssetExecutionContext, search: "Search") -> "Callable[[Progress], None]":
    """Return what keeps the run's page up to date: lines in the log, and a picture after every bracket."""
    line = _lines(context.log.info, search.settings)
    picture = _pictures(context.log_event, search)

    def on_progress(progress: "Progress") -> None:
        line(progress)
        picture(progress)

    return on_progress


def _pictures(log: Callable[[dg.AssetObservation], object], search: "Search") -> "Callable[[Progress], None]":
    """Return what logs the rungs as they are, whenever the work has come to another bracket."""
    from meta_pipeline.hyperband.results import result_of
    from meta_pipeline.report.search_pictures import rungs_picture

    at: list[tuple[int | None, int | None]] = []

    def on_progress(progress: "Progress") -> None:
        where = (progress.iteration, progress.bracket)
        if progress.iteration is None or progress.iteration < 0 or where in at:
            return
        at.append(where)
        if len(at) == 1:
            return  # the first that this run works at: nothing is finished yet
        picture = rungs_picture(result_of(search.settings, search.entries))
        says = f"the rungs of {search.settings.name}, {progress.evaluations} evaluations in"
        log(
            dg.AssetObservation(
                asset_key=NAME,
                description=f"{_where(progress, search.settings)} begins",
                metadata={
                    "rungs and promotions": picture_value(picture, says=says),
                    "evaluations": progress.evaluations,
                    "done": round(progress.finished_share, 3),
                },
            )
        )

    return on_progress


def _lines(say: Callable[[str], object], wanted: "SearchSettings") -> "Callable[[Progress], None]":
    """Return what writes a line into the run's log every few seconds: rung, bracket, best, time left."""
    begun = time.monotonic()
    last = [begun - SECONDS_BETWEEN_LINES]
    done_before: list[float] = []

    def on_progress(progress: "Progress") -> None:
        now = time.monotonic()
        if not done_before:
            done_before.append(progress.finished_share)
        if now - last[0] < SECONDS_BETWEEN_LINES and progress.evaluations < progress.evaluations_planned:
            return
        last[0] = now
        share = progress.finished_share - done_before[0]
        left = f", about {(now - begun) * (1 - progress.finished_share) / share:,.0f} s left" if share > 0 else ""
        best = "none yet" if progress.best_value is None else f"{progress.best_value:.3f} at {progress.best_resource}"
        say(
            f"{_where(progress, wanted)}: {progress.evaluations} of "
            f"{counted(progress.evaluations_planned, 'evaluation')}, {progress.finished_share:.0%}; best {best}{left}"
        )

    return on_progress


def _where(progress: "Progress", wanted: "SearchSettings") -> str:
    if progress.iteration is None or progress.iteration < 0:
        return "the live configuration"
    of = f"iteration {progress.iteration + 1}/{wanted.iterations}"
    return f"{of}, bracket {progress.bracket}, rung {progress.rung}"


def _propose(config: SearchRequest, name: str, verdict: Any, database: DatabaseResource) -> str:
    """Propose a winner; say in a sentence what became of it."""
    from meta_pipeline.proposals.identity import MACHINE_ACTOR
    from meta_pipeline.store.search_cycle import propose_winner

    if not verdict or verdict.get("winner") is not True:
        return "nothing: there is no winner"
    if not config.propose:
        return f"nothing: the run's configuration says so; by hand: meta-pipeline search propose {name}"
    try:
        identity = propose_winner(
            database.opened,
            name,
            actor=MACHINE_ACTOR,
            now=database.now(),
            settings=database.settings,
            report=_reports(database),
        )
    except (Blocked, NotFound) as error:
        return f"nothing: {error}"
    return f"{identity}; it waits for a person: meta-pipeline proposals show {identity}"


def _reports(database: DatabaseResource) -> "ProposalReports":
    """Return what writes the report of the proposal that a winner becomes."""
    from meta_pipeline.report.files import ProposalReports, report_files
    from meta_pipeline.report.outcomes import track_record
    from meta_pipeline.store.scorecards import scorecard

    with database.connect() as connection:
        scores = scorecard(connection)
    return ProposalReports(
        report_files(database.settings.home),
        approval_hours=database.settings.approval_hours,
        track_record=lambda proposal_type: track_record(scores, proposal_type),
    )


def _halves(result: "SearchResult", store: "CheckpointStore") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return each configuration's annual Sharpe ratio on the first and on the second half of the bars."""
    import numpy as np

    from meta_pipeline.hyperband.slots import LIVE

    per_year = getattr(result.settings.evaluator.build(), "periods_per_year", 252.0)
    found = []
    for slot, entry in sorted(result.entries.items()):
        if slot == LIVE or entry.last is None or entry.last.error is not None:
            continue
        kept = store.find(slot, entry.highest)
        if kept is None:
            continue
        halves = np.array_split(kept[1].returns, 2)
        if all(half.std(ddof=1) > 0 for half in halves):
            found.append([half.mean() / half.std(ddof=1) * np.sqrt(per_year) for half in halves])
    columns = np.array(found, dtype=np.float64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]


def _metadata(result: "SearchResult", verdict: Any, proposed: str, halves: Any) -> dict[str, Any]:
    from meta_pipeline.hyperband.forest_strategy import strategy_searched
    from meta_pipeline.report import search as report
    from meta_pipeline.report import search_pictures as pictures

    name, done = result.settings.name, result.progress
    shown: dict[str, Any] = {
        "verdict": str(verdict["summary"]) if verdict else f"Nothing can be judged: {result.reason}",
        "proposal": proposed,
    }
    if verdict:
        shown["gates"] = table_value(report.gates_table(verdict))
    shown |= {
        "top configurations": table_value(report.top_table(result, limit=10)),
        "rungs and promotions": picture_value(
            pictures.rungs_picture(result), says="value of each configuration at each rung; promoted ones go on"
        ),
        "parallel coordinates": picture_value(
            pictures.coordinates_picture(result), says="the configurations across the parameters that matter most"
        ),
        "importance": picture_value(
            pictures.importance_picture(result), says="how much each parameter goes with the value"
        ),
        "in sample against out of sample": picture_value(
            pictures.in_and_out_picture(result, *halves), says="Sharpe ratio on both halves of the days"
        ),
        "search": name,
        "evaluations": done.evaluations,
        "units": done.units,
        "configurations with all units": done.at_top,
        "failures": done.failures,
        "processor seconds": round(done.cpu_seconds, 1),
        "best value": "none" if done.best_value is None else done.best_value,
        "engine": str(result.settings.described.get("engine", "the strategy's own")),
        "digest": result.digest,
        "next": commands_value(
            f"meta-pipeline search show {name}",
            f"meta-pipeline search export {name} --into results",
            f"meta-pipeline search watch {strategy_searched(name)}",
        ),
    }
    return shown


def _quiet(strategy: str, database: DatabaseResource) -> dg.AssetCheckResult:
    from meta_pipeline.report.search import triggers_table
    from meta_pipeline.store.search_watch import watch

    try:
        with database.connect() as connection:
            found = watch(connection, strategy)
    except MetaPipelineError as error:  # unknown is not quiet
        return dg.AssetCheckResult(check_name=QUIET, passed=False, description=str(error))
    fired = [
        f"{one.source}: {trigger.name} {trigger.value:.3g} against {trigger.threshold:g} ({trigger.reason})"
        for one in found
        for trigger in one.fired
    ]
    return dg.AssetCheckResult(
        check_name=QUIET,
        passed=not fired,
        severity=dg.AssetCheckSeverity.ERROR,
        description="; ".join(fired) or None,
        metadata={"outcomes": table_value(triggers_table(strategy, [one.to_json() for one in found]))},
    )

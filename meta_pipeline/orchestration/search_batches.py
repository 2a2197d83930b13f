"""What the operations of a search's job do: plan a wave, evaluate a batch, conclude. Each reads the ledger anew."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from meta_pipeline.counted import counted
from meta_pipeline.hyperband.jobs import Job, run_job
from meta_pipeline.hyperband.ledger import Entry, Ledger, open_existing
from meta_pipeline.hyperband.results import result_of
from meta_pipeline.hyperband.search import Search
from meta_pipeline.hyperband.slots import Slot
from meta_pipeline.orchestration.search_worker import checkpoints_of
from meta_pipeline.proposals.identity import MACHINE_ACTOR
from meta_pipeline.settings import Settings
from meta_pipeline.store import search as kept
from meta_pipeline.store.database import Database, open_database
from meta_pipeline.store.search_cycle import judge_finished
from meta_pipeline.store.search_ledgers import SearchPlace, database_place
from meta_pipeline.store.search_outage import told_of_outage

if TYPE_CHECKING:
    from meta_pipeline.orchestration.search_job import SearchOfRun

_BATCHES: Final = "batches:{}:{}"


@dataclass(frozen=True, kw_only=True)
class PlannedWave:
    """How many batches there are, and what to tell people."""

    batches: int
    said: str


@dataclass(frozen=True, kw_only=True)
class Concluded:
    """What a run leaves behind: a sentence, and figures for Dagster's page."""

    said: str
    metadata: Mapping[str, Any]


def plan_wave(run: "SearchOfRun", *, run_id: str, step: str) -> PlannedWave:
    """Draw and promote under the coordinator's lock, and write down who evaluates what.

    Asked again, after a crash, it plans anew what is still to be done: batches are only a division of work.
    """
    with _place(run) as (place, _), place.lock(run.search):
        search = _search(run, place, worker=f"{run_id}.{step}")
        jobs = search.ready()
        batches = share_out(jobs, search.entries, batch_seconds=run.batch_seconds, workers=run.workers)
        keys = [[[*job.slot, job.r_from, job.r_to] for job in batch] for batch in batches]
        search.ledger.study.set_user_attr(_BATCHES.format(run_id, step), keys)
        if not jobs:
            said = "finished" if search.is_finished else "others are at work on all that can be done"
        else:
            shared = f"{counted(len(jobs), 'evaluation')} in {counted(len(batches), 'batch', 'batches')}"
            said = f"{shared}, {counted(sum(job.units for job in jobs), 'unit')}"
        return PlannedWave(batches=len(batches), said=said)


def evaluate_one_batch(run: "SearchOfRun", *, run_id: str, step: str, number: int, say: Callable[[str], object]) -> str:
    """Evaluate what a batch has left; what is reported already, by whomever, is not done again."""
    with _place(run) as (place, _), told_of_outage(run.search):
        # The batch's name, not the process's: whoever is given the batch again after a crash owns its leases.
        search = _search(run, place, worker=f"{run_id}.{step}.{number}")
        planned = search.ledger.study.user_attrs[_BATCHES.format(run_id, step)][number]
        search.refresh()
        done = 0
        for *slot, r_from, r_to in planned:
            entry = search.entries[Slot(*slot)]
            if r_to in entry.rungs:
                continue
            job = search.job(Slot(*slot), r_from, r_to)
            search.lease(job)
            outcome = run_job(job)
            search.take(outcome)
            done += 1
            say(
                f"{outcome.slot} at {counted(outcome.r_to, 'unit')}: {outcome.value:.4g}"
                + (f" ({outcome.error})" if outcome.error else "")
            )
        return f"{counted(done, 'evaluation was', 'evaluations were')} left to do, of {len(planned)}"


def conclude_run(run: "SearchOfRun") -> Concluded:
    """Write the result so far into the tables of results, and put the best of a finished search before the gates."""
    with _place(run) as (place, database), place.lock(run.search):
        search = _search(run, place, worker="conclude")
        search.ready()  # tells those whose way has ended with the last wave
        result = result_of(search.settings, search.entries)
        now = datetime.now(UTC)
        with database.begin() as connection:
            kept.record(connection, result, place=place.described, now=now)
        verdict = judge_finished(database, place, search.ledger, result, actor=MACHINE_ACTOR, now=now)
    progress = result.progress
    state = "finished" if result.is_finished else "not finished: launch the job again to go on"
    return Concluded(
        said=f"{state}; {progress.evaluations} of {counted(progress.evaluations_planned, 'evaluation')}",
        metadata={
            "finished": result.is_finished,
            "evaluations": progress.evaluations,
            "units": progress.units,
            "failures": progress.failures,
            "best_value": progress.best_value if progress.best_value is not None else "none yet",
            "verdict": str(verdict["summary"]) if verdict else "none: not finished, or a strategy with its own gates",
            "digest": result.digest,
        },
    )


def share_out(
    jobs: Sequence[Job], entries: Mapping[Slot, Entry], *, batch_seconds: float, workers: int
) -> list[list[Job]]:
    """Divide jobs into batches of about equal units, each long enough to be worth an operation.

    Without any evaluation to measure by, there are as many batches as workers.
    """
    if not jobs:
        return []
    units = sum(job.units for job in jobs)
    cost = seconds_per_unit(entries)
    many = workers if cost is None else max(1, ceil(units * cost / batch_seconds))
    if cost is not None and units * cost >= batch_seconds:
        many = max(many, workers)  # nobody idles where there is work for more than one operation
    many = min(many, len(jobs))
    batches: list[list[Job]] = [[] for _ in range(many)]
    for job in sorted(jobs, key=lambda job: (-job.units, job.slot)):
        min(batches, key=lambda batch: sum(other.units for other in batch)).append(job)
    return [sorted(batch, key=lambda job: job.slot) for batch in batches]


def seconds_per_unit(entries: Mapping[Slot, Entry]) -> float | None:
    """Return the processor time that a unit has cost on average; None before the first."""
    seconds, units = 0.0, 0
    for entry in entries.values():
        before = 0
        for r, rung in sorted(entry.rungs.items()):
            if rung.cpu_seconds is not None:
                seconds, units = seconds + rung.cpu_seconds, units + r - before
            before = r
    return seconds / units if units else None


def _search(run: "SearchOfRun", place: SearchPlace, *, worker: str) -> Search:
    ledger: Ledger = open_existing(place.storage, run.search)
    return Search(ledger, place.checkpoints, worker=worker, clock=time.time, lease_seconds=run.lease_seconds)


@contextmanager
def _place(run: "SearchOfRun") -> Iterator[tuple[SearchPlace, Database]]:
    with open_database(Settings()) as database:
        yield database_place(database, checkpoints_of(run.search, database)), database

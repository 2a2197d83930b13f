"""Where jobs run: one protocol, and the executors on one machine.

An executor *pulls*: it asks the search for a job whenever it has room for one, so that it never holds more than it can
work on, and the search decides what comes next with everything that came back before. A job is stateless and may be
run twice; whatever kills a worker costs the job it was at, and no more.
"""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from types import TracebackType
from typing import Final, Protocol, Self

from meta_pipeline.errors import InputError, MetaPipelineError
from meta_pipeline.hyperband.jobs import Job, Outcome, run_job

_log = logging.getLogger(__name__)

PATIENCE: Final = 3
"""How often in a row workers may die without finishing anything, before the executor gives up."""


class WorkersDied(MetaPipelineError):  # noqa: N818
    """Workers die again and again without finishing anything."""

    code = "workers_died"


class Executor(Protocol):
    """Runs jobs."""

    def map_unordered(self, jobs: Iterator[Job | None]) -> Iterator[Outcome]:
        """Run jobs, and yield their outcomes as they come.

        Parameters
        ----------
        jobs
            Asked for the next job whenever there is room. It yields None where none can start before another
            outcome is taken, and ends when there will be no more.
        """
        ...

    def __enter__(self) -> Self:
        """Be used in a `with`, at whose end the workers end."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers."""
        ...


class InProcess:
    """Runs one job after another in this process: for tests, for debugging, and where processes are not to be had."""

    def map_unordered(self, jobs: Iterator[Job | None]) -> Iterator[Outcome]:
        """Run jobs one by one."""
        for job in jobs:
            if job is None:
                raise AssertionError("unreachable: with one job at a time there is nothing to wait for")
            yield run_job(job)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hold nothing, so end nothing."""


class LocalPool:
    """Processes on this machine, each with one thread for computing.

    They are started fresh (forked from a clean server process), never forked from this one, whose threads and
    connections they would break. They end when this process does, however it ends.

    Parameters
    ----------
    workers
        How many processes, at least one.
    preload
        Modules that the server process imports once, for all workers.
    """

    def __init__(self, workers: int, *, preload: tuple[str, ...] = ()) -> None:
        if workers < 1:
            raise InputError(f"workers = {workers}; use at least one")
        self.workers = workers
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["meta_pipeline.hyperband.jobs", *preload])
        self._pool: ProcessPoolExecutor | None = None

    def map_unordered(self, jobs: Iterator[Job | None]) -> Iterator[Outcome]:
        """Run jobs on all workers; those of a worker that died are run again by a new one.

        Raises
        ------
        WorkersDied
            If they die `PATIENCE` times without finishing anything; it names the jobs.
        """
        waiting: list[Job] = []
        deaths = 0
        while True:
            running: dict[Future[Outcome], Job] = {}
            try:
                for outcome in pull(_first(waiting, jobs), self.workers, self._submit, running):
                    deaths = 0
                    yield outcome
                return
            except BrokenProcessPool as error:
                deaths += 1
                lost = list(running.values()) + waiting
                if deaths >= PATIENCE:
                    named = ", ".join(f"{job.slot} at {job.r_to} units" for job in lost)
                    raise WorkersDied(
                        f"workers died {deaths} times and finished nothing; they were at {named}. Memory is the usual "
                        "reason: use fewer workers, or less data"
                    ) from error
                _log.warning("a worker died; its jobs are run again: %s", [str(job.slot) for job in lost])
                waiting = lost
                self._end()

    def _submit(self, job: Job) -> "Future[Outcome]":
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.workers, mp_context=self._context, initializer=prepare_worker)
        return self._pool.submit(run_job, job)

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers; what they were at is lost, as by a crash, which costs nothing but its time."""
        if self._pool is not None and error is None:
            self._pool.shutdown()
        self._end()


def pull(
    jobs: Iterator[Job | None],
    room: int,
    submit: "Callable[[Job], Future[Outcome]]",
    running: "dict[Future[Outcome], Job]",
) -> Iterator[Outcome]:
    """Keep `room` jobs running, and yield outcomes as they come; an exception of a job is raised.

    Parameters
    ----------
    running
        Filled with what was submitted and has not been yielded: after an exception, what was lost.
    """
    while True:
        ended = False
        while len(running) < room and not ended:
            job = next(jobs, _END)
            if job is None:
                break
            if isinstance(job, Job):
                _keep(running, submit, job)
            else:
                ended = True
        if not running:
            if ended:
                return
            raise AssertionError("unreachable: nothing runs, so the search cannot wait for it")
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            outcome = future.result()
            del running[future]
            yield outcome


def prepare_worker() -> None:
    """Make a fresh process a worker: one thread for computing, and an end when its parent ends."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


_END: Final = object()


def _keep(running: "dict[Future[Outcome], Job]", submit: "Callable[[Job], Future[Outcome]]", job: Job) -> None:
    try:
        running[submit(job)] = job
    except BrokenProcessPool:
        lost: Future[Outcome] = Future()  # so that the job is among those that are run again
        running[lost] = job
        raise


def _first(waiting: list[Job], jobs: Iterator[Job | None]) -> Iterator[Job | None]:
    while waiting:
        yield waiting.pop(0)
    while (job := next(jobs, _END)) is not _END:  # not `yield from`, which would close `jobs` with this generator
        assert job is None or isinstance(job, Job)
        yield job


def _end_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)

"""Real processes against one database: started together, each with connections of its own."""

import multiprocessing
import queue
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any

from meta_pipeline.store.database import Database, engine_of
from meta_pipeline.store.url import Address

Work = Callable[[Database, int, Barrier], Any]

START_TIMEOUT = 60.0


def context() -> ForkServerContext:
    """Return what starts processes: each with connections of its own."""
    # Forked from a server that has the imports and no connections: quick to start, nothing shared.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["meta_pipeline_tests.store.workers", "meta_pipeline_tests.faults.injection"])
    return processes


def opened(options: dict[str, str]) -> Database:
    address = Address(options=options)
    return Database(engine=engine_of(address), address=address)


def run_in_processes(database: Database, work: Work, *, count: int) -> list[Any]:
    """Run `work(database, number, barrier)` in this many processes at once; return what each returned.

    An exception in one of them comes back as its type and text: "StaleBase: ...".
    """
    processes = context()
    barrier = processes.Barrier(count)
    answers: multiprocessing.Queue[tuple[int, Any]] = processes.Queue()
    options = dict(database.address.options)
    started = [
        processes.Process(target=_child, args=(options, work, number, barrier, answers), daemon=True)
        for number in range(count)
    ]
    for process in started:
        process.start()
    found: dict[int, Any] = {}
    try:
        while len(found) < count:
            number, answer = answers.get(timeout=START_TIMEOUT)
            found[number] = answer
    except queue.Empty as error:
        raise AssertionError(f"only {sorted(found)} of {count} processes answered") from error
    finally:
        for process in started:
            process.join(timeout=10)
            process.kill()
    return [found[number] for number in range(count)]


def start_process(database: Database, work: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Start `work(database, *arguments)` in a process of its own, and do not wait for it."""
    process = context().Process(target=_alone, args=(dict(database.address.options), work, arguments), daemon=True)
    process.start()
    return process


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + START_TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, f"waited {START_TIMEOUT} s for {what}"
        time.sleep(0.005)


def _alone(options: dict[str, str], work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    database = opened(options)
    work(database, *arguments)
    database.close()


def _child(
    options: dict[str, str],
    work: Work,
    number: int,
    barrier: Barrier,
    answers: "multiprocessing.Queue[tuple[int, Any]]",
) -> None:
    database = opened(options)
    try:
        answers.put((number, work(database, number, barrier)))
    except Exception as error:  # whatever it is, the parent judges it
        answers.put((number, f"{type(error).__name__}: {error}"))
    finally:
        database.close()

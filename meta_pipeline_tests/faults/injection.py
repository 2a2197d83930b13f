"""Faults, done to a real process at a named step of its work on a real PostgreSQL; and what has to hold afterwards.

The process stops at the step and says so through a pipe; then it is killed, or its connection is, or the server, or it
is stopped while a rival does the same. Nothing of this is in the package but the names of the steps.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from typing import Any, Final

from sqlalchemy import text

from meta_pipeline import failpoints
from meta_pipeline.store import anchors, audit
from meta_pipeline.store.database import Database
from meta_pipeline.store.postmaster import Postmaster
from meta_pipeline_tests.faults.acts import Act, Subject, check_levels, statuses
from meta_pipeline_tests.proposals.governed import NOW
from meta_pipeline_tests.store.invariants import check_invariants
from meta_pipeline_tests.store.processes import context, opened

PATIENCE: Final = 60.0
COMMIT: Final = "COMMIT"
"""Not a failpoint: the server has committed, and its answer is lost."""

ROLLED_BACK: Final = "nothing written; the retry did it"
DONE: Final = "all written; the retry said so"
FIRST_PART: Final = "its first transaction written; the retry did the rest"
ONE_EACH: Final = "one of the two did it, the other said so"
OWN_PART: Final = "its own transaction undone, the others done; the retry did it"
NOT_KNOWN: Final = "all written; said that it is not known; the retry said so"


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where faults are done: a database, and its server where the fault is done to that.

    Parameters
    ----------
    postmaster
        None: no fault of the server can be done here.
    """

    database: Database
    postmaster: Postmaster | None = None


class NeverReachedError(AssertionError):
    """The act ended without passing the step: a test of it would show nothing."""


def inject(site: Site, act: Act, step: str, fault: str, *, name: str) -> str:
    """Do one fault at one step of one act; check everything, retry, check everything again; return what came of it.

    Parameters
    ----------
    name
        Of the strategy that is made for it.

    Raises
    ------
    NeverReachedError
        If the act does not pass the step.
    AssertionError
        If anything does not agree afterwards.
    """
    database = site.database
    subject = act.prepare(database, name)
    before = everything(database)
    with database.connect() as connection:
        head = audit.head(connection)
    anchor = anchors.Anchor(seq=head.entries, entry_hash=head.head_hash, at=NOW)
    outcome = FAULTS[fault](site, act, subject, step, before)
    settle(database)
    assert statuses(database, subject) == act.after
    check_invariants(database)
    check_levels(database, act, subject)
    with database.connect() as connection:
        anchors.check_anchor(connection, anchor)
    finished = everything(database)
    assert act.perform(database, subject) == act.again
    assert everything(database) == finished, "a further retry wrote something"
    return outcome


def steps_of(database: Database, act: Act, *, name: str) -> list[str]:
    """Return the steps that an act passes, by doing it in this process."""
    passed: list[str] = []
    subject = act.prepare(database, name)
    failpoints.arm(passed.append)
    try:
        assert act.perform(database, subject) == act.first
    finally:
        failpoints.arm(None)
    return list(dict.fromkeys(passed))


def _killed(site: Site, act: Act, subject: Subject, step: str, before: Mapping[str, list[str]]) -> str:
    process, _ = at_step(site, act, subject, step)
    kill(process)
    return _all_or_nothing(site, act, subject, step, before)


def _cut(site: Site, act: Act, subject: Subject, step: str, before: Mapping[str, list[str]]) -> str:
    """End the process's connections, as a failing network or an administrator would; the process goes on."""
    process, pipe = at_step(site, act, subject, step)
    end_other_sessions(site.database)
    return _goes_on(site, act, subject, step, before, process, pipe)


def _crashed(site: Site, act: Act, subject: Subject, step: str, before: Mapping[str, list[str]]) -> str:
    """Kill the server, start it again, and let the process go on."""
    assert site.postmaster is not None
    process, pipe = at_step(site, act, subject, step)
    server = site.postmaster.process_id()
    assert server is not None
    os.kill(server, signal.SIGKILL)
    wait_for(lambda: not site.postmaster.answers(), "the server to be gone")  # type: ignore[union-attr]
    site.postmaster.start()
    return _goes_on(site, act, subject, step, before, process, pipe)


def _restarted(site: Site, act: Act, subject: Subject, step: str, before: Mapping[str, list[str]]) -> str:
    """Restart the server in good order, which breaks off what is under way, and let the process go on."""
    assert site.postmaster is not None
    process, pipe = at_step(site, act, subject, step)
    assert site.postmaster.stop()
    site.postmaster.start()
    return _goes_on(site, act, subject, step, before, process, pipe)


def _frozen(site: Site, act: Act, subject: Subject, step: str, _: Mapping[str, list[str]]) -> str:
    """Stop the process, let another one do the same meanwhile, and let the first go on."""
    process, pipe = at_step(site, act, subject, step)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    pipe.send("go")
    rival, answers = start(site.database, act, subject, None)

    def stands_or_is_done() -> bool:
        return answers.poll() or waits(site.database, "wait_event_type = 'Lock'")

    wait_for(stands_or_is_done, "the rival to stand at a lock, or to be done")
    os.kill(process.pid, signal.SIGCONT)
    one, other = answer_of(process, pipe), answer_of(rival, answers)
    for pair in zip(zip(one, other, strict=True), zip(act.first, act.again, strict=True), strict=True):
        assert sorted(pair[0]) == sorted(pair[1]), (one, other)
    return ONE_EACH


def _answer_lost(site: Site, act: Act, subject: Subject, step: str, _: Mapping[str, list[str]]) -> str:
    """Let the server commit, and end the session before it can say so.

    It waits for a second server that does not exist, as one does that keeps a synchronous copy; what is written is
    written by then.
    """
    assert step == COMMIT
    database = site.database
    _wait_for_a_copy(database, "nobody")
    try:
        process, pipe = start(database, act, subject, None)
        wait_for(lambda: waits(database, "wait_event = 'SyncRep'"), "the server to have committed")
        _wait_for_a_copy(database, "", end=True)
    finally:
        _wait_for_a_copy(database, "")
    answer = answer_of(process, pipe)
    unheard = answer if act.between is None else answer[:-1]  # the batch's second transaction goes on
    assert all("it is not known whether this was written" in word for word in unheard), answer
    assert statuses(database, subject) == act.after, answer
    assert act.perform(database, subject) == act.again
    return NOT_KNOWN


FAULTS: Final[Mapping[str, Callable[[Site, Act, Subject, str, Mapping[str, list[str]]], str]]] = {
    "process killed": _killed,
    "connection cut": _cut,
    "server killed": _crashed,
    "server restarted": _restarted,
    "process frozen, a rival": _frozen,
    "answer to COMMIT lost": _answer_lost,
}
OF_THE_SERVER: Final = frozenset({"server killed", "server restarted", "answer to COMMIT lost"})
"""Faults that take a server of their own."""


def _goes_on(
    site: Site,
    act: Act,
    subject: Subject,
    step: str,
    before: Mapping[str, list[str]],
    process: BaseProcess,
    pipe: Pipe,
) -> str:
    """Let a process go on whose connection is gone; what it answers has to be what is on record."""
    pipe.send("go")
    answer = answer_of(process, pipe)
    if step.endswith(".committed"):
        assert answer == act.first, answer
        return _answered(site, act, subject)
    if act.between is None:
        assert not set(answer) & {*act.first, *act.again}, answer
        return _all_or_nothing(site, act, subject, step, before)
    # Of a batch only the transaction that was cut off is undone; the others stay, or go on.
    cut = slice(-1, None) if step in act.late else slice(None, -1)
    assert not set(answer[cut]) & {*act.first, *act.again}, answer
    left, retried = act.between if step in act.late else _other_way(act)
    done = slice(None, -1) if step in act.late else slice(-1, None)
    assert answer[done] == act.first[done], answer
    assert statuses(site.database, subject) == left
    check_invariants(site.database)
    assert act.perform(site.database, subject) == retried
    return OWN_PART


def _other_way(act: Act) -> tuple[Subject, Subject]:
    """Return statuses, and what a retry answers, where only the second of an act's transactions was committed."""
    return (*act.before[:-1], act.after[-1]), (*act.first[:-1], act.again[-1])


def _answered(site: Site, act: Act, subject: Subject) -> str:
    assert statuses(site.database, subject) == act.after
    check_invariants(site.database)
    assert act.perform(site.database, subject) == act.again
    return DONE


def _all_or_nothing(site: Site, act: Act, subject: Subject, step: str, before: Mapping[str, list[str]]) -> str:
    settle(site.database)
    check_invariants(site.database)
    if not step.endswith(".committed") and step not in act.late:
        assert everything(site.database) == before
        assert act.perform(site.database, subject) == act.first
        return ROLLED_BACK
    if act.between is None:
        return _answered(site, act, subject)
    left, retried = act.between
    assert statuses(site.database, subject) == left
    assert act.perform(site.database, subject) == retried
    return FIRST_PART


def start(database: Database, act: Act, subject: Subject, step: str | None) -> tuple[BaseProcess, Pipe]:
    """Start an act in a process of its own; at the step, if one is named, it stops and waits for a word."""
    ours, theirs = context().Pipe()
    process = context().Process(
        target=_child, args=(dict(database.address.options), act, subject, step, theirs), daemon=True
    )
    process.start()
    theirs.close()
    return process, ours


def at_step(site: Site, act: Act, subject: Subject, step: str) -> tuple[BaseProcess, Pipe]:
    """Start an act in a process of its own, and wait until it stands at the step."""
    process, pipe = start(site.database, act, subject, step)
    assert pipe.poll(PATIENCE), f"waited {PATIENCE} s for {act.name} at {step}"
    kind, said = pipe.recv()
    if kind != "reached":
        process.join()
        raise NeverReachedError(f"{act.name} ended without passing {step}: {said}")
    assert said == step
    return process, pipe


def _child(options: dict[str, str], act: Act, subject: Subject, step: str | None, pipe: Pipe) -> None:
    database = opened(options)
    waiting = [step]

    def stop(reached: str) -> None:
        if reached in waiting:
            waiting.remove(reached)
            pipe.send(("reached", reached))
            pipe.recv()

    failpoints.arm(stop)
    try:
        answer: tuple[str, ...] = act.perform(database, subject)
    except Exception as error:  # whatever it is, the parent judges it
        answer = (f"{type(error).__name__}: {error}",)
    pipe.send(("finished", answer))
    database.close()


def kill(process: BaseProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def answer_of(process: BaseProcess, pipe: Pipe) -> tuple[str, ...]:
    """Wait until a process ends, and return what it answered."""
    assert pipe.poll(PATIENCE), f"waited {PATIENCE} s for the process to end"
    kind, answer = pipe.recv()
    assert kind == "finished", (kind, answer)
    process.join(PATIENCE)
    assert process.exitcode == 0
    return tuple(answer)


def everything(database: Database) -> dict[str, list[str]]:
    """Return every row of every table, to show that nothing was written."""
    names = (
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    with database.connect() as connection:
        tables = sorted(connection.execute(text(names)).scalars())
        rows = " UNION ALL ".join(f"SELECT '{name}', t::text FROM {name} t" for name in tables)
        found: dict[str, list[str]] = {name: [] for name in tables}
        for name, row in connection.execute(text(f"{rows} ORDER BY 1, 2")):
            found[name].append(row)
    return found


def end_other_sessions(database: Database) -> None:
    """End every session of a database but one's own."""
    with database.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


def settle(database: Database) -> None:
    """Wait until no other session of the database is in a transaction: the server has noticed who is gone."""
    wait_for(lambda: not waits(database, "state <> 'idle'"), "the server to end the sessions of who is gone")


def waits(database: Database, condition: str) -> bool:
    """Say whether another session of the database is in that condition."""
    with database.connect() as connection:
        found: int = connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                f"AND pid <> pg_backend_pid() AND {condition}"
            )
        ).scalar_one()
    return found > 0


def _wait_for_a_copy(database: Database, name: str, *, end: bool = False) -> None:
    """Make commits wait for a second server of that name; none with an empty one. `end`: who waits now is cut off."""
    if end:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            )
        return
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'"))
        connection.execute(text("SELECT pg_reload_conf()"))

    def holds() -> bool:
        with database.connect() as connection:
            shown: Any = connection.execute(text("SHOW synchronous_standby_names")).scalar_one()
        return bool(shown == name)

    wait_for(holds, "the server to read its settings")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.005)

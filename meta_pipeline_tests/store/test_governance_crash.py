"""A process that is killed at any step leaves everything as it was, or everything done; and can be run again.

A trigger in the test's database holds the transaction at one statement (by an advisory lock that the test has);
there the process is killed with SIGKILL. The package itself knows nothing of this.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, text

from meta_pipeline.store import governance
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store import workers
from meta_pipeline_tests.store.governed import (
    NOW,
    SETTINGS,
    applied,
    approved,
    contents,
    decide,
    live,
    prepare,
    propose,
    status,
)
from meta_pipeline_tests.store.invariants import check_invariants
from meta_pipeline_tests.store.processes import start_process

pytestmark = pytest.mark.database

KEY = 4711
PATIENCE = 60.0
COMMIT = "the commit"

APPLY_STEPS = (
    "BEFORE INSERT ON config_versions",
    "BEFORE UPDATE ON strategies",
    "BEFORE INSERT ON config_change_log",
    "BEFORE UPDATE ON meta_config_proposals",
    "BEFORE INSERT ON audit_log",
    "AFTER INSERT ON audit_log",
    COMMIT,
)
REVERT_STEPS = (
    "BEFORE INSERT ON config_versions",
    "BEFORE UPDATE ON strategies",
    "BEFORE UPDATE ON config_change_log",
    "BEFORE UPDATE ON meta_config_proposals",
    "BEFORE INSERT ON audit_log",
    "AFTER INSERT ON audit_log",
    COMMIT,
)
APPROVE_STEPS = (
    "BEFORE INSERT ON approvals",
    "BEFORE UPDATE ON meta_config_proposals",
    "BEFORE INSERT ON audit_log",
    "AFTER INSERT ON audit_log",
    COMMIT,
)


@contextmanager
def held_at(database: Database, step: str) -> Iterator[Connection]:
    """Make every transaction wait at a step until the block ends."""
    table = "audit_log" if step == COMMIT else step.rpartition(" ")[2]
    trigger = (
        "CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON audit_log DEFERRABLE INITIALLY DEFERRED"
        if step == COMMIT
        else f"CREATE TRIGGER hold {step}"
    )
    with database.begin() as connection:
        connection.execute(
            text(
                f"""CREATE OR REPLACE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN PERFORM pg_advisory_xact_lock({KEY}); RETURN NEW; END $$"""
            )
        )
        connection.execute(text(f"{trigger} FOR EACH ROW EXECUTE FUNCTION hold()"))
    try:
        with database.begin() as holder:
            holder.execute(text(f"SELECT pg_advisory_xact_lock({KEY})"))
            yield holder
    finally:
        with database.begin() as connection:
            connection.execute(text(f"DROP TRIGGER hold ON {table}"))


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.01)


def kill_at(database: Database, step: str, work: Callable[..., Any], *arguments: Any) -> None:
    """Start work in a process, kill it while its transaction stands at the step, and wait for the server to notice."""
    waiting = text(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock' AND wait_event = 'advisory'"
    )
    there = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    found: list[int] = []

    def stands() -> bool:
        with database.connect() as connection:
            found[:] = connection.execute(waiting).scalars()
        return bool(found)

    def gone() -> bool:
        with database.connect() as connection:
            return bool(connection.execute(there, {"pid": found[0]}).scalar_one() == 0)

    with held_at(database, step):
        process = start_process(database, work, *arguments)
        wait_for(stands, f"a transaction at {step}")
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    wait_for(gone, "the server to end the killed client's session")


def test_an_apply_killed_at_any_step_is_wholly_undone_or_wholly_done_and_retried_ends_in_one_change(
    database: Database,
) -> None:
    prepare(database)
    record, rival = approved(database), propose(database, "risk", {"max_vol": 0.1, "cap": 1})
    before = contents(database)
    for step in APPLY_STEPS:
        kill_at(database, step, workers.apply, record.proposal_id)
        check_invariants(database)
        if step == COMMIT:
            assert status(database, record) == "APPLIED"
        else:
            assert contents(database) == before, step
    retried = governance.apply(database, record.proposal_id, actor="emil", now=NOW, settings=SETTINGS)
    assert retried.outcome == "already_applied"
    assert live(database).version == 2
    assert status(database, rival) == "SUPERSEDED"
    check_invariants(database)


def test_an_apply_killed_before_its_commit_is_applied_once_by_the_retry_with_the_true_previous_value(
    database: Database,
) -> None:
    prepare(database)
    record = approved(database)
    kill_at(database, "AFTER INSERT ON audit_log", workers.apply, record.proposal_id)
    assert governance.apply(database, record.proposal_id, actor="emil", now=NOW, settings=SETTINGS).outcome == "applied"
    check_invariants(database)  # the change's previous value is the proposal's, and the versions follow from it
    assert live(database).version == 2


def test_a_revert_killed_at_any_step_is_wholly_undone_or_wholly_done(database: Database) -> None:
    prepare(database)
    change_id = applied(database)
    propose(database, "lookback", 21)
    before = contents(database)
    for step in REVERT_STEPS:
        kill_at(database, step, workers.revert, change_id)
        check_invariants(database)
        assert step == COMMIT or contents(database) == before, step
    assert live(database).version == 3
    retried = governance.revert(database, change_id, actor="emil", reason="again", now=NOW, settings=SETTINGS)
    assert retried.outcome == "already_reverted"


def test_an_approval_killed_at_any_step_is_wholly_undone_or_wholly_done(database: Database) -> None:
    prepare(database)
    record = propose(database)
    before = contents(database)
    for step in APPROVE_STEPS:
        kill_at(database, step, workers.decide, record.proposal_id, record.body_digest, "approve", "Bob")
        check_invariants(database)
        assert step == COMMIT or contents(database) == before, step
    assert status(database, record) == "APPROVED"
    assert decide(database, record).outcome == "already"

"""The audit chain: it holds, every kind of damage in the middle breaks it, and it stands many writers at once."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import AuditBroken
from meta_pipeline.store import audit
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store.governed import NOW
from meta_pipeline_tests.store.processes import run_in_processes
from meta_pipeline_tests.store.workers import append_entries

pytestmark = pytest.mark.database
EACH = 20


def event(number: int) -> audit.Event:
    payload: dict[str, JsonValue] = {"number": number, "text": "é\u202e", "ratio": 1e-9}
    return audit.Event(action="test.happen", subject_type="test", subject_id=f"t-{number}", payload=payload)


def fill(database: Database, count: int) -> None:
    with database.begin() as connection:
        audit.append_all(connection, [event(number) for number in range(count)], actor="Ann", at=NOW)


def verify(database: Database) -> audit.Verified:
    with database.connect() as connection:
        return audit.verify(connection)


def tamper(database: Database, statement: str) -> None:
    """Do what only the owner of the database can: switch the triggers off, then change rows."""
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE audit_log DISABLE TRIGGER USER"))
        assert connection.execute(text(statement)).rowcount >= 1
        connection.execute(text("ALTER TABLE audit_log ENABLE TRIGGER USER"))


def test_an_empty_log_verifies(database: Database) -> None:
    assert verify(database) == audit.Verified(entries=0, head_hash=audit.GENESIS)


def test_entries_of_several_transactions_form_one_chain(database: Database) -> None:
    fill(database, 3)
    with database.begin() as connection:
        audit.append(connection, event(3), actor="dagster", at=NOW + timedelta(microseconds=1))
        newest = audit.entries(connection)[0]
    found = verify(database)
    assert found == audit.Verified(entries=4, head_hash=newest.hash)
    assert (newest.seq, newest.actor_kind) == (4, "machine")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE audit_log SET payload = '{}' WHERE seq = 3", "breaks at entry 3 .*content was changed"),
        ("UPDATE audit_log SET actor = 'eve' WHERE seq = 3", "breaks at entry 3 .*content was changed"),
        ("UPDATE audit_log SET at = at + interval '1 microsecond' WHERE seq = 3", "entry 3 .*content was changed"),
        ("UPDATE audit_log SET hash = repeat('a', 64) WHERE seq = 3", "breaks at entry 3"),
        ("UPDATE audit_log SET prev_hash = repeat('a', 64) WHERE seq = 3", "entry 3 .*does not follow entry 2"),
        ("DELETE FROM audit_log WHERE seq = 3", "breaks at entry 3: it is missing, the next one is 4"),
        ("DELETE FROM audit_log WHERE seq <= 2", "breaks at entry 1: it is missing"),
        ("UPDATE audit_log SET seq = seq + 10 WHERE seq = 5", "breaks at entry 5: it is missing, the next one is 15"),
    ],
)
def test_damage_is_found_at_the_first_entry_it_touches(database: Database, statement: str, said: str) -> None:
    fill(database, 5)
    tamper(database, statement)
    with pytest.raises(AuditBroken, match=said) as broken:
        verify(database)
    assert broken.value.exit_code == 7


def test_what_the_chain_alone_does_not_prove_is_that_its_tail_was_not_cut_off(database: Database) -> None:
    fill(database, 5)
    head = verify(database).head_hash
    tamper(database, "DELETE FROM audit_log WHERE seq > 3")
    shorter = verify(database)
    assert shorter.entries == 3
    assert shorter.head_hash != head  # which is why the head is worth noting down outside


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET actor = 'eve'", "DELETE FROM audit_log WHERE seq = 1", "TRUNCATE audit_log"],
)
def test_the_database_refuses_to_change_the_log(database: Database, statement: str) -> None:
    fill(database, 2)
    with pytest.raises(DBAPIError, match="append-only"), database.begin() as connection:
        connection.execute(text(statement))
    assert verify(database).entries == 2


def test_the_chain_cannot_fork_even_by_hand(database: Database) -> None:
    fill(database, 2)
    fork = """INSERT INTO audit_log
        SELECT 99, prev_hash, repeat('b', 64), at, actor, actor_kind, action, subject_type, subject_id, payload
        FROM audit_log WHERE seq = 2"""
    with pytest.raises(IntegrityError, match="prev_hash"), database.begin() as connection:
        connection.execute(text(fork))


def test_an_entry_goes_with_the_transaction_it_was_written_in(database: Database) -> None:
    fill(database, 1)

    def write_and_fail() -> None:
        with database.begin() as connection:
            audit.append(connection, event(1), actor="ann", at=NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert verify(database).entries == 1
    fill(database, 1)
    assert verify(database).entries == 2


def test_entries_are_found_by_subject_kind_and_actor(database: Database) -> None:
    with database.begin() as connection:
        for name, action in (("ann", "proposal.create"), ("bob", "proposal.approve"), ("bob", "proposals_other")):
            one = audit.Event(action=action, subject_type="proposal", subject_id=f"p-{name}", payload={})
            audit.append(connection, one, actor=name, at=NOW)
        assert [entry.action for entry in audit.entries(connection, action="proposal")] == [
            "proposal.approve",
            "proposal.create",
        ]
        assert [entry.seq for entry in audit.entries(connection, actor="bob", limit=1)] == [3]
        assert [entry.seq for entry in audit.entries(connection, subject_id="p-ann")] == [1]


def test_verification_reads_through_a_cursor_of_the_server_and_never_holds_the_whole_log(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, 30)
    cursors: list[int] = []
    with database.connect() as connection:

        def spying_hash(row: Mapping[str, Any]) -> str:
            cursors.append(
                connection.execute(text("SELECT count(*) FROM pg_cursors WHERE statement LIKE 'DECLARE%'")).scalar_one()
            )
            return hash_of(row)

        hash_of = audit._hash
        monkeypatch.setattr(audit, "_hash", spying_hash)
        monkeypatch.setattr(audit, "_STREAM_ROWS", 10)
        assert audit.verify(connection).entries == 30
    assert cursors == [1] * 30


def test_eight_processes_write_one_unbroken_chain(database: Database) -> None:
    run_in_processes(database, partial(append_entries, each=EACH), count=8)
    assert verify(database).entries == 8 * EACH
    with database.connect() as connection:
        writers = [entry.actor for entry in audit.entries(connection, limit=8 * EACH)]
    assert all(writers.count(f"writer {n}") == EACH for n in range(8))
    assert len({*writers[:40]}) > 1  # they did write at the same time

"""`meta-pipeline audit`: verified, listed, and plain about what it does not prove."""

import json

import pytest
from sqlalchemy import text

from meta_pipeline.store.database import Database
from meta_pipeline_tests.cli.shell import Shell
from meta_pipeline_tests.store.governed import applied, prepare

pytestmark = pytest.mark.database


def test_a_sound_log_verifies_and_says_what_that_does_not_prove(database: Database, shell: Shell) -> None:
    prepare(database)
    applied(database)
    verified = shell.ask("audit", "verify")
    assert (verified["verified"], verified["entries"]) == (True, 6)
    assert "were not cut off" in verified["limits"]
    assert "6 entries hold together" in shell.run("audit", "verify").out


def test_a_broken_log_ends_with_seven_and_the_first_broken_entry(database: Database, shell: Shell) -> None:
    prepare(database)
    applied(database)
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE audit_log DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE audit_log SET actor = 'eve' WHERE seq IN (4, 5)"))
    broken = shell.run("audit", "verify")
    assert (broken.code, "breaks at entry 4" in broken.err) == (7, True)
    document = json.loads(shell.run("audit", "verify", "--json").out)
    assert document["error"]["code"] == "audit_broken"


def test_entries_are_listed_by_subject_kind_and_actor(database: Database, shell: Shell) -> None:
    prepare(database)
    change_id = applied(database)
    assert [entry["seq"] for entry in shell.ask("audit", "list", "--limit", "2")["entries"]] == [6, 5]
    (entry,) = shell.ask("audit", "list", "--subject", change_id)["entries"]
    assert (entry["action"], entry["payload"]["to"]) == ("change.apply", {"absent": False, "value": 0.25})
    (entry,) = shell.ask("audit", "list", "--action", "proposal", "--actor", "Bob")["entries"]
    assert entry["action"] == "proposal.approve"
    assert "strategy.declare" in shell.run("audit", "list").out

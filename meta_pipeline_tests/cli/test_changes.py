"""`meta-pipeline changes`: listed, shown, reverted."""

import pytest

from meta_pipeline.store.database import Database
from meta_pipeline_tests.cli.shell import Shell
from meta_pipeline_tests.store.governed import applied, live, prepare

pytestmark = pytest.mark.database


def test_changes_are_listed_with_who_when_and_whether_they_are_in_force(database: Database, shell: Shell) -> None:
    prepare(database)
    first, second = applied(database), applied(database, "lookback", 21)
    shell.ask("changes", "revert", first, "--reason", "it hurt", actor="emil")
    listed = shell.ask("changes", "list")["changes"]
    assert [change["change_id"] for change in listed] == [second, first]
    assert [change["is_reverted"] for change in listed] == [False, True]
    assert [c["change_id"] for c in shell.ask("changes", "list", "--reverted")["changes"]] == [first]
    assert [c["change_id"] for c in shell.ask("changes", "list", "--in-force")["changes"]] == [second]
    assert shell.ask("changes", "list", "--strategy", "OTHER")["changes"] == []
    printed = shell.run("changes", "list").out
    assert "in force" in printed
    assert "reverted by emil" in printed
    assert "63 → 21" in printed


def test_a_change_is_shown_with_its_approval_what_is_live_now_and_why_there_is_no_outcome(
    database: Database, shell: Shell
) -> None:
    prepare(database)
    change_id = applied(database)
    shown = shell.ask("changes", "show", change_id[:9])
    assert (shown["approved_by"], shown["applied_by"]) == ("Bob", "dora")
    assert shown["three_way"] == "risk.max_vol: 0.5 -> 0.25 by this change, 0.25 now"
    assert shown["sharpe_after"] is None
    assert [entry["action"] for entry in shown["history"]] == ["change.apply"]
    printed = shell.run("changes", "show", change_id).out
    assert "Change risk.max_vol of STRAT from 0.5 to 0.25: reduces risk." in printed
    assert "insufficient data: no day since the change has been judged" in printed


def test_a_revert_answers_by_exit_code_and_shows_the_three_way_difference(database: Database, shell: Shell) -> None:
    prepare(database)
    older = applied(database)
    newer = applied(database, "risk.max_vol", 0.3)
    refused = shell.run("changes", "revert", older, "--reason", "x")
    assert refused.code == 5
    assert "0.5 -> 0.25 by this change, 0.3 now" in refused.err
    assert newer in refused.err
    rehearsed = shell.run("changes", "revert", older, "--reason", "x", "--dry-run")
    assert (rehearsed.code, "0.3 now" in rehearsed.out) == (5, True)
    assert shell.run("changes", "revert", newer, "--reason", "x", "--dry-run").code == 0
    assert live(database).version == 3
    assert shell.run("changes", "revert", newer).code == 2
    assert shell.run("changes", "revert", newer, "--reason", "x", actor="dagster").code == 4
    assert shell.run("changes", "revert", newer, "--reason", "x").code == 0
    again = shell.run("changes", "revert", newer, "--reason", "x")
    assert (again.code, "already reverted by ann" in again.out) == (0, True)
    assert shell.run("changes", "show", "chg-unknown").code == 1

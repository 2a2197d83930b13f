"""At the shell: people, keys, freezes, signed approvals, anchors, doctor and inventory."""

import csv
import io
import json
from pathlib import Path

import pytest

from meta_pipeline.store.database import Database
from meta_pipeline_tests.cli.shell import Shell
from meta_pipeline_tests.store.governed import applied, by_hand, declare, prepare

pytestmark = pytest.mark.database


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, in a folder with a space."""
    folder = tmp_path / "the home"
    monkeypatch.setenv("META_PIPELINE_HOME", str(folder))
    return folder


def test_roles_are_given_taken_and_listed(shell: Shell) -> None:
    assert "all roles but approver are open" in shell.run("people", "list").out
    assert shell.ask("people", "grant", "Olga", "operator")["roles"] == ["operator"]
    assert shell.run("people", "grant", "Uma", "auditor", actor="zoe").code == 4
    assert shell.ask("people", "grant", "Uma", "auditor", actor="olga")["roles"] == ["auditor"]
    assert shell.run("approvers", "add", "Bob", actor="uma").code == 4
    assert "Bob may approve now" in shell.run("approvers", "add", "Bob", actor="Olga").out
    assert shell.run("people", "grant", "Bob", "approver", actor="olga").code == 3
    assert shell.ask("people", "revoke", "uma", "auditor", actor="olga")["former"] == ["auditor"]
    assert shell.run("people", "revoke", "uma", "auditor", actor="olga").code == 1
    assert shell.run("people", "grant", "x", "emperor").code == 2


def test_an_approval_is_signed_with_a_key_made_and_registered_here(
    database: Database, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(database)
    monkeypatch.setenv("META_PIPELINE_REQUIRE_SIGNED_APPROVALS", "true")
    key = tmp_path / "bob.key"
    made = shell.ask("approvers", "keygen", str(key))
    assert key.stat().st_mode & 0o777 == 0o600
    assert shell.run("approvers", "keygen", str(key)).code == 1  # never overwritten
    assert shell.run("approvers", "register", "Bob", str(key)).code == 1  # the private half is refused
    assert shell.ask("approvers", "register", "Bob", f"{key}.pub")["key_id"] == made["key_id"]
    first, second = (
        shell.ask("proposals", "create", "--strategy", "STRAT", "--knob", knob, "--to", to, "--reason", "one campaign")
        for knob, to in (("risk.max_vol", "0.25"), ("lookback", "21"))
    )
    approve = ("approve", first["proposal_id"], "--digest", first["body_digest"])
    assert shell.run(*approve, actor="Bob").code == 4
    assert shell.run(*approve, "--sign", str(key), actor="Cleo").code == 4
    told = shell.run(*approve, "--sign", str(key), actor="Bob")
    assert (told.code, "signed with the key" in told.out) == (0, True)
    # Signed elsewhere, without the database; decided by whoever carries the line.
    asked = ("approve", second["proposal_id"], "--digest", second["body_digest"], "--sign", str(key), "--sign-only")
    line = shell.run(*asked, actor="Bob").out.strip()
    assert line.startswith(f"ed25519.{made['key_id']}.")
    assert shell.run(*asked[:-2], "--sign-only", actor="Bob").code == 1
    assert (
        shell.ask("approvers", "revoke-key", made["key_id"][:8], "--reason", "rotated")["revoked_reason"] == "rotated"
    )
    assert shell.run("apply", first["proposal_id"]).code == 4
    assert [found["revoked_by"] for found in shell.ask("approvers", "keys", "--name", "bob")["keys"]] == ["ann"]
    assert "revoked by ann" in shell.run("approvers", "keys").out


def test_applies_are_frozen_at_once_by_window_and_by_file_and_released_again(
    database: Database, shell: Shell, home: Path
) -> None:
    prepare(database)
    made = shell.ask("proposals", "create", "--strategy", "STRAT", "--knob", "lookback", "--to", "21", "--reason", "r")
    shell.ask("approve", made["proposal_id"], "--digest", made["body_digest"], actor="Bob")
    stopped = shell.ask("freeze", "now", "--reason", "incident")
    assert (home / "KILL").read_text().endswith("UTC, ann: incident\n")
    refused = shell.run("apply", made["proposal_id"], "--json")
    assert (refused.code, refused.document["error"]["code"]) == (6, "frozen")
    assert shell.run("changes", "list").code == 0
    assert shell.run("freeze", "lift", str(stopped["freeze_id"]), "--reason", "over", actor="dagster").code == 4
    assert shell.run("freeze", "lift", str(stopped["freeze_id"]), "--reason", "over").code == 0
    assert shell.run("apply", made["proposal_id"]).code == 6  # the file is still there
    assert shell.ask("freeze", "lift", "kill-file", "--reason", "over")["removed"] is True
    assert shell.run("freeze", "lift", "kill-file", "--reason", "over").code == 3
    weekly = ("--zone", "NYSE", "--days", "mon-sun", "--start", "00:00", "--end", "00:00", "--reason", "month end")
    assert shell.ask("freeze", "add", *weekly, "--strategy", "STRAT")["in_force"] is True
    assert shell.run("apply", made["proposal_id"]).code == 6
    assert "in force" in shell.run("freeze", "list").out
    shell.ask("freeze", "lift", "2", "--reason", "over")
    assert shell.run("apply", made["proposal_id"]).code == 0
    assert len(shell.ask("freeze", "list", "--all")["freezes"]) == 2
    for wrong in (
        ("--zone", "UTC", "--start", "tomorrow"),
        ("--zone", "UTC", "--start", "09:00", "--days", "mon"),
        ("--zone", "UTC", "--start", "2026-12-24T18:00+01:00"),
        ("--zone", "Nowhere", "--start", "2026-12-24"),
    ):
        assert shell.run("freeze", "add", *wrong, "--reason", "r").code in {1, 2}
    assert shell.run("freeze", "lift", "soon", "--reason", "r").code in {1, 2}


def test_with_the_database_down_the_kill_file_is_written_all_the_same(
    shell: Shell, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("META_PIPELINE_DATABASE_URL", "postgresql://x@127.0.0.1:1/nowhere?connect_timeout=2")
    told = shell.run("freeze", "now", "--reason", "incident")
    assert told.code == 7
    assert "stops this machine; the database was not told" in told.err
    assert (home / "KILL").exists()
    document = json.loads(shell.run("doctor", "--json").out)
    levels = {one["what"]: one["level"] for one in document["diagnoses"]}
    assert (document["level"], levels["database"], levels["kill file"]) == ("FAIL", "FAIL", "WARN")


def test_the_log_is_anchored_cut_recognised_and_sealed_anew(database: Database, shell: Shell, tmp_path: Path) -> None:
    prepare(database)
    applied(database)
    assert "No anchor is there yet" in shell.run("audit", "verify").out
    assert shell.ask("audit", "anchor")["seq"] == 6
    verified = shell.ask("audit", "verify", "--incremental")
    assert (verified["entries"], verified["anchored_until"]) == (6, 6)
    export = tmp_path / "log.jsonl"
    assert shell.ask("audit", "export", str(export))["entries"] == 6
    by_hand(database, "ALTER TABLE audit_log DISABLE TRIGGER USER")
    by_hand(database, "DELETE FROM audit_log WHERE seq = 6")
    by_hand(database, "ALTER TABLE audit_log ENABLE TRIGGER USER")
    broken = shell.run("audit", "verify", "--json")
    assert (broken.code, broken.document["error"]["code"]) == (7, "audit_forked")
    assert shell.ask("audit", "verify", "--file", str(export))["entries"] == 6
    examined = shell.run("doctor")
    assert examined.code == 7
    assert "audit reseal" in examined.out
    assert shell.ask("audit", "reseal", "--reason", "backup of Friday restored")["generation"] == 2
    assert shell.run("audit", "verify").code == 0
    assert shell.run("audit", "reseal", "--reason", "again").code == 3


def test_the_doctor_finds_what_is_wrong_and_names_what_mends_it(database: Database, shell: Shell, home: Path) -> None:
    prepare(database)
    home.mkdir()
    assert shell.ask("doctor")["level"] == "OK"
    home.chmod(0o777)
    answer = shell.run("doctor", "--json")
    found = {one["what"]: one for one in answer.document["diagnoses"]}
    assert (answer.code, found["home folder"]["level"]) == (7, "FAIL")
    assert found["home folder"]["mend"] == f"chmod o-w {home}"
    home.chmod(0o700)
    by_hand(database, "UPDATE approvers SET active = false WHERE name_key = 'bob'")
    found = {one["what"]: one for one in shell.ask("doctor")["diagnoses"]}
    assert found["approvers"]["level"] == "WARN"
    weekly = ("--days", "mon-sun", "--start", "00:00", "--end", "00:00")
    shell.run("freeze", "add", "--zone", "UTC", *weekly, "--reason", "every day")
    (window,) = [one for one in shell.ask("doctor")["diagnoses"] if one["what"] == "freezes"]
    assert (window["level"], "every day" in window["text"]) == ("OK", True), (
        "a window that comes every week is meant to"
    )
    shell.run("freeze", "now", "--reason", "incident 9")
    found = {one["what"]: one for one in shell.ask("doctor")["diagnoses"]}
    assert (found["freezes"]["level"], "incident 9" in found["freezes"]["text"]) == ("WARN", True)
    by_hand(database, "UPDATE meta_pipeline_alembic_version SET version_num = '0003_meta_model'")
    answer = shell.run("doctor", "--json")
    found = {one["what"]: one for one in answer.document["diagnoses"]}
    assert (answer.code, found["migrations"]["mend"]) == (7, "meta-pipeline db migrate")


def test_the_inventory_is_complete_and_no_cell_of_it_is_a_formula(database: Database, shell: Shell) -> None:
    prepare(database)
    declare(database, "=HYPERLINK(0)")
    applied(database)
    shell.ask("strategies", "limit", "STRAT", "--max-changes", "2", "--window-hours", "48", "--owner", "@Olga")
    rows = {row["strategy_id"]: row for row in csv.DictReader(io.StringIO(shell.run("inventory", "export").out))}
    assert set(rows) == {"STRAT", "'=HYPERLINK(0)"}
    mine = rows["STRAT"]
    assert (mine["owner"], mine["max_changes"], mine["window_hours"]) == ("'@Olga", "2", "48.0")
    assert (mine["last_change_of"], mine["last_change_by"], mine["live_version"]) == ("risk.max_vol", "dora", "2")
    assert json.loads(mine["approvers"]) == ["Bob", "Cleo"]
    assert rows["'=HYPERLINK(0)"]["owner"] == "ann"
    (knob,) = [one for one in json.loads(mine["knobs"]) if one["path"] == "risk.max_vol"]
    assert (knob["live"], knob["tier"]) == ({"absent": False, "value": 0.25}, "human")
    assert mine["last_change_verdict"] == ""
    document = json.loads(shell.run("inventory", "export", "--format", "json").out)
    assert shell.ask("inventory", "export") == document
    assert [line["strategy_id"] for line in document["strategies"]] == ["=HYPERLINK(0)", "STRAT"]
    assert shell.run("strategies", "limit", "STRAT", "--max-changes", "2").code == 1

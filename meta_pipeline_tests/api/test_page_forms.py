"""The forms that brake: halt and resume, freeze and lift, revert; and the reports that what is signed names."""

import re
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from meta_pipeline.report.files import report_files
from meta_pipeline.store import automation_freezes, changes, freezing, policies, proposals
from meta_pipeline.store.database import Database
from meta_pipeline_tests.api.clients import client_of, settings_of, token_of
from meta_pipeline_tests.api.seeded_pages import seed
from meta_pipeline_tests.api.test_pages import form_token, hidden, signed_in


@pytest.fixture
def seeded(database: Database, tmp_path: Path) -> dict[str, str]:
    return seed(database, settings_of(tmp_path))


def as_role(database: Database, home: Path, role: str, name: str) -> TestClient:
    return signed_in(client_of(database, home, open_access=False), token_of(database, role, name))


def send(client: TestClient, page: str, action: str, **fields: str) -> httpx.Response:
    """Send a form of a page, with the token that stands in it."""
    answer: httpx.Response = client.post(action, data={"form_token": form_token(client.get(page).text), **fields})
    return answer


def test_an_operator_halts_and_resumes_a_book_by_typing_its_name(
    database: Database, tmp_path: Path, seeded: dict[str, str]
) -> None:
    page, halt, resume = "/pages/policy", "/pages/policy/halt", "/pages/policy/resume"
    approver = as_role(database, tmp_path, "approver", "Bob")
    assert "Halting and resuming take the role operator" in approver.get(page).text
    assert send(approver, page, halt, scope="live", typed="live", reason="x").status_code == 403
    client = as_role(database, tmp_path, "operator", "Olga")
    refused = (
        ({"typed": "lab"}, 422, "type the name of the book: live"),
        ({"reason": " "}, 422, "needs a reason"),
        ({"scope": "elsewhere", "typed": "elsewhere"}, 404, "elsewhere"),
    )
    good = {"scope": "live", "typed": "live", "reason": "the exchange misbehaves"}
    for wrong, status, said in refused:
        answer = send(client, page, halt, **{**good, **wrong})
        assert (answer.status_code, said in answer.text) == (status, True), wrong
    assert not halted(database)
    assert client.post(halt, data=good).status_code == 403  # no form of ours
    done = send(client, page, halt, **good)
    assert "Nothing new is traded" in done.text
    assert "Halted by Olga since" in done.text
    assert halted(database)
    first = hidden(done.text, "etag")
    send(client, page, halt, **{**good, "reason": "and another thing"})
    assert "Halted by Olga" in client.get(page).text
    stale = send(client, page, resume, **{**good, "etag": first})
    assert (stale.status_code, "changed_meanwhile" in stale.text) == (412, True)
    assert "the exchange misbehaves" in stale.text  # what was typed is not lost
    again = send(client, page, resume, **{**good, "etag": hidden(client.get(page).text, "etag")})
    assert "stays DEFENSIVE until the calm has lasted" in again.text
    assert not halted(database)
    nothing = send(client, page, resume, **{**good, "etag": first})
    assert (nothing.status_code, "is not halted" in nothing.text) == (409, True)
    listed = re.findall(r'data-label="(?:From|To)"[^>]*><span class="chip[^"]*">(\w+)<', client.get(page).text)
    assert listed[:4] == ["halted", "DEFENSIVE", "NORMAL", "halted"]  # from and to, the newest first
    evaluated = send(client, page, "/pages/policy/evaluate", scope="live")
    assert "A policy was made just now." in evaluated.text


def halted(database: Database) -> bool:
    with database.connect() as connection:
        record = policies.latest_policy(connection, "live")
    assert record is not None
    return record.halted


def test_freezes_are_set_by_approvers_and_lifted_by_operators(
    database: Database, tmp_path: Path, seeded: dict[str, str]
) -> None:
    page, freeze, lift = "/pages/freezes", "/pages/freezes", f"/pages/freezes/{seeded['freeze']}/lift"
    reader = as_role(database, tmp_path, "reader", "Rea")
    assert send_with(reader, freeze, typed="everything", reason="x").status_code == 403
    approver = as_role(database, tmp_path, "approver", "Bob")
    wrong = send(approver, page, freeze, strategy="TREND", typed="everything", reason="x")
    assert (wrong.status_code, "type what is to be frozen: TREND" in wrong.text) == (422, True)
    assert "Frozen." in send(approver, page, freeze, strategy="", typed="everything", reason="quarter end").text
    assert "quarter end" in approver.get(page).text
    unknown = send(approver, page, freeze, strategy="NONE", typed="NONE", reason="x")
    assert unknown.status_code == 404
    assert send(approver, page, lift, typed=seeded["freeze"], reason="over").status_code == 403
    operator = as_role(database, tmp_path, "operator", "Olga")
    assert send(operator, page, lift, typed="99", reason="over").status_code == 422
    assert "Lifted." in send(operator, page, lift, typed=seeded["freeze"], reason="over").text
    twice = send(operator, page, lift, typed=seeded["freeze"], reason="over")
    assert (twice.status_code, "lifted already" in twice.text) == (409, True)
    with database.connect() as connection:
        assert [one.freeze.reason for one in freezing.list_freezes(connection)] == ["quarter end"]
    assert send(approver, page, "/pages/automation/lift", typed="automation", reason="x").status_code == 403
    assert send(operator, page, "/pages/automation/lift", typed="it", reason="x").status_code == 422
    assert "goes on" in send(operator, page, "/pages/automation/lift", typed="automation", reason="mended").text
    assert "is frozen" in send(approver, page, "/pages/automation/freeze", typed="automation", reason="again").text
    with database.connect() as connection:
        held = automation_freezes.frozen(connection)
    assert held is not None
    assert (held.frozen_by, held.reason) == ("Bob", "again")


def send_with(client: TestClient, action: str, **fields: str) -> httpx.Response:
    """Send a form that the page does not show this visitor, with the token of another form of theirs."""
    return send(client, "/pages/inbox", action, **fields)


def test_a_kill_file_is_shown_to_everybody(database: Database, tmp_path: Path) -> None:
    client = client_of(database, tmp_path)
    assert "All applies are stopped here" not in client.get("/pages/freezes").text
    (tmp_path / "KILL").write_text("the desk is empty\n", encoding="utf-8")
    assert "All applies are stopped here" in client.get("/pages/freezes").text


def test_a_revert_takes_the_digits_of_its_change(database: Database, tmp_path: Path, seeded: dict[str, str]) -> None:
    client = as_role(database, tmp_path, "operator", "Olga")
    page = f"/pages/changes/{seeded['change']}"
    digits = seeded["change"].removeprefix("chg-")[:8]
    state = hidden(client.get(page).text, "etag")
    refused = send(client, page, f"{page}/revert", etag=state, typed="00000000", reason="worse\nby far")
    assert (refused.status_code, "to confirm, type the 8 digits" in refused.text) == (422, True)
    assert "worse\nby far" in refused.text
    with database.connect() as connection:
        assert not changes.get(connection, seeded["change"]).is_reverted
    done = send(client, page, f"{page}/revert", etag=state, typed=digits, reason="worse")
    assert "The state before the change is restored, exactly." in done.text


def test_what_is_signed_is_shown_byte_for_byte_and_never_when_it_was_altered(
    database: Database, tmp_path: Path, seeded: dict[str, str]
) -> None:
    client = client_of(database, tmp_path)
    with database.connect() as connection:
        named = proposals.get(connection, seeded["pending"]).draft.report_sha256
    assert named is not None
    linked = re.search(
        r'href="([^"]+)">Exactly what will be signed', client.get(f"/pages/proposals/{seeded['pending']}").text
    )
    assert linked is not None
    assert linked.group(1) == f"/pages/reports/{named}"
    files = report_files(tmp_path)
    assert client.get(linked.group(1)).content == files.path(named).read_bytes()
    strategy = client.get("/pages/strategy?id=TREND").text
    assert strategy.count(f"/pages/reports/{seeded['report']}") == 2
    assert "Effect of each knob" in strategy
    files.path(named).write_bytes(files.path(named).read_bytes() + b" ")
    altered = client.get(linked.group(1))
    assert (altered.status_code, "was changed or cut" in altered.text) == (503, True)
    files.path(named).unlink()
    gone = client.get(linked.group(1))
    assert (gone.status_code, "restore the file from a backup" in gone.text) == (404, True)
    assert str(tmp_path) not in gone.text
    for wrong in ("none", "..%2f..%2fmeta.html", "A" * 64, "0" * 65):
        assert client.get(f"/pages/reports/{wrong}").status_code in {404, 422}


def test_a_strategy_that_no_night_has_judged_says_so(
    database: Database, tmp_path: Path, seeded: dict[str, str]
) -> None:
    page = client_of(database, tmp_path).get("/pages/strategy?id=REVERSION").text
    assert "No night has judged this strategy yet" in page

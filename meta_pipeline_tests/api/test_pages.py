"""The web pages without a browser: who may see them, what a form must carry, and text that means harm."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from meta_pipeline.api.web.sessions import LIFETIME_SECONDS, Sessions
from meta_pipeline.report.decisions import SHORT_DIGEST
from meta_pipeline.store import proposals
from meta_pipeline.store.api_tokens import list_tokens, revoke_token
from meta_pipeline.store.database import Database
from meta_pipeline_tests.api.clients import client_of, settings_of, token_of
from meta_pipeline_tests.api.seeded_pages import seed
from meta_pipeline_tests.store.live_book import NOW


def form_token(page: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found.group(1)


def hidden(page: str, name: str) -> str:
    found = re.findall(rf'name="{name}" value="([^"]*)"', page)
    assert found
    return str(found[-1]).replace("&#34;", '"')


def signed_in(client: TestClient, token: str) -> TestClient:
    asked = client.get("/pages/sign-in").text
    done = client.post("/pages/sign-in", data={"form_token": form_token(asked), "token": token, "back": ""})
    assert done.status_code == 200, done.text
    return client


@pytest.fixture
def seeded(database: Database, tmp_path: Path) -> dict[str, str]:
    return seed(database, settings_of(tmp_path))


def test_pages_ask_who_is_not_signed_in_to_do_so_and_lead_back_to_where_he_wanted(
    database: Database, tmp_path: Path, seeded: dict[str, str]
) -> None:
    token = token_of(database, "reader", "Rea")
    client = client_of(database, tmp_path, open_access=False)
    asked = client.get(f"/pages/proposals/{seeded['pending']}", follow_redirects=False)
    assert asked.status_code == 303
    page = client.get(asked.headers["Location"]).text
    fields = {"form_token": form_token(page), "token": token, "back": hidden(page, "back")}
    wrong = client.post("/pages/sign-in", data={**fields, "token": "mp_no"})
    assert (wrong.status_code, "unknown, revoked or expired" in wrong.text) == (401, True)
    done = client.post("/pages/sign-in", data=fields, follow_redirects=False)
    assert done.headers["Location"] == f"/pages/proposals/{seeded['pending']}"
    cookie = done.headers["Set-Cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/pages"))
    assert token not in cookie
    shown = client.get(f"/pages/proposals/{seeded['pending']}").text
    assert "takes a token of the role approver" in shown
    assert 'name="typed"' not in shown
    client.post("/pages/sign-out", data={"form_token": form_token(shown)})
    assert client.get("/pages/inbox", follow_redirects=False).status_code == 303


@pytest.mark.parametrize("back", ["https://elsewhere.example", "//elsewhere.example", "/pages/../x\\", "/pages//x"])
def test_signing_in_never_leads_elsewhere(database: Database, tmp_path: Path, back: str) -> None:
    client = client_of(database, tmp_path)
    page = client.get("/pages/sign-in", params={"back": back}).text
    assert hidden(page, "back") == "/pages/inbox"


def test_a_revoked_token_ends_its_session_and_an_executor_has_no_pages(
    database: Database, tmp_path: Path, seeded: dict[str, str]
) -> None:
    client = client_of(database, tmp_path, open_access=False)
    page = client.get("/pages/sign-in").text
    executor = {"form_token": form_token(page), "token": token_of(database, "executor", "bot"), "back": ""}
    assert client.post("/pages/sign-in", data=executor).status_code == 401
    signed_in(client, token_of(database, "reader", "Rea"))
    with database.begin() as connection:
        for one in list_tokens(connection):
            revoke_token(connection, one.token_id, actor="Ann", now=NOW)
    client.app.state.tokens.found.forget()  # type: ignore[attr-defined]
    assert client.get("/pages/inbox", follow_redirects=False).status_code == 303


def test_a_decision_needs_the_form_token_the_digits_the_state_and_the_right_person(
    database: Database, tmp_path: Path, seeded: dict[str, str]
) -> None:
    address = f"/pages/proposals/{seeded['pending']}"
    client = signed_in(client_of(database, tmp_path, open_access=False), token_of(database, "approver", "Bob"))
    page = client.get(address).text
    good = {name: hidden(page, name) for name in ("form_token", "etag", "digest")}
    good |= {"verdict": "approve", "reason": "it holds\r\nin every year", "typed": good["digest"][:SHORT_DIGEST]}
    refused = (
        ({"form_token": ""}, 403, "form_not_ours"),
        ({"form_token": "0" * 64}, 403, "form_not_ours"),
        ({"typed": "0" * SHORT_DIGEST}, 422, "not that of this proposal"),
        ({"typed": ""}, 422, "not that of this proposal"),
        ({"etag": '"old"'}, 412, "changed_meanwhile"),
        ({"digest": "0" * 64, "typed": "0" * SHORT_DIGEST}, 409, "digest_mismatch"),
        ({"verdict": "maybe"}, 422, "choose approve or reject"),
        ({"verdict": "reject", "reason": ""}, 422, "reason"),
    )
    for wrong, status, said in refused:
        answer = client.post(f"{address}/decisions", data={**good, **wrong})
        assert (answer.status_code, said in answer.text) == (status, True), wrong
        if wrong.get("reason") is None and status != 403:
            assert "it holds\r\nin every year" in answer.text or "it holds\nin every year" in answer.text
    author = signed_in(client_of(database, tmp_path, open_access=False), token_of(database, "approver", "Ann"))
    own = author.get(address).text
    mine = {**good, "form_token": form_token(own)}
    four_eyes = author.post(f"{address}/decisions", data=mine)
    assert (four_eyes.status_code, "four_eyes" in four_eyes.text) == (403, True)
    foreign = author.post(f"{address}/decisions", data=good)
    assert (foreign.status_code, "form_not_ours" in foreign.text) == (403, True)
    with database.connect() as connection:
        assert proposals.get(connection, seeded["pending"]).status == "PENDING"
    done = client.post(f"{address}/decisions", data=good)
    assert (done.status_code, "Approved. Nothing has changed yet" in done.text) == (200, True)


def test_a_browser_of_another_origin_and_a_json_body_change_nothing(
    database: Database, tmp_path: Path, seeded: dict[str, str]
) -> None:
    client = client_of(database, tmp_path)
    address = f"/pages/proposals/{seeded['pending']}/decisions"
    foreign = client.post(address, data={"verdict": "approve"}, headers={"Origin": "https://elsewhere.example"})
    assert foreign.status_code == 403
    assert client.post(address, json={"verdict": "approve"}).status_code == 415
    assert client.post("/api/v1/policy/halt", data={"reason": "x"}).status_code == 415
    twice = client.post(address, content="form_token=a&form_token=b", headers={"Content-Type": FORM})
    assert (twice.status_code, "twice" in twice.text) == (422, True)
    assert client.get("/pages/nothing").status_code == 404
    assert client.get("/pages/proposals/none").status_code == 404
    assert client.get("/pages/inbox?status=maybe").status_code == 422
    assert client.get("/pages/inbox?cursor=x").status_code == 422


FORM = "application/x-www-form-urlencoded"


def test_the_inbox_goes_on_where_it_ended_and_keeps_its_filter(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeded: dict[str, str]
) -> None:
    monkeypatch.setattr("meta_pipeline.api.web.inbox.ROWS", 2)
    client = client_of(database, tmp_path)
    first = client.get("/pages/inbox?status=all").text
    older = re.search(r'href="([^"]+)" rel="next"', first)
    assert older is not None
    second = client.get(older.group(1).replace("&amp;", "&")).text
    ids = [re.findall(r'href="/pages/proposals/([^"]+)"', page) for page in (first, second)]
    assert (len(ids[0]), len(ids[1])) == (2, 1)
    assert set(ids[0] + ids[1]) == {seeded[name] for name in ("pending", "applied", "rejected")}
    assert seeded["pending"] in client.get("/pages/inbox").text
    assert seeded["applied"] not in client.get("/pages/inbox").text
    assert seeded["pending"] not in client.get("/pages/inbox?status=all&strategy=REVERSION").text


def test_a_session_ends_after_its_time_and_the_oldest_makes_room() -> None:
    now = 0.0
    sessions = Sessions(timer=lambda: now)
    first = sessions.begin("a")
    assert sessions.find(first) is not None
    assert sessions.find(first + "x") is None
    now = LIFETIME_SECONDS
    assert sessions.find(first) is None
    second = sessions.begin("b")
    for _ in range(1000):
        sessions.begin("c")
    assert sessions.find(second) is None
    assert sessions.is_form_token(sessions.form_token("b"), "b")
    assert not sessions.is_form_token(sessions.form_token("b"), "c")


def test_the_list_of_strategies_goes_on_where_it_ended_and_counts_knobs_and_open_proposals(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeded: dict[str, str]
) -> None:
    monkeypatch.setattr("meta_pipeline.api.web.strategies.LISTED", 1)
    client = client_of(database, tmp_path)
    first = client.get("/pages/strategies").text
    assert (">REVERSION<" in first, ">TREND<" in first) == (True, False)
    older = re.search(r'href="([^"]+)" rel="next"', first)
    assert older is not None
    second = client.get(older.group(1)).text
    assert (">REVERSION<" in second, ">TREND<" in second) == (False, True)
    numbers = [re.findall(r'class="num">\s*<span>(\d+)</span>', page) for page in (first, second)]
    assert numbers == [["3", "0", "2"], ["3", "1", "1"]]

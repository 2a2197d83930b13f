"""Decide, apply and revert over HTTP: the rules of the gate, on the state that was looked at, and once per key."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from meta_pipeline.api.pages import moment_and_id, number
from meta_pipeline.errors import InputError
from meta_pipeline.store import strategies
from meta_pipeline.store.database import Database
from meta_pipeline_tests.api.clients import bearing, client_of, token_of
from meta_pipeline_tests.orchestration.builders import NOW, allow, declare_strategy, save_proposal


@pytest.fixture
def proposed(database: Database) -> str:
    """A proposal of Ann's, with Bob on the list of approvers."""
    declare_strategy(database)
    allow(database, "Bob")
    return save_proposal(database).proposal_id


def ask(client: TestClient, method: str, address: str, token: str, body: Any = None, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.request(method, address, headers={**bearing(token), **named}, json=body)


def approval(client: TestClient, token: str, proposal: str) -> tuple[dict[str, str], str]:
    """Look at a proposal; return a decision on it, and its ETag."""
    seen = ask(client, "GET", f"/api/v1/proposals/{proposal}", token)
    assert seen.headers["ETag"] == seen.json()["etag"]
    return {"verdict": "approve", "digest": seen.json()["body_digest"], "reason": "good"}, seen.headers["ETag"]


def live_window(database: Database) -> Any:
    with database.connect() as connection:
        return strategies.live_config(connection, "STRAT_001").config["window"]


def test_a_proposal_is_approved_applied_and_reverted_each_on_the_state_that_was_seen(
    database: Database, tmp_path: Path, proposed: str
) -> None:
    client, bob = client_of(database, tmp_path, clock=lambda: NOW), token_of(database, "approver", "Bob")
    decide, apply = f"/api/v1/proposals/{proposed}/decisions", f"/api/v1/proposals/{proposed}/apply"
    form, tag = approval(client, bob, proposed)
    assert ask(client, "POST", decide, bob, form).json()["code"] == "condition_required"
    assert ask(client, "POST", decide, bob, form, If_Match="*").status_code == 428
    moved = ask(client, "POST", decide, bob, form, If_Match='"other"')
    assert (moved.status_code, moved.json()["code"], moved.headers["ETag"]) == (412, "changed_meanwhile", tag)
    approved = ask(client, "POST", decide, bob, form, If_Match=tag)
    assert (approved.status_code, approved.json()["outcome"]) == (200, "approved")
    assert ask(client, "POST", apply, bob, {}, If_Match=tag).status_code == 412
    tag = approved.headers["ETag"]
    rehearsed = ask(client, "POST", apply, bob, {"dry_run": True}, If_Match=tag)
    assert (rehearsed.json()["outcome"], live_window(database)) == ("would_apply", 20)
    applied = ask(client, "POST", apply, bob, {}, If_Match=tag).json()
    assert (applied["outcome"], live_window(database)) == ("applied", 50)
    change = f"/api/v1/changes/{applied['change_id']}"
    seen = ask(client, "GET", change, bob)
    assert seen.json()["is_reverted"] is False
    assert ask(client, "POST", f"{change}/revert", bob, {"reason": "worse"}).status_code == 428
    undone = ask(client, "POST", f"{change}/revert", bob, {"reason": "worse"}, If_Match=seen.headers["ETag"])
    assert (undone.json()["outcome"], live_window(database)) == ("reverted", 20)
    assert (
        ask(client, "POST", f"{change}/revert", bob, {"reason": "worse"}, If_Match=seen.headers["ETag"]).status_code
        == 412
    )
    listed = ask(client, "GET", "/api/v1/changes?reverted=true", bob).json()["items"]
    assert [one["change_id"] for one in listed] == [applied["change_id"]]
    (decided,) = ask(client, "GET", f"/api/v1/decisions?proposal_id={proposed}", bob).json()["items"]
    assert (decided["approver"], decided["channel"], decided["decision"]) == ("Bob", "api", "approve")
    assert ask(client, "GET", "/api/v1/audit/verification", bob).json()["intact"] is True


def test_a_proposal_says_who_may_decide_and_what_will_be_checked_of_the_caller(
    database: Database, tmp_path: Path, proposed: str
) -> None:
    allow(database, "Ann")
    client = client_of(database, tmp_path, clock=lambda: NOW)
    shown = ask(client, "GET", f"/api/v1/proposals/{proposed}", token_of(database, "approver", "Bob")).json()
    assert shown["standing"]["may_decide"] == ["Bob"]
    assert shown["standing"]["may_not_decide"][0]["name"] == "Ann"
    assert {one["act"]: one["possible"] for one in shown["standing"]["acts"]} == {
        **dict.fromkeys(("approve", "reject", "apply"), True),
    }
    reader = token_of(database, "reader", "Rita")
    acts = ask(client, "GET", f"/api/v1/proposals/{proposed}", reader).json()["standing"]["acts"]
    assert not any(one["possible"] for one in acts)
    assert acts[0]["checks"][0]["text"].endswith("it takes the role approver")
    sheet = ask(client, "GET", f"/api/v1/proposals/{proposed}/report", reader).text
    assert "Rita could not approve it now" in sheet
    assert "May decide now | Bob" in sheet


def test_the_rules_of_the_gate_hold_over_http(database: Database, tmp_path: Path, proposed: str) -> None:
    allow(database, "Ann")
    client = client_of(database, tmp_path, clock=lambda: NOW)
    ann, carl = token_of(database, "approver", "Ann"), token_of(database, "approver", "Carl")
    address = f"/api/v1/proposals/{proposed}/decisions"
    form, tag = approval(client, ann, proposed)
    expected = [
        (ann, form, 403, "four_eyes"),
        (carl, form, 403, "not_an_approver"),
        (carl, {**form, "digest": "0" * 64}, 409, "digest_mismatch"),
        (carl, {**form, "verdict": "reject", "reason": ""}, 422, "invalid_input"),
        (carl, {**form, "verdict": "maybe"}, 422, "invalid_input"),
        (carl, {**form, "approver": "Bob"}, 422, "invalid_input"),
    ]
    for token, body, status, code in expected:
        answer = ask(client, "POST", address, token, body, If_Match=tag)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    unapproved = ask(client, "POST", f"/api/v1/proposals/{proposed}/apply", ann, {}, If_Match=tag)
    assert (unapproved.status_code, unapproved.json()["code"]) == (409, "illegal_transition")
    assert live_window(database) == 20


def test_the_same_request_with_the_same_key_is_answered_and_not_done_again(
    database: Database, tmp_path: Path, proposed: str
) -> None:
    client, bob = client_of(database, tmp_path, clock=lambda: NOW), token_of(database, "approver", "Bob")
    address = f"/api/v1/proposals/{proposed}/decisions"
    form, tag = approval(client, bob, proposed)
    refused = ask(client, "POST", address, bob, form, If_Match='"old"', Idempotency_Key="k1")
    assert refused.status_code == 412  # it did nothing, so the key is still free
    first = ask(client, "POST", address, bob, form, If_Match=tag, Idempotency_Key="k1")
    again = ask(client, "POST", address, bob, form, If_Match=tag, Idempotency_Key="k1")
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["ETag"] == first.headers["ETag"]
    other = ask(client, "POST", address, bob, {**form, "reason": "other"}, If_Match=tag, Idempotency_Key="k1")
    assert (other.status_code, other.json()["code"]) == (422, "invalid_input")
    with database.begin() as connection:
        connection.execute(text("UPDATE api_requests SET status = NULL, body = NULL"))
        assert connection.execute(text("SELECT count(*) FROM approvals")).scalar_one() == 1
    busy = ask(client, "POST", address, bob, form, If_Match=tag, Idempotency_Key="k1")
    assert (busy.status_code, busy.json()["code"]) == (409, "conflict")
    for key in ("", "a b", "x" * 129):
        assert ask(client, "POST", address, bob, form, If_Match=tag, Idempotency_Key=key).status_code == 422


def test_proposals_are_listed_by_status_and_strategy_a_page_at_a_time(database: Database, tmp_path: Path) -> None:
    declare_strategy(database)
    declare_strategy(database, "OTHER")
    allow(database, "Bob")
    ids = [save_proposal(database, proposed=value).proposal_id for value in range(30, 37)]
    save_proposal(database, "OTHER")
    client, bob = client_of(database, tmp_path, clock=lambda: NOW), token_of(database, "approver", "Bob")
    form, tag = approval(client, bob, ids[0])
    ask(client, "POST", f"/api/v1/proposals/{ids[0]}/decisions", bob, form, If_Match=tag)

    def listed(query: str) -> list[str]:
        found: list[str] = []
        cursor = ""
        while True:
            page = ask(client, "GET", f"/api/v1/proposals?{query}{cursor}", bob).json()
            found += [one["proposal_id"] for one in page["items"]]
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    assert listed("status=APPROVED") == [ids[0]]
    assert sorted(listed("limit=2&strategy_id=STRAT_001")) == sorted(ids)
    assert len(listed("limit=3&status=PENDING")) == 7
    assert len(listed("status=PENDING&status=APPROVED")) == 8
    assert ask(client, "GET", "/api/v1/proposals?status=pending", bob).status_code == 422


def test_the_difference_and_the_sheet_of_a_proposal_are_shown(
    database: Database, tmp_path: Path, proposed: str
) -> None:
    client = client_of(database, tmp_path, clock=lambda: NOW)
    diff = client.get(f"/api/v1/proposals/{proposed}/diff").json()
    assert [key["path"] for key in diff["touched"]] == ["window"]
    assert diff["effective_config"] == {"window": 50}
    report = client.get(f"/api/v1/proposals/{proposed}/report")
    assert report.headers["Content-Type"].startswith("text/markdown")
    assert "window" in report.text
    assert [one["action"] for one in client.get(f"/api/v1/proposals/{proposed}").json()["history"]] == [
        "proposal.create"
    ]
    assert client.get("/api/v1/diagnostics").json() == {"items": [], "next_cursor": None}
    assert client.get("/api/v1/diagnostics/STRAT_001").status_code == 404
    entries = client.get("/api/v1/audit?limit=2").json()
    assert len(entries["items"]) == 2
    older = client.get(f"/api/v1/audit?cursor={entries['next_cursor']}").json()["items"]
    assert older[0]["seq"] == entries["items"][-1]["seq"] - 1


@pytest.mark.parametrize("cursor", ["x", "bnVsbA", "WzEsMl0", "WyJ4IiwieSJd", "WyIyMDI2LTExLTIwIiwieSJd", "/" * 100])
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(InputError, match="next_cursor"):
        moment_and_id(cursor)
    with pytest.raises(InputError, match="next_cursor"):
        number(cursor)

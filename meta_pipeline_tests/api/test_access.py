"""Who comes in, and what they may do there."""

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from meta_pipeline.api import guard
from meta_pipeline.api.server import context_for, is_loopback
from meta_pipeline.errors import InputError, NotFound, NotPermitted
from meta_pipeline.proposals.roles import Role
from meta_pipeline.store import people
from meta_pipeline.store.api_tokens import any_tokens, create_token, find_token, list_tokens, revoke_token
from meta_pipeline.store.database import Database
from meta_pipeline_tests.api.clients import BASE, bearing, client_of, context_of, served, settings_of, token_of
from meta_pipeline_tests.store.live_book import NOW, calm_policy

READ, ACT = "/api/v1/audit", "/api/msc/evaluate"

# Role -> status of reading the audit, the policy, evaluating, a heartbeat, backtests in, a decision.
ROLES = {
    "reader": (200, 200, 403, 403, 403, 403),
    "executor": (403, 200, 403, 204, 403, 403),
    "researcher": (200, 200, 403, 403, 200, 403),
    "approver": (200, 200, 403, 403, 403, 404),
    "operator": (200, 200, 200, 204, 200, 403),
}
BEAT: dict[str, Any] = {
    "executor_id": "bot",
    "scope": "live",
    "epoch": "",
    "version": 0,
    "mode": "DEFENSIVE",
    "reduce_only": True,
    "reasons": ["DEFAULT"],
    "reported_at": NOW.timestamp(),
}
RUNS: dict[str, Any] = {"runs": [{"strategy_id": "S", "campaign_id": "c", "config": {}, "metrics": {}}]}
DECISION: dict[str, Any] = {"verdict": "approve", "digest": "0" * 64}


@pytest.mark.parametrize("role", ROLES)
def test_a_token_may_do_what_its_role_may_and_nothing_else(database: Database, tmp_path: Path, role: str) -> None:
    calm_policy(database)
    headers = bearing(token_of(database, role))
    client = client_of(database, tmp_path)
    found = (
        client.get(READ, headers=headers).status_code,
        client.get("/api/v1/policy", headers=headers).status_code,
        client.post(ACT, headers=headers).status_code,
        client.post("/api/v1/executors/heartbeats", headers=headers, json=BEAT).status_code,
        client.post("/api/v1/backtest-runs", headers=headers, json=RUNS).status_code,
        client.post("/api/v1/proposals/p/decisions", headers=headers, json=DECISION).status_code,
    )
    assert found == ROLES[role]


def test_without_tokens_a_loopback_server_serves_its_own_user_and_with_one_nobody_else(
    database: Database, tmp_path: Path
) -> None:
    calm_policy(database)
    client = client_of(database, tmp_path)
    assert client.post(ACT).status_code == 200
    with database.connect() as connection:
        assert connection.execute(text("SELECT actor FROM msc_policies ORDER BY id DESC LIMIT 1")).scalar() == "Ann"
    token_of(database, "reader")
    fresh = client_of(database, tmp_path)
    refused = fresh.get(READ)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert refused.json()["code"] == "not_signed_in"
    assert client_of(database, tmp_path, open_access=False).get(READ).status_code == 401


def test_a_token_that_is_unknown_revoked_or_expired_is_none(database: Database, tmp_path: Path) -> None:
    token = token_of(database, "reader")
    with database.begin() as connection:
        (kept,) = list_tokens(connection)
        stored = connection.execute(text("SELECT token_digest FROM api_tokens")).scalar_one()
    assert token not in stored
    late = client_of(database, tmp_path, clock=lambda: NOW + timedelta(days=2))
    assert late.get(READ, headers=bearing(token)).status_code == 401
    for wrong in (bearing(token[:-1]), bearing(""), bearing("x" * 500), {"Authorization": f"Basic {token}"}):
        assert client_of(database, tmp_path).get(READ, headers=wrong).status_code == 401
    with database.begin() as connection:
        revoke_token(connection, kept.token_id, actor="ann", now=NOW)
        assert find_token(connection, token, now=NOW) is None
        assert not any_tokens(connection, now=NOW)
        revoke_token(connection, kept.token_id, actor="ann", now=NOW)
        with pytest.raises(NotFound, match="no token"):
            revoke_token(connection, "nope", actor="ann", now=NOW)
    assert client_of(database, tmp_path).get(READ, headers=bearing(token)).status_code == 401
    # Nor does the end of the last token open the server again.
    assert client_of(database, tmp_path).get(READ).status_code == 401


def test_where_there_are_operators_only_they_make_tokens_and_an_auditor_ends_none(database: Database) -> None:
    with database.begin() as connection:
        people.grant(connection, "Olga", Role.OPERATOR, actor="ann", now=NOW)
        people.grant(connection, "Uma", Role.AUDITOR, actor="Olga", now=NOW)
        wanted: Any = {"name": "Bob", "role": "approver", "lifetime": timedelta(days=1), "now": NOW}
        _, token = create_token(connection, **wanted, actor="Olga")
        for actor in ("ann", "Uma"):
            with pytest.raises(NotPermitted):
                create_token(connection, **wanted, actor=actor)
        with pytest.raises(NotPermitted, match="auditor"):
            revoke_token(connection, token.token_id, actor="Uma", now=NOW)
        assert revoke_token(connection, token.token_id, actor="Olga", now=NOW).revoked_at == NOW


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"role": "king"}, "not one of reader"),
        ({"role": "approver", "name": "dagster"}, "never the human eye"),
        ({"lifetime": timedelta(0)}, "cannot be"),
        ({"lifetime": timedelta(days=9999)}, "cannot be"),
        ({"name": ""}, "is empty"),
    ],
)
def test_a_token_that_cannot_be_is_not_made(database: Database, change: dict[str, Any], said: str) -> None:
    good: dict[str, Any] = {"name": "Bob", "role": "reader", "lifetime": timedelta(days=1), "actor": "ann", "now": NOW}
    with database.begin() as connection, pytest.raises(InputError, match=said):
        create_token(connection, **{**good, **change})


def test_a_server_that_others_can_reach_does_not_start_without_a_token(database: Database, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    for host in ("0.0.0.0", "192.168.1.5", "::", "example.com"):
        with pytest.raises(NotPermitted, match="tokens new"):
            context_for(database, settings, host=host, allow_hosts=(), actor="Ann")
    from datetime import UTC, datetime

    token_of(database, "reader", now=datetime.now(UTC))
    context = context_for(database, settings, host="0.0.0.0", allow_hosts=("Box.example",), actor="Ann")
    assert not context.open_access
    assert "box.example" in context.allowed_hosts
    for wrong in ("", "http://x", "x:80"):
        with pytest.raises(InputError, match="allow-host"):
            context_for(database, settings, host="127.0.0.1", allow_hosts=(wrong,), actor="Ann")
    assert [is_loopback(host) for host in ("127.0.0.1", "127.3.3.3", "::1", "localhost", "10.0.0.1", "x")] == [
        *(True, True, True, True),
        *(False, False),
    ]


def test_another_host_another_origin_and_another_form_do_not_come_in(database: Database, tmp_path: Path) -> None:
    client = client_of(database, tmp_path)
    assert client.get("/healthz", headers={"Host": "evil.example"}).json()["code"] == "host_not_allowed"
    assert client.get("/healthz", headers={"Host": "[::1]:80"}).status_code == 200
    crossing = client.post(ACT, headers={"Origin": "https://evil.example"})
    assert (crossing.status_code, crossing.json()["code"]) == (403, "cross_origin")
    for other in ("http://127.0.0.1:3000", "http://localhost", "null", "http://[broken"):
        assert client.post(ACT, headers={"Origin": other}).json()["code"] == "cross_origin", other
    named = {"Origin": "https://desk.example", "Host": "127.0.0.1:8000"}
    hosts = frozenset({"desk.example", "127.0.0.1"})
    calm_policy(database)
    assert client_of(database, tmp_path, allowed_hosts=hosts).post(ACT, headers=named).status_code == 200
    assert client.post(ACT, headers={"Origin": BASE}).status_code == 200
    assert client.get("/healthz", headers={"Origin": "https://evil.example"}).status_code == 200
    form = client.post("/api/v1/policy/halt", content="reason=x", headers={"Content-Type": "text/plain"})
    assert (form.status_code, form.json()["code"]) == (415, "not_json")
    unnamed = client.post("/api/v1/policy/halt", content='{"reason": "x"}')
    assert unnamed.status_code == 415
    for address in ("/api/v1/proposals/%00", "/api/v1/proposals?strategy_id=%00"):
        nul = client.get(address)
        assert (nul.status_code, nul.json()["code"]) == (422, "invalid_input")
    answer = client.get("/healthz")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_a_body_that_is_too_large_is_refused_however_it_is_sent(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LARGEST_BODY", 1000)
    client = client_of(database, tmp_path)
    headers = {"Content-Type": "application/json"}
    for body in (b"x" * 1001, iter([b"x" * 600, b"x" * 600])):
        answer = client.post("/api/v1/policy/halt", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    "body",
    [
        b'{"reason": NaN}',
        b'{"reason": "a", "reason": "b"}',
        b'{"reason": "\\u0000"}',
        b'{"reason": 1e400}',
        b"[" * 9999,
        b"[" + b"[]," * 500_000 + b"1]",
    ],
)
def test_a_body_that_is_no_clean_json_is_invalid_and_never_an_error_of_the_server(
    database: Database, tmp_path: Path, body: bytes
) -> None:
    client = client_of(database, tmp_path)
    headers = {"Content-Type": "application/json"}
    answer = client.post("/api/v1/live/fills", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.headers["Content-Type"] == "application/problem+json"
    # Whom nobody knows does not even have it read.
    token_of(database, "reader")
    unknown = client_of(database, tmp_path).post("/api/v1/live/fills", content=body, headers=headers)
    assert (unknown.status_code, unknown.json()["code"]) == (401, "not_signed_in")


def test_a_body_that_never_comes_is_not_waited_for(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SLOWEST_BODY", 0.2)
    with served(context_of(database, tmp_path)) as address:
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = f"POST {ACT} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\n"
            connection.sendall(head.encode())
            answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"code": "too_slow"' in answer


def test_every_error_is_a_problem_with_a_stable_code(database: Database, tmp_path: Path) -> None:
    client = client_of(database, tmp_path)
    expected = {
        ("GET", "/nowhere"): (404, "not_found"),
        ("DELETE", "/api/msc/status"): (405, "method_not_allowed"),
        ("GET", "/api/msc/history?limit=0"): (422, "invalid_input"),
        ("GET", "/api/msc/history?limit=x"): (422, "invalid_input"),
        ("GET", "/api/msc/status?scope=nowhere"): (404, "not_found"),
        ("GET", "/api/v1/proposals?cursor=%21"): (422, "invalid_input"),
        ("GET", "/api/v1/policy"): (404, "not_found"),
        ("GET", "/api/v1/policy/versions/0"): (422, "invalid_input"),
        ("POST", "/api/ai/meta/reset_stats"): (409, "no_agent"),
    }
    for (method, address), (status, code) in expected.items():
        answer = client.request(method, address)
        body = answer.json()
        assert (answer.status_code, body["code"]) == (status, code), address
        assert body["status"] == status
        assert body["detail"]
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_what_is_not_foreseen_is_an_internal_error_that_tells_nothing(database: Database, tmp_path: Path) -> None:
    from fastapi.testclient import TestClient

    from meta_pipeline.api.app import create_app
    from meta_pipeline_tests.api.clients import BASE, context_of

    def broken() -> Any:
        raise RuntimeError("the secret of the house")

    app = create_app(context_of(database, tmp_path, clock=broken))
    answer = TestClient(app, base_url=BASE, raise_server_exceptions=False).get("/api/msc/status")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text


def test_a_database_that_is_gone_is_unavailable_and_metrics_say_so(database: Database, tmp_path: Path) -> None:
    client = client_of(database, tmp_path)
    assert client.get("/readyz").json() == {"status": "ready"}
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE msc_policies RENAME TO elsewhere"))
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200

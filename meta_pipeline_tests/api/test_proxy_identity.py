"""The name that a proxy hands over counts where it is configured, from that proxy alone, with the roles on record."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from meta_pipeline.api.app import create_app
from meta_pipeline.api.context import Context
from meta_pipeline.proposals.roles import Role
from meta_pipeline.store import people
from meta_pipeline.store.database import Database
from meta_pipeline_tests.api.clients import BASE, bearing, settings_of, token_of
from meta_pipeline_tests.store.live_book import NOW

pytestmark = pytest.mark.database

READ, DECIDE, ACT = "/api/v1/audit", "/api/v1/proposals/p/decisions", "/api/v1/changes/c/revert"
DECISION: dict[str, Any] = {"verdict": "approve", "digest": "0" * 64}
HEADER = "X-Forwarded-User"


def client_of(database: Database, home: Path, *, peer: str = "127.0.0.1", **values: Any) -> TestClient:
    context = Context(
        database=database, settings=settings_of(home, **values), open_access=True, actor="Ann", clock=lambda: NOW
    )
    return TestClient(create_app(context), base_url=BASE, client=(peer, 1))


def statuses(client: TestClient, headers: Any) -> tuple[int, int, int]:
    return (
        client.get(READ, headers=headers).status_code,
        client.post(DECIDE, headers=headers, json=DECISION).status_code,
        client.post(ACT, headers=headers, json={"reason": "r"}).status_code,
    )


def test_a_name_from_the_proxy_may_do_what_its_roles_on_record_may(database: Database, tmp_path: Path) -> None:
    with database.begin() as connection:
        for name, role, by in (
            ("Zoë", Role.APPROVER, "ann"),
            ("olga", Role.OPERATOR, "ann"),
            ("uma", Role.AUDITOR, "olga"),
        ):
            people.grant(connection, name, role, actor=by, now=NOW)
    client = client_of(database, tmp_path, identity_header=HEADER)
    found = {
        name: statuses(client, {HEADER: name.encode("utf-8")})
        for name in ("Zoë", "OLGA", "uma", "nobody in particular")
    }
    assert found == {
        "Zoë": (200, 404, 404),
        "OLGA": (200, 403, 404),
        "uma": (200, 403, 403),
        "nobody in particular": (403, 403, 403),
    }
    # A token says who it is, whatever a header beside it claims.
    both = {**bearing(token_of(database, "reader", actor="olga")), HEADER: "olga"}
    assert statuses(client, both) == (200, 403, 403)


def test_without_the_header_or_from_elsewhere_nobody_is_signed_in_not_even_on_this_machine(
    database: Database, tmp_path: Path
) -> None:
    with database.begin() as connection:
        people.grant(connection, "olga", Role.OPERATOR, actor="ann", now=NOW)
    known = {HEADER: "olga"}
    client = client_of(database, tmp_path, identity_header=HEADER)
    assert client.get(READ).status_code == 401
    assert client.get(READ, headers=[(HEADER, "olga"), (HEADER, "zoe")]).status_code == 401
    assert client.get(READ, headers={HEADER: "ol\u200bga".encode()}).status_code == 401
    elsewhere = client_of(database, tmp_path, identity_header=HEADER, peer="10.0.0.9")
    assert elsewhere.get(READ, headers=known).status_code == 401
    listed = client_of(database, tmp_path, identity_header=HEADER, peer="10.0.0.9", identity_proxies="10.0.0.9")
    assert listed.get(READ, headers=known).status_code == 200


def test_where_no_header_is_configured_none_is_believed(database: Database, tmp_path: Path) -> None:
    token_of(database, "reader")
    assert client_of(database, tmp_path).get(READ, headers={HEADER: "olga"}).status_code == 401

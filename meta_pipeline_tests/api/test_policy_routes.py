"""What executors read and report, live trades and backtests in, over HTTP; and a client on a real socket."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from meta_pipeline.policy.client import PolicyClient, http_report, http_source
from meta_pipeline.policy.signing import Ed25519Verifier
from meta_pipeline.store import live_books
from meta_pipeline.store.database import Database
from meta_pipeline.store.policy_keys import keys_folder, list_keys
from meta_pipeline_tests.api.clients import bearing, client_of, context_of, served, settings_of, token_of
from meta_pipeline_tests.store.live_book import NOW, calm_policy, fill_book, prices, round_trips


def test_the_document_is_served_as_it_was_signed_and_only_when_it_changed(database: Database, tmp_path: Path) -> None:
    record = calm_policy(database)
    client = client_of(database, tmp_path)
    answer = client.get("/api/v1/policy")
    assert answer.text == record.document
    assert answer.headers["ETag"] == f'"10-{record.epoch[:8]}"'
    same = client.get("/api/v1/policy", headers={"If-None-Match": answer.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")
    assert client.get("/api/v1/policy", headers={"If-None-Match": 'W/"1-x", "2-y"'}).status_code == 200
    assert client.get("/api/v1/policy/versions/3").json()["version"] == 3
    assert client.get("/api/v1/policy/versions/99").status_code == 404


def test_a_halt_acts_at_once_is_done_once_per_key_and_is_ended_by_a_person(database: Database, tmp_path: Path) -> None:
    calm_policy(database)
    client = client_of(database, tmp_path, clock=lambda: NOW + timedelta(minutes=1))
    assert client.get("/api/v1/policy").json()["halt"]["active"] is False
    for _ in range(2):
        halted = client.post("/api/v1/policy/halt", json={"reason": "news"}, headers={"Idempotency-Key": "h"})
        assert halted.json()["version"] == 11
    assert client.get("/api/v1/policy").json()["reduce_only"] is True
    assert client.get("/api/msc/status").json()["policy"]["halted"] is True
    resumed = client.post("/api/v1/policy/resume", json={"reason": "calm"}).json()
    assert (resumed["halt"]["active"], resumed["mode"]) == (False, "DEFENSIVE")
    assert client.post("/api/v1/policy/resume", json={"reason": "calm"}).status_code == 409


def beat(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "executor_id": "bot",
        "scope": "live",
        "epoch": "",
        "version": 0,
        "mode": "DEFENSIVE",
        "reduce_only": True,
        "reasons": ["DEFAULT"],
        "problems": {},
        "reported_at": NOW.timestamp() - 3,
    }
    return {**given, **changes}


def test_heartbeats_show_who_runs_what_and_how_far_they_are_apart(database: Database, tmp_path: Path) -> None:
    record = calm_policy(database)
    client = client_of(database, tmp_path)
    for body in (
        beat(executor_id="new", epoch=record.epoch, version=10, mode="NORMAL", reduce_only=False, reasons=["STATIC"]),
        beat(executor_id="old", epoch=record.epoch, version=7, reasons=["CACHED"]),
        beat(executor_id="lost", problems={"source 0": "down"}),
    ):
        assert client.post("/api/v1/executors/heartbeats", json=body).status_code == 204
    shown = client.get("/api/v1/executors").json()
    assert {one["executor_id"]: one["versions_behind"] for one in shown["executors"]} == {
        "new": 0,
        "old": 3,
        "lost": None,
    }
    assert shown["executors"][0]["clock_skew_seconds"] == -3.0
    assert shown["skew"] == {
        "executors": 3,
        "silent": 0,
        "versions": [0, 7, 10],
        "most_behind": 3,
        "without_current_epoch": 1,
        "modes": ["DEFENSIVE", "NORMAL"],
    }
    assert client.get("/api/msc/status").json()["skew"] == shown["skew"]
    late = client_of(database, tmp_path, clock=lambda: NOW + timedelta(minutes=5)).get("/api/v1/executors").json()
    assert late["skew"]["silent"] == 3
    assert client.post("/api/v1/executors/heartbeats", json=beat(scope="nowhere")).status_code == 404
    for wrong in ({"version": -1}, {"mode": "BRAVE"}, {"callback": "http://x"}, {"reported_at": "now"}):
        assert client.post("/api/v1/executors/heartbeats", json=beat(**wrong)).status_code == 422


def test_fills_and_prices_come_in_over_http_and_make_a_policy(database: Database, tmp_path: Path) -> None:
    client = client_of(database, tmp_path)
    with database.begin() as connection:
        fill_book(connection, strategies=1)
    more = [one.to_json() for one in round_trips("S1", 20, seed=5)]
    taken = client.post("/api/v1/live/fills", json={"fills": more}).json()
    assert (taken["accepted"], taken["closed_trades"], taken["undeclared_strategies"]) == (40, 20, ["S1"])
    again = client.post("/api/v1/live/fills", json={"fills": more}).json()
    assert (again["accepted"], again["duplicates"]) == (0, 40)
    quotes = [{"symbol": one.symbol, "at": one.at.isoformat(), "close": one.close} for one in prices("Y")]
    assert client.post("/api/v1/live/prices", json={"prices": quotes}).json()["days_written"] == 400
    policy = client.post("/api/msc/evaluate").json()["evaluation"]["policy"]
    assert policy["allowed_strategies"] == ["S0"]
    wrongs: list[dict[str, Any]] = [
        {"fills": [{**more[0], "executed_at": "yesterday!"}]},
        {"fills": [{**more[0], "quantity": -1}]},
        {"fills": [{**more[0], "url": "http://x"}]},
        {"fills": {}},
    ]
    for body in wrongs:
        assert client.post("/api/v1/live/fills", json=body).status_code == 422


def test_an_executor_reports_into_books_that_are_there_and_makes_none(database: Database, tmp_path: Path) -> None:
    executor, operator = (bearing(token_of(database, role)) for role in ("executor", "operator"))
    client = client_of(database, tmp_path)
    for what in ("fills", "prices"):
        address = f"/api/v1/live/{what}"
        assert client.post(address, json={what: []}, headers=executor).status_code == 200
        misspelt = client.post(f"{address}?scope=life", json={what: []}, headers=executor)
        assert (misspelt.status_code, misspelt.json()["code"]) == (404, "not_found")
    assert client.post("/api/v1/live/fills?scope=paper", json={"fills": []}, headers=operator).status_code == 200
    assert client.post("/api/v1/live/fills?scope=paper", json={"fills": []}, headers=executor).status_code == 200


def run(number: int, **changes: Any) -> dict[str, Any]:
    days = [(datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=i)).date().isoformat() for i in range(300)]
    returns = [0.001 * ((i * (number + 7)) % 11 - 5) for i in range(300)]
    given: dict[str, Any] = {
        "strategy_id": "S",
        "campaign_id": "c",
        "config": {"speed": number},
        "dates": days,
        "returns": returns,
        "periods_per_year": 365.0,
        "market_id": "X",
        "trades": [{"trade_date": "2020-01-02", "ticker": "X", "direction": "BUY", "size": 1.0, "price": 10.0}],
    }
    return {**given, **changes}


def test_backtests_come_in_through_the_quality_gate(database: Database, tmp_path: Path) -> None:
    client = client_of(database, tmp_path)
    with database.begin() as connection:
        live_books.open_scope(connection, "live", actor="ann", now=NOW)
    broken = run(9, returns=[5.0] * 299)
    body = {"runs": [run(1), run(2), broken], "close_campaigns": True}
    taken = client.post("/api/v1/backtest-runs", json=body, headers={"Idempotency-Key": "b"}).json()
    assert (taken["accepted"], sum(taken["quarantined"].values())) == (2, 1)
    assert client.post("/api/v1/backtest-runs", json=body).json()["duplicates"] == 3
    listed = client.get("/api/v1/backtest-runs?state=accepted").json()["items"]
    assert {one["config"]["speed"] for one in listed} == {1, 2}
    assert client.get(f"/api/v1/backtest-runs/{listed[0]['run_id']}").json()["n_returns"] == 300
    assert client.get("/api/v1/backtest-runs/none").status_code == 404
    wrongs: list[dict[str, Any]] = [
        {"runs": []},
        {"runs": [run(1, dates=["someday-00"] * 300)]},
        {"runs": [run(1, start_date="2020-99-01")]},
        {"runs": [run(1, returns=["a"])]},
        {"runs": [run(1, config=[1])]},
    ]
    for wrong in wrongs:
        assert client.post("/api/v1/backtest-runs", json=wrong).status_code == 422


def test_a_client_on_a_real_socket_runs_what_the_server_signs_and_reports_it(
    database: Database, tmp_path: Path
) -> None:
    calm_policy(database, until=datetime.now(UTC) - timedelta(minutes=1))
    context = context_of(database, tmp_path, clock=lambda: datetime.now(UTC))
    with served(context) as address:
        made = client_of(database, tmp_path, clock=lambda: datetime.now(UTC)).post("/api/msc/evaluate")
        assert made.status_code == 200
        keys = list_keys(keys_folder(settings_of(tmp_path)))
        bot = PolicyClient(
            executor_id="bot",
            scope="live",
            sources=[http_source(f"{address}/api/v1/policy")],
            verifier=Ed25519Verifier({key.key_id: key.public for key in keys if key.public}),
            loosen_after_seconds=0.0,
            report=http_report(f"{address}/api/v1/executors/heartbeats"),
        )
        bot.refresh()
        bot.refresh()
        assert bot.current().reasons == ("STATIC",), bot.heartbeat()
        assert bot.current().version == 11
        assert bot.heartbeat()["problems"] == {}
        shown = json.loads(http_source(f"{address}/api/v1/executors")())  # type: ignore[arg-type]
        assert shown["executors"][0]["versions_behind"] == 0
    bot.refresh()
    assert bot.current().reasons == ("CACHED",)

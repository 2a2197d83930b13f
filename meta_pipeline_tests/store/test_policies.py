"""The evaluation service on a real PostgreSQL: one row with everything, versions that only rise, one at a time."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from meta_pipeline.canonical import canonical_json, digest
from meta_pipeline.errors import Conflict, InputError, NotFound, NotPermitted, Unhealthy
from meta_pipeline.policy.client import HmacVerifier, PolicyClient, read_document
from meta_pipeline.policy.modes import RiskMode
from meta_pipeline.proposals.roles import Role
from meta_pipeline.settings import Settings
from meta_pipeline.store import audit, live_books, live_refusals, live_trades, people, policies, policy_views
from meta_pipeline.store.database import Database
from meta_pipeline.store.policies import Request, evaluate_policy, latest_policy
from meta_pipeline_tests.store.live_book import (
    NOW,
    SECRET,
    calm_policy,
    controller,
    evaluate_at,
    fill_book,
    prices,
    round_trips,
)

VERIFIER = HmacVerifier({"k1": SECRET})


def policies_in(database: Database, scope: str = "live") -> int:
    with database.connect() as connection:
        return int(
            connection.execute(text("SELECT count(*) FROM msc_policies WHERE scope = :s"), {"s": scope}).scalar_one()
        )


def test_s01_from_fills_to_a_policy_that_an_executor_runs(database: Database) -> None:
    record = calm_policy(database)
    assert record.risk_mode is RiskMode.NORMAL
    assert set(record.allowed_strategies) == {"S0", "S1"}

    def row() -> str:
        with database.connect() as connection:
            latest = latest_policy(connection, "live")
            assert latest is not None
            return latest.document

    bot = PolicyClient(
        executor_id="bot",
        scope="live",
        sources=[row],
        verifier=VERIFIER,
        loosen_after_seconds=0.0,
        clock=lambda: NOW.timestamp() + 1,
        monotonic=lambda: 0.0,
    )
    bot.refresh()
    decision = bot.current()
    assert (decision.mode, decision.version, decision.reasons) == ("NORMAL", record.version, ("STATIC",))
    assert decision.check_entry("S0", "X", confidence=0.7, open_positions=1, trades_today=1, risk=0.005)
    assert not decision.check_entry("S9", "X", confidence=0.7, open_positions=1, trades_today=1, risk=0.005)


def test_s12_a_book_without_anything_is_defensive_and_allows_none(database: Database) -> None:
    with database.begin() as connection:
        live_books.open_scope(connection, "live", actor="ann", now=NOW)
    record = evaluate_at(database, NOW)
    assert (record.risk_mode, record.allowed_strategies) == (RiskMode.DEFENSIVE, ())
    codes = {reason["code"] for reason in record.reasons}
    assert {"no_capital", "missing_winrate", "missing_fills", "missing_prices", "missing_regime"} <= codes
    assert (record.system_drawdown, record.system_winrate) == (0.0, None)


def test_s18_a_policy_of_long_ago_is_never_shown_as_the_present_one(database: Database) -> None:
    record = calm_policy(database, until=NOW.replace(year=2020))
    counted = policy_views.effective(record, now=NOW)
    assert (record.risk_mode, counted.mode, counted.expired) == (RiskMode.NORMAL, RiskMode.DEFENSIVE, True)
    given: dict[str, Any] = {"_env_file": None}
    with database.connect() as connection:
        shown: dict[str, Any] = policy_views.status_json(connection, "live", Settings(**given), now=NOW)
    assert shown["status"] == "inactive"
    assert "expired" in str(shown["message"])
    assert shown["policy"]["risk_mode"] == "DEFENSIVE"


def test_s19_versions_only_rise_and_the_newest_is_read_though_two_bear_one_time(database: Database) -> None:
    with database.begin() as connection:
        fill_book(connection)
    made = [evaluate_at(database, NOW) for _ in range(4)]
    assert [record.version for record in made] == [1, 2, 3, 4]
    assert len({record.created_at for record in made}) == 1
    with database.connect() as connection:
        latest = latest_policy(connection, "live")
    assert latest is not None
    assert latest.version == 4


def test_s22_the_row_keeps_what_it_was_made_from_and_reads_back_as_it_was_signed(database: Database) -> None:
    record = calm_policy(database)
    assert record.system_drawdown == pytest.approx(record.inputs["health"]["drawdown_pct"])
    assert record.system_winrate is not None
    assert 0.6 < record.system_winrate < 0.9
    assert record.inputs["closed_trades"] == 300
    assert record.inputs["health"]["inputs_as_of"].keys() == {"fills", "prices"}
    assert record.rankings["best"][0]["total_trades"] == 150
    assert record.inputs_as_of is not None
    assert record.state["mode"] == "NORMAL"
    content = {key: value for key, value in record.body.items() if key not in {"digest", "signature"}}
    assert digest(content) == record.digest == record.body["digest"]
    assert canonical_json(record.body) == record.document
    read = read_document(record.document, scope="live", verifier=VERIFIER)
    assert (read.version, read.digest) == (record.version, record.digest)
    with database.connect() as connection:
        row = connection.execute(
            text("SELECT allowed_strategies, max_positions, min_confidence FROM msc_policies ORDER BY id DESC LIMIT 1")
        ).one()
    assert (json.loads(row.allowed_strategies), row.max_positions, row.min_confidence) == (
        list(record.allowed_strategies),
        10,
        0.6,
    )


def test_s23_one_tick_makes_one_policy_however_often_it_is_asked_for(database: Database) -> None:
    with database.begin() as connection:
        fill_book(connection)
    first = evaluate_at(database, NOW, idempotency_key="tick-1", trigger="schedule")
    again = evaluate_at(database, NOW + timedelta(minutes=1), idempotency_key="tick-1", trigger="schedule")
    assert again == first
    assert policies_in(database) == 1


def test_evaluations_at_the_same_time_take_turns_and_those_that_waited_take_what_was_made(database: Database) -> None:
    with database.begin() as connection:
        fill_book(connection)
    clock = iter(NOW + timedelta(seconds=i) for i in range(1000))
    guard = threading.Lock()

    def now() -> datetime:
        with guard:
            return next(clock)

    made, ready = [], threading.Barrier(8)

    def ask() -> None:
        ready.wait()
        made.append(evaluate_policy(database, "live", controller(now), Request(trigger="manual", actor="ann")))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    n = policies_in(database)
    assert 1 <= n <= 8
    assert sorted({record.version for record in made}) == list(range(1, n + 1))
    with database.connect() as connection:
        ids = connection.execute(text("SELECT version FROM msc_policies ORDER BY id")).scalars().all()
        times = connection.execute(text("SELECT created_at FROM msc_policies ORDER BY id")).scalars().all()
    assert ids == sorted(ids)
    assert times == sorted(times)


def test_a_schedule_that_waited_takes_the_policy_that_was_begun_meanwhile(database: Database) -> None:
    with database.begin() as connection:
        fill_book(connection)
    record = evaluate_at(database, NOW + timedelta(seconds=5))
    asked_before = evaluate_at(database, NOW, trigger="schedule")
    assert asked_before == record
    assert policies_in(database) == 1


def test_a_clock_that_went_back_makes_no_policy(database: Database) -> None:
    with database.begin() as connection:
        fill_book(connection)
    evaluate_at(database, NOW)
    with pytest.raises(Unhealthy, match="mend the clock"):
        evaluate_policy(
            database,
            "live",
            controller(iter_clock(NOW + timedelta(hours=1), NOW - timedelta(hours=1))),
            Request(trigger="manual", actor="ann"),
        )
    assert policies_in(database) == 1


def iter_clock(*moments: datetime) -> Callable[[], datetime]:
    left = list(moments)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_a_halt_acts_at_once_and_its_end_leaves_the_mode_defensive(database: Database) -> None:
    calm_policy(database)
    now = NOW + timedelta(minutes=1)
    halted = policies.halt(database, "live", controller(now), actor="ann", reason="news")
    assert (halted.risk_mode, halted.allowed_strategies, halted.halted) == (RiskMode.DEFENSIVE, (), True)
    assert halted.body["reduce_only"] is True
    assert halted.body["halt"]["by"] == "ann"
    assert halted.previous_mode is RiskMode.NORMAL
    later = evaluate_at(database, now + timedelta(minutes=30))
    assert later.halted
    with pytest.raises(NotPermitted, match="reserved for machines"):
        policies.resume(database, "live", controller(now), actor="dagster", reason="calm again")
    resumed = policies.resume(database, "live", controller(now + timedelta(hours=1)), actor="bob", reason="calm again")
    assert (resumed.risk_mode, resumed.halted) == (RiskMode.DEFENSIVE, False)
    assert resumed.body["reduce_only"] is False
    with pytest.raises(Conflict, match="not halted"):
        policies.resume(database, "live", controller(now), actor="bob", reason="again")
    with pytest.raises(InputError, match="needs a reason"):
        policies.halt(database, "live", controller(now), actor="ann", reason=" ")
    with database.connect() as connection:
        actions = [entry.action for entry in audit.entries(connection, action="policy")]
    assert actions.count("policy.halt") == actions.count("policy.resume") == 1
    assert "policy.mode" in actions


def test_anybody_may_halt_but_where_there_are_operators_only_they_resume(database: Database) -> None:
    calm_policy(database)
    with database.begin() as connection:
        people.grant(connection, "Olga", Role.OPERATOR, actor="ann", now=NOW)
    now = NOW + timedelta(minutes=1)
    assert policies.halt(database, "live", controller(now), actor="ann", reason="news").halted
    with pytest.raises(NotPermitted, match="operator"):
        policies.resume(database, "live", controller(now), actor="ann", reason="calm again")
    assert not policies.resume(database, "live", controller(now), actor="Olga", reason="calm again").halted


def test_a_refused_fill_makes_the_book_unknown_until_it_is_dismissed(database: Database) -> None:
    calm_policy(database)
    (good,) = round_trips("S0", 1, seed=9, prefix="late-")[:1]
    with database.begin() as connection:
        summary = live_trades.ingest_fills(
            connection, "live", [replace(good, price=float("nan"))], actor="ann", now=NOW
        )
    assert [one.execution_id for one in summary.refused] == [good.execution_id]
    worried = evaluate_at(database, NOW + timedelta(minutes=30))
    assert worried.risk_mode is RiskMode.DEFENSIVE
    assert worried.reasons[0]["code"] == "refused_fills"
    with database.begin() as connection:
        assert live_refusals.dismiss_refusals(connection, "live", reason="a test order", actor="ann", now=NOW) == 1
    assert evaluate_at(database, NOW + timedelta(minutes=31)).reasons[0]["code"] != "refused_fills"


def test_old_inputs_make_the_next_policy_defensive(database: Database) -> None:
    calm_policy(database)
    later = evaluate_at(database, NOW + timedelta(days=5))
    assert later.risk_mode is RiskMode.DEFENSIVE
    assert {"stale_fills", "stale_prices"} <= {reason["code"] for reason in later.reasons}


def test_a_shorter_age_is_believed_of_every_price(database: Database) -> None:
    with database.begin() as connection:
        fill_book(connection, strategies=1)
        live_books.record_prices(connection, "live", prices("OLD", until=NOW - timedelta(days=2)), actor="a", now=NOW)
    for hours, symbols in ((96, ["OLD", "X"]), (24, ["X"])):
        made = controller(max_age=timedelta(hours=hours))
        record = evaluate_policy(database, "live", made, Request(trigger="manual", actor="ann"))
        assert record.body["allowed_symbols"] == symbols


def test_a_new_epoch_starts_the_versions_anew_and_is_on_record(database: Database) -> None:
    record = calm_policy(database)
    with database.begin() as connection:
        made = live_books.new_epoch(connection, "live", reason="restored a backup", actor="ann", now=NOW)
    assert made.epoch != record.epoch
    fresh = evaluate_at(database, NOW + timedelta(minutes=1))
    assert (fresh.epoch, fresh.version) == (made.epoch, 1)
    assert fresh.risk_mode is RiskMode.NORMAL
    with database.begin() as connection, pytest.raises(InputError, match="a person begins"):
        live_books.new_epoch(connection, "live", reason="x", actor="dagster", now=NOW)


def test_books_are_apart(database: Database) -> None:
    calm_policy(database)
    with database.begin() as connection:
        fill_book(connection, scope="paper", strategies=1)
    other = evaluate_at(database, NOW, scope="paper")
    assert (other.version, other.scope) == (1, "paper")
    assert other.inputs["strategies"] == 1
    with pytest.raises(NotFound, match="there are: live, paper"):
        evaluate_at(database, NOW, scope="nowhere")


def test_no_program_can_change_or_delete_a_policy(database: Database) -> None:
    calm_policy(database)
    for deed in (
        "UPDATE msc_policies SET risk_mode = 'AGGRESSIVE'",
        "DELETE FROM msc_policies",
        "TRUNCATE msc_policies",
    ):
        with pytest.raises(Exception, match="append-only"), database.begin() as connection:
            connection.execute(text(deed))


def test_history_lists_policies_and_mode_changes_a_page_at_a_time(database: Database) -> None:
    calm_policy(database)
    with database.connect() as connection:
        first, last = policy_views.history_json(connection, "live", limit=4, before_id=None, now=NOW)
        second, end = policy_views.history_json(connection, "live", limit=100, before_id=last, now=NOW)
    body: dict[str, Any] = first
    rest: dict[str, Any] = second
    versions = [row["version"] for row in [*body["history"], *rest["history"]]]
    assert versions == list(range(10, 0, -1))
    assert end is None
    assert body["mode_changes"] == rest["mode_changes"]
    assert [change["to_mode"] for change in body["mode_changes"]] == ["NORMAL"]


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(InputError, match="trigger"):
        Request(trigger="moon", actor="ann")  # type: ignore[arg-type]
    for key in ("", "x" * 129, "a\nb"):
        with pytest.raises(InputError, match="idempotency key"):
            Request(trigger="manual", actor="ann", idempotency_key=key)

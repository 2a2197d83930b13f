"""Live fills in: each once, in whatever order and by however many; what is made of them is always the same."""

import random
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from meta_pipeline.errors import Conflict, InputError, NotFound
from meta_pipeline.policy.fills import Fill
from meta_pipeline.policy.prices import Price
from meta_pipeline.store import live_books, live_refusals, live_trades
from meta_pipeline.store.binary_columns import read_columns
from meta_pipeline.store.database import Database
from meta_pipeline_tests.store.live_book import NOW, round_trips

TABLES = ("live_closed_trades", "live_days", "live_positions")


def ingest(database: Database, fills: list[Fill], scope: str = "live") -> live_trades.FillSummary:
    with database.begin() as connection:
        return live_trades.ingest_fills(connection, scope, fills, actor="ann", now=NOW)


def made_of_them(database: Database) -> dict[str, list[Any]]:
    with database.connect() as connection:
        found = {}
        for table in TABLES:
            rows = connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2, 3")).all()
            found[table] = [tuple(round(v, 9) if isinstance(v, float) else v for v in row) for row in rows]
        return found


def test_the_same_fills_again_add_nothing(database: Database) -> None:
    fills = round_trips("A", 20, seed=1)
    first = ingest(database, fills)
    assert (first.accepted, first.closed_trades, first.undeclared) == (40, 20, ("A",))
    before = made_of_them(database)
    again = ingest(database, [*fills, fills[0]])
    assert (again.accepted, again.duplicates, again.closed_trades) == (0, 41, 0)
    assert made_of_them(database) == before


def test_fills_in_any_order_and_in_any_portions_make_the_same_trades(database: Database) -> None:
    fills = [*round_trips("A", 15, seed=1), *round_trips("B", 10, seed=2)]
    ingest(database, fills)
    wanted = made_of_them(database)
    shuffled = fills.copy()
    random.Random(3).shuffle(shuffled)
    for start in range(0, len(shuffled), 7):
        moved = [replace(fill, execution_id=fill.execution_id) for fill in shuffled[start : start + 7]]
        ingest(database, moved, scope="other")
    with database.connect() as connection:
        rows = connection.execute(text("SELECT strategy_no, scope FROM live_strategies")).all()
    scopes = {row.strategy_no: row.scope for row in rows}
    found = made_of_them(database)
    for table in TABLES:
        ours = [row[1:] for row in wanted[table]]
        theirs = [row[1:] for row in found[table] if scopes[row[0]] == "other"]
        cut = slice(0, 2) if table == "live_closed_trades" else slice(0, None)
        assert [row[cut] for row in theirs] == [row[cut] for row in ours]
    sums = text(
        "SELECT scope, count(*), round(sum(pnl)::numeric, 6) FROM live_closed_trades GROUP BY scope ORDER BY scope"
    )
    with database.connect() as connection:
        one, other = connection.execute(sums).all()
    assert one[1:] == other[1:]


def test_a_fill_that_comes_late_changes_what_was_made_of_the_others(database: Database) -> None:
    buy, sell, *_ = round_trips("A", 1, seed=1)
    extra = replace(buy, execution_id="extra", quantity=5.0, executed_at=buy.executed_at + timedelta(minutes=1))
    assert ingest(database, [buy, sell]).closed_trades == 1
    assert ingest(database, [extra]).closed_trades == -1  # it was not flat after all
    found = made_of_them(database)
    assert found["live_closed_trades"] == []
    assert found["live_positions"][0][2]["position"] == pytest.approx(5.0)
    assert sum(row[3] for row in found["live_days"]) == pytest.approx(5.0)


def test_many_who_hand_the_same_fills_in_at_once_add_them_once(database: Database) -> None:
    fills = round_trips("A", 30, seed=1)
    summaries: list[live_trades.FillSummary] = []

    def hand_in(seed: int) -> None:
        mine = fills.copy()
        random.Random(seed).shuffle(mine)
        summaries.extend(ingest(database, mine[start : start + 20]) for start in range(0, 60, 20))

    threads = [threading.Thread(target=hand_in, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.accepted for one in summaries) == 60
    assert sum(one.duplicates for one in summaries) == 300
    found = made_of_them(database)
    assert len(found["live_closed_trades"]) == 30
    assert found["live_positions"][0][2] is None


def test_another_fill_under_a_known_id_is_refused_and_noted_and_mended_by_none_but_a_person(database: Database) -> None:
    buy, sell, *_ = round_trips("A", 1, seed=1)
    ingest(database, [buy, sell])
    summary = ingest(database, [replace(buy, price=1.0)])
    assert [one.reason for one in summary.refused] == ["this execution id belongs to another fill, which stands"]
    with database.connect() as connection:
        assert live_refusals.unresolved_refusals(connection, "live") == 1
    ingest(database, [replace(buy, price=1.0)])
    with database.begin() as connection:
        assert live_refusals.dismiss_refusals(connection, "live", reason="double report", actor="ann", now=NOW) == 1
        with pytest.raises(NotFound, match="no refused fills"):
            live_refusals.dismiss_refusals(connection, "live", reason="again", actor="ann", now=NOW)


def test_a_refused_fill_is_mended_by_a_good_one_with_its_id_and_never_stops_the_others(database: Database) -> None:
    fills = round_trips("A", 2, seed=1)
    broken = replace(fills[0], quantity=float("inf"))
    summary = ingest(database, [broken, replace(fills[1], symbol="X\x00"), *fills[2:]])
    assert (summary.accepted, len(summary.refused)) == (2, 2)
    ingest(database, fills[:1])
    with database.connect() as connection:
        assert live_refusals.unresolved_refusals(connection, "live") == 1


def test_two_fills_under_one_id_contradict_each_other_also_where_they_come_together(database: Database) -> None:
    buy, *_ = round_trips("A", 1, seed=1)
    assert ingest(database, [buy, replace(buy, price=1.0)]).accepted == 1
    with database.connect() as connection:
        assert live_refusals.unresolved_refusals(connection, "live") == 1
        (waiting,) = live_refusals.list_refusals(connection, "live", limit=5)
    assert (waiting["execution_id"], isinstance(body := waiting["body"], Mapping) and body["price"]) == (
        buy.execution_id,
        "1.0",
    )


def test_that_there_were_none_is_said_too_and_never_moves_back(database: Database) -> None:
    ingest(database, [])
    with database.begin() as connection:
        live_trades.ingest_fills(connection, "live", [], actor="ann", now=NOW - timedelta(days=1))
        assert live_books.load_scope(connection, "live").fills_seen_at == NOW


def test_capital_is_recorded_once_per_id_and_another_amount_is_a_conflict(database: Database) -> None:
    flow: dict[str, Any] = {"flow_id": "f", "effective_at": NOW, "reason": "", "actor": "ann", "now": NOW}
    with database.begin() as connection:
        assert live_books.record_capital(connection, "live", 1e6, **flow)
        assert not live_books.record_capital(connection, "live", 1e6, **flow)
        with pytest.raises(Conflict, match="on record as 1e"):
            live_books.record_capital(connection, "live", 2e6, **flow)
        for amount in (0.0, float("nan"), float("inf")):
            with pytest.raises(InputError, match="other than zero"):
                live_books.record_capital(connection, "live", amount, **{**flow, "flow_id": "g"})


def test_of_a_day_the_latest_price_stands(database: Database) -> None:
    def price(hour: int, close: float) -> Price:
        return Price(symbol="X", at=NOW.replace(hour=hour), close=close)

    with database.begin() as connection:
        for batch in ([price(9, 1.0), price(11, 3.0), price(10, 2.0)], [price(8, 9.0)], []):
            live_books.record_prices(connection, "live", batch, actor="ann", now=NOW)
        assert connection.execute(text("SELECT close FROM live_prices")).scalars().all() == [3.0]
        with pytest.raises(InputError, match="no number"):
            live_books.record_prices(connection, "live", [price(9, float("nan"))], actor="ann", now=NOW)


def test_strategies_are_declared_paused_and_admitted_by_people(database: Database) -> None:
    ingest(database, round_trips("A", 1, seed=1))
    with database.begin() as connection:
        assert live_books.load_strategy(connection, "live", "A").status == "UNDECLARED"
        made = live_books.declare_strategy(
            connection, "live", "A", actor="ann", now=NOW, status="PAUSED", regime_tags=["RANGING", "CHOPPY"]
        )
        assert (made.status, made.regime_tags) == ("PAUSED", ("CHOPPY", "RANGING"))
        until = NOW + timedelta(days=3)
        admitted = live_books.admit_strategy(connection, "live", "A", until=until, reason="new", actor="ann", now=NOW)
        assert (admitted.admitted_until, admitted.admitted_by) == (until, "ann")
        refused: list[tuple[Any, dict[str, Any]]] = [
            ("a person admits", {"actor": "dagster", "until": until, "reason": "x"}),
            ("is past", {"actor": "ann", "until": NOW, "reason": "x"}),
            ("needs a reason", {"actor": "ann", "until": until, "reason": ""}),
        ]
        for said, arguments in refused:
            with pytest.raises(InputError, match=said):
                live_books.admit_strategy(connection, "live", "A", now=NOW, **arguments)
        with pytest.raises(NotFound, match="live declare"):
            live_books.admit_strategy(connection, "live", "Z", until=until, reason="x", actor="ann", now=NOW)
        wrongs: list[tuple[dict[str, Any], str]] = [({"status": "ASLEEP"}, "LIVE"), ({"regime_tags": ["MOON"]}, "BULL")]
        for wrong, said in wrongs:
            with pytest.raises(InputError, match=f"not one of {said}"):
                live_books.declare_strategy(connection, "live", "A", actor="ann", now=NOW, **wrong)
        for name in ("", "x" * 65, "a\nb", " a"):
            with pytest.raises(InputError, match="the scope"):
                live_books.open_scope(connection, name, actor="ann", now=NOW)


def test_columns_of_another_type_are_refused_and_of_no_rows_are_empty(database: Database) -> None:
    ingest(database, round_trips("A", 2, seed=1))
    since = {"scope": "live", "since": NOW - timedelta(days=9)}
    with database.connect() as connection:
        read = read_columns(connection, "policy_closed_trades", {"pnl": "float8", "long": "int4"}, since)
        assert (read["pnl"].shape, read["long"].tolist()) == ((2,), [1, 1])
        with pytest.raises(ValueError, match="holds NULL, or another type"):
            read_columns(connection, "policy_closed_trades", {"pnl": "int4"}, since)
        none = read_columns(connection, "policy_closed_trades", {"pnl": "float8"}, {**since, "scope": "nowhere"})
        assert none["pnl"].shape == (0,)

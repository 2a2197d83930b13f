"""What a strategy really did, read for its triggers: closed trades of the live books."""

from datetime import UTC, datetime, timedelta

import pytest

from meta_pipeline.hyperband.watching import Limits
from meta_pipeline.policy.fills import Fill
from meta_pipeline.store import live_books, live_trades
from meta_pipeline.store.database import Database
from meta_pipeline.store.search_watch import Watched, watch

pytestmark = pytest.mark.database
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def trade(number: int, profit: float, *, days_ago: int) -> list[Fill]:
    """Ten units bought at 100, sold the same hour for this profit in all."""
    opened = NOW - timedelta(days=days_ago)
    sides = (("BUY", opened, 100.0), ("SELL", opened + timedelta(hours=1), 100.0 + profit / 10.0))
    return [
        Fill(
            execution_id=f"{number}-{side}", strategy_id="FOREST_DESK", symbol="X", side=side, quantity=10.0,
            price=price, fee=0.0, executed_at=at,
        )
        for side, at, price in sides
    ]  # fmt: skip


def book(database: Database, profits: list[float], *, capital: float | None = 10_000.0) -> list[Watched]:
    """One trade every day, the last one yesterday; return what is watched."""
    with database.begin() as connection:
        live_books.declare_strategy(connection, "live", "FOREST_DESK", actor="ann", now=NOW, name="Desk")
        if capital is not None:
            live_books.record_capital(
                connection, "live", capital, flow_id="start", effective_at=NOW - timedelta(days=90), reason="start",
                actor="ann", now=NOW,
            )  # fmt: skip
        n = len(profits)
        fills = [fill for i, profit in enumerate(profits) for fill in trade(i, profit, days_ago=n - i)]
        if fills:
            live_trades.ingest_fills(connection, "live", fills, actor="ann", now=NOW)
    with database.connect() as connection:
        return watch(connection, "FOREST_DESK")


def test_a_book_is_held_against_all_limits_on_its_first_capital_with_days_without_a_trade_at_zero(
    database: Database,
) -> None:
    (found,) = book(database, [500.0, *[-300.0] * 8])
    figures = {trigger.name: trigger for trigger in found.triggers}
    assert (found.source, found.n_trades) == ("book live", 9)
    assert figures["return"].value == pytest.approx(1.05 * 0.97**8 - 1)
    assert figures["drawdown"].value == pytest.approx(0.97**8 - 1)
    assert figures["losing streak"].value == 8
    assert figures["Sharpe ratio"].value is None  # nine days say nothing of it
    assert {trigger.name for trigger in found.fired} == {"drawdown", "return", "losing streak"}
    assert "on the first capital of live" in figures["return"].reason
    with database.connect() as connection:
        (lenient,) = watch(connection, "FOREST_DESK", limits=Limits(drawdown=-0.5, total_return=-0.5, losing_streak=9))
        assert lenient.fired == ()
        assert watch(connection, "FOREST_OTHER") == []


def test_a_book_without_a_trade_or_without_capital_says_so_and_fires_nothing(database: Database) -> None:
    (without,) = book(database, [-300.0], capital=None)
    assert (without.triggers, without.note, without.n_trades) == ((), "the book has no capital yet", 1)
    with database.connect() as connection:
        assert watch(connection, "FOREST_DESK")[0].to_json()["note"] == "the book has no capital yet"


def test_a_book_that_has_not_traded_yet_knows_no_figure(database: Database) -> None:
    (found,) = book(database, [])
    assert {trigger.value for trigger in found.triggers} == {None}
    assert found.fired == ()

"""The book marked to market, against a plain loop; and the readings taken from it."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.policy.book import Book, Capital, DailyFlows, mark_to_market
from meta_pipeline.policy.market import MarketView, PriceSeries
from meta_pipeline.policy.measure import days_since_profit, losing_streak, measure
from meta_pipeline.policy.modes import Regime, Volatility
from meta_pipeline_tests.policy.builders import NOW, columns

START, END = np.datetime64("2026-11-01"), np.datetime64("2026-11-20")


def flows(*rows: tuple[str, int, int, float, float]) -> DailyFlows:
    """(day, strategy, symbol, quantity, price) -> flows without fees."""
    return DailyFlows(
        strategy_ids=("A", "B"),
        symbol_names=("X", "Y"),
        days=np.array([row[0] for row in rows], dtype="datetime64[D]"),
        strategies=np.array([row[1] for row in rows], dtype=np.int64),
        symbols=np.array([row[2] for row in rows], dtype=np.int64),
        quantities=np.array([row[3] for row in rows], dtype=np.float64),
        cash=np.array([-row[3] * row[4] for row in rows], dtype=np.float64),
        last_prices=np.array([row[4] for row in rows], dtype=np.float64),
    )


def capital(*rows: tuple[str, float]) -> Capital:
    return Capital(
        days=np.array([row[0] for row in rows], dtype="datetime64[D]"),
        amounts=np.array([row[1] for row in rows], dtype=np.float64),
    )


def closes(symbol: str, first: str, values: list[float]) -> PriceSeries:
    days = np.arange(np.datetime64(first), np.datetime64(first) + len(values))
    return PriceSeries(symbol=symbol, days=days, closes=np.array(values, dtype=np.float64))


def book(traded: DailyFlows, paid: Capital, *prices: PriceSeries) -> Book:
    return mark_to_market(traded, paid, prices, start=START, end=END)


def test_a_loss_that_nobody_has_taken_is_a_loss() -> None:
    held = book(
        flows(("2026-11-02", 0, 0, 10, 100)),
        capital(("2026-11-01", 10_000)),
        closes("X", "2026-11-02", [100.0, 90.0, 50.0]),
    )
    assert held.equity == 9_500
    assert held.unit_values[-1] == pytest.approx(0.95)
    assert held.open_positions == 1
    assert held.exposure == pytest.approx(500 / 9_500)
    assert held.marks_as_of == {"X": np.datetime64("2026-11-04")}
    assert held.strategy_returns.sum(axis=0).tolist() == [pytest.approx(-0.1 * 0.1 - 400 / 9_900), 0.0]


def test_before_the_first_close_a_position_is_valued_at_its_last_fill() -> None:
    held = book(flows(("2026-11-05", 0, 0, 10, 100), ("2026-11-06", 0, 0, 1, 80)), capital(("2026-11-01", 10_000)))
    assert held.equity == 10_000 - 200


def test_a_deposit_is_no_gain_and_a_withdrawal_no_loss() -> None:
    paid = capital(("2026-11-01", 1000), ("2026-11-10", 9000), ("2026-11-15", -5000))
    still = book(flows(), paid)
    assert still.unit_values.tolist() == [1.0] * 20
    assert still.equity == 5000
    traded = book(flows(("2026-11-12", 0, 0, 10, 100)), paid, closes("X", "2026-11-12", [100.0, 110.0]))
    assert traded.unit_values[-1] == pytest.approx(1 + 100 / 10_000)


def test_what_happened_before_the_window_makes_the_opening_position() -> None:
    traded = flows(("2026-10-01", 0, 0, 10, 100), ("2026-11-05", 0, 0, -10, 130))
    held = book(traded, capital(("2026-09-01", 10_000)), closes("X", "2026-10-01", [100.0] * 31 + [120.0] * 3))
    assert held.equity == 10_300
    assert held.open_positions == 0
    assert held.unit_values[-1] == pytest.approx(10_300 / 10_000)


def test_without_capital_nothing_can_be_measured_and_that_is_said() -> None:
    assert [one.code for one in book(flows(("2026-11-02", 0, 0, 1, 1)), capital()).remarks] == ["no_capital"]
    ruined = book(flows(("2026-11-02", 0, 0, 10, 100)), capital(("2026-11-01", 100)), closes("X", "2026-11-03", [1.0]))
    assert [one.code for one in ruined.remarks] == ["no_capital"]
    assert ruined.unit_values[-1] == 0.0


def test_the_marks_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(5)
    days = np.datetime64("2026-10-25") + rng.integers(0, 27, 60)
    rows = [
        (str(day), int(rng.integers(2)), int(rng.integers(2)), float(rng.normal()), float(rng.uniform(5, 15)))
        for day in np.sort(days)
    ]
    prices = [closes(name, "2026-10-20", list(10 + np.cumsum(rng.normal(0, 0.2, 32)))) for name in ("X", "Y")]
    found = book(flows(*rows), capital(("2026-10-01", 1000)), *prices)
    before = 1000.0
    unit, values = 1.0, []
    for day in np.arange(START - 1, END + 1):
        cash = 1000.0 - sum(row[3] * row[4] for row in rows if np.datetime64(row[0]) <= day)
        worth = sum(
            sum(row[3] for row in rows if row[2] == k and np.datetime64(row[0]) <= day)
            * float(prices[k].closes[np.searchsorted(prices[k].days, day, side="right") - 1])
            for k in range(2)
        )
        if day >= START:
            unit *= (cash + worth) / before
            values.append(unit)
        before = cash + worth
    np.testing.assert_allclose(found.unit_values, values)
    assert found.equity == pytest.approx(before)


def test_the_returns_of_the_strategies_add_up_to_that_of_the_book() -> None:
    traded = flows(("2026-11-02", 0, 0, 10, 100), ("2026-11-03", 1, 1, -5, 50))
    held = book(
        traded,
        capital(("2026-11-01", 10_000)),
        closes("X", "2026-11-02", [101.0, 99.0, 104.0]),
        closes("Y", "2026-11-03", [52.0, 47.0]),
    )
    growth = np.diff(np.concatenate([[1.0], held.unit_values])) / np.concatenate([[1.0], held.unit_values[:-1]])
    np.testing.assert_allclose(held.strategy_returns.sum(axis=1), growth, atol=1e-12)


VIEW = MarketView(regime=Regime.RANGING, volatility=Volatility.NORMAL)
AS_OF = {"fills": NOW, "prices": NOW}


def test_the_readings_are_taken_from_book_trades_and_market() -> None:
    trades = columns([1.0, -1.0, 2.0, -1.0, 0.0, -1.0])
    held = book(flows(), capital(("2026-11-01", 1000)))
    found = measure(held, trades, VIEW, now=NOW, as_of=AS_OF)
    assert (found.drawdown_pct, found.consecutive_losses) == (0.0, 2)
    assert found.winrate == pytest.approx(2 / 6)
    assert found.days_since_profit == pytest.approx(
        (NOW - datetime(2026, 11, 1, 2, tzinfo=NOW.tzinfo)).total_seconds() / 86400
    )
    assert (found.exposure, found.recent_trade_count, found.remarks) == (1.0, 6, ())
    assert found.equity_slope_pct_per_day == 0.0


def test_without_trades_the_readings_of_trades_are_not_known() -> None:
    found = measure(book(flows(), capital(("2026-11-01", 1000))), columns(), VIEW, now=NOW, as_of=AS_OF)
    assert (found.winrate, found.consecutive_losses, found.days_since_profit, found.exposure) == (None,) * 4


def test_a_book_that_never_won_counts_from_its_first_trade_and_a_flat_trade_ends_no_streak() -> None:
    losers = columns([-1.0, -1.0, 0.0, -1.0])
    assert losing_streak(losers) == 3
    assert losing_streak(columns([0.0, 0.0])) == 0
    assert days_since_profit(losers, NOW) == pytest.approx(19.5)


def test_open_positions_at_old_prices_are_remarked() -> None:
    held = book(flows(("2026-11-02", 0, 0, 10, 100)), capital(("2026-11-01", 10_000)))
    found = measure(held, columns([1.0]), VIEW, now=NOW, as_of=AS_OF)
    assert [one.code for one in found.remarks] == ["stale_marks"]


def test_a_wild_step_of_the_equity_is_believed_when_a_second_look_sees_the_same() -> None:
    jump = book(
        flows(("2026-11-02", 0, 0, 100, 100)),
        capital(("2026-11-01", 20_000)),
        closes("X", "2026-11-02", [100.0] * 18 + [40.0]),
    )
    first = measure(jump, columns([1.0]), VIEW, now=NOW, as_of=AS_OF, last_equity=20_000)
    assert [one.code for one in first.remarks] == ["unconfirmed_equity"]
    assert first.drawdown_pct == pytest.approx(30.0)
    second = measure(jump, columns([1.0]), VIEW, now=NOW + timedelta(minutes=30), as_of=AS_OF, last_equity=14_000)
    assert second.remarks == ()


def test_a_price_series_that_cannot_be_one_is_refused() -> None:
    backwards = np.array(["2026-01-02", "2026-01-01"], dtype="datetime64[D]")
    with pytest.raises(InputError, match="strictly increasing"):
        PriceSeries(symbol="X", days=backwards, closes=np.ones(2))
    with pytest.raises(InputError, match="no number"):
        PriceSeries(symbol="X", days=np.array(["2026-01-01"], dtype="datetime64[D]"), closes=np.array([np.nan]))
    with pytest.raises(InputError, match="one per day"):
        PriceSeries(symbol="X", days=np.array(["2026-01-01"], dtype="datetime64[D]"), closes=np.ones(2))

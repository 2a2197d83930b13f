"""Fills paired into closed trades."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.policy.fills import Fill, objection
from meta_pipeline.policy.round_trips import OpenTrip, pair
from meta_pipeline.policy.rows import fill_of, price_of
from meta_pipeline.policy.scores import NO_LOSS
from meta_pipeline_tests.policy.builders import NOW, fill, table


def test_a_position_that_is_built_and_sold_in_parts_is_one_trade() -> None:
    fills = [fill(1, "BUY", 1, 10), fill(2, "BUY", 1, 12), fill(3, "SELL", 0.5, 15), fill(4, "SELL", 1.5, 9, fee=1.0)]
    (trade,) = pair(fills).closed
    assert (trade.direction, trade.quantity, trade.n_fills, trade.exit_execution_id) == ("LONG", 2, 4, "e4")
    assert (trade.entry_price, trade.exit_price) == (11, (7.5 + 13.5) / 2)
    assert (trade.pnl, trade.fees, trade.notional) == (7.5 + 13.5 - 22 - 1, 1.0, 22)
    assert trade.opened_at == fills[0].executed_at
    assert pair(fills).still_open is None


def test_a_fill_that_turns_the_position_over_closes_one_trade_and_opens_the_next() -> None:
    paired = pair([fill(1, "SELL", 2, 10), fill(2, "BUY", 5, 8, fee=5.0)])
    (trade,) = paired.closed
    assert (trade.direction, trade.pnl, trade.fees) == ("SHORT", 2 * 2 - 2.0, 2.0)
    assert paired.still_open is not None
    assert (paired.still_open.position, paired.still_open.fees) == (3, 3.0)


def test_rounding_errors_leave_no_position_behind() -> None:
    paired = pair([fill(1, "BUY", 0.1, 10), fill(2, "BUY", 0.2, 10), fill(3, "SELL", 0.3, 11)])
    assert paired.still_open is None
    assert paired.closed[0].pnl == pytest.approx(0.3)


def test_s20_the_profit_factor_is_all_gains_over_all_losses() -> None:
    of = table([10.0, 30.0, -20.0, *[-9.0] * 30])
    assert of.profit_factor[0] == pytest.approx(40 / 290)
    assert round(float(of.profit_factor[0]), 2) == 0.14
    assert NO_LOSS == 2.0


def test_s21_entries_are_no_trades_so_they_cannot_lower_the_win_rate() -> None:
    fills = []
    for number in range(0, 20, 2):
        fills += [fill(number, "BUY", 1, 10), fill(number + 1, "SELL", 1, 11)]
    fills.append(fill(99, "BUY", 1, 10))
    paired = pair(fills)
    assert len(paired.closed) == 10
    assert all(trade.pnl > 0 for trade in paired.closed)
    assert paired.still_open is not None


fill_lists = st.lists(
    st.tuples(
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 40).map(lambda n: n / 8),
        st.integers(1, 400),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=40,
).map(
    lambda rows: [
        fill(i, side, quantity, price / 4, fee=fee / 8) for i, (side, quantity, price, fee) in enumerate(rows)
    ]
)


@given(fill_lists)
@settings(max_examples=150, deadline=None)
def test_no_money_is_made_or_lost_by_pairing(fills: list[Fill]) -> None:
    paired = pair(fills)
    cash = math.fsum(-one.signed_quantity * one.price - one.fee for one in fills)
    trip = paired.still_open
    left = 0.0 if trip is None else trip.sold_value - trip.bought_value - trip.fees
    assert math.fsum([trade.pnl for trade in paired.closed] + [left]) == pytest.approx(cash, abs=1e-6)
    held = math.fsum(one.signed_quantity for one in fills)
    assert (0.0 if trip is None else trip.position) == pytest.approx(held, abs=1e-6)


@given(fill_lists, st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_pairing_in_two_deliveries_is_pairing_in_one(fills: list[Fill], cut: int) -> None:
    whole, first = pair(fills), pair(fills[:cut])
    carried = None if first.still_open is None else OpenTrip.from_json(first.still_open.to_json())
    second = pair(fills[cut:], carried=carried)
    assert (*first.closed, *second.closed) == whole.closed
    assert second.still_open == whole.still_open


def test_an_open_trip_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="stored open position"):
        OpenTrip.from_json({"position": 1})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"execution_id": ""}, "execution_id"),
        ({"execution_id": "a\x00b"}, "execution_id"),
        ({"strategy_id": "x" * 65}, "strategy_id"),
        ({"symbol": "\u200b"}, "symbol"),
        ({"side": "HOLD"}, "BUY or SELL"),
        ({"quantity": 0.0}, "quantity"),
        ({"quantity": float("nan")}, "quantity"),
        ({"price": float("inf")}, "price"),
        ({"price": 0.0}, "price"),
        ({"fee": float("nan")}, "fee"),
        ({"initial_risk": -1.0}, "initial_risk"),
        ({"executed_at": NOW.replace(tzinfo=None)}, "time zone"),
        ({"executed_at": NOW + timedelta(hours=1)}, "and now"),
        ({"executed_at": NOW.replace(year=1979)}, "1980"),
    ],
)
def test_a_fill_that_cannot_be_used_says_what_is_wrong(change: dict[str, object], said: str) -> None:
    good = fill(1, "BUY", 1, 10)
    assert objection(good, now=NOW) is None
    found = objection(replace(good, **change), now=NOW)  # type: ignore[arg-type]
    assert found is not None
    assert said in found


def test_a_price_may_be_negative_as_that_of_crude_oil_once_was() -> None:
    assert objection(fill(1, "BUY", 1, -37.63), now=NOW) is None


def test_two_reports_of_one_execution_agree_in_their_digest_and_others_do_not() -> None:
    one = fill(1, "BUY", 1, 10)
    assert one.content_digest() == replace(one, quantity=1.0).content_digest()
    assert one.content_digest() != replace(one, price=10.5).content_digest()


ROW = {
    "execution_id": "e1",
    "strategy_id": "A",
    "symbol": "X",
    "side": "buy",
    "quantity": "2",
    "price": "10.5",
    "executed_at": "2026-11-20T10:00:00+01:00",
}


def test_a_row_of_text_becomes_a_fill() -> None:
    read = fill_of(ROW)
    assert (read.side, read.quantity, read.fee, read.initial_risk) == ("BUY", 2.0, 0.0, None)
    assert read.executed_at.isoformat() == "2026-11-20T09:00:00+00:00"
    assert fill_of({**ROW, "fee": "", "initial_risk": 5}).initial_risk == 5.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"price": None}, "price missing"),
        ({"colour": "red"}, "field 'colour' is not known"),
        ({"quantity": "two"}, "quantity is 'two', which is no number"),
        ({"quantity": True}, "no number"),
        ({"executed_at": "yesterday"}, "write it like"),
        ({"executed_at": "2026-11-20T10:00:00"}, "without a time zone"),
        ({"executed_at": 7}, "no time"),
        ({"symbol": 1.5}, "no text"),
    ],
)
def test_a_row_that_is_no_fill_names_the_field_and_the_value(change: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fill_of({**ROW, **change})


def test_a_row_becomes_a_price_and_says_what_is_wrong_with_it() -> None:
    price = price_of({"symbol": "X", "at": "2026-11-20T21:00:00Z", "close": 10, "volume": ""})
    assert (price.close, price.volume, str(price.day)) == (10.0, None, "2026-11-20")
    assert price.objection(NOW + timedelta(days=1)) is None
    assert "cannot be after now" in str(price.objection(NOW - timedelta(days=1)))
    assert "no number" in str(replace(price, close=float("nan")).objection(NOW + timedelta(days=1)))
    assert "negative" in str(replace(price, volume=-1.0).objection(NOW + timedelta(days=1)))
    assert "symbol" in str(replace(price, symbol="").objection(NOW + timedelta(days=1)))

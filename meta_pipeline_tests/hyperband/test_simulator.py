from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.simulator import (
    LEAVE_LONG,
    LEAVE_SHORT,
    REASONS,
    Orders,
    Simulation,
    arguments,
    run_bars,
    simulate,
)
from meta_pipeline_tests.hyperband.paths import path
from meta_pipeline_tests.hyperband.plain_simulator import Account


def orders(n: int, entries: dict[int, float], leave: dict[int, int] | None = None, **given: Any) -> Orders:
    target, flags = np.zeros(n), np.zeros(n, dtype=np.uint8)
    for bar, size in entries.items():
        target[bar] = size
    for bar, flag in (leave or {}).items():
        flags[bar] = flag
    stop, take = (np.full(n, given.pop(name, np.inf)) for name in ("stop", "take"))
    return Orders(target=target, leave=flags, stop=stop, take=take, **given)


def prices(*bars: tuple[float, float, float, float]) -> tuple[Any, Any, Any, Any]:
    opening, high, low, close = np.array(bars, dtype=np.float64).T
    return opening, high, low, close


FLAT = (100.0, 100.0, 100.0, 100.0)


def run(
    bars: list[tuple[float, float, float, float]], given: Orders, fee: float = 0.0, slip: float = 0.0
) -> Simulation:
    return simulate(prices(*bars), given, fee=fee, slippage=slip)


def test_an_order_is_filled_at_the_next_open_and_marked_at_closes() -> None:
    done = run([FLAT, (110, 121, 110, 121), (121, 121, 121, 121)], orders(3, {0: 0.5}))
    assert done.returns.tolist() == pytest.approx([0.0, 0.05, 0.0])
    assert done.trips.entry_price.tolist() == [110.0]
    assert [REASONS[code] for code in done.trips.reason] == ["end"]


def test_a_short_position_earns_what_the_price_falls() -> None:
    done = run([FLAT, (100, 100, 80, 80), (80, 80, 80, 80), FLAT], orders(4, {0: -1.0}, {1: LEAVE_SHORT}))
    assert done.returns.tolist() == pytest.approx([0.0, 0.2, 0.0, 0.0])
    assert done.trips.direction.tolist() == [-1]
    assert done.trips.profit.tolist() == pytest.approx([0.2])


def test_each_fill_pays_the_fee_and_market_orders_pay_slippage() -> None:
    done = run([FLAT, FLAT, FLAT, FLAT], orders(4, {0: 1.0}, {1: LEAVE_LONG}), fee=0.01, slip=0.02)
    assert done.trips.entry_price.tolist() == [102.0]
    assert done.trips.exit_price.tolist() == [98.0]
    assert done.trips.profit.tolist() == pytest.approx([98 / 102 * 0.99 - 1.01])
    assert np.prod(1 + done.returns) - 1 == pytest.approx(done.trips.profit[0])


@pytest.mark.parametrize(
    ("bar", "wish", "price", "reason"),
    [
        ((99, 104, 94, 99), 1.0, 95.0, "stop"),  # both levels within one bar: the loss is assumed to come first
        ((99, 104, 96, 99), 1.0, 103.0, "take"),
        ((90, 91, 89, 90), 1.0, 90.0, "stop"),  # the bar opens beyond the stop: filled at its open
        ((107, 108, 106, 107), 1.0, 107.0, "take"),
        ((99, 106, 96, 99), -1.0, 105.0, "stop"),
        ((99, 104, 96, 99), -1.0, 97.0, "take"),
        ((110, 111, 109, 110), -1.0, 110.0, "stop"),
        ((90, 91, 89, 90), -1.0, 90.0, "take"),
    ],
)
def test_stop_and_take_are_met_within_the_bar(
    bar: tuple[float, float, float, float], wish: float, price: float, reason: str
) -> None:
    done = run([FLAT, FLAT, bar, FLAT], orders(4, {0: wish}, stop=0.05, take=0.03))
    assert done.trips.exit_bar.tolist() == [2]
    assert done.trips.exit_price.tolist() == pytest.approx([price])
    assert REASONS[done.trips.reason[0]] == reason


def test_a_stop_pays_slippage_and_a_take_profit_does_not() -> None:
    stopped = run([FLAT, (100, 100, 90, 95), FLAT], orders(3, {0: -1.0}, stop=0.05, take=0.05), slip=0.1)
    assert stopped.trips.exit_price.tolist() == pytest.approx([110.0])  # sold at 90, stop at 94.5: opens beyond it
    taken = run([FLAT, (100, 120, 100, 110), FLAT], orders(3, {0: 1.0}, stop=0.5, take=0.05), slip=0.1)
    assert taken.trips.exit_price.tolist() == pytest.approx([110 * 1.05])


def test_a_position_is_closed_when_it_is_too_old() -> None:
    done = run([FLAT] * 6, orders(6, {0: 1.0}, longest=2))
    assert (done.trips.entry_bar.tolist(), done.trips.exit_bar.tolist()) == ([1], [3])
    assert REASONS[done.trips.reason[0]] == "age"


def test_a_position_may_be_turned_around_at_one_open() -> None:
    done = run([FLAT, FLAT, FLAT, FLAT], orders(4, {0: 1.0, 1: -1.0}, {1: LEAVE_LONG}))
    assert done.trips.direction.tolist() == [1, -1]
    assert done.trips.exit_bar[0] == done.trips.entry_bar[1] == 2


@pytest.mark.parametrize(
    ("bars", "given"),
    [
        ([FLAT, FLAT, (100, 250, 100, 120), FLAT], {"entries": {0: -1.0}}),  # loses more than it has within the bar
        ([FLAT, FLAT, (60, 60, 40, 50), FLAT], {"entries": {0: 3.0}}),  # leverage: a fall by a third is enough
        ([FLAT, FLAT, (250, 250, 250, 250), FLAT], {"entries": {0: -1.0}, "leave": {1: LEAVE_SHORT}}),  # at the open
        ([FLAT, FLAT, (250, 250, 250, 250), FLAT], {"entries": {0: -1.0}, "stop": 0.1}),  # the stop is jumped over
    ],
)
def test_a_ruined_account_stays_at_zero(bars: list[tuple[float, float, float, float]], given: dict[str, Any]) -> None:
    wishes = orders(5, {**given.pop("entries"), 2: 1.0, 3: 1.0}, given.pop("leave", None), **given)
    done = run([*bars, (100, 200, 100, 200)], wishes)
    assert done.ruined
    assert done.returns.tolist() == [0.0, 0.0, -1.0, 0.0, 0.0]
    assert done.trips.profit.tolist() == [-1.0]
    assert REASONS[done.trips.reason[0]] == "ruin"


def test_what_cannot_be_simulated_is_refused() -> None:
    good = orders(3, {})
    with pytest.raises(InputError, match="the order of bar 1 is nan; an order that is not known is 0"):
        orders(3, {1: np.nan})
    with pytest.raises(InputError, match="stop or take distance is zero"):
        orders(3, {}, stop=0.0)
    with pytest.raises(InputError, match="longest is -1"):
        orders(3, {}, longest=-1)
    with pytest.raises(InputError, match=r"fee is -0.1"):
        run([FLAT] * 3, good, fee=-0.1)
    with pytest.raises(InputError, match="one of each per bar"):
        run([FLAT] * 4, good)


def random_orders(n: int, generator: np.random.Generator, *, often: float, leverage: float, longest: int) -> Orders:
    return Orders(
        target=np.where(generator.random(n) < often, leverage * generator.uniform(-1, 1, n), 0.0),
        leave=generator.choice(np.array([0, 0, 0, 1, 2, 3], dtype=np.uint8), n),
        stop=np.where(generator.random(n) < 0.2, np.inf, generator.uniform(0.001, 0.03, n)),
        take=np.where(generator.random(n) < 0.2, np.inf, generator.uniform(0.001, 0.03, n)),
        longest=longest,
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(3, 150),
    often=st.sampled_from([0.02, 0.3, 1.0]),
    leverage=st.sampled_from([0.5, 1.0, 60.0]),
    longest=st.sampled_from([0, 1, 7]),
)
def test_machine_code_and_the_plain_loops_give_the_same_bits(
    seed: int, n: int, often: float, leverage: float, longest: int
) -> None:
    generator = np.random.default_rng(seed)
    bars = path(n, seed=seed)
    wishes = random_orders(n, generator, often=often, leverage=leverage, longest=longest)
    done = simulate(bars.execution_prices(), wishes, fee=0.0007, slippage=0.0003)

    opening, high, low, close = (series.tolist() for series in bars.execution_prices())
    plain = Account((opening, high, low, close), wishes, 0.0007, 0.0003).run()
    assert done.returns.tolist() == plain.returns
    assert done.ruined == plain.ruined
    rows = done.trips
    signed = (rows.size * rows.direction).tolist()
    names = [REASONS[code] for code in rows.reason]
    columns = (rows.entry_bar.tolist(), rows.exit_bar.tolist(), signed, rows.entry_price.tolist())
    assert list(zip(*columns, rows.exit_price.tolist(), rows.profit.tolist(), names, strict=True)) == plain.trips

    given = arguments(bars.execution_prices(), wishes, fee=0.0007, slippage=0.0003)
    assert run_bars(*given) == (len(rows), done.ruined)
    assert given[-2].tolist() == plain.returns


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(3, 150))
def test_round_trips_and_bar_returns_tell_the_same_story(seed: int, n: int) -> None:
    wishes = random_orders(n, np.random.default_rng(seed), often=0.3, leverage=1.0, longest=7)
    done = simulate(path(n, seed=seed).execution_prices(), wishes, fee=0.0007, slippage=0.0003)
    assert np.prod(1 + done.returns) == pytest.approx(np.prod(1 + done.trips.profit), rel=1e-9)
    assert (done.trips.exit_bar >= done.trips.entry_bar).all()
    assert (done.trips.entry_bar[1:] >= done.trips.exit_bar[:-1]).all()

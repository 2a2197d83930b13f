"""The event simulator: from orders, bar by bar, to fills, round trips and the return of each bar.

Belongs here: what happens to one symbol's position, in the order in which it happens. Does not belong here: where
orders come from (orders), or what returns are worth (performance).

An order is decided at the close of bar t, from bars up to t, and filled at the open of bar t + 1. On each bar, in this
order: a position that was told to leave, or is older than `longest`, is closed at the open; a flat account whose order
is not zero opens one at the open; then, within the bar, the stop-loss is looked at, before the take-profit, since a bar
does not tell which came first; a bar that opens beyond a level fills at its open. The last position is closed at the
last close. Market orders and stops pay slippage, a take-profit is a limit order and does not; all pay the fee.

A position whose loss at the worst price of a bar exceeds what the account holds wipes it out: equity is zero from
there on. Short positions pay no borrowing cost here, and cash earns nothing.

`run_bars` is plain Python. `simulate` compiles it with numba, once per machine; both give the same bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.errors import InputError

Floats = NDArray[np.float64]

LEAVE_LONG: Final = 1
LEAVE_SHORT: Final = 2
REASONS: Final = ("signal", "stop", "take", "age", "end", "ruin")
"""Why a round trip ended, by its code."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Orders:
    """What the strategy wants, decided at each bar's close. Arrays of shape (n_bars,).

    Parameters
    ----------
    target
        Position to open when flat, as a fraction of equity: negative for short, 0 for none. No NaN.
    leave
        uint8: bit `LEAVE_LONG` closes a long position, bit `LEAVE_SHORT` a short one.
    stop, take
        Distance of stop-loss and take-profit from the fill, as a fraction of it, for a position opened by this bar's
        order. Positive; infinity: none. A long position's stop lies at zero or above, whatever the distance.
    longest
        Bars after which a position is closed; 0: never.
    """

    target: Floats
    leave: NDArray[np.uint8]
    stop: Floats
    take: Floats
    longest: int = 0

    def __post_init__(self) -> None:
        """Check the orders.

        Raises
        ------
        InputError
            If shapes differ, or an order is NaN or infinite, or a distance is not positive.
        """
        shapes = {self.target.shape, self.leave.shape, self.stop.shape, self.take.shape}
        if len(shapes) != 1 or self.target.ndim != 1:
            raise InputError(f"orders have the shapes {sorted(shapes)}; give one of each per bar")
        if not np.isfinite(self.target).all():
            at = int(np.flatnonzero(~np.isfinite(self.target))[0])
            raise InputError(f"the order of bar {at} is {self.target[at]}; an order that is not known is 0")
        if not (np.all(self.stop > 0) and np.all(self.take > 0)):
            raise InputError("a stop or take distance is zero, negative or NaN; give a positive one, infinity for none")
        if self.longest < 0:
            raise InputError(f"longest is {self.longest}; give a number of bars, 0 for no limit")


@dataclass(frozen=True, kw_only=True, eq=False)
class Trips:
    """Round trips in the order of their entries, arrays of shape (n_trips,).

    Parameters
    ----------
    entry_bar, exit_bar
        Bars on which they were filled.
    direction
        1 long, -1 short.
    size
        Value at entry over equity then, positive.
    entry_price, exit_price
        As filled, slippage included.
    profit
        Net of fees, as a fraction of equity at entry.
    reason
        Code of what ended it, see `REASONS`.
    """

    entry_bar: NDArray[np.int64]
    exit_bar: NDArray[np.int64]
    direction: NDArray[np.int64]
    size: Floats
    entry_price: Floats
    exit_price: Floats
    profit: Floats
    reason: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.entry_bar)


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulation:
    """What the orders did.

    Parameters
    ----------
    returns
        Shape (n_bars,): simple net return of each bar, as a fraction of equity at the close before. -1 on the bar of
        ruin, 0 after.
    trips
        Its round trips.
    ruined
        Whether equity reached zero.
    """

    returns: Floats
    trips: Trips
    ruined: bool


def simulate(
    prices: tuple[Floats, Floats, Floats, Floats], orders: Orders, *, fee: float, slippage: float
) -> Simulation:
    """Simulate one symbol.

    Parameters
    ----------
    prices
        Open, high, low, close, each of shape (n_bars,), positive and finite (`Bars.execution_prices`).
    orders
        One per bar.
    fee
        Fraction of the traded value, per fill.
    slippage
        Fraction of the price by which market orders and stops are filled worse.

    Raises
    ------
    InputError
        If shapes do not agree, or a cost is negative or 1 and more.
    """
    if any(series.shape != orders.target.shape for series in prices):
        raise InputError(f"{prices[0].shape} prices for {orders.target.shape} orders; give one of each per bar")
    for name, cost in (("fee", fee), ("slippage", slippage)):
        if not 0 <= cost < 1:
            raise InputError(f"{name} is {cost!r}; it is a fraction of the value, for instance 0.0005")
    given = arguments(prices, orders, fee=fee, slippage=slippage)
    n_trips, ruined = compiled()(*given)
    returns, log = given[-2], given[-1][:n_trips]
    whole = log[:, [0, 1, 6]].astype(np.int64)
    return Simulation(
        returns=returns,
        trips=Trips(
            entry_bar=whole[:, 0],
            exit_bar=whole[:, 1],
            direction=np.sign(log[:, 2]).astype(np.int64),
            size=np.abs(log[:, 2]),
            entry_price=log[:, 3].copy(),
            exit_price=log[:, 4].copy(),
            profit=log[:, 5].copy(),
            reason=whole[:, 2],
        ),
        ruined=bool(ruined),
    )


def arguments(
    prices: tuple[Floats, Floats, Floats, Floats], orders: Orders, *, fee: float, slippage: float
) -> tuple[Any, ...]:
    """Return what `run_bars` takes: series, costs, and room for its answers.

    The room is numpy's, which asks the system for large pages: at a million bars the loop would spend half of its
    time on page faults otherwise. A trip is a row: entry and exit bar, signed size, prices, profit, reason.
    """
    series = [np.ascontiguousarray(price, dtype=np.float64) for price in prices]
    own = [np.ascontiguousarray(values) for values in (orders.target, orders.leave, orders.stop, orders.take)]
    n = len(orders.target)
    room = np.empty(n), np.empty((n + 1, 7))
    return (*series, *own, min(int(orders.longest), n), float(fee), float(slippage), *room)


@cache
def compiled() -> Callable[..., tuple[Any, ...]]:
    """Return `run_bars` compiled to machine code, with the machine code kept on disk."""
    from numba import njit, types

    # Numbers of bars are never negative: said so, each look-up is spared the check whether it counts from the end.
    counters = dict.fromkeys(("bar", "n", "n_trips", "too_old"), types.uint32)
    function: Callable[..., tuple[Any, ...]] = njit(cache=True, error_model="numpy", locals=counters)(run_bars)
    return function


def run_bars(  # noqa: C901, PLR0912, PLR0915 -- one loop: a call per step would be the slowest part of it
    opening: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    target: Floats,
    leave: NDArray[np.uint8],
    stop: Floats,
    take: Floats,
    longest: int,
    fee: float,
    slippage: float,
    returns: Floats,
    trips: Floats,
) -> tuple[int, bool]:
    """Run the loop: fill `returns` and the first rows of `trips`; return how many trips there are, and ruin.

    Two loops, one while the account is flat and one while it holds, keep what is looked at on a bar to the least.
    """
    n = len(close)
    n_trips = 0
    ruined = False
    cash = 1.0
    before = 1.0
    returns[0] = 0.0
    bar = 1
    while bar < n:
        wish = target[bar - 1]
        if wish == 0.0:
            returns[bar] = cash / before - 1.0  # of a position that was closed at this open; else zero
            before = cash
            bar += 1
            while bar < n and target[bar - 1] == 0.0:
                returns[bar] = 0.0
                bar += 1
            continue
        if wish > 0.0:
            mask = 1
            price = opening[bar] * (1.0 + slippage)
            stop_price = price * (1.0 - stop[bar - 1])
            take_price = price * (1.0 + take[bar - 1])
        else:
            mask = 2
            price = opening[bar] * (1.0 - slippage)
            stop_price = price * (1.0 + stop[bar - 1])
            take_price = price * (1.0 - take[bar - 1])
        at_entry = cash
        units = wish * cash / price
        cash -= units * price + abs(units) * price * fee
        trips[n_trips, 0] = bar
        trips[n_trips, 2] = wish
        trips[n_trips, 3] = price
        ruin_price = -cash / units
        danger = max(stop_price, ruin_price) if wish > 0.0 else min(stop_price, ruin_price)
        too_old = bar + longest if longest > 0 else n
        code = -1
        at_open = False
        while True:
            if wish > 0.0:
                if low[bar] <= danger:
                    if low[bar] <= stop_price:
                        price = min(opening[bar], stop_price) * (1.0 - slippage)
                        code = 1
                    else:
                        price = low[bar]
                        code = 5
                elif high[bar] >= take_price:
                    price = max(opening[bar], take_price)
                    code = 2
            elif high[bar] >= danger:
                if high[bar] >= stop_price:
                    price = max(opening[bar], stop_price) * (1.0 + slippage)
                    code = 1
                else:
                    price = high[bar]
                    code = 5
            elif low[bar] <= take_price:
                price = min(opening[bar], take_price)
                code = 2
            if code >= 0:
                break
            if bar == n - 1:
                price = close[bar] * (1.0 - slippage) if wish > 0.0 else close[bar] * (1.0 + slippage)
                code = 4
                break
            equity = cash + units * close[bar]
            returns[bar] = equity / before - 1.0
            before = equity
            if leave[bar] & mask or bar + 1 >= too_old:
                bar += 1
                price = opening[bar] * (1.0 - slippage) if wish > 0.0 else opening[bar] * (1.0 + slippage)
                code = 3 if bar >= too_old else 0
                at_open = True
                break
            bar += 1
        cash += units * price - abs(units) * price * fee
        if cash <= 0.0:
            cash = 0.0
            ruined = True
        trips[n_trips, 1] = bar
        trips[n_trips, 4] = price
        trips[n_trips, 5] = (cash - at_entry) / at_entry
        trips[n_trips, 6] = 5 if ruined else code
        n_trips += 1
        if ruined or not at_open:
            returns[bar] = cash / before - 1.0
            before = cash
            bar += 1
        if ruined:
            while bar < n:
                returns[bar] = 0.0
                bar += 1
    return n_trips, ruined

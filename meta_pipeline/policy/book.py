"""The live book marked to market, day by day: unit value, exposure, and the return of each strategy.

Open positions are valued at the latest close, so that a loss nobody has taken yet is a loss. Deposits and withdrawals
are neither gain nor loss: the curve is that of one unit of capital. Belongs here: fills by day, capital and prices ->
curves. Does not belong here: what the curves say (equity, measure).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.policy.market import PriceSeries
from meta_pipeline.policy.modes import Reason
from meta_pipeline.policy.scores import Floats, Integers, summed

DAY: Final = np.timedelta64(1, "D")


@dataclass(frozen=True, kw_only=True, eq=False)
class DailyFlows:
    """What was traded, summed by day, strategy and symbol.

    Parameters
    ----------
    days
        Shape (n,), datetime64[D].
    strategies, symbols
        Shape (n,), indices into `strategy_ids` and `symbol_names`.
    quantities
        Shape (n,), change of the position in units.
    cash
        Shape (n,), change of the cash in money, fees included: negative for a purchase.
    last_prices
        Shape (n,), the price of the day's last fill.
    """

    strategy_ids: tuple[str, ...]
    symbol_names: tuple[str, ...]
    days: NDArray[np.datetime64]
    strategies: Integers
    symbols: Integers
    quantities: Floats
    cash: Floats
    last_prices: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Capital:
    """Deposits (positive) and withdrawals (negative), the first of them what the book started with."""

    days: NDArray[np.datetime64]
    amounts: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Book:
    """The book, day by day.

    Parameters
    ----------
    days
        Shape (n_days,), every calendar day of the window.
    unit_values
        Shape (n_days,), what one unit of capital has become by the end of each day.
    equity
        Money at the end of the last day.
    exposure
        Net position value over equity at the end of the last day.
    strategy_returns
        Shape (n_days, n_strategies), profit of each strategy over the book's equity before the day.
    open_positions
        Positions that are not flat.
    marks_as_of
        Symbol -> day of the price it is valued at, for open positions.
    remarks
        What forbids trusting the curves.
    """

    days: NDArray[np.datetime64]
    unit_values: Floats
    equity: float
    exposure: float
    strategy_returns: Floats
    open_positions: int
    marks_as_of: Mapping[str, np.datetime64]
    remarks: tuple[Reason, ...] = ()


def mark_to_market(
    flows: DailyFlows, capital: Capital, prices: Sequence[PriceSeries], *, start: np.datetime64, end: np.datetime64
) -> Book:
    """Value the book at the end of every day from `start` to `end`, both inclusive.

    Trades and capital before `start` make the opening position; a symbol is valued at its latest close, and before
    the first one at the price of its latest fill.
    """
    days = np.arange(start, end + DAY, DAY)
    streams, stream_of = np.unique(flows.strategies * len(flows.symbol_names) + flows.symbols, return_inverse=True)
    symbol_of = streams % max(len(flows.symbol_names), 1)
    strategy_of = streams // max(len(flows.symbol_names), 1)
    slots = np.clip((flows.days - start).astype(np.int64), -1, len(days)) + 1  # slot 0: before the window
    inside = slots <= len(days)
    shape = (len(streams), len(days) + 1)
    cell = stream_of[inside] * shape[1] + slots[inside]
    quantity = summed(cell, flows.quantities[inside], shape[0] * shape[1]).reshape(shape)
    cash = summed(cell, flows.cash[inside], shape[0] * shape[1]).reshape(shape)
    positions = np.cumsum(quantity, axis=1)
    _drop_dust(positions, quantity)
    marks, marked_on = _marks(flows, prices, days)
    values = positions * marks[symbol_of]
    profit = np.diff(values, axis=1) + cash[:, 1:]
    deposits = _deposits(capital, start, len(days))
    opening = float(values[:, 0].sum() + cash[:, 0].sum())
    unit_values, bases, equity, remarks = _unit_values(profit.sum(axis=0), deposits, opening)
    by_strategy = np.zeros((len(flows.strategy_ids), len(days)))
    np.add.at(by_strategy, strategy_of, profit)
    held = np.abs(positions[:, -1]) > 0
    net = float(values[:, -1].sum())
    return Book(
        days=days,
        unit_values=unit_values,
        equity=equity,
        exposure=net / equity if equity > 0 else 0.0,
        strategy_returns=(by_strategy / bases).T,
        open_positions=int(held.sum()),
        marks_as_of={flows.symbol_names[i]: marked_on[i] for i in sorted(set(symbol_of[held].tolist()))},
        remarks=remarks,
    )


def _drop_dust(positions: Floats, quantity: Floats) -> None:
    """Set to zero what rounding left of positions that were closed."""
    traded = np.max(np.abs(quantity), axis=1, keepdims=True, initial=0.0)
    positions[np.abs(positions) <= 1e-9 * traded] = 0.0


def _marks(
    flows: DailyFlows, prices: Sequence[PriceSeries], days: NDArray[np.datetime64]
) -> tuple[Floats, list[np.datetime64]]:
    """Return the price of each symbol at the end of the day before the window and of each day, and when it was set."""
    by_symbol = {series.symbol: series for series in prices}
    grid = np.concatenate([days[:1] - DAY, days])
    marks = np.zeros((len(flows.symbol_names), len(grid)))
    set_on: list[np.datetime64] = []
    order = np.argsort(flows.symbols, kind="stable")
    edges = np.searchsorted(flows.symbols[order], np.arange(len(flows.symbol_names) + 1))
    for index, name in enumerate(flows.symbol_names):
        own = order[edges[index] : edges[index + 1]]
        at, price = flows.days[own], flows.last_prices[own]
        series = by_symbol.get(name)
        if series is not None:
            # A close stands after the fills of its day: a stable sort keeps it behind them.
            at, price = np.concatenate([at, series.days]), np.concatenate([price, series.closes])
        if not len(at):
            set_on.append(grid[0])
            continue
        by_day = np.argsort(at, kind="stable")
        at, price = at[by_day], price[by_day]
        latest = np.searchsorted(at, grid, side="right") - 1
        marks[index] = price[np.maximum(latest, 0)]
        set_on.append(at[max(int(latest[-1]), 0)])
    return marks, set_on


def _deposits(capital: Capital, start: np.datetime64, n_days: int) -> Floats:
    slots = np.clip((capital.days - start).astype(np.int64), -1, n_days) + 1
    inside = slots <= n_days
    return summed(slots[inside], capital.amounts[inside], n_days + 1)


def _unit_values(profit: Floats, deposits: Floats, opening: float) -> tuple[Floats, Floats, float, tuple[Reason, ...]]:
    """Chain the daily returns; the base of a day is the equity before it, and what was paid in on it."""
    before = opening + deposits[0]
    closes = (before + np.cumsum(profit + deposits[1:])).astype(np.float64, copy=False)
    bases = np.concatenate([[before], closes[:-1]]) + np.maximum(deposits[1:], 0.0)
    usable = bases > 0
    # A day before the first deposit has no return; money lost that nobody had is a broken record.
    idle = (bases == 0) & (profit == 0)
    broken = bool(np.any(~usable & ~idle))
    returns = np.where(usable, profit / np.where(usable, bases, 1.0), 0.0)
    unit_values = np.cumprod(np.maximum(1.0 + returns, 0.0)).astype(np.float64, copy=False)
    remarks: tuple[Reason, ...] = ()
    if broken or closes[-1] <= 0:
        text = "there is no capital to measure gains and losses by; record it with: meta-pipeline live capital AMOUNT"
        remarks = (Reason(code="no_capital", text=text),)
    return unit_values, np.where(usable, bases, np.inf), float(closes[-1]), remarks

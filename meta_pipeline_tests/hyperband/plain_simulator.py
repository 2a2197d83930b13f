"""The simulator again, written for reading: one position as an object, one event after the other."""

from dataclasses import dataclass
from operator import ge, le

from meta_pipeline.hyperband.simulator import LEAVE_LONG, LEAVE_SHORT, Orders

Prices = tuple[list[float], list[float], list[float], list[float]]


@dataclass
class Position:
    units: float
    opened: int
    size: float
    price: float
    equity: float
    stop: float
    take: float

    @property
    def is_long(self) -> bool:
        return self.units > 0


class Account:
    def __init__(self, prices: Prices, orders: Orders, fee: float, slippage: float) -> None:
        self.open, self.high, self.low, self.close = prices
        self.orders, self.fee, self.slippage = orders, fee, slippage
        self.cash, self.ruined = 1.0, False
        self.position: Position | None = None
        self.returns = [0.0] * len(self.close)
        self.trips: list[tuple[int, int, float, float, float, float, str]] = []

    def run(self) -> "Account":
        equity = 1.0
        for bar in range(1, len(self.close)):
            before = equity
            self.at_the_open(bar)
            self.within_the_bar(bar)
            if bar == len(self.close) - 1 and self.position:
                self.leave(bar, self.worse(self.close[bar], selling=self.position.is_long), "end")
            equity = self.cash + self.position.units * self.close[bar] if self.position else self.cash
            self.returns[bar] = equity / before - 1.0
            if self.ruined:
                break
        return self

    def at_the_open(self, bar: int) -> None:
        position, flags = self.position, int(self.orders.leave[bar - 1])
        if position:
            old = bool(self.orders.longest) and bar - position.opened >= self.orders.longest
            told = flags & (LEAVE_LONG if position.is_long else LEAVE_SHORT)
            if old or told:
                price = self.worse(self.open[bar], selling=position.is_long)
                self.leave(bar, price, "age" if old else "signal")
        wish = float(self.orders.target[bar - 1])
        if not self.position and wish and not self.ruined:
            self.enter(bar, wish)

    def enter(self, bar: int, wish: float) -> None:
        price = self.worse(self.open[bar], selling=wish < 0)
        stop, take = float(self.orders.stop[bar - 1]), float(self.orders.take[bar - 1])
        side = 1.0 if wish > 0 else -1.0
        units = wish * self.cash / price
        self.position = Position(
            units, bar, wish, price, self.cash, price * (1.0 - side * stop), price * (1.0 + side * take)
        )
        self.cash -= units * price + abs(units) * price * self.fee

    def within_the_bar(self, bar: int) -> None:
        position = self.position
        if not position:
            return
        opening, high, low = self.open[bar], self.high[bar], self.low[bar]
        worst, best = (low, high) if position.is_long else (high, low)
        beyond = le if position.is_long else ge
        nearer = (min, max) if position.is_long else (max, min)
        if beyond(worst, position.stop):
            self.leave(bar, self.worse(nearer[0](opening, position.stop), selling=position.is_long), "stop")
        elif beyond(position.take, best):
            self.leave(bar, nearer[1](opening, position.take), "take")
        elif beyond(worst, -self.cash / position.units):
            self.leave(bar, worst, "ruin")

    def leave(self, bar: int, price: float, why: str) -> None:
        assert self.position
        position, self.position = self.position, None
        self.cash += position.units * price - abs(position.units) * price * self.fee
        if self.cash <= 0.0:
            self.cash, self.ruined, why = 0.0, True, "ruin"
        profit = (self.cash - position.equity) / position.equity
        self.trips.append((position.opened, bar, position.size, position.price, price, profit, why))

    def worse(self, price: float, *, selling: bool) -> float:
        return price * (1.0 - self.slippage) if selling else price * (1.0 + self.slippage)

"""Fills paired into closed trades, per strategy and symbol.

A closed trade is a round trip: from a flat position until it is flat again, or turns over. A position that is built in
ten fills and sold in five is one trade, not fifty: what is counted as evidence is one decision. Belongs here: the
pairing. Does not belong here: statistics of trades (measure, scores).
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.policy.fills import Fill

FLAT: Final = 1e-9
"""A position this small, as a share of the largest it was, is flat: 0.1 + 0.2 - 0.3 is not zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedTrade:
    """One round trip.

    Parameters
    ----------
    direction
        "LONG" or "SHORT".
    quantity
        The largest the position was, in units.
    entry_price, exit_price
        Averages over the fills that built the position, and over those that took it down.
    pnl
        Money made after fees; negative for a loss.
    fees
        Money paid on the way.
    notional
        Entry price times quantity, in money, positive.
    initial_risk
        Money at risk, as its first fill said; None where it did not.
    exit_execution_id
        The fill that closed it: each closes at most one.
    """

    strategy_id: str
    symbol: str
    direction: str
    quantity: float
    entry_price: float
    exit_price: float
    pnl: float
    fees: float
    notional: float
    initial_risk: float | None
    n_fills: int
    opened_at: datetime
    closed_at: datetime
    exit_execution_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTrip:
    """A round trip on its way. Quantities are units, values money; `position` is negative for a short."""

    position: float
    largest: float
    bought: float
    bought_value: float
    sold: float
    sold_value: float
    fees: float
    initial_risk: float | None
    n_fills: int
    opened_at: datetime

    def to_json(self) -> dict[str, JsonValue]:
        """Return the trip as a JSON object."""
        return {**asdict(self), "opened_at": self.opened_at.isoformat()}

    @classmethod
    def from_json(cls, value: object) -> "OpenTrip":
        """Read what `to_json` wrote.

        Raises
        ------
        InputError
            If it is something else.
        """
        try:
            assert isinstance(value, dict)
            return cls(**{**value, "opened_at": datetime.fromisoformat(value["opened_at"])})
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"the stored open position cannot be read ({error!r}): {value!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Closed trades in order of time, and what is still open."""

    closed: tuple[ClosedTrade, ...]
    still_open: OpenTrip | None


def pair(fills: Iterable[Fill], *, carried: OpenTrip | None = None) -> Paired:
    """Pair the fills of one strategy in one symbol.

    Parameters
    ----------
    fills
        In order of time.
    carried
        The trip that was open before the first of them.
    """
    closed: list[ClosedTrade] = []
    trip = carried
    for fill in fills:
        rest = fill
        if trip is not None and trip.position * fill.signed_quantity < 0:
            closing = min(fill.quantity, abs(trip.position))
            share = closing / fill.quantity
            trip = _with(trip, replace(fill, quantity=closing, fee=fill.fee * share))
            left = fill.quantity - closing
            if abs(trip.position) <= FLAT * trip.largest:
                closed.append(_closed(trip, fill))
                trip = None
                if left <= FLAT * fill.quantity:
                    continue
            elif left <= 0:
                continue
            rest = replace(fill, quantity=left, fee=fill.fee * (1.0 - share))
        trip = _opened(rest) if trip is None else _with(trip, rest)
    return Paired(closed=tuple(closed), still_open=trip)


def _opened(fill: Fill) -> OpenTrip:
    empty = OpenTrip(
        position=0.0,
        largest=0.0,
        bought=0.0,
        bought_value=0.0,
        sold=0.0,
        sold_value=0.0,
        fees=0.0,
        initial_risk=fill.initial_risk,
        n_fills=0,
        opened_at=fill.executed_at,
    )
    return _with(empty, fill)


def _with(trip: OpenTrip, fill: Fill) -> OpenTrip:
    position = trip.position + fill.signed_quantity
    value = fill.quantity * fill.price
    buys = fill.side == "BUY"
    return OpenTrip(
        position=position,
        largest=max(trip.largest, abs(position)),
        bought=trip.bought + (fill.quantity if buys else 0.0),
        bought_value=trip.bought_value + (value if buys else 0.0),
        sold=trip.sold + (0.0 if buys else fill.quantity),
        sold_value=trip.sold_value + (0.0 if buys else value),
        fees=trip.fees + fill.fee,
        initial_risk=trip.initial_risk,
        n_fills=trip.n_fills + 1,
        opened_at=trip.opened_at,
    )


def _closed(trip: OpenTrip, last: Fill) -> ClosedTrade:
    long = last.side == "SELL"
    bought, sold = trip.bought_value / trip.bought, trip.sold_value / trip.sold
    entry, leave = (bought, sold) if long else (sold, bought)
    return ClosedTrade(
        strategy_id=last.strategy_id,
        symbol=last.symbol,
        direction="LONG" if long else "SHORT",
        quantity=trip.largest,
        entry_price=entry,
        exit_price=leave,
        pnl=trip.sold_value - trip.bought_value - trip.fees,
        fees=trip.fees,
        notional=abs(entry) * trip.largest,
        initial_risk=trip.initial_risk,
        n_fills=trip.n_fills,
        opened_at=trip.opened_at,
        closed_at=last.executed_at,
        exit_execution_id=last.execution_id,
    )

"""A live fill, as an executor reports it.

Belongs here: the record and what is wrong with one. Does not belong here: pairing fills into trades (round_trips).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from meta_pipeline.canonical import JsonValue, digest
from meta_pipeline.policy.health import MAX_AHEAD

SIDES: Final = ("BUY", "SELL")
EARLIEST: Final = datetime(1980, 1, 1, tzinfo=UTC)
LARGEST: Final = 1e15
"""Largest quantity, price or fee, in absolute terms; sums of them stay exact enough to be money."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution.

    Parameters
    ----------
    execution_id
        The venue's or executor's own id, unique within a scope: the same fill twice is one fill.
    side
        "BUY" or "SELL".
    quantity
        In units such that quantity times price is money; positive.
    price
        Per unit. May be negative, as that of crude oil once was.
    fee
        Money paid for this fill; negative for a rebate.
    executed_at
        When, UTC-aware.
    initial_risk
        Money at risk when the position was opened (distance to the stop times quantity), where the executor knows
        it; it makes multiples of risk.
    """

    execution_id: str
    strategy_id: str
    symbol: str
    side: str
    quantity: float
    price: float
    executed_at: datetime
    fee: float = 0.0
    initial_risk: float | None = None

    @property
    def signed_quantity(self) -> float:
        """The quantity, negative for a sale."""
        return self.quantity if self.side == "BUY" else -self.quantity

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fill as a JSON object."""
        return {
            "execution_id": self.execution_id,
            "strategy_id": self.strategy_id,
            "symbol": self.symbol,
            "side": self.side,
            "quantity": float(self.quantity),
            "price": float(self.price),
            "fee": float(self.fee),
            "executed_at": self.executed_at.astimezone(UTC).isoformat(timespec="microseconds"),
            "initial_risk": None if self.initial_risk is None else float(self.initial_risk),
        }

    def content_digest(self) -> str:
        """Return what two reports of the same execution must agree in, as 64 hexadecimal digits."""
        return digest(self.to_json())


def objection(fill: Fill, *, now: datetime) -> str | None:
    """Say in a sentence what forbids taking a fill in, or None."""
    return next(_objections(fill, now), None)


def _objections(fill: Fill, now: datetime) -> Iterator[str]:
    for name, longest in (("execution_id", 128), ("strategy_id", 64), ("symbol", 50)):
        text = getattr(fill, name)
        if not isinstance(text, str) or not text or len(text) > longest or not text.isprintable():
            yield f"{name} is {str(text)[:80]!a}; it must be 1 to {longest} characters that can be seen"
    if fill.side not in SIDES:
        yield f"side is {fill.side!r}; it must be BUY or SELL"
    if not _number(fill.quantity) or not 0 < fill.quantity <= LARGEST:
        yield f"quantity is {fill.quantity!r}; it must be a positive number"
    if not _number(fill.price) or not 0 < abs(fill.price) <= LARGEST:
        yield f"price is {fill.price!r}; it must be a number other than zero"
    if not _number(fill.fee) or abs(fill.fee) > LARGEST:
        yield f"fee is {fill.fee!r}; it must be a number"
    risk = fill.initial_risk
    if risk is not None and not (_number(risk) and 0 < risk <= LARGEST):
        yield f"initial_risk is {risk!r}; it must be positive, or left out"
    if fill.executed_at.tzinfo is None:
        yield f"executed_at is {fill.executed_at}, without a time zone; add one"
    elif not EARLIEST <= fill.executed_at <= now + MAX_AHEAD:
        yield f"executed_at is {fill.executed_at}; it must lie between {EARLIEST:%Y} and now ({now:%Y-%m-%d %H:%M} UTC)"


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

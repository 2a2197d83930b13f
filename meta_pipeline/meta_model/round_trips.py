"""Fills to outcomes: what was bought and sold, first in first out, as the trade outcomes that training reads."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.instants import MICROSECONDS_PER_MINUTE, iso, microseconds_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One fill: when (with a time zone), of what, BUY or SELL, how much, at what price; all positive."""

    at: datetime
    symbol: str
    side: str
    size: float
    price: float


def round_trips(fills: Iterable[Fill]) -> Iterator[dict[str, Any]]:
    """Pair fills into round trips, one row per part of an entry that was closed.

    Parameters
    ----------
    fills
        In the order of time. A fill against the open position closes its oldest part first; what is left of it opens
        the other side. What is still open at the end has no outcome yet.

    Yields
    ------
    dict
        A row of the documented outcomes; pnl_pct is before costs that are not in the prices.

    Raises
    ------
    InputError
        If fills are not in order of time, or a side, size or price cannot be.
    """
    open_parts: dict[str, deque[tuple[Fill, float]]] = {}
    last: datetime | None = None
    for fill in fills:
        _check(fill, last)
        last = fill.at
        parts = open_parts.setdefault(fill.symbol, deque())
        left = fill.size
        while left > 0 and parts and parts[0][0].side != fill.side:
            entry, size = parts[0]
            closed = min(left, size)
            yield _outcome(entry, fill)
            left -= closed
            if closed == size:
                parts.popleft()
            else:
                parts[0] = (entry, size - closed)
        if left > 0:
            parts.append((fill, left))


def _check(fill: Fill, last: datetime | None) -> None:
    if fill.side not in {"BUY", "SELL"}:
        raise InputError(f"the side of a fill of {fill.symbol} is {fill.side!r}; it must be BUY or SELL")
    if not (0 < fill.size < float("inf") and 0 < fill.price < float("inf")):
        raise InputError(f"a fill of {fill.symbol} has size {fill.size} and price {fill.price}; both must be positive")
    if last is not None and fill.at < last:
        raise InputError(
            f"the fill of {fill.symbol} at {fill.at.isoformat()} comes after a later one; sort them by time"
        )


def _outcome(entry: Fill, leave: Fill) -> dict[str, Any]:
    moved = leave.price / entry.price - 1.0
    pnl = 100.0 * (moved if entry.side == "BUY" else -moved)
    entered, left = microseconds_of(entry.at), microseconds_of(leave.at)
    return {
        "timestamp": iso(entered),
        "symbol": entry.symbol,
        "action": entry.side,
        "outcome": "win" if pnl > 0 else "loss",
        "pnl_pct": pnl,
        "hold_duration_minutes": (left - entered) / MICROSECONDS_PER_MINUTE,
    }

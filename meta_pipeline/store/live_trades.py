"""Live fills in, each once; closed trades and daily sums kept beside them.

What is made of the fills is made in the transaction that takes them in, so that an evaluation reads finished figures.
A fill that comes late makes its stream (a strategy in a symbol) anew from the start; one that comes in order only adds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from meta_pipeline.canonical import JsonValue
from meta_pipeline.policy.fills import Fill, objection
from meta_pipeline.policy.round_trips import ClosedTrade, OpenTrip, pair
from meta_pipeline.store.live_books import list_strategies, open_scope, register_undeclared
from meta_pipeline.store.live_refusals import RefusedFill, mend_refusals, note_refusals
from meta_pipeline.store.queries import query
from meta_pipeline.store.schema_policy import (
    live_closed_trades,
    live_days,
    live_fills,
    live_positions,
    live_scopes,
)

_FILLS: Final = live_fills.c
_INGEST_LOCK: Final = 0x66696C6C  # "fill"
_FILL_FIELDS: Final = (
    *("execution_id", "symbol", "side", "quantity", "price", "fee", "initial_risk", "executed_at"),
    "strategy_id",
)
_TRADE_FIELDS: Final = (
    *("symbol", "exit_execution_id", "direction", "quantity", "entry_price", "exit_price", "pnl", "fees", "notional"),
    *("initial_risk", "n_fills", "opened_at", "closed_at"),
)


@dataclass(frozen=True, kw_only=True)
class FillSummary:
    """What became of fills that were handed in.

    Parameters
    ----------
    accepted, duplicates
        New fills, and fills that were there already, word for word.
    closed_trades
        Trades that the new fills closed; negative where a late fill showed that earlier ones were not closed.
    undeclared
        Strategies among them that nobody declared: they count for the book, and are never allowed.
    """

    accepted: int = 0
    duplicates: int = 0
    refused: tuple[RefusedFill, ...] = ()
    closed_trades: int = 0
    undeclared: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """Return the summary as a JSON object."""
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "refused": [{"execution_id": one.execution_id, "reason": one.reason} for one in self.refused],
            "closed_trades": self.closed_trades,
            "undeclared_strategies": list(self.undeclared),
        }


def ingest_fills(
    connection: Connection,
    scope: str,
    fills: Sequence[Fill],
    *,
    actor: str,
    now: datetime,
    unreadable: Sequence[RefusedFill] = (),
) -> FillSummary:
    """Take fills in. The same ones again add nothing; an empty list says that there were none.

    A fill that cannot be used, or whose id belongs to another one, is refused and noted: until it is mended or
    dismissed, the book counts as not fully known.

    Parameters
    ----------
    connection
        A transaction; one per book at a time writes, others wait.
    unreadable
        What came with them and could not even be read as a fill: refused like any other.
    """
    open_scope(connection, scope, actor=actor, now=now)
    connection.execute(select(func.pg_advisory_xact_lock(_INGEST_LOCK, func.hashtext(scope))))
    connection.execute(
        update(live_scopes)
        .where(live_scopes.c.scope == scope)
        .values(fills_seen_at=func.greatest(live_scopes.c.fills_seen_at, now))
    )
    faults = [(fill, why) for fill in fills if (why := objection(fill, now=now)) is not None]
    faulty = {id(fill) for fill, _ in faults}
    refused = [*unreadable, *(_refused(fill, why) for fill, why in faults)]
    note_refusals(connection, scope, refused, now=now)
    usable = [fill for fill in fills if id(fill) not in faulty]
    by_id: dict[str, Fill] = {}
    for fill in usable:
        by_id.setdefault(fill.execution_id, fill)
    register_undeclared(connection, scope, [fill.strategy_id for fill in by_id.values()], now=now)
    new = _insert(connection, scope, list(by_id.values()), now=now)
    n_duplicates, conflicting = _compare(connection, scope, usable, by_id, new)
    mend_refusals(connection, scope, new, actor=actor, now=now)
    # Two fills under one id contradict each other, also where one of them was just taken in: that is mended by nobody.
    conflicts = [_refused(fill, why) for fill, why in conflicting]
    note_refusals(connection, scope, conflicts, now=now)
    numbers = {one.strategy_id: one for one in list_strategies(connection, scope)}
    streams: dict[tuple[int, str], list[Fill]] = {}
    for execution_id in new:
        fill = by_id[execution_id]
        streams.setdefault((numbers[fill.strategy_id].strategy_no, fill.symbol), []).append(fill)
    closed = _extend(connection, scope, streams)
    named = {fill.strategy_id for fill in by_id.values()}
    return FillSummary(
        accepted=len(new),
        duplicates=n_duplicates,
        refused=(*refused, *conflicts),
        closed_trades=closed,
        undeclared=tuple(sorted(name for name in named if numbers[name].status == "UNDECLARED")),
    )


def _refused(fill: Fill, why: str) -> RefusedFill:
    fields = {name: getattr(fill, name) for name in _FILL_FIELDS}
    return RefusedFill(execution_id=str(fill.execution_id), reason=why, fields=fields)


def _insert(connection: Connection, scope: str, fills: Sequence[Fill], *, now: datetime) -> list[str]:
    if not fills:
        return []
    columns: dict[str, Any] = {name: [getattr(fill, name) for fill in fills] for name in _FILL_FIELDS}
    columns["content_digest"] = [fill.content_digest() for fill in fills]
    rows = connection.execute(query("insert_live_fills"), {"scope": scope, "now": now, **columns})
    return list(rows.scalars())


def _compare(
    connection: Connection, scope: str, fills: Sequence[Fill], first: dict[str, Fill], new: Sequence[str]
) -> tuple[int, list[tuple[Fill, str]]]:
    """Tell repeated fills from others that bear the same id."""
    added = set(new)
    others = [fill for fill in fills if fill.execution_id not in added or first[fill.execution_id] is not fill]
    ids = sorted({fill.execution_id for fill in others})
    known = select(_FILLS.execution_id, _FILLS.content_digest).where(
        _FILLS.scope == scope, _FILLS.execution_id == text("ANY (:ids)")
    )
    digests = {row.execution_id: row.content_digest for row in connection.execute(known, {"ids": ids})} if ids else {}
    why = "this execution id belongs to another fill, which stands"
    conflicts = [(fill, why) for fill in others if fill.content_digest() != digests[fill.execution_id]]
    return len(others) - len(conflicts), conflicts


@dataclass(kw_only=True)
class _Stream:
    """What is kept of one strategy in one symbol."""

    strategy_no: int
    symbol: str
    trip: OpenTrip | None
    last: tuple[datetime, str] | None


def _extend(connection: Connection, scope: str, streams: dict[tuple[int, str], list[Fill]]) -> int:
    """Bring closed trades, open positions and daily sums up to date; return how many trades were closed."""
    kept = _load_streams(connection, [number for number, _ in streams])
    trades: list[tuple[int, ClosedTrade]] = []
    days: list[dict[str, Any]] = []
    positions: list[dict[str, Any]] = []
    n_before = 0
    for (number, symbol), fills in sorted(streams.items()):
        stream = kept.get((number, symbol)) or _Stream(strategy_no=number, symbol=symbol, trip=None, last=None)
        ordered = sorted(fills, key=_moment)
        if stream.last is not None and _moment(ordered[0]) <= stream.last:
            n_before += _forget(connection, stream)
            ordered = _all_fills(connection, stream, like=ordered[0])
            stream = replace(stream, trip=None)
        paired = pair(ordered, carried=stream.trip)
        trades += [(number, trade) for trade in paired.closed]
        days += _daily(number, ordered)
        trip = paired.still_open
        positions.append(
            {
                "strategy_no": number,
                "symbol": symbol,
                "trip": None if trip is None else trip.to_json(),
                "last_executed_at": ordered[-1].executed_at,
                "last_execution_id": ordered[-1].execution_id,
            }
        )
    _write(connection, scope, trades, days, positions)
    return len(trades) - n_before


def _moment(fill: Fill) -> tuple[datetime, str]:
    return fill.executed_at, fill.execution_id


def _load_streams(connection: Connection, numbers: Sequence[int]) -> dict[tuple[int, str], _Stream]:
    if not numbers:
        return {}
    statement = select(live_positions).where(live_positions.c.strategy_no == text("ANY (:numbers)"))
    rows = connection.execute(statement, {"numbers": sorted(set(numbers))})
    return {
        (row.strategy_no, row.symbol): _Stream(
            strategy_no=row.strategy_no,
            symbol=row.symbol,
            trip=None if row.trip is None else OpenTrip.from_json(row.trip),
            last=(row.last_executed_at, row.last_execution_id),
        )
        for row in rows
    }


def _forget(connection: Connection, stream: _Stream) -> int:
    """Delete what was made of a stream; return how many closed trades that were."""
    for table in (live_days, live_closed_trades):
        own = (table.c.strategy_no == stream.strategy_no) & (table.c.symbol == stream.symbol)
        n_deleted = connection.execute(delete(table).where(own)).rowcount
    return n_deleted


def _all_fills(connection: Connection, stream: _Stream, *, like: Fill) -> list[Fill]:
    rows = connection.execute(
        select(live_fills)
        .where(_FILLS.strategy_no == stream.strategy_no, _FILLS.symbol == stream.symbol)
        .order_by(_FILLS.executed_at, _FILLS.execution_id)
    )
    names = [name for name in _FILL_FIELDS if name != "strategy_id"]
    return [Fill(strategy_id=like.strategy_id, **{name: getattr(row, name) for name in names}) for row in rows]


def _daily(number: int, fills: Sequence[Fill]) -> list[dict[str, Any]]:
    sums: dict[date, dict[str, Any]] = {}
    for fill in fills:
        day = fill.executed_at.astimezone(UTC).date()
        new = {
            "strategy_no": number,
            "symbol": fill.symbol,
            "day": day,
            "quantity": 0.0,
            "cash": 0.0,
            "n_fills": 0,
        }
        row = sums.setdefault(day, new)
        row["quantity"] += fill.signed_quantity
        row["cash"] -= fill.signed_quantity * fill.price + fill.fee
        row["last_price"] = fill.price
        row["n_fills"] += 1
    return list(sums.values())


def _write(
    connection: Connection,
    scope: str,
    trades: Sequence[tuple[int, ClosedTrade]],
    days: Sequence[dict[str, Any]],
    positions: Sequence[dict[str, Any]],
) -> None:
    if trades:
        columns: dict[str, Any] = {name: [getattr(trade, name) for _, trade in trades] for name in _TRADE_FIELDS}
        columns["strategy_no"] = [number for number, _ in trades]
        connection.execute(query("insert_live_closed_trades"), {"scope": scope, **columns})
    if days:
        connection.execute(query("add_live_days"), {name: [row[name] for row in days] for name in days[0]})
    if positions:
        statement = upsert(live_positions)
        moved = {name: statement.excluded[name] for name in ("trip", "last_executed_at", "last_execution_id")}
        key = ["strategy_no", "symbol"]
        connection.execute(statement.on_conflict_do_update(index_elements=key, set_=moved), list(positions))

"""What one evaluation looks at, read from the database in one snapshot.

Belongs here: rows -> `policy.evaluate.Inputs`. Does not belong here: what is decided (policy), and writing it
(policies).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, select

from meta_pipeline.counted import counted
from meta_pipeline.policy.book import Book, Capital, DailyFlows, mark_to_market
from meta_pipeline.policy.evaluate import Halt, Inputs
from meta_pipeline.policy.health import MAX_AGE
from meta_pipeline.policy.market import LOOKBACK, PriceSeries, assess
from meta_pipeline.policy.measure import measure
from meta_pipeline.policy.modes import Reason, Regime
from meta_pipeline.policy.risk_mode import ModeState
from meta_pipeline.policy.scores import StrategyTable, TradeColumns, tabulate
from meta_pipeline.store.binary_columns import read_columns
from meta_pipeline.store.live_books import LiveStrategy, Scope, list_strategies, load_scope
from meta_pipeline.store.live_refusals import unresolved_refusals
from meta_pipeline.store.queries import query
from meta_pipeline.store.schema_policy import live_capital, policy_halts

SCORE_DAYS: Final = 365
"""Closed trades that strategies are judged by, and the window in which the peak of the equity is looked for."""

RETURN_DAYS: Final = 250
"""Days of returns that correlation and expected shortfall are measured on."""

_PRICE_DAYS: Final = LOOKBACK * 3 // 2
_WITHHELD: Final = {"LIVE": "", "PAUSED": "paused", "UNDECLARED": "undeclared"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Gathered:
    """The inputs, and what is shown beside the decision.

    Parameters
    ----------
    equity
        Of the book now, in money.
    strategies
        In the order of the table.
    """

    scope: Scope
    inputs: Inputs
    equity: float
    strategies: tuple[LiveStrategy, ...]


def gather(
    connection: Connection,
    scope: str,
    *,
    now: datetime,
    state: ModeState | None,
    last_equity: float | None,
    max_age: timedelta = MAX_AGE,
) -> Gathered:
    """Read and measure everything that an evaluation of a book at `now` needs.

    Parameters
    ----------
    state, last_equity
        What the evaluation before left behind.
    max_age
        Oldest price that is still believed.

    Raises
    ------
    NotFound
        If there is no such book.
    """
    book_scope = load_scope(connection, scope)
    strategies = tuple(list_strategies(connection, scope))
    trades = _trades(connection, scope, strategies, since=now - timedelta(days=SCORE_DAYS))
    prices, priced_at = _prices(connection, scope, since=now.date() - timedelta(days=_PRICE_DAYS))
    book = _book(connection, scope, strategies, prices, today=now.astimezone(UTC).date())
    health = measure(
        book,
        trades,
        assess(prices),
        now=now,
        as_of=_as_of(book_scope, book, priced_at),
        last_equity=last_equity,
        remarks=_remarks(connection, scope),
        max_age=max_age,
    )
    moment = np.datetime64(int(now.timestamp()), "s")
    table = tabulate(trades, tuple(one.strategy_id for one in strategies), now=moment).with_tags(_tags(strategies))
    inputs = Inputs(
        now=now,
        health=health,
        table=table,
        returns=book.strategy_returns[-RETURN_DAYS:],
        withheld=np.array([_WITHHELD[one.status] for one in strategies], dtype="<U24"),
        admitted=np.array([_admitted(one, now) for one in strategies], dtype=bool),
        state=state,
        symbols=sorted(symbol for symbol, at in priced_at.items() if now - at <= max_age),
        halt=current_halt(connection, scope),
    )
    return Gathered(scope=book_scope, inputs=inputs, equity=book.equity, strategies=strategies)


def current_halt(connection: Connection, scope: str) -> Halt | None:
    """Return the halt that is in force, or None."""
    columns = policy_halts.c
    row = connection.execute(
        select(policy_halts).where(columns.scope == scope).order_by(columns.halt_id.desc()).limit(1)
    ).one_or_none()
    if row is None or row.action == "resume":
        return None
    return Halt(by=row.actor, at=row.at, reason=row.reason)


def rankings_table(
    connection: Connection, scope: str, *, now: datetime
) -> tuple[StrategyTable, tuple[LiveStrategy, ...]]:
    """Return the statistics of the strategies of a book, and the strategies, in the same order."""
    strategies = tuple(list_strategies(connection, scope))
    trades = _trades(connection, scope, strategies, since=now - timedelta(days=SCORE_DAYS))
    moment = np.datetime64(int(now.timestamp()), "s")
    table = tabulate(trades, tuple(one.strategy_id for one in strategies), now=moment)
    return table.with_tags(_tags(strategies)), strategies


def _admitted(strategy: LiveStrategy, now: datetime) -> bool:
    return strategy.status == "LIVE" and strategy.admitted_until is not None and strategy.admitted_until > now


def _tags(strategies: Sequence[LiveStrategy]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    tags = [[regime in one.regime_tags for regime in Regime] for one in strategies]
    return np.array(tags, dtype=bool).reshape(len(strategies), len(Regime))


def _trades(connection: Connection, scope: str, strategies: Sequence[LiveStrategy], *, since: datetime) -> TradeColumns:
    columns = {
        "strategy_no": "int4",
        "closed_at": "int8",
        "pnl": "float8",
        "notional": "float8",
        "initial_risk": "float8",
        "long": "int4",
    }
    found = read_columns(connection, "policy_closed_trades", columns, {"scope": scope, "since": since})
    # A total order: trades closed in the same microsecond must not change places between two evaluations.
    order = np.lexsort((found["notional"], found["pnl"], found["strategy_no"], found["closed_at"]))
    numbers = np.array([one.strategy_no for one in strategies], dtype=np.int64)
    return TradeColumns(
        strategies=np.searchsorted(numbers, found["strategy_no"][order]),
        closed_at=found["closed_at"][order].astype("datetime64[us]"),
        pnl=found["pnl"][order],
        notional=found["notional"][order],
        initial_risk=found["initial_risk"][order],
        long=found["long"][order].astype(bool),
    )


def _prices(connection: Connection, scope: str, *, since: date) -> tuple[list[PriceSeries], dict[str, datetime]]:
    columns = {"symbol": "int8", "day": "int4", "close": "float8", "volume": "float8", "as_of": "int8"}
    found = read_columns(connection, "policy_prices", columns, {"scope": scope, "since": since})
    series, latest = [], {}
    order = np.lexsort((found["day"], found["symbol"]))
    symbols = found["symbol"][order]
    for name, code in _symbols(connection, scope).items():
        first, last = np.searchsorted(symbols, code, side="left"), np.searchsorted(symbols, code, side="right")
        own = order[first:last]
        if not len(own):
            continue
        volumes = found["volume"][own]
        series.append(
            PriceSeries(
                symbol=name,
                days=found["day"][own].astype("datetime64[D]"),
                closes=found["close"][own],
                volumes=None if bool(np.all(np.isnan(volumes))) else volumes,
            )
        )
        latest[name] = datetime.fromtimestamp(int(found["as_of"][own[-1]]) / 1e6, UTC)
    return series, latest


def _symbols(connection: Connection, scope: str) -> dict[str, int]:
    rows = connection.execute(query("policy_symbols"), {"scope": scope}).all()
    return {row.symbol: row.hash for row in rows}


def _book(
    connection: Connection,
    scope: str,
    strategies: Sequence[LiveStrategy],
    prices: Sequence[PriceSeries],
    *,
    today: date,
) -> Book:
    capital = _capital(connection, scope)
    end = np.datetime64(today, "D")
    start = end - np.timedelta64(SCORE_DAYS, "D")
    if len(capital.days):
        start = max(start, capital.days.min())
    start = min(start, end)
    columns = {
        "strategy_no": "int4",
        "symbol": "int8",
        "day": "int4",
        "quantity": "float8",
        "cash": "float8",
        "last_price": "float8",
    }
    found = read_columns(connection, "policy_daily_flows", columns, {"scope": scope, "start": start.item()})
    symbols = _symbols(connection, scope)
    names = sorted(symbols, key=symbols.__getitem__)
    numbers = np.array([one.strategy_no for one in strategies], dtype=np.int64)
    flows = DailyFlows(
        strategy_ids=tuple(one.strategy_id for one in strategies),
        symbol_names=tuple(names),
        days=found["day"].astype("datetime64[D]"),
        strategies=np.searchsorted(numbers, found["strategy_no"]),
        symbols=np.searchsorted(np.array([symbols[name] for name in names], dtype=np.int64), found["symbol"]),
        quantities=found["quantity"],
        cash=found["cash"],
        last_prices=found["last_price"],
    )
    return mark_to_market(flows, capital, prices, start=start, end=end)


def _capital(connection: Connection, scope: str) -> Capital:
    columns = live_capital.c
    rows = connection.execute(
        select(columns.effective_at, columns.amount).where(columns.scope == scope).order_by(columns.effective_at)
    ).all()
    days = [np.datetime64(row.effective_at.astimezone(UTC).date(), "D") for row in rows]
    return Capital(
        days=np.array(days, dtype="datetime64[D]"), amounts=np.array([row.amount for row in rows], dtype=np.float64)
    )


def _as_of(scope: Scope, book: Book, priced_at: dict[str, datetime]) -> dict[str, datetime]:
    """Say how old the inputs are: prices by those of what is held, or, for a flat book, the newest there is."""
    found = {}
    if scope.fills_seen_at is not None:
        found["fills"] = scope.fills_seen_at
    held = [priced_at[symbol] for symbol in book.marks_as_of if symbol in priced_at]
    if held:
        found["prices"] = min(held)
    elif priced_at:
        found["prices"] = max(priced_at.values())
    return found


def _remarks(connection: Connection, scope: str) -> tuple[Reason, ...]:
    n = unresolved_refusals(connection, scope)
    if not n:
        return ()
    refused = counted(n, "fill was", "fills were")
    text = f"{refused} refused, so the book is not fully known; see: meta-pipeline live refused"
    return (Reason(code="refused_fills", text=text),)

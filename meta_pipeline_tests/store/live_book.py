"""A live book in the database, for the tests of policies: capital, strategies with an edge, fills and prices."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Connection

from meta_pipeline.policy.evaluate import Rules
from meta_pipeline.policy.fills import Fill
from meta_pipeline.policy.prices import Price
from meta_pipeline.policy.signing import HmacSigner
from meta_pipeline.store import live_books, live_trades
from meta_pipeline.store.database import Database
from meta_pipeline.store.policies import Controller, PolicyRecord, Request, evaluate_policy

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET = b"a secret of thirty-two bytes....."


def controller(now: datetime | Callable[[], datetime] = NOW, **rules: Any) -> Controller:
    """Return a controller whose clock says what the test wants."""
    clock = now if callable(now) else lambda: now
    return Controller(
        rules=Rules(**rules),
        interval=timedelta(minutes=30),
        signer=HmacSigner("k1", SECRET),
        clock=clock,
        timer=lambda: 0.0,
    )


def round_trips(
    strategy_id: str,
    n: int,
    *,
    seed: int,
    until: datetime = NOW,
    symbol: str = "X",
    gain: float = 0.6,
    prefix: str = "",
) -> list[Fill]:
    """Return fills of n trades, one every three hours, of 10 units at 100 and out at 100 + gain + noise."""
    rng = np.random.default_rng(seed)
    fills = []
    for i in range(n):
        opened = until - timedelta(hours=3 * (n - i), minutes=seed)
        leave = 100.0 + gain + float(rng.normal())
        for side, at, price in (("BUY", opened, 100.0), ("SELL", opened + timedelta(hours=2), leave)):
            fills.append(
                Fill(
                    execution_id=f"{prefix}{strategy_id}-{i}-{side}",
                    strategy_id=strategy_id,
                    symbol=symbol,
                    side=side,
                    quantity=10.0,
                    price=price,
                    fee=0.1,
                    executed_at=at,
                )
            )
    return fills


def prices(symbol: str = "X", *, until: datetime = NOW, days: int = 400) -> list[Price]:
    """Return closes that swing without a trend."""
    wave = np.exp(0.001 * np.random.default_rng(1).normal(size=days) + 0.02 * np.sin(np.arange(days) / 3.0))
    return [
        Price(symbol=symbol, at=until - timedelta(days=days - 1 - i, minutes=5), close=float(100 * wave[i]))
        for i in range(days)
    ]


def fill_book(connection: Connection, *, scope: str = "live", until: datetime = NOW, strategies: int = 2) -> None:
    """Make a book in which every strategy has an edge and nothing is wrong."""
    live_books.record_capital(
        connection,
        scope,
        100_000.0,
        flow_id="start",
        effective_at=until - timedelta(days=60),
        reason="start",
        actor="ann",
        now=until,
    )
    for i in range(strategies):
        live_books.declare_strategy(connection, scope, f"S{i}", actor="ann", now=until, name=f"Strategy {i}")
    fills = [fill for i in range(strategies) for fill in round_trips(f"S{i}", 150, seed=i + 1, until=until)]
    live_trades.ingest_fills(connection, scope, fills, actor="ann", now=until)
    live_books.record_prices(connection, scope, prices(until=until), actor="ann", now=until)


def evaluate_at(database: Database, now: datetime, *, scope: str = "live", **asked: Any) -> PolicyRecord:
    """Make a policy at a time."""
    given: dict[str, Any] = {"trigger": "manual", "actor": "ann", **asked}
    return evaluate_policy(database, scope, controller(now), Request(**given))


def calm_policy(database: Database, *, until: datetime = NOW, scope: str = "live") -> PolicyRecord:
    """Fill a book and let the calm last until its policy is NORMAL."""
    begin = until - timedelta(minutes=30 * 9)
    with database.begin() as connection:
        fill_book(connection, scope=scope, until=begin)
    for step in range(10):
        record = evaluate_at(database, begin + timedelta(minutes=30 * step), scope=scope)
    return record

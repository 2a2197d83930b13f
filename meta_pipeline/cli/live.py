"""`meta-pipeline live`: the live books that policies are made for, and what is traded in them."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meta_pipeline.canonical import JsonValue, digest
from meta_pipeline.cli import common
from meta_pipeline.cli.common import AsJson
from meta_pipeline.counted import counted
from meta_pipeline.errors import InputError, MetaPipelineError

if TYPE_CHECKING:
    from rich.console import Console

    from meta_pipeline.policy.fills import Fill
    from meta_pipeline.store.database import Database
    from meta_pipeline.store.live_trades import FillSummary

app = typer.Typer(no_args_is_help=True, help="The live books: capital, strategies, fills and prices.")

Scope = Annotated[str, typer.Option(help="The live book.")]
LIVE, LAB = "live", "lab"
LAB_CAPITAL = 1_000_000.0
"""Money of each strategy in each market of the replay."""


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="CSV, JSON lines or parquet.")],
    scope: Scope = LIVE,
    as_json: AsJson = False,
) -> None:
    """Take fills in, each once, by its execution id. Rows that cannot be used stop none of the others.

    Columns: execution_id, strategy_id, symbol, side (BUY or SELL), quantity, price, executed_at (with a time zone), and
    fee and initial_risk where they are known. Exit code 1 if anything was refused: the book is DEFENSIVE until that
    comes in right, or is dismissed.
    """
    from meta_pipeline.policy.rows import fill_of
    from meta_pipeline.store.live_refusals import RefusedFill
    from meta_pipeline.store.live_trades import ingest_fills

    fills: list[Fill] = []
    unreadable: list[RefusedFill] = []
    for where, row in _rows(paths):
        try:
            fills.append(fill_of(row))
        except InputError as error:
            named = row.get("execution_id") or where
            unreadable.append(RefusedFill(execution_id=str(named), reason=f"{where}: {error}", fields=row))
    with common.open_database() as database, database.begin() as connection:
        actor, now = common.actor(), common.now()
        summary = ingest_fills(connection, scope, fills, actor=actor, now=now, unreadable=unreadable)
    payload: dict[str, JsonValue] = {**summary.to_json(), "scope": scope}
    common.emit(payload, as_json=as_json, human=lambda console: _show(console, summary, scope))
    if summary.refused:
        raise typer.Exit(MetaPipelineError.exit_code)


@app.command()
def prices(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="CSV, JSON lines or parquet.")],
    scope: Scope = LIVE,
    as_json: AsJson = False,
) -> None:
    """Take market prices in: symbol, at (with a time zone), close, and volume where it is known."""
    from meta_pipeline.policy.rows import price_of
    from meta_pipeline.store.live_books import record_prices

    found = []
    for where, row in _rows(paths):
        try:
            found.append(price_of(row))
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    with common.open_database() as database, database.begin() as connection:
        written = record_prices(connection, scope, found, actor=common.actor(), now=common.now())
    common.emit(
        {"scope": scope, "prices": len(found), "days_written": written},
        as_json=as_json,
        human=lambda console: console.print(f"{counted(len(found), 'price')} read, {counted(written, 'day')} written"),
    )


@app.command()
def capital(
    amount: Annotated[float, typer.Argument(help="Money; negative for a withdrawal.")],
    scope: Scope = LIVE,
    at: Annotated[datetime | None, typer.Option(help="When it counts from, UTC; left out: now.")] = None,
    flow: Annotated[str | None, typer.Option("--id", help="Its id: the same again is the same flow.")] = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    as_json: AsJson = False,
) -> None:
    """Record what a book starts with, a deposit, or a withdrawal: neither gain nor loss."""
    from datetime import UTC

    from meta_pipeline.store.live_books import record_capital

    if not isfinite(amount):
        raise common.UsageError(f"the amount is {amount}; it must be a number")
    now = common.now()
    effective = now if at is None else at.replace(tzinfo=UTC)
    named = flow or f"cli-{digest([scope, amount, effective.isoformat()])[:16]}"
    with common.open_database() as database, database.begin() as connection:
        new = record_capital(
            connection,
            scope,
            amount,
            flow_id=named,
            effective_at=effective,
            reason=reason,
            actor=common.actor(),
            now=now,
        )
    said = "recorded" if new else "was on record"
    common.emit(
        {"scope": scope, "flow_id": named, "amount": amount, "new": new},
        as_json=as_json,
        human=lambda console: console.print(f"{amount:,.2f} {said} as {named}", markup=False),
    )


@app.command()
def declare(
    strategy: Annotated[str, typer.Argument(help="The strategy's id, as its fills name it.")],
    scope: Scope = LIVE,
    name: Annotated[str, typer.Option(help="A name for people.")] = "",
    regime: Annotated[list[str] | None, typer.Option(help="A regime it is made for; none: all.")] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Its fills count, but it is not allowed to trade.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say that a strategy trades in a book. What nobody declared is never allowed."""
    from meta_pipeline.store.live_books import declare_strategy

    with common.open_database() as database, database.begin() as connection:
        made = declare_strategy(
            connection,
            scope,
            strategy,
            actor=common.actor(),
            now=common.now(),
            name=name,
            status="PAUSED" if paused else "LIVE",
            regime_tags=regime or (),
        )
    common.emit(
        {"scope": scope, "strategy_id": strategy, "status": made.status, "regime_tags": list(made.regime_tags)},
        as_json=as_json,
        human=lambda console: console.print(f"{strategy} is {made.status} in {scope}", markup=False),
    )


@app.command()
def admit(
    strategy: Annotated[str, typer.Argument(help="A declared strategy without a record.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept.")],
    days: Annotated[float, typer.Option(min=0.01, max=3660, help="For how long.")] = 30.0,
    scope: Scope = LIVE,
    as_json: AsJson = False,
) -> None:
    """Let a strategy in that has too few closed trades to be judged, for a time, so that it can earn a record."""
    from meta_pipeline.store.live_books import admit_strategy

    now = common.now()
    until = now + timedelta(days=days)
    with common.open_database() as database, database.begin() as connection:
        admit_strategy(connection, scope, strategy, until=until, reason=reason, actor=common.actor(), now=now)
    common.emit(
        {"scope": scope, "strategy_id": strategy, "admitted_until": until.isoformat()},
        as_json=as_json,
        human=lambda console: console.print(f"{strategy} is admitted until {until:%Y-%m-%d %H:%M} UTC", markup=False),
    )


@app.command()
def refused(
    scope: Scope = LIVE,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many, the oldest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List refused fills that nobody has mended or dismissed; while there are any, the book is DEFENSIVE."""
    from meta_pipeline.store.live_books import load_scope
    from meta_pipeline.store.live_refusals import list_refusals

    with common.open_database() as database, database.connect() as connection:
        load_scope(connection, scope)
        found = list_refusals(connection, scope, limit=limit)

    def human(console: "Console") -> None:
        from meta_pipeline.report.policy import refusals_table

        console.print(refusals_table(found).rich())

    common.emit({"scope": scope, "refused": list(found)}, as_json=as_json, human=human)


@app.command()
def dismiss(
    reason: Annotated[str, typer.Option(help="Why they were never real; it is kept.")],
    scope: Scope = LIVE,
    as_json: AsJson = False,
) -> None:
    """Dismiss the refused fills of a book: until then it counts as not fully known, and is DEFENSIVE."""
    from meta_pipeline.store.live_refusals import dismiss_refusals

    with common.open_database() as database, database.begin() as connection:
        done = dismiss_refusals(connection, scope, reason=reason, actor=common.actor(), now=common.now())
    common.emit(
        {"scope": scope, "dismissed": done},
        as_json=as_json,
        human=lambda console: console.print(f"{done} refused fills dismissed"),
    )


@app.command()
def replay(scope: Scope = LAB, as_json: AsJson = False) -> None:
    """Replay the lab's held-back years as live trading, up to now: real trades and prices, days moved by whole weeks.

    Again on a later day, it adds the days that have passed since.
    """
    with common.open_database() as database:
        summary, moved = replay_lab(database, scope)
    payload: dict[str, JsonValue] = {**summary.to_json(), "scope": scope, "days_moved": moved}

    def human(console: "Console") -> None:
        _show(console, summary, scope)
        console.print(
            f"A replay: real days moved by {counted(moved, 'day')}. "
            f"Next: meta-pipeline policy evaluate --scope {scope}",
            markup=False,
        )

    common.emit(payload, as_json=as_json, human=human)


def replay_lab(database: "Database", scope: str) -> "tuple[FillSummary, int]":
    """Bring a replay up to now; return what became of the fills, and by how many days they were moved.

    Raises
    ------
    InputError
        If the book trades for real, the prices are not installed, or the held-back days are used up.
    """
    from meta_pipeline import lab
    from meta_pipeline.lab import live_replay
    from meta_pipeline.store import live_books
    from meta_pipeline.store.live_trades import ingest_fills

    now, actor = common.now(), common.actor()
    with database.begin() as connection:
        moved = live_replay.days_to_move(now)
        book = live_books.open_scope(connection, scope, actor=actor, now=now, replay_days=moved)
        if book.replay_days is None:
            raise InputError(f"the book {scope!r} is no replay; choose another --scope")
        moved = book.replay_days
        end = live_replay.original_end(now, moved)
        begin = live_replay.moved_close(live_replay.FIRST_DAY, moved) - timedelta(days=7)
        pairs = [(strategy, market) for strategy in lab.strategies() for market in lab.markets()]
        live_books.record_capital(
            connection,
            scope,
            LAB_CAPITAL * len(pairs),
            flow_id="replay",
            effective_at=begin,
            reason="the replay's start",
            actor=actor,
            now=now,
        )
        known = {one.strategy_id for one in live_books.list_strategies(connection, scope)}
        for strategy in lab.strategies():
            if strategy.strategy_id not in known:
                live_books.declare_strategy(
                    connection, scope, strategy.strategy_id, actor=actor, now=now, name=strategy.description
                )
        fills = [
            fill
            for strategy, market in pairs
            for fill in live_replay.live_fills(
                strategy.strategy_id,
                strategy.live_config,
                market.market_id,
                end=end,
                moved=moved,
                capital=LAB_CAPITAL,
            )
        ]
        summary = ingest_fills(connection, scope, fills, actor=actor, now=now)
        closes = live_replay.live_prices([market.market_id for market in lab.markets()], end=end, moved=moved)
        live_books.record_prices(connection, scope, closes, actor=actor, now=now)
    return summary, moved


def _rows(paths: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in paths:
        if not path.is_file():
            raise common.UsageError(f"there is no file {path}")
        read = _READERS.get(path.suffix.lower())
        if read is None:
            raise common.UsageError(f"{path} is none of {', '.join(_READERS)}; name the file by its format")
        for number, row in read(path):
            yield f"{path}, row {number}", row


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import csv

    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            if None in row:
                raise InputError(f"{path}, row {number} has more fields than there are columns")
            yield number, row


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import json

    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise InputError(f"{path}, row {number} is no JSON: {error}") from None
                if not isinstance(row, dict):
                    raise InputError(f"{path}, row {number} is no JSON object")
                yield number, row


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow.parquet

    yield from enumerate(pyarrow.parquet.read_table(path).to_pylist(), start=1)


_READERS = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}


def _show(console: "Console", summary: "FillSummary", scope: str) -> None:
    from meta_pipeline.report.text import visible

    console.print(
        f"{counted(summary.accepted, 'new fill')}, {summary.duplicates:,} known before, "
        f"{counted(summary.closed_trades, 'trade')} closed in {scope}",
        markup=False,
    )
    for refusal in summary.refused:
        console.print(visible(f"refused {refusal.execution_id}: {refusal.reason}"), markup=False)
    if summary.undeclared:
        names = ", ".join(summary.undeclared)
        console.print(f"nobody declared {names}: meta-pipeline live declare STRATEGY --scope {scope}", markup=False)

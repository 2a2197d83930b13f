"""Backtest runs in the database: written once, by binary COPY, whole or not at all.

Belongs here: writing runs, and opening and closing campaigns. Reading them as one matrix is in
`backtest_panel`, the question which of them wait for a refresh in `pending_runs`; both are offered here too.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy import Connection, select, text, update
from sqlalchemy.dialects.postgresql import insert

from meta_pipeline.backtests.inspected import Calendar, InspectedBatch, InspectedRun
from meta_pipeline.backtests.reasons import ReasonCode
from meta_pipeline.backtests.recording import IngestSummary
from meta_pipeline.backtests.run import RunState
from meta_pipeline.errors import NotFound
from meta_pipeline.store.backtest_panel import Evidence, copy_stream, load_evidence, load_panel
from meta_pipeline.store.database import Database
from meta_pipeline.store.pending_runs import LowWaterMark, PendingRuns, PendingStrategy, pending_runs
from meta_pipeline.store.queries import query
from meta_pipeline.store.schema import backtest_runs, calendars, campaigns, strategies
from meta_pipeline.store.transactions import in_transaction

__all__ = [
    "Evidence",
    "LowWaterMark",
    "PendingRuns",
    "PendingStrategy",
    "RunStore",
    "close_campaign",
    "ingest",
    "load_evidence",
    "load_panel",
    "open_campaign",
    "pending_runs",
]

TRANSACTION_BYTES: Final = 512 * 2**20
TRANSACTION_RUNS: Final = 50_000
"""The most that is held in memory and written in one transaction; a larger delivery is written in several, each
of whole runs."""

ID_LENGTH: Final = 128

# Digits of the content digest behind the id: none for the run the id belongs to, 8 for one in quarantine, and all 64
# should two contents ever agree in the first 8.
_WIDTHS: Final = (0, 8, 64)

_RUN_COLUMNS: Final = {
    "run_id": "text",
    "strategy_id": "text",
    "campaign_id": "text",
    "config_json": "text",
    "config_digest": "text",
    "start_date": "date",
    "end_date": "date",
    "market_id": "text",
    "universe_id": "text",
    "sector": "text",
    "code_version": "text",
    "periods_per_year": "float8",
    "config_version": "int4",
    "metrics_json": "text",
    "computed_json": "text",
    "state": "text",
    "reason_code": "text",
    "reason": "text",
    "content_digest": "text",
    "series_digest": "text",
    "source": "text",
}
_SERIES_COLUMNS: Final = {
    "run_id": "text",
    "calendar_id": "text",
    "first_period": "int4",
    "n_periods": "int4",
    "returns": "bytea",
}
_TRADE_COLUMNS: Final = {
    "run_id": "text",
    "trade_date": "date",
    "ticker": "text",
    "direction": "text",
    "size": "float8",
    "price": "float8",
}


class RunStore:
    """The sink of `meta_pipeline.backtests.record`: writes runs into the database.

    Parameters
    ----------
    database
        Where to.
    actor
        Who registers strategies that were not declared.
    clock
        Returns the time, UTC-aware.
    """

    def __init__(self, database: Database, *, actor: str, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._actor = actor
        self._clock = clock

    def write(self, batches: Iterable[InspectedBatch]) -> IngestSummary:
        """Write all batches, in one transaction as long as they fit into `TRANSACTION_BYTES`.

        Runs are collected first and written after, so that a slow source holds no transaction open and
        concurrent writers wait for each other only while they write.
        """
        summary = IngestSummary()
        for runs in _deliveries(batches):
            work = partial(ingest, batch=InspectedBatch(runs=tuple(runs)), actor=self._actor, now=self._clock())
            summary += in_transaction(self._database, work)
        return summary


def _deliveries(batches: Iterable[InspectedBatch]) -> Iterator[list[InspectedRun]]:
    runs: list[InspectedRun] = []
    size = 0
    for batch in batches:
        runs.extend(batch.runs)
        size += sum(0 if run.series is None else run.series.returns.nbytes for run in batch.runs)
        if size >= TRANSACTION_BYTES or len(runs) >= TRANSACTION_RUNS:
            yield runs
            runs, size = [], 0
    if runs:
        yield runs


def ingest(connection: Connection, batch: InspectedBatch, *, actor: str, now: datetime) -> IngestSummary:
    """Write inspected runs; those that are stored already add nothing.

    A run is known by its id and content digest. The id of an accepted run belongs to that content for
    ever; another content under the same id is kept in quarantine, as `<run_id>#<first 8 digits of its
    digest>`. So is every run in quarantine, which leaves its id free for the corrected run. Strategies and
    campaigns that are not declared are registered; a closed campaign that gets new runs is open again.

    Parameters
    ----------
    connection
        A transaction at READ COMMITTED. Call this once per transaction: writers of the same runs take
        their locks in one order within a call, not across calls.
    actor, now
        Who registers, and when; UTC-aware.
    """
    runs = sorted(batch.runs, key=lambda run: run.run_id)
    if not runs:
        return IngestSummary()
    # Waiting for another writer of the same runs is no fault, however long its transaction takes to commit.
    connection.execute(text("SELECT set_config('lock_timeout', '0', true)"))
    _register(connection, runs, actor=actor, now=now)
    _write_calendars(connection, [run.series.calendar for run in runs if run.series is not None])
    connection.execute(query("create_incoming_runs"))
    written, n_duplicates = _write_new(connection, runs, now=now)
    _copy(connection, "return_series", _SERIES_COLUMNS, _series_rows(written))
    _copy(connection, "backtest_trades", _TRADE_COLUMNS, _trade_rows(written))
    return _summary(connection, runs, written, n_duplicates)


class _Row(NamedTuple):
    """A run, and the id and judgement it is stored with."""

    run_id: str
    run: InspectedRun
    state: RunState
    reason_code: ReasonCode | None
    reason: str | None


def _register(connection: Connection, runs: Sequence[InspectedRun], *, actor: str, now: datetime) -> None:
    new_strategies = [
        {"strategy_id": strategy_id, "created_by": actor, "created_at": now}
        for strategy_id in sorted({run.strategy_id for run in runs})
    ]
    new_campaigns = [
        {"strategy_id": strategy_id, "campaign_id": campaign_id, "created_at": now}
        for strategy_id, campaign_id in sorted({(run.strategy_id, run.campaign_id) for run in runs})
    ]
    connection.execute(insert(strategies).on_conflict_do_nothing(), new_strategies)
    connection.execute(insert(campaigns).on_conflict_do_nothing(), new_campaigns)


def _write_calendars(connection: Connection, used: Iterable[Calendar]) -> None:
    by_id = {calendar.calendar_id: calendar for calendar in used}
    statement = select(calendars.c.calendar_id).where(calendars.c.calendar_id == text("ANY (:ids)"))
    for calendar_id in connection.execute(statement, {"ids": list(by_id)}).scalars():
        by_id.pop(calendar_id)
    rows = [
        {
            "calendar_id": calendar_id,
            "n_periods": len(calendar.timestamps),
            "first_at": _instant(calendar.timestamps.min()),
            "last_at": _instant(calendar.timestamps.max()),
            "timestamps": calendar.timestamps.tobytes(),
        }
        for calendar_id, calendar in sorted(by_id.items())
    ]
    if rows:
        connection.execute(insert(calendars).on_conflict_do_nothing(), rows)


def _instant(timestamp: np.int64) -> str:
    return f"{np.datetime64(int(timestamp), 's')}Z"


def _write_new(connection: Connection, runs: Sequence[InspectedRun], *, now: datetime) -> tuple[list[_Row], int]:
    """Insert the runs that are new, in up to three rounds; return them, and the number of duplicates."""
    written: list[_Row] = []
    n_duplicates = 0
    waiting: dict[int, list[_Row]] = {width: [] for width in _WIDTHS}
    for run in runs:
        width = 8 if run.state is RunState.QUARANTINED else 0
        waiting[width].append(_Row(_stored_id(run, width), run, run.state, run.reason_code, run.reason))
    for width, next_width in zip(_WIDTHS, (*_WIDTHS[1:], None), strict=True):
        candidates: dict[str, _Row] = {}
        for row in waiting[width]:
            candidates.setdefault(row.run_id, row)
        others = [row for row in waiting[width] if candidates[row.run_id] is not row]
        if not candidates:
            continue
        new = _insert(connection, list(candidates.values()), now=now)
        written.extend(row for run_id, row in candidates.items() if run_id in new)
        others.extend(row for run_id, row in candidates.items() if run_id not in new)
        taken = _digests(connection, {row.run_id for row in others})
        for row in others:
            if taken[row.run_id] == row.run.content_digest or next_width is None:
                n_duplicates += 1
            else:
                waiting[next_width].append(_usurper(row, next_width))
    return written, n_duplicates


def _stored_id(run: InspectedRun, width: int) -> str:
    if width == 0:
        return run.run_id
    suffix = "#" + run.content_digest[:width]
    return run.run_id[: ID_LENGTH - len(suffix)] + suffix


def _usurper(row: _Row, width: int) -> _Row:
    """Move a run whose id is taken into quarantine; one that is there already keeps its reason."""
    run_id = _stored_id(row.run, width)
    if row.state is RunState.QUARANTINED:
        return row._replace(run_id=run_id)
    reason = f"run_id {row.run.run_id!r} belongs to a run with another content; hand it in under an id of its own"
    return _Row(run_id, row.run, RunState.QUARANTINED, ReasonCode.DUPLICATE_ID, reason)


def _insert(connection: Connection, rows: Sequence[_Row], *, now: datetime) -> frozenset[str]:
    """Insert runs under ids that differ, and return the ids that were free."""
    connection.execute(text("TRUNCATE pg_temp.incoming_runs"))
    _copy(connection, "pg_temp.incoming_runs", _RUN_COLUMNS, map(_run_values, rows))
    return frozenset(connection.execute(query("insert_incoming_runs"), {"now": now}).scalars())


def _digests(connection: Connection, run_ids: Iterable[str]) -> dict[str, str]:
    ids = list(run_ids)
    if not ids:
        return {}
    statement = select(backtest_runs.c.run_id, backtest_runs.c.content_digest).where(
        backtest_runs.c.run_id == text("ANY (:ids)")
    )
    return {row.run_id: row.content_digest for row in connection.execute(statement, {"ids": ids})}


def _run_values(row: _Row) -> tuple[Any, ...]:
    run = row.run
    own = {
        "run_id": row.run_id,
        "state": row.state.value,
        "reason_code": None if row.reason_code is None else row.reason_code.value,
        "reason": row.reason,
        "series_digest": None if run.series is None else run.series.digest,
    }
    return tuple(own[name] if name in own else getattr(run, name) for name in _RUN_COLUMNS)


def _series_rows(rows: Iterable[_Row]) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        series = row.run.series
        if series is not None:
            yield row.run_id, series.calendar.calendar_id, 0, len(series.returns), series.returns.tobytes()


def _trade_rows(rows: Iterable[_Row]) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        for trade in row.run.trades:
            yield row.run_id, trade.trade_date, trade.ticker, trade.direction, float(trade.size), float(trade.price)


def _copy(connection: Connection, table: str, columns: dict[str, str], rows: Iterable[tuple[Any, ...]]) -> None:
    with copy_stream(connection, f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as stream:
        stream.set_types(list(columns.values()))
        for row in rows:
            stream.write_row(row)


def _summary(
    connection: Connection, runs: Sequence[InspectedRun], written: Sequence[_Row], n_duplicates: int
) -> IngestSummary:
    states = Counter(row.state for row in written)
    codes = Counter(row.reason_code.value for row in written if row.reason_code is not None)
    examples: dict[str, str] = {}
    for row in written:
        if row.reason_code is not None:
            examples.setdefault(row.reason_code.value, f"{row.run_id}: {row.reason}")
    named = sorted({run.strategy_id for run in runs})
    touched = sorted({(row.run.strategy_id, row.run.campaign_id) for row in written})
    arrays = {"strategies": [s for s, _ in touched], "campaigns": [c for _, c in touched]}
    reopened = connection.execute(query("reopen_campaigns"), arrays)
    undeclared = connection.execute(query("undeclared_strategies"), {"strategies": named})
    return IngestSummary(
        accepted=states[RunState.ACCEPTED],
        metrics_only=states[RunState.METRICS_ONLY],
        quarantined=dict(sorted(codes.items())),
        examples=dict(sorted(examples.items())),
        duplicates=n_duplicates,
        undeclared=frozenset(undeclared.scalars()),
        reopened=frozenset((strategy, campaign) for strategy, campaign in reopened),
    )


def open_campaign(connection: Connection, strategy_id: str, campaign_id: str) -> bool:
    """Open a closed campaign again; return whether it was closed.

    Raises
    ------
    NotFound
        If there is no such campaign.
    """
    return _set_state(connection, strategy_id, campaign_id, state="open", closed_at=None)


def close_campaign(connection: Connection, strategy_id: str, campaign_id: str, *, now: datetime) -> bool:
    """Say that no more runs of a campaign are coming, so that its refresh need not wait; return whether it was open.

    This is no lock: a run that comes later opens the campaign again, and is absorbed like any other.

    Raises
    ------
    NotFound
        If there is no such campaign.
    """
    return _set_state(connection, strategy_id, campaign_id, state="closed", closed_at=now)


def _set_state(
    connection: Connection, strategy_id: str, campaign_id: str, *, state: str, closed_at: datetime | None
) -> bool:
    own = (campaigns.c.strategy_id == strategy_id) & (campaigns.c.campaign_id == campaign_id)
    statement = update(campaigns).where(own, campaigns.c.state != state).values(state=state, closed_at=closed_at)
    if connection.execute(statement).rowcount == 1:
        return True
    if connection.execute(select(campaigns.c.state).where(own)).first() is None:
        raise NotFound(f"strategy {strategy_id!r} has no campaign {campaign_id!r}; ingest a run of it first")
    return False

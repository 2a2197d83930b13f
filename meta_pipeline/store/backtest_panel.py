"""The runs of one strategy, read as one runs x days matrix.

Belongs here: rows to `RunPanel`. Does not belong here: writing runs (backtests), or any statistic.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from psycopg import Copy, sql
from sqlalchemy import Connection, Row, bindparam, select

from meta_pipeline.backtests.run import RunState
from meta_pipeline.canonical import JsonValue
from meta_pipeline.evidence.panel import ReportedMetrics, RunPanel
from meta_pipeline.store.queries import query
from meta_pipeline.store.schema import calendars

ROWS_AT_ONCE: Final = 10_000

_RETURNS: Final = sql.SQL(
    "COPY (SELECT s.run_id, s.returns FROM return_series s JOIN backtest_runs r USING (run_id) "
    "WHERE r.strategy_id = {} AND r.state = 'accepted') TO STDOUT (FORMAT BINARY)"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """All that is stored of a strategy's runs at one moment.

    Parameters
    ----------
    panel
        The accepted and metrics-only runs, ordered by run id.
    run_ids
        All runs, those in quarantine included: what a refresh absorbs.
    states
        Number of runs by state; runs in quarantine by `quarantined:<reason code>`.
    distinct_series
        Number of different return series, by the same names.
    digest
        sha256 over the ids and contents of the runs in the panel: names the evidence.
    """

    strategy_id: str
    panel: RunPanel
    run_ids: tuple[str, ...]
    states: Mapping[str, int]
    distinct_series: Mapping[str, int]
    digest: str


@dataclass(kw_only=True, eq=False)
class _Columns:
    """The panel's parts while rows come in."""

    run_ids: list[str] = field(default_factory=list)
    configs: list[Mapping[str, JsonValue]] = field(default_factory=list)
    reported: list[ReportedMetrics] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    markets: list[str] = field(default_factory=list)
    sectors: list[str] = field(default_factory=list)
    periods: list[float] = field(default_factory=list)
    places: dict[str, tuple[int, str, int, int]] = field(default_factory=dict)  # run -> row, calendar, first, n


def load_panel(connection: Connection, strategy_id: str) -> RunPanel:
    """Read the accepted and metrics-only runs of a strategy, ordered by run id.

    The matrix is of float64, runs x days in memory (`panel.returns` is its transpose), over the union of the
    runs' calendars. A strategy without runs gives an empty panel.
    """
    return load_evidence(connection, strategy_id).panel


def load_evidence(connection: Connection, strategy_id: str) -> Evidence:
    """Read all runs of a strategy as of one moment: the panel, and how many are in which state.

    Runs that commit while this reads are not in it, and not in `run_ids`.
    """
    columns = _Columns()
    all_ids: list[str] = []
    states: Counter[str] = Counter()
    series: dict[str, set[str]] = {}
    digest = hashlib.sha256()
    configs: dict[str, Mapping[str, JsonValue]] = {}
    result = connection.execute(
        query("evidence_runs"), {"strategy_id": strategy_id}, execution_options={"stream_results": True}
    )
    for rows in result.partitions(ROWS_AT_ONCE):
        usable = [row for row in rows if row.state != RunState.QUARANTINED]
        _parse_configs(usable, configs)
        _fill(columns, usable, configs)
        for row in rows:
            all_ids.append(row.run_id)
            name = row.state if row.reason_code is None else f"{row.state}:{row.reason_code}"
            states[name] += 1
            series.setdefault(name, set()).add(row.series_digest or row.content_digest)
        for row in usable:
            digest.update(f"{row.run_id}\n{row.content_digest}\n".encode())
    dates, matrix = _read_returns(connection, strategy_id, columns.places, len(columns.run_ids))
    panel = RunPanel(
        run_ids=tuple(columns.run_ids),
        configs=tuple(columns.configs),
        blocks=tuple(columns.blocks),
        markets=tuple(columns.markets),
        sectors=tuple(columns.sectors),
        dates=dates,
        returns=matrix.T,
        periods_per_year=np.array(columns.periods, dtype=np.float64),
        reported=tuple(columns.reported),
    )
    return Evidence(
        strategy_id=strategy_id,
        panel=panel,
        run_ids=tuple(all_ids),
        states=dict(sorted(states.items())),
        distinct_series={name: len(digests) for name, digests in sorted(series.items())},
        digest=digest.hexdigest(),
    )


def _parse_configs(rows: Sequence[Row[Any]], known: dict[str, Mapping[str, JsonValue]]) -> None:
    new = {row.config_digest: row.config_json for row in rows if row.config_digest not in known}
    known.update(zip(new, _parse(new.values()), strict=True))


def _parse(texts: Iterable[str]) -> list[dict[str, JsonValue]]:
    # One document instead of thousands: the parser then keeps one text per key name.
    parsed: list[dict[str, JsonValue]] = json.loads(f"[{','.join(texts)}]")
    return parsed


def _fill(columns: _Columns, rows: Sequence[Row[Any]], configs: Mapping[str, Mapping[str, JsonValue]]) -> None:
    reported = _parse(row.metrics_json or "{}" for row in rows)
    for row, metrics in zip(rows, reported, strict=True):
        if row.calendar_id is not None:
            columns.places[row.run_id] = (len(columns.run_ids), row.calendar_id, row.first_period, row.n_periods)
        columns.run_ids.append(row.run_id)
        columns.configs.append(configs[row.config_digest])
        columns.reported.append(_numbers(metrics))
        columns.blocks.append(f"{row.market_id}|{row.start_date}..{row.end_date}|{row.campaign_id}")
        columns.markets.append(row.market_id)
        columns.sectors.append(row.sector)
        columns.periods.append(np.nan if row.periods_per_year is None else row.periods_per_year)


def _numbers(metrics: dict[str, Any]) -> ReportedMetrics:
    """Keep numbers and nulls; backtesters report texts too."""
    kept = {type(value) for value in metrics.values()} <= {float, type(None)}
    return metrics if kept else {k: v for k, v in metrics.items() if v is None or type(v) in {int, float}}


def _read_returns(
    connection: Connection, strategy_id: str, places: Mapping[str, tuple[int, str, int, int]], n_runs: int
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Return the union calendar, and runs x days."""
    stored = _read_calendars(connection, {calendar_id for _, calendar_id, _, _ in places.values()})
    union = np.unique(np.concatenate([*stored.values(), np.empty(0, dtype=np.int64)]))
    positions = {calendar_id: np.searchsorted(union, timestamps) for calendar_id, timestamps in stored.items()}
    matrix = np.empty((n_runs, len(union)), dtype=np.float64)
    with_series = np.zeros(n_runs, dtype=np.bool_)
    if places:
        statement = _RETURNS.format(sql.Literal(strategy_id))
        with copy_stream(connection, statement) as stream:
            stream.set_types(["text", "bytea"])
            for run_id, returns in stream.rows():
                if run_id not in places:  # committed since the runs were read
                    continue
                row, calendar_id, first, n = places[run_id]
                _place(matrix[row], positions[calendar_id][first : first + n], returns)
                with_series[row] = True
    matrix[~with_series] = np.nan
    return union.astype("datetime64[s]"), matrix


def _place(row: NDArray[np.float64], where: NDArray[np.intp], returns: bytes) -> None:
    values = np.frombuffer(returns, dtype="<f8")
    if len(values) < len(row):
        row.fill(np.nan)
    if int(where[-1]) - int(where[0]) + 1 == len(values):
        row[int(where[0]) : int(where[-1]) + 1] = values
    else:
        row[where] = values


def _read_calendars(connection: Connection, ids: set[str]) -> dict[str, NDArray[np.int64]]:
    statement = select(calendars.c.calendar_id, calendars.c.timestamps).where(
        calendars.c.calendar_id.in_(bindparam("ids", expanding=True))
    )
    rows = connection.execute(statement, {"ids": sorted(ids)})
    return {calendar_id: np.frombuffer(timestamps, dtype="<i8") for calendar_id, timestamps in rows}


@contextmanager
def copy_stream(connection: Connection, statement: sql.Composable | str) -> Iterator[Copy]:
    """Open a COPY on the connection's own psycopg connection, in its transaction."""
    driver_connection: Any = connection.connection.driver_connection
    with driver_connection.cursor() as cursor, cursor.copy(statement) as stream:
        yield stream

"""The runs of one strategy, read as one runs x days matrix.

Belongs here: rows to `RunPanel`. Does not belong here: writing runs (backtests), or any statistic.
"""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import Copy, sql
from sqlalchemy import Connection, Row, bindparam, select

from meta_pipeline.backtests.run import RunState
from meta_pipeline.canonical import JsonValue
from meta_pipeline.evidence.panel import ReportedMetrics, RunPanel
from meta_pipeline.store.queries import query
from meta_pipeline.store.schema import calendars

ROWS_AT_ONCE: Final = 5_000

_PLAIN: Final = frozenset({int, float, type(None)})

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


class _Columns(NamedTuple):
    """The columns of sql/queries/evidence_runs.sql; what describes returns is None where there are none."""

    run_id: tuple[str, ...]
    state: tuple[str, ...]
    series_digest: tuple[str, ...]
    content_digest: tuple[str, ...]
    block: tuple[str, ...]
    market: tuple[str, ...]
    sector: tuple[str, ...]
    periods_per_year: tuple[float, ...]
    config_digest: tuple[str, ...]
    config_json: tuple[str, ...]
    metrics_json: tuple[str, ...]
    calendar_id: tuple[str | None, ...]
    first_period: tuple[int | None, ...]
    n_periods: tuple[int | None, ...]


class _Place(NamedTuple):
    """Where a run's returns go in the matrix, and where they lie on their calendar."""

    row: int
    calendar_id: str
    first: int
    n: int


class _Runs:
    """The panel's parts while rows come in. Columns, not rows: there may be a hundred thousand of them."""

    def __init__(self) -> None:
        self.run_ids: list[str] = []
        self.configs: list[Mapping[str, JsonValue]] = []
        self.reported: list[ReportedMetrics] = []
        self.blocks: list[str] = []
        self.markets: list[str] = []
        self.sectors: list[str] = []
        self.periods: list[float] = []
        self.places: dict[str, _Place] = {}
        self._known: dict[str, Mapping[str, JsonValue]] = {}

    def extend(self, rows: Sequence[Row[Any]]) -> None:
        """Take rows that are not in quarantine."""
        if not rows:
            return
        columns = _Columns._make(zip(*rows, strict=True))
        new = {
            digest: config
            for digest, config in zip(columns.config_digest, columns.config_json, strict=True)
            if digest not in self._known
        }
        self._known.update(zip(new, _parse(new.values()), strict=True))
        first_row = len(self.run_ids)
        self.run_ids.extend(columns.run_id)
        self.configs.extend([self._known[digest] for digest in columns.config_digest])
        self.reported.extend([_numbers(metrics) for metrics in _parse(columns.metrics_json)])
        self.blocks.extend(columns.block)
        self.markets.extend(map(sys.intern, columns.market))
        self.sectors.extend(map(sys.intern, columns.sector))
        self.periods.extend(columns.periods_per_year)
        where = zip(columns.run_id, columns.calendar_id, columns.first_period, columns.n_periods, strict=True)
        for row, (run_id, calendar_id, first, n) in enumerate(where, start=first_row):
            if calendar_id is not None and first is not None and n is not None:
                self.places[run_id] = _Place(row, calendar_id, first, n)


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
    runs = _Runs()
    all_ids: list[str] = []
    states: Counter[str] = Counter()
    series: set[tuple[str, str]] = set()
    digest = hashlib.sha256()
    result = connection.execute(
        query("evidence_runs"), {"strategy_id": strategy_id}, execution_options={"yield_per": ROWS_AT_ONCE}
    )
    for rows in result.partitions(ROWS_AT_ONCE):
        all_ids += [row[0] for row in rows]
        states.update([row[1] for row in rows])
        series.update([(row[1], row[2]) for row in rows])
        usable = [row for row in rows if not row[1].startswith(RunState.QUARANTINED)]
        runs.extend(usable)
        digest.update("".join([f"{row[0]}\n{row[3]}\n" for row in usable]).encode())
    dates, matrix = _read_returns(connection, strategy_id, runs.places, len(runs.run_ids))
    panel = RunPanel(
        run_ids=tuple(runs.run_ids),
        configs=tuple(runs.configs),
        blocks=tuple(runs.blocks),
        markets=tuple(runs.markets),
        sectors=tuple(runs.sectors),
        dates=dates,
        returns=matrix.T,
        periods_per_year=np.array(runs.periods, dtype=np.float64),
        reported=tuple(runs.reported),
    )
    return Evidence(
        strategy_id=strategy_id,
        panel=panel,
        run_ids=tuple(all_ids),
        states=dict(sorted(states.items())),
        distinct_series=dict(sorted(Counter(name for name, _ in series).items())),
        digest=digest.hexdigest(),
    )


def _parse(texts: Iterable[str]) -> list[dict[str, JsonValue]]:
    # One document instead of thousands: the parser then keeps one text per key name.
    parsed: list[dict[str, JsonValue]] = json.loads(f"[{','.join(texts)}]")
    return parsed


def _numbers(metrics: dict[str, Any]) -> ReportedMetrics:
    """Keep numbers and nulls; backtesters report texts too."""
    if _PLAIN.issuperset(map(type, metrics.values())):
        return metrics
    return {name: value for name, value in metrics.items() if type(value) in _PLAIN}


def _read_returns(
    connection: Connection, strategy_id: str, places: Mapping[str, _Place], n_runs: int
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Return the union calendar, and runs x days."""
    stored = _read_calendars(connection, {place.calendar_id for place in places.values()})
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
                place = places[run_id]
                _place(matrix[place.row], positions[place.calendar_id][place.first : place.first + place.n], returns)
                with_series[place.row] = True
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

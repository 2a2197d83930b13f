"""The runs of one strategy, read as one runs x days matrix.

Belongs here: rows to `RunPanel`. Does not belong here: writing runs (backtests), or any statistic.
"""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, compress
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from psycopg import Copy, sql
from sqlalchemy import Connection, bindparam, select

from meta_pipeline.backtests.run import RunState
from meta_pipeline.canonical import ABSENT, JsonValue
from meta_pipeline.evidence.panel import RunPanel
from meta_pipeline.evidence.records import Records, RecordsBuilder
from meta_pipeline.store.queries import query
from meta_pipeline.store.schema import calendars

ROWS_AT_ONCE: Final = 5

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
    """Some runs, as sql/queries/evidence_runs.sql gives them; what describes returns is None where there are none."""

    run_id: Sequence[str]
    state: Sequence[str]
    series_digest: Sequence[str | None]
    content_digest: Sequence[str]
    block: Sequence[str]
    market: Sequence[str]
    sector: Sequence[str]
    periods_per_year: Sequence[float | None]
    config: Sequence[dict[str, JsonValue] | None]
    metrics: Sequence[dict[str, JsonValue] | None]
    calendar_id: Sequence[str | None]
    first_period: Sequence[int | None]
    n_periods: Sequence[int | None]

    def usable(self) -> "_Columns":
        """Return the runs that are not in quarantine."""
        if not any(state.startswith(RunState.QUARANTINED) for state in set(self.state)):
            return self
        kept = [not state.startswith(RunState.QUARANTINED) for state in self.state]
        return _Columns._make(list(compress(column, kept)) for column in self)


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
        self.configs = RecordsBuilder()
        self.metrics = RecordsBuilder()
        self.blocks: list[str] = []
        self.markets: list[str] = []
        self.sectors: list[str] = []
        self.periods: list[float | None] = []
        self.places: dict[str, _Place] = {}

    def extend(self, columns: _Columns) -> None:
        """Take runs that are not in quarantine."""
        self.run_ids.extend(columns.run_id)
        self.configs.extend(columns.config)  # type: ignore[arg-type]  # None in quarantine only
        self.metrics.extend(columns.metrics)  # type: ignore[arg-type]
        for mine, labels in ((self.blocks, columns.block), (self.markets, columns.market)):
            mine.extend(map(sys.intern, labels))
        self.sectors.extend(map(sys.intern, columns.sector))
        self.periods.extend(columns.periods_per_year)
        where = zip(columns.run_id, columns.calendar_id, columns.first_period, columns.n_periods, strict=True)
        for run_id, calendar_id, first, n in where:
            if calendar_id is not None and first is not None and n is not None:
                self.places[run_id] = _Place(len(self.places), calendar_id, first, n)

    def reported(self) -> Records:
        """Return the reported metrics: numbers and nulls; backtesters report texts too."""
        raw = self.metrics.finish()
        columns = {
            key: column.mapped(lambda value: value if type(value) in _PLAIN else ABSENT)
            for key, column in raw.columns.items()
        }
        return Records(len(raw), columns)


def load_panel(connection: Connection, strategy_id: str) -> RunPanel:
    """Read the accepted and metrics-only runs of a strategy, ordered by run id.

    The matrix is of float64, runs x days in memory (`panel.returns` is its transpose), over the union of the
    runs' calendars; metrics-only runs have no column in it. A strategy without runs gives an empty panel.
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
    for text in result.scalars():
        columns = _Columns._make(json.loads(text))
        all_ids += columns.run_id
        states.update(columns.state)
        same = (one or other for one, other in zip(columns.series_digest, columns.content_digest, strict=True))
        series.update(zip(columns.state, same, strict=True))
        usable = columns.usable()
        runs.extend(usable)
        named = chain.from_iterable(zip(usable.run_id, usable.content_digest, strict=True))
        digest.update("".join([f"{part}\n" for part in named]).encode())
    dates, matrix = _read_returns(connection, strategy_id, runs.places)
    places = [runs.places.get(run_id) for run_id in runs.run_ids] if runs.places else []
    positions = np.array([-1 if place is None else place.row for place in places], dtype=np.intp)
    panel = RunPanel(
        run_ids=tuple(runs.run_ids),
        configs=runs.configs.finish(),
        blocks=tuple(runs.blocks),
        markets=tuple(runs.markets),
        sectors=tuple(runs.sectors),
        dates=dates,
        returns=matrix.T,
        periods_per_year=np.array(runs.periods, dtype=np.float64),
        reported=runs.reported(),  # type: ignore[arg-type]  # numbers and nulls are left
        positions=positions if runs.places else np.full(len(runs.run_ids), -1, dtype=np.intp),
    )
    return Evidence(
        strategy_id=strategy_id,
        panel=panel,
        run_ids=tuple(all_ids),
        states=dict(sorted(states.items())),
        distinct_series=dict(sorted(Counter(name for name, _ in series).items())),
        digest=digest.hexdigest(),
    )


def _read_returns(
    connection: Connection, strategy_id: str, places: Mapping[str, _Place]
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Return the union calendar, and runs x days of the runs that have a place."""
    stored = _read_calendars(connection, {place.calendar_id for place in places.values()})
    union = np.unique(np.concatenate([*stored.values(), np.empty(0, dtype=np.int64)]))
    positions = {calendar_id: np.searchsorted(union, timestamps) for calendar_id, timestamps in stored.items()}
    matrix = np.empty((len(places), len(union)), dtype=np.float64)
    with_series = np.zeros(len(places), dtype=np.bool_)
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

"""Looking at stored runs, one or many; without their returns.

Belongs here: rows to records for people. Does not belong here: evidence (backtest_panel) or writing (backtests).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, select, true

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import NotFound
from meta_pipeline.store.schema import absorbed_runs, backtest_runs, return_series


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A stored run.

    Parameters
    ----------
    reported, computed
        Metrics as the backtester reports them, and as the quality gate recomputed them from returns.
    n_returns
        Number of stored returns, None if there are none.
    absorbed_at
        When the evidence took it in; None: it is pending.
    """

    run_id: str
    strategy_id: str
    campaign_id: str
    state: str
    reason_code: str | None
    reason: str | None
    config: Mapping[str, JsonValue]
    market_id: str
    universe_id: str
    sector: str
    code_version: str
    start_date: date | None
    end_date: date | None
    periods_per_year: float | None
    config_version: int | None
    reported: Mapping[str, JsonValue]
    computed: Mapping[str, JsonValue]
    n_returns: int | None
    content_digest: str
    source: str
    created_at: datetime
    absorbed_at: datetime | None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the record as a JSON object."""
        return {
            name: value.isoformat() if isinstance(value, date) else value
            for name in self.__dataclass_fields__
            for value in (getattr(self, name),)
        }


def list_runs(
    connection: Connection,
    *,
    strategy_id: str | None = None,
    campaign_id: str | None = None,
    state: str | None = None,
    reason_code: str | None = None,
    limit: int = 50,
) -> list[RunRecord]:
    """Return the newest runs first, those of one moment by id."""
    chosen = _chosen(strategy_id, campaign_id, state, reason_code)
    statement = _statement().where(chosen).order_by(backtest_runs.c.created_at.desc(), backtest_runs.c.run_id)
    return [_record(row) for row in connection.execute(statement.limit(limit))]


def count_runs(
    connection: Connection, *, strategy_id: str | None = None, campaign_id: str | None = None
) -> dict[str, int]:
    """Return the number of runs by state, those in quarantine by `quarantined:<reason code>`."""
    columns = (backtest_runs.c.state, backtest_runs.c.reason_code)
    chosen = _chosen(strategy_id, campaign_id, None, None)
    statement = select(*columns, func.count().label("n")).where(chosen).group_by(*columns).order_by(*columns)
    return {
        row.state if row.reason_code is None else f"{row.state}:{row.reason_code}": row.n
        for row in connection.execute(statement)
    }


def read_run(connection: Connection, run_id: str) -> RunRecord:
    """Return one run.

    Raises
    ------
    NotFound
        If there is none of that id; where one is in quarantine under the id, the message names it.
    """
    row = connection.execute(_statement().where(backtest_runs.c.run_id == run_id)).one_or_none()
    if row is not None:
        return _record(row)
    near = select(backtest_runs.c.run_id).where(backtest_runs.c.run_id.startswith(f"{run_id}#", autoescape=True))
    others = connection.execute(near.order_by(backtest_runs.c.run_id).limit(5)).scalars().all()
    hint = f"in quarantine there is: {', '.join(others)}" if others else "list them with `meta-pipeline runs list`"
    raise NotFound(f"there is no run {run_id!r}; {hint}")


def _chosen(
    strategy_id: str | None, campaign_id: str | None, state: str | None, reason_code: str | None
) -> ColumnElement[bool]:
    wanted = {"strategy_id": strategy_id, "campaign_id": campaign_id, "state": state, "reason_code": reason_code}
    chosen: ColumnElement[bool] = true()
    for name, value in wanted.items():
        if value is not None:
            chosen &= backtest_runs.c[name] == value
    return chosen


def _statement() -> Any:
    return (
        select(backtest_runs, return_series.c.n_periods, absorbed_runs.c.absorbed_at)
        .outerjoin(return_series, return_series.c.run_id == backtest_runs.c.run_id)
        .outerjoin(absorbed_runs, absorbed_runs.c.run_id == backtest_runs.c.run_id)
    )


def _record(row: Row[Any]) -> RunRecord:
    return RunRecord(
        run_id=row.run_id,
        strategy_id=row.strategy_id,
        campaign_id=row.campaign_id,
        state=row.state,
        reason_code=row.reason_code,
        reason=row.reason,
        config=row.config_json,
        market_id=row.market_id,
        universe_id=row.universe_id,
        sector=row.sector,
        code_version=row.code_version,
        start_date=row.start_date,
        end_date=row.end_date,
        periods_per_year=row.periods_per_year,
        config_version=row.config_version,
        reported=row.metrics_json or {},
        computed=row.computed_json or {},
        n_returns=row.n_periods,
        content_digest=row.content_digest,
        source=row.source,
        created_at=row.created_at,
        absorbed_at=row.absorbed_at,
    )

"""Stored runs as a replay: where no backtest is registered, runs that were handed in say what a config earned."""

from collections.abc import Mapping
from datetime import date

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from meta_pipeline.backtests.run import RunState
from meta_pipeline.canonical import JsonValue, digest
from meta_pipeline.store.database import Database
from meta_pipeline.store.schema import backtest_runs, calendars, return_series


class StoredRuns:
    """The accepted runs of a database, asked like a backtest.

    For a day that several runs of a configuration cover, the one handed in last counts. Bars within one day are
    compounded to a return per day (UTC).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(
        self, strategy_id: str, config: Mapping[str, JsonValue], market: str, start: date, end: date, /
    ) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
        """Return the days that runs of exactly this configuration cover; none where there is no such run."""
        runs, series, days = backtest_runs.c, return_series.c, calendars.c
        statement = (
            select(series.returns, series.first_period, series.n_periods, days.timestamps)
            .join(return_series, series.run_id == runs.run_id)
            .join(calendars, days.calendar_id == series.calendar_id)
            .where(
                runs.strategy_id == strategy_id,
                runs.config_digest == digest(dict(config)),
                runs.market_id == market,
                runs.state == str(RunState.ACCEPTED),
                runs.end_date >= start,
                runs.start_date <= end,
            )
            .order_by(runs.created_at, runs.run_id)
        )
        by_day: dict[np.datetime64, float] = {}
        with self._database.connect() as connection:
            rows = connection.execute(statement).all()
        for row in rows:
            calendar = np.frombuffer(row.timestamps, dtype="<i8")[row.first_period : row.first_period + row.n_periods]
            by_day.update(_daily(calendar, np.frombuffer(row.returns, dtype="<f8")))
        inside = sorted(day for day in by_day if np.datetime64(start, "D") <= day <= np.datetime64(end, "D"))
        return np.array(inside, dtype="datetime64[D]"), np.array([by_day[day] for day in inside], dtype=np.float64)


def _daily(timestamps: NDArray[np.int64], returns: NDArray[np.float64]) -> dict[np.datetime64, float]:
    observed = ~np.isnan(returns)
    days = timestamps[observed].astype("datetime64[s]").astype("datetime64[D]")
    if not len(days):
        return {}
    distinct, starts = np.unique(days, return_index=True)
    grown = np.multiply.reduceat(1.0 + returns[observed], starts) - 1.0
    return dict(zip(distinct, grown.tolist(), strict=True))

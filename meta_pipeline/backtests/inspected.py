"""A run as the quality gate hands it on: every part storable, judged, and addressed by its content."""

import hashlib
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests.reasons import ReasonCode
from meta_pipeline.backtests.run import RunState, Trade


@dataclass(frozen=True, kw_only=True, eq=False)
class Calendar:
    """Time stamps that runs share.

    Parameters
    ----------
    calendar_id
        sha256 of the time stamps as little-endian int64, 64 hexadecimal digits.
    timestamps
        Shape (n,), int64, seconds since 1970, n >= 1. Strictly increasing, unless only runs in quarantine
        use it: their series are kept as they came.
    """

    calendar_id: str
    timestamps: NDArray[np.int64]

    @classmethod
    def of(cls, timestamps: NDArray[np.int64]) -> "Calendar":
        """Address time stamps by their content."""
        little_endian = np.ascontiguousarray(timestamps, dtype="<i8")
        return cls(calendar_id=hashlib.sha256(little_endian.data).hexdigest(), timestamps=little_endian)


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """A run's returns on their calendar.

    Parameters
    ----------
    calendar
        The run's own calendar: a run over a part of another's calendar has one of its own.
    returns
        Shape (n,), float64 little-endian, contiguous: simple returns as fractions. Finite, unless the run is
        in quarantine.
    digest
        sha256 of calendar and returns: equal for identical series.
    """

    calendar: Calendar
    returns: NDArray[np.float64]
    digest: str


@dataclass(frozen=True, kw_only=True, eq=False)
class InspectedRun:
    """One judged run; the fields are those of the table backtest_runs.

    Parameters
    ----------
    run_id
        The id it was given, or one derived from the content. Where it is stored is for the store
        to say: an accepted run under this id, one in quarantine under `<run_id>#<digest8>`.
    config_json, metrics_json, computed_json
        Canonical JSON objects. What could not be read is kept as text under `unreadable`.
    content_digest
        sha256 of everything but `run_id` and `source`: equal for the same run handed in twice.
    """

    run_id: str
    strategy_id: str
    campaign_id: str
    config_json: str
    config_digest: str
    start_date: date | None
    end_date: date | None
    market_id: str
    universe_id: str
    sector: str
    code_version: str
    periods_per_year: float | None
    config_version: int | None
    metrics_json: str
    computed_json: str | None
    state: RunState
    reason_code: ReasonCode | None
    reason: str | None
    content_digest: str
    source: str
    series: Series | None
    trades: tuple[Trade, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class InspectedBatch:
    """Runs that passed through the quality gate together, in the order they came."""

    runs: tuple[InspectedRun, ...]

"""One backtest run, as a backtester hands it in.

Values are taken as they come: what is wrong with them is said by the quality gate, not by an
exception, so that one bad run never stops the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue


class RunState(StrEnum):
    """What the quality gate made of a run."""

    ACCEPTED = "accepted"
    METRICS_ONLY = "metrics_only"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, kw_only=True)
class Trade:
    """One trade of a run. Size in units, price per unit in the market's currency."""

    trade_date: date
    ticker: str
    direction: str
    size: float
    price: float


@dataclass(frozen=True, kw_only=True, eq=False)
class BacktestRun:
    """One backtest: a configuration, run over a window of a market, and what came out.

    Parameters
    ----------
    strategy_id, campaign_id
        Which strategy was run, and in which campaign. At most 64 characters each.
    config
        The whole configuration, a JSON object; nested values are fine.
    start_date, end_date
        The window that was simulated, both inclusive. None: taken from `dates`.
    dates
        Shape (n,), any datetime64 unit, strictly increasing: the time stamp of each return. None for a
        metrics-only run.
    returns
        Shape (n,), float64: simple net return per period, as fractions. None for a metrics-only run.
    periods_per_year
        252 for daily bars on an exchange, 365 for daily bars around the clock, 2190 for 4-hour
        bars, 12 for months. None: inferred from `dates`, or the run is quarantined.
    metrics
        Metrics as the backtester reports them. Names of the predecessor are understood:
        annualised_sharpe, cumulative_return, annualised_vol, max_drawdown (not positive).
        Values may be anything; what is not a finite number is reported by the quality gate.
    run_id
        Unique for ever, at most 128 characters. None: derived from the content, so that the same
        run twice is the same id.
    config_version
        The strategy's live config version this run replays, if it does.
    source
        Where the run came from (file and line), for people; not part of its content.
    defects
        What an importer could not read of the run, as sentences. A run with defects is quarantined.
    """

    strategy_id: str
    campaign_id: str
    config: Mapping[str, JsonValue]
    start_date: date | None = None
    end_date: date | None = None
    dates: NDArray[np.datetime64] | None = None
    returns: NDArray[np.float64] | None = None
    periods_per_year: float | None = None
    market_id: str = ""
    universe_id: str = ""
    sector: str = ""
    code_version: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    trades: Sequence[Trade] = ()
    run_id: str | None = None
    config_version: int | None = None
    source: str = ""
    defects: Sequence[str] = ()

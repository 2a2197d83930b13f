"""Runs to test with: a sound one, and ways to spoil it."""

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests import BacktestRun
from meta_pipeline.backtests.inspected import InspectedRun
from meta_pipeline.backtests.quality import inspect


def trading_days(n: int, start: str = "2015-01-05") -> NDArray[np.datetime64]:
    """The first n weekdays from a Monday on."""
    return np.busday_offset(start, np.arange(n), roll="forward")


def returns_of(n: int, *, seed: int = 2, mean: float = 4e-4, volatility: float = 0.01) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(mean, volatility, n)


def a_run(*, n: int = 500, seed: int = 2, **changes: Any) -> BacktestRun:
    """A run that the gate accepts, with some fields changed."""
    run = BacktestRun(
        strategy_id="trend",
        campaign_id="spring",
        config={"fast": 10, "slow": 100, "risk": {"target": 0.1}},
        dates=trading_days(n),
        returns=returns_of(n, seed=seed),
        market_id="SP500",
    )
    return replace(run, **changes)


def a_metrics_only_run(metrics: Any, **changes: Any) -> BacktestRun:
    window = {"start_date": date(2015, 1, 5), "end_date": date(2016, 12, 30)}
    return a_run(**{"dates": None, "returns": None, "metrics": metrics, **window, **changes})


def judge(run: BacktestRun) -> InspectedRun:
    return inspect([run]).runs[0]

"""A backtest with a known truth, and a strategy that has runs and that backtest: what tests of outcomes share."""

import zlib
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.backtests import record
from meta_pipeline.canonical import JsonValue
from meta_pipeline.settings import Settings
from meta_pipeline.store.backtests import RunStore
from meta_pipeline.store.database import Database
from meta_pipeline_tests.backtests.runs import a_run
from meta_pipeline_tests.proposals.governed import LIVE, NOW

TARGET = "meta_pipeline_tests.store.known_truth:replay"
MARKET = "M1"
FIRST = np.datetime64("2024-01-01")
N_DAYS = 2500
DATA_END = date(2030, 1, 1)


def settings(**changes: Any) -> Settings:
    return Settings.model_construct(**{"replays": f"*={TARGET}", **changes})


def replay(
    strategy_id: str, config: Mapping[str, JsonValue], market: str, start: date, end: date
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Return weekdays' returns: `risk.max_vol` below 0.5 is better, above is worse, 0.95 four times as volatile."""
    maximum = float(config["risk"]["max_vol"])  # type: ignore[call-overload, index, arg-type]
    days = np.busday_offset(FIRST, np.arange(N_DAYS), roll="forward")
    common = np.random.default_rng(zlib.crc32(f"{strategy_id} {market}".encode())).normal(0.0003, 0.01, N_DAYS)
    own = np.random.default_rng(int(1000 * maximum)).normal(0.0, 0.001, N_DAYS)
    edge = 8.0 * (0.5 - maximum) * 0.01 / np.sqrt(252)
    returns = common + (own + edge if maximum != 0.5 else 0.0)
    returns = 4.0 * returns if maximum == 0.95 else returns
    inside = (days >= np.datetime64(start, "D")) & (days <= np.datetime64(min(end, DATA_END), "D"))
    return days[inside], returns[inside]


def broken_replay(*_: Any) -> Any:
    raise RuntimeError("the data vendor is down")


def hand_in_runs(database: Database, *strategy_ids: str) -> None:
    """Give strategies a run with returns, so that it is known where they trade."""
    runs = [
        a_run(strategy_id=name, campaign_id="c", market_id=MARKET, config=LIVE, run_id=f"run-{name}")
        for name in strategy_ids
    ]
    record(runs, into=RunStore(database, actor="ann", clock=lambda: NOW))


def after(days: int, start: datetime = NOW) -> date:
    return (start + timedelta(days=days)).date()

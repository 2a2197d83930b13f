"""A small campaign with a known truth: one knob matters, one does nothing, and one day's shock hits all runs."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

import numpy as np

from meta_pipeline.backtests import BacktestRun, record
from meta_pipeline.proposals.knobs import Knob
from meta_pipeline.proposals.strategy import Strategy
from meta_pipeline.store import strategies
from meta_pipeline.store.backtests import RunStore, close_campaign
from meta_pipeline.store.database import Database
from meta_pipeline_tests.backtests.runs import trading_days
from meta_pipeline_tests.orchestration.builders import NOW

DAYS = 750
CAMPAIGN = "spring"


def runs_of(strategy: str, *, effect: float = 1.0, seed: int = 1) -> Iterator[BacktestRun]:
    """32 runs: two markets, 16 configurations. `window` = 50 has a Sharpe ratio that is higher by `effect`."""
    random = np.random.default_rng(seed)
    days = trading_days(DAYS)
    for market in ("SP500", "WTI"):
        shock = random.normal(0.0, 0.009, DAYS)
        for window in (20, 50):
            for band in (0.1, 0.2):
                for lag in (1, 2, 3, 4):
                    own = random.normal(0.0, 0.004, DAYS)
                    lift = effect * 0.01 / np.sqrt(252) * (window == 50)
                    yield BacktestRun(
                        strategy_id=strategy,
                        campaign_id=CAMPAIGN,
                        config={"window": window, "band": band, "lag": lag},
                        dates=days,
                        returns=shock + own + lift,
                        market_id=market,
                    )


def declare(database: Database, strategy: str) -> None:
    knobs = (
        Knob(path="window", knob_type="int", lower=5, upper=200),
        Knob(path="band", knob_type="float", lower=0.0, upper=1.0),
        Knob(path="lag", knob_type="int", lower=1, upper=9),
    )
    live = {"window": 20, "band": 0.1, "lag": 1}
    with database.begin() as connection:
        strategies.declare(
            connection, Strategy(strategy_id=strategy, knobs=knobs, live_config=live), actor="Ann", now=NOW
        )


def hand_in(database: Database, strategy: str, *, seed: int = 1, n_runs: int = 32, now: datetime = NOW) -> None:
    """Declare the strategy, hand the first runs of its campaign in, and close it."""
    declare(database, strategy)
    runs = islice(runs_of(strategy, seed=seed), n_runs)
    record(runs, into=RunStore(database, actor="Ann", clock=lambda: now))
    with database.begin() as connection:
        close_campaign(connection, strategy, CAMPAIGN, now=now)

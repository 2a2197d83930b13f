"""A backtest that tests register as a replay: window 50 earns more than 20, and lag 3 cannot be run."""

import zlib
from collections.abc import Mapping
from datetime import date

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue, canonical_json

REGISTERED = "meta_pipeline_tests.store.replays:replay"


def replay(
    strategy_id: str, config: Mapping[str, JsonValue], market: str, start: date, end: date
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    if config.get("lag") == 3:
        raise ZeroDivisionError("lag 3 breaks this backtest")
    days = np.arange(np.datetime64(start), np.datetime64(end) + np.timedelta64(1, "D"))
    days = days[np.is_busday(days)]
    shock = np.random.default_rng(zlib.crc32(f"{strategy_id}{market}{start}".encode())).normal(0, 0.009, len(days))
    own = np.random.default_rng(zlib.crc32(f"{canonical_json(dict(config))}{market}{start}".encode()))
    lift = 0.001 if config["window"] == 50 else 0.0
    return days, shock + own.normal(0, 0.002, len(days)) + lift

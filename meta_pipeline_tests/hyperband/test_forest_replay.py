"""The replay of the four-model strategy: its forests saw nothing of the days they trade, and played days stay so.

The bars are drawn: nothing is optimised on them here, the same configuration is played over and over.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.forest_replay import replay
from meta_pipeline.hyperband.forest_strategy import USUAL
from meta_pipeline_tests.hyperband.paths import changed_after, path

N = 1400
WHOLE = path(N, seed=5, drift=0.35)
LAST = WHOLE.times[-1].astype("datetime64[D]").astype(date)
FIRST = LAST - timedelta(days=30)


def written(folder: Path, bars: Any = WHOLE, *, n_bars: int = N) -> dict[str, JsonValue]:
    """Write bars to a file, and return a configuration that trades it."""
    columns = {name: getattr(bars, name)[:n_bars] for name in ("open", "high", "low", "close", "volume")}
    pd.DataFrame({"time": bars.times[:n_bars], **columns}).to_parquet(folder / "X.parquet")
    few = {name: 50 for name in USUAL if name.endswith("n_estimators")} | {"profit_n_estimators": 100}
    fixed: dict[str, JsonValue] = {"data": {"path": str(folder / "X.parquet"), "symbols": None}, "sample_share": 0.2}
    return {"parameters": {**USUAL, **few}, "strategy": fixed}


def test_a_day_that_was_played_is_never_played_otherwise_however_far_the_file_has_grown(tmp_path: Path) -> None:
    config = written(tmp_path, n_bars=N - 60)
    days, early = replay("FOREST_X", config, "X", FIRST, LAST)
    assert days[0] == np.datetime64(FIRST)
    assert days[-1] < np.datetime64(LAST)  # the days that the file has
    assert np.isfinite(early).all()
    assert early.any()
    later_days, later = replay("FOREST_X", written(tmp_path), "X", FIRST, LAST)
    same = np.isin(later_days, days[:-1])  # its last day was not over
    assert same.sum() == len(days) - 1
    np.testing.assert_array_equal(later[same], early[:-1])
    assert len(later_days) == 31


def test_the_forests_know_nothing_of_the_days_that_they_trade(tmp_path: Path) -> None:
    config = written(tmp_path)
    _, honest = replay("FOREST_X", config, "X", FIRST, LAST)
    cut = int((WHOLE.times < np.datetime64(FIRST + timedelta(days=10), "s")).sum())
    _, other = replay("FOREST_X", written(tmp_path, changed_after(WHOLE, cut - 1, seed=9)), "X", FIRST, LAST)
    np.testing.assert_array_equal(honest[:9], other[:9])
    assert (honest[11:] != other[11:]).any()


def test_days_that_the_file_has_not_reached_are_none_and_too_short_a_history_is_refused(tmp_path: Path) -> None:
    config = written(tmp_path)
    days, returns = replay("FOREST_X", config, "X", LAST + timedelta(days=3), LAST + timedelta(days=9))
    assert len(days) == len(returns) == 0
    early = WHOLE.times[300].astype("datetime64[D]").astype(date)
    with pytest.raises(InputError, match="are too few to train for"):
        replay("FOREST_X", config, "X", early, LAST)
    with pytest.raises(InputError, match="not of the four-model strategy"):
        replay("FOREST_X", {"window": 3}, "X", FIRST, LAST)

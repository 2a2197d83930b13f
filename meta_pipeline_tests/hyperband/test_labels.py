from itertools import pairwise

import numpy as np
import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.hyperband.bars import Bars
from meta_pipeline.hyperband.features import volatility
from meta_pipeline.hyperband.labels import labels
from meta_pipeline_tests.hyperband.paths import path

BARS = path(120, seed=4)
HORIZON = 6
FOUND = labels(BARS, horizon=HORIZON, barrier=1.0, round_trip_cost=0.002)


def plain(t: int) -> tuple[float, float, float, float]:
    """The four labels of one bar, one future bar after the other."""
    fill = float(BARS.open[t + 1])
    width = float(volatility(BARS)[t]) * HORIZON**0.5
    future = range(t + 1, t + HORIZON + 1)
    entry = float(BARS.close[t + HORIZON] > fill)
    for bar in future:
        up, down = BARS.high[bar] / fill - 1 >= width, BARS.low[bar] / fill - 1 <= -width
        if up or down:
            entry = float(BARS.close[t + HORIZON] > fill) if up and down else float(up)
            break
    way = [fill, *(float(BARS.close[bar]) for bar in future)]
    steps = [abs(np.log(b / a)) for a, b in pairwise(way)]
    trend = 1.0 if BARS.close[t] > BARS.close[t - HORIZON] else -1.0
    pays = trend * (way[-1] / fill - 1) > 0.002
    return entry, abs(np.log(way[-1] / fill)) / sum(steps), float(way[2] < fill), float(pays)


def test_labels_are_what_the_plain_loop_says() -> None:
    known = np.flatnonzero(np.isfinite(FOUND.entry))
    assert known.tolist() == list(range(20, 120 - HORIZON))
    for t in known:
        got = FOUND.entry[t], FOUND.position[t], FOUND.exit[t], FOUND.profit[t]
        assert got == pytest.approx(plain(int(t)), abs=1e-12)


def test_where_the_future_is_not_known_there_is_no_label() -> None:
    for name in ("entry", "position", "exit", "profit"):
        assert np.isnan(getattr(FOUND, name)[-HORIZON:]).all()


def test_with_fills_at_closes_labels_start_there() -> None:
    late = labels(path(120, seed=4, fills="next_close"), horizon=HORIZON, barrier=1.0, round_trip_cost=0.002)
    t = 50
    assert late.exit[t] == float(BARS.close[t + 2] < BARS.close[t + 1])


def test_what_labels_cannot_be_made_of_is_refused() -> None:
    with pytest.raises(InputError, match="horizon of at least 2 bars"):
        labels(BARS, horizon=1, barrier=1.0, round_trip_cost=0.0)
    with pytest.raises(InputError, match="X has 120 bars; labels of horizon 120 need more"):
        labels(BARS, horizon=120, barrier=1.0, round_trip_cost=0.0)
    short: Bars = BARS.cut(0, 10)
    assert np.isnan(labels(short, horizon=3, barrier=1.0, round_trip_cost=0.0).entry).all()

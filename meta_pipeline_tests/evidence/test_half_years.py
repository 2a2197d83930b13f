"""Three sums per half-year hold every Sharpe ratio of every span of half-years."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.evidence.half_years import first_day_of, half_year_of, half_years, last_day_of
from meta_pipeline.evidence.metrics import summarize

DATES = np.arange(np.datetime64("2018-02-05"), np.datetime64("2021-11-11"))


def returns(seed: int, n_runs: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = rng.normal(0.0004, 0.01, (len(DATES), n_runs))
    found[:400, 1] = np.nan
    found[::7, 2] = np.nan
    found[:, 3] = np.nan
    found[:, 4] = 0.0001
    return found


@given(st.integers(0, 5), st.integers(0, 8), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_a_sharpe_ratio_from_sums_is_the_one_from_daily_returns(seed: int, start: int, length: int) -> None:
    daily, periods = returns(seed), np.full(5, 365.0)
    first = int(half_year_of(DATES[:1])[0])
    found = half_years(DATES, daily).sharpe(first + start, first + start + length, periods)
    inside = (first_day_of(first + start) <= DATES) & (last_day_of(first + start + length - 1) >= DATES)
    wanted = summarize(daily[inside], periods).sharpe_ratio
    known = (~np.isnan(daily[inside])).sum(axis=0) >= 20
    known[4] = False  # no volatility, no Sharpe ratio
    np.testing.assert_allclose(found[known], wanted[known], rtol=1e-9)
    assert np.isnan(found[~known]).all()


def test_a_run_reduces_to_the_same_bits_whatever_runs_stand_beside_it() -> None:
    daily = np.random.default_rng(1).normal(0, 0.01, (len(DATES), 200))
    whole, part = half_years(DATES, daily), half_years(DATES, np.asfortranarray(daily[:, 150:]))
    for name in ("n", "total", "squared"):
        assert getattr(whole, name)[:, 150:].tobytes() == getattr(part, name).tobytes()


def test_spans_name_the_half_years_with_returns() -> None:
    starts, stops = half_years(DATES, returns(0)).spans()
    assert starts.tolist() == [4036, 4038, 4036, 4036, 4036]
    assert stops.tolist() == [4044, 4044, 4044, 4036, 4044]
    assert first_day_of(4037) == np.datetime64("2018-07-01")
    assert last_day_of(4036) == np.datetime64("2018-06-30")


def test_no_days_are_no_half_years() -> None:
    empty = half_years(DATES[:0], np.zeros((0, 3)))
    assert empty.n.shape == (0, 3)
    assert np.isnan(empty.sharpe(0, 9, np.full(3, 252.0))).all()

"""What an equity curve says: the rows of the specification, and invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.policy.equity import confirmed, drawdown_pct, last_step_is_wild, slope_pct_per_day

DAY = 86_400.0

curves = st.lists(st.floats(0.5, 2.0), min_size=2, max_size=40).map(
    lambda steps: np.cumprod([1.0, *(0.9 + 0.1 * step for step in steps)])
)


def days(n: int) -> np.ndarray:
    return np.arange(n) * DAY


def test_s09_the_drawdown_is_from_the_running_peak_to_now() -> None:
    assert drawdown_pct(np.linspace(1000, 2000, 30)) == 0.0
    assert drawdown_pct(np.array([1000.0, 900.0, 800.0, 700.0, 600.0, 500.0, 600.0, 750.0, 900.0, 1100.0])) == 0.0
    assert drawdown_pct(np.array([1000.0, 1100.0, 990.0])) == pytest.approx(10.0)


def test_s10_a_fall_a_year_ago_is_no_slope_of_today() -> None:
    old_fall = np.concatenate([np.linspace(100, 50, 300), 50 * np.exp(np.log(1.0066) * np.arange(31.0))])
    window = old_fall[-31:]
    assert slope_pct_per_day(days(31), window) == pytest.approx(100 * np.log(1.0066), rel=1e-6)


def test_s11_a_curve_that_goes_back_and_forth_has_no_slope_and_more_samples_change_nothing() -> None:
    assert slope_pct_per_day(days(5), np.array([100.0, 200.0, 100.0, 200.0, 100.0])) == pytest.approx(0.0, abs=1e-9)
    hours = (np.arange(24 * 30) * 3600.0).astype(np.float64)
    by_hour = slope_pct_per_day(hours, np.exp(0.005 * hours / DAY))
    by_day = slope_pct_per_day(days(30), np.exp(0.005 * np.arange(30.0)))
    assert by_hour == pytest.approx(by_day) == pytest.approx(0.5)


def test_the_slope_is_that_of_ordinary_least_squares() -> None:
    rng = np.random.default_rng(3)
    at = np.sort(rng.uniform(0, 30, 50))
    values = np.exp(rng.normal(0, 0.1, 50) + 0.003 * at)
    assert slope_pct_per_day(at * DAY, values) == pytest.approx(100 * np.polyfit(at, np.log(values), 1)[0])


def test_a_wild_tick_that_is_taken_back_makes_no_peak() -> None:
    spike = np.array([1000.0, 1005.0, 2000.0, 1004.0, 1003.0])
    assert drawdown_pct(spike) == pytest.approx(100 * (1 - 1003 / 1005))
    assert confirmed(spike).tolist() == [True, True, False, True, True]
    real = np.array([1000.0, 1300.0, 1310.0, 1200.0])
    assert drawdown_pct(real) == pytest.approx(100 * (1 - 1200 / 1310))


def test_a_wild_last_step_counts_at_once_where_it_is_a_loss_and_is_named_either_way() -> None:
    fall, rise = np.array([1000.0, 1001.0, 300.0]), np.array([1000.0, 1001.0, 3000.0])
    assert drawdown_pct(fall) == pytest.approx(70, abs=0.1)
    assert drawdown_pct(rise) == 0.0
    assert last_step_is_wild(fall)
    assert last_step_is_wild(rise)
    assert last_step_is_wild(np.array([1.0, 0.0]))
    assert not last_step_is_wild(np.array([1000.0, 1001.0, 1010.0]))


def test_what_cannot_be_computed_is_none_and_never_a_good_figure() -> None:
    assert drawdown_pct(np.array([])) is None
    assert drawdown_pct(np.array([1.0, np.nan])) is None
    assert drawdown_pct(np.array([0.0, 0.0])) == 100.0
    assert slope_pct_per_day(days(1), np.array([1.0])) is None
    assert slope_pct_per_day(days(2), np.array([1.0, 0.0])) is None
    assert slope_pct_per_day(np.zeros(2), np.array([1.0, 2.0])) is None
    with pytest.raises(InputError, match="2 times for 3 values"):
        slope_pct_per_day(days(2), np.ones(3))


@given(curves)
@settings(max_examples=80, deadline=None)
def test_a_drawdown_is_between_zero_and_a_hundred_and_does_not_depend_on_the_scale(curve: np.ndarray) -> None:
    found = drawdown_pct(curve)
    assert found is not None
    assert 0.0 <= found <= 100.0
    assert drawdown_pct(1000 * curve) == pytest.approx(found, abs=1e-9)
    assert drawdown_pct(np.append(curve, curve.max() * 1.0001)) == pytest.approx(0.0, abs=1e-9)


@given(curves, st.floats(0.5, 0.999))
@settings(max_examples=80, deadline=None)
def test_a_last_value_that_is_worse_never_makes_the_drawdown_smaller(curve: np.ndarray, factor: float) -> None:
    lower = curve.copy()
    lower[-1] *= factor
    before, after = drawdown_pct(curve), drawdown_pct(lower)
    assert before is not None
    assert after is not None
    assert after >= before - 1e-9

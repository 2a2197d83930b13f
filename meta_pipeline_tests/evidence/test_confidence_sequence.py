"""An interval that is looked at every night still holds, on dependent days with fat tails."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.confidence_sequence import days_to_detect, detectable_effect, mixture_factor
from meta_pipeline.evidence.longrun import sum_variance

ALPHA = 0.10
N_SERIES, N_DAYS, FIRST_LOOK, EVERY = 400, 800, 60, 8


def days(memory: float, seed: int = 7) -> NDArray[np.float64]:
    """Return series with t5 shocks and first-order memory, true mean zero: shape (days, series)."""
    shocks = np.random.default_rng(seed).standard_t(5, size=(N_DAYS + 50, N_SERIES))
    found = np.zeros_like(shocks)
    for day in range(1, len(shocks)):
        found[day] = memory * found[day - 1] + shocks[day]
    return found[50:]


def ever_left_out(memory: float, *, peeking: bool = False) -> float:
    """Return the share of series whose true mean was outside the interval at any look."""
    series = days(memory)
    ever = np.zeros(N_SERIES, dtype=bool)
    for n in range(FIRST_LOOK, N_DAYS + 1, EVERY):
        mean = series[:n].mean(axis=0)
        centred = (series[:n] - mean) / n
        variance = np.maximum(sum_variance(centred, prewhiten=True), sum_variance(centred, bandwidth=0.0))
        error = np.sqrt(variance * n / (n - 2))
        factor = norm.ppf(1 - ALPHA / 2) if peeking else mixture_factor(n, alpha=ALPHA, tuned_for=252)
        ever |= np.abs(mean) > factor * error
    return float(ever.mean())


@pytest.mark.parametrize("memory", [0.0, 0.3, -0.2])
def test_the_truth_is_ever_left_out_by_no_more_than_alpha_of_all_series(memory: float) -> None:
    assert ever_left_out(memory) <= ALPHA


def test_an_ordinary_interval_looked_at_every_night_leaves_it_out_for_almost_half() -> None:
    assert ever_left_out(0.0, peeking=True) > 3 * ALPHA


@given(st.integers(1, 5000), st.floats(0.001, 0.6), st.integers(1, 2000))
def test_it_is_never_narrower_than_a_single_look(n: int, alpha: float, tuned: int) -> None:
    assert mixture_factor(n, alpha=alpha, tuned_for=tuned) > norm.ppf(1 - alpha / 2)


def test_it_is_narrowest_about_where_it_is_tuned() -> None:
    at_250 = {tuned: mixture_factor(250, alpha=ALPHA, tuned_for=tuned) for tuned in (10, 250, 5000)}
    assert at_250[250] == min(at_250.values())


def test_the_factor_is_that_of_the_published_boundary() -> None:
    # Waudby-Smith et al. (2024), theorem 2.2, with rho^2 = 0.01, t = 100, alpha = 0.05.
    spread = -2 * math.log(0.05)
    rho2 = (spread + math.log(spread) + 1) / 100
    boundary = math.sqrt(2 * (100 * rho2 + 1) / (100**2 * rho2) * math.log(math.sqrt(100 * rho2 + 1) / 0.05))
    assert mixture_factor(100, alpha=0.05, tuned_for=100) / math.sqrt(100) == pytest.approx(boundary, rel=1e-12)


def test_days_needed_and_detectable_effect_say_the_same() -> None:
    needed = days_to_detect(0.3, 3.0, alpha=ALPHA, tuned_for=252)
    assert needed is not None
    assert detectable_effect(3.0, needed, alpha=ALPHA, tuned_for=252) <= 0.3
    assert detectable_effect(3.0, needed - 1, alpha=ALPHA, tuned_for=252) > 0.3
    assert days_to_detect(-0.3, 3.0, alpha=ALPHA, tuned_for=252) == needed
    for hopeless in (0.0, math.nan, 1e-9):
        assert days_to_detect(hopeless, 3.0, alpha=ALPHA, tuned_for=252) is None


@pytest.mark.parametrize("bad", [(0, 0.1, 10), (10, 0.0, 10), (10, 1.0, 10), (10, 0.1, 0), (10, math.nan, 10)])
def test_what_is_out_of_range_is_refused(bad: tuple[int, float, int]) -> None:
    with pytest.raises(InputError, match="give days"):
        mixture_factor(bad[0], alpha=bad[1], tuned_for=bad[2])

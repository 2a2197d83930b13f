import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.evidence.grades import (
    Claim,
    adjust,
    claim,
    critical_value,
    days_needed,
    effective_number,
    grade,
    haircut,
    smallest_detectable,
)

SHORT, LONG = (5.0, 0.25), (10.0, 0.45)


def graded(estimate: float, p: float, rw: float, bh: float, *, any_step_down: bool = True) -> str:
    adjusted = {"romano_wolf": rw, "benjamini_hochberg": bh}
    return grade(estimate, p, adjusted, any_step_down=any_step_down, alpha=0.1, smallest=0.05)


def test_grades_follow_the_evidence() -> None:
    assert graded(0.3, 0.001, 0.02, 0.01) == "A"
    assert graded(0.04, 0.001, 0.02, 0.01) == "B"  # sure, but smaller than the smallest effect
    assert graded(0.3, 0.02, 0.2, 0.08) == "B"
    assert graded(0.3, 0.08, 0.5, 0.3) == "C"
    assert graded(0.3, 0.4, 0.9, 0.9) == "D"
    assert graded(-0.3, 0.001, 0.02, 0.01) == "D"
    assert graded(float("nan"), 0.01, 0.01, 0.01) == "D"


def test_a_b_needs_a_campaign_in_which_the_step_down_rejects_something() -> None:
    assert graded(0.3, 0.02, 0.2, 0.08, any_step_down=False) == "C"


def test_the_haircut_grows_from_five_to_ten_years() -> None:
    assert haircut(1, short=SHORT, long=LONG) == 0.25
    assert haircut(5, short=SHORT, long=LONG) == 0.25
    assert haircut(7.5, short=SHORT, long=LONG) == pytest.approx(0.35)
    assert haircut(30, short=SHORT, long=LONG) == 0.45


def claimed(estimate: float = 0.4, drift: float = 0.0, horizon: float = 2.0) -> Claim:
    return claim(estimate, 0.1, share=0.25, drift=drift, years=5, horizon=horizon, confidence_level=0.9)


def test_the_claim_is_the_haircut_of_the_contrast_and_its_interval_holds_all_three_errors() -> None:
    found = claimed()
    spread = np.sqrt(0.25 * 0.01 + 0.01 * 5 / 2)
    assert found.expected == pytest.approx(0.1)
    assert found.upper - found.expected == pytest.approx(1.6448536 * spread)
    assert found.probability_positive == pytest.approx(0.7268, abs=2e-4)


def test_drift_and_a_short_horizon_widen_the_prediction() -> None:
    plain, drifting, soon = claimed(), claimed(drift=0.3), claimed(horizon=0.5)
    for wider in (drifting, soon):
        assert wider.upper > plain.upper
        assert wider.probability_positive < plain.probability_positive
    assert claimed(drift=float("nan")) == plain


@given(st.floats(-2, 2), st.floats(0.01, 1), st.floats(0, 1))
def test_a_probability_is_above_a_half_exactly_when_the_claim_is_positive(
    estimate: float, error: float, drift: float
) -> None:
    found = claim(estimate, error, share=0.25, drift=drift, years=5, horizon=2, confidence_level=0.9)
    assert 0 <= found.probability_positive <= 1
    if abs(estimate) > 1e-6:
        assert (found.probability_positive > 0.5) == (estimate > 0)


def test_an_effect_of_the_detectable_size_is_found_with_the_stated_power() -> None:
    rng = np.random.default_rng(0)
    size = smallest_detectable(0.1, critical=2.0, power=0.8)
    assert np.mean((size + 0.1 * rng.standard_normal(100_000)) / 0.1 > 2.0) == pytest.approx(0.8, abs=0.01)


def test_after_the_days_needed_the_estimate_is_of_detectable_size() -> None:
    days = days_needed(0.1, 0.1, 1000, critical=2.0, power=0.8)
    assert days is not None
    error = 0.1 * np.sqrt(1000 / days)
    assert smallest_detectable(error, critical=2.0, power=0.8) == pytest.approx(0.1, rel=1e-3)
    assert days_needed(-0.1, 0.1, 1000, critical=2.0, power=0.8) is None


def test_the_critical_value_is_that_of_the_largest_contrast() -> None:
    draws = np.random.default_rng(0).standard_normal((9999, 10))
    assert critical_value(draws, 0.1) == pytest.approx(2.31, abs=0.05)  # the normal quantile of .9 ** .1
    assert critical_value(np.empty((99, 0)), 0.1) == pytest.approx(1.2816, abs=1e-4)


def test_corrections_of_a_family_come_together() -> None:
    draws = np.random.default_rng(0).standard_normal((999, 3))
    found = adjust(np.array([3.0, 0.5, np.nan]), draws, np.array([0.002, 0.3, np.nan]))
    assert set(found) == {"romano_wolf", "holm", "benjamini_hochberg", "benjamini_yekutieli"}
    assert all(np.isnan(p[2]) for p in found.values())


def effective(returns: np.ndarray) -> float:
    return effective_number(returns, returns.std(axis=0), returns.mean(axis=0))


def test_the_effective_number_of_independent_series_is_their_number_and_of_copies_is_one() -> None:
    independent = np.random.default_rng(0).standard_normal((5000, 10))
    assert effective(independent) == pytest.approx(10, rel=0.02)
    assert effective(np.tile(independent[:, :1], (1, 10))) == pytest.approx(1.0)


def test_the_effective_number_is_the_participation_ratio_of_eigenvalues() -> None:
    rng = np.random.default_rng(1)
    returns = rng.standard_normal((500, 6)) + rng.standard_normal((500, 1))
    values = np.linalg.eigvalsh(np.corrcoef(returns.T))
    assert effective(returns) == pytest.approx(values.sum() ** 2 / (values**2).sum())

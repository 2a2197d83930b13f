"""The worst months of two configurations: by hand, at the edge of the tolerance, and where a family is not known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.scenarios import Scenarios, compare_scenarios

DAYS = 700
NAMES = ("as they came", "losses half as large again", "resampled")


def compared(baseline: np.ndarray, challenger: np.ndarray, **options: object) -> Scenarios:
    return compare_scenarios(baseline, challenger, generator=np.random.default_rng(0), **options)  # type: ignore[arg-type]


def returns(seed: int = 1, n: int = DAYS) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0003, 0.01, n)


def test_the_shortfall_of_windows_as_they_came_is_that_of_the_compounded_returns() -> None:
    baseline, challenger = returns(1), returns(2)
    family = compared(baseline, challenger, horizon=21).families[0]
    windows = np.array([np.prod(1 + challenger[i : i + 21]) - 1 for i in range(DAYS - 20)])
    worst = int(np.ceil(0.05 * len(windows)))
    assert family.name == "as they came"
    assert family.n_paths == len(windows)
    assert family.challenger == pytest.approx(np.sort(windows)[:worst].mean())
    heavier = np.where(baseline < 0, 1.5 * baseline, baseline)
    shocked = np.array([np.prod(1 + heavier[i : i + 21]) - 1 for i in range(DAYS - 20)])
    assert compared(baseline, challenger, horizon=21).families[1].baseline == pytest.approx(
        np.sort(shocked)[:worst].mean()
    )


def test_resampled_months_of_independent_days_are_about_as_bad_as_those_that_came() -> None:
    baseline = returns(3, 5_000)
    came, _, resampled = compared(baseline, baseline).families
    assert resampled.baseline == pytest.approx(came.baseline, rel=0.15)


def test_the_same_series_is_never_worse_and_twice_the_risk_always_is() -> None:
    baseline = returns()
    same = compared(baseline, baseline, tolerance=0.0)
    assert same.passed is True
    assert all(one.challenger == one.baseline for one in same.families)
    double = compared(baseline, 2 * baseline)
    assert double.passed is False
    assert [one.passed for one in double.families] == [False] * 3
    assert double.worst == "losses half as large again"
    assert compared(baseline, 0.5 * baseline).passed is True
    assert "nothing is stopped by it" in double.label


def test_the_tolerance_is_the_edge() -> None:
    baseline, challenger = returns(1), 1.3 * returns(1)
    behind = [(one.baseline or 0) - (one.challenger or 0) for one in compared(baseline, challenger).families]
    assert compared(baseline, challenger, tolerance=max(behind) + 1e-9).passed is True
    assert compared(baseline, challenger, tolerance=max(behind) - 1e-6).passed is False
    assert compared(baseline, challenger, tolerance=min(behind) - 1e-6).families[0].passed is False


def test_a_configuration_that_fails_in_a_crisis_only_fails_there() -> None:
    rng = np.random.default_rng(4)
    labels = np.where(np.arange(DAYS) < 600, "CALM", "CRISIS")
    baseline = rng.normal(0.0005, 0.008, DAYS)
    challenger = np.where(labels == "CRISIS", baseline - 0.004, baseline + 0.001)
    found = compared(baseline, challenger, labels=labels)
    by = {one.name: one for one in found.families}
    assert tuple(by) == (*NAMES, "resampled from CALM", "resampled from CRISIS")
    assert by["resampled from CALM"].passed is True
    assert by["resampled from CRISIS"].passed is False
    assert found.passed is False
    assert found.worst == "resampled from CRISIS"


def test_what_is_not_known_is_no_pass_and_a_failure_stays_one_beside_it() -> None:
    baseline = returns()
    rare = np.where(np.arange(DAYS) < 59, "RARE", "CALM")
    unknown = compared(baseline, baseline, labels=rare)
    assert next(one for one in unknown.families if one.name == "resampled from RARE").passed is None
    assert unknown.passed is None
    assert compared(baseline, 2 * baseline, labels=rare).passed is False
    short = compared(baseline[:419], baseline[:419], horizon=21)
    assert short.passed is None
    assert short.worst is None
    assert all("420 are needed" in (one.missing or "") for one in short.families)
    assert compared(baseline[:420], baseline[:420], horizon=21).passed is True


def test_a_path_that_lost_everything_ends_there() -> None:
    ruined = returns()
    ruined[100] = -1.2
    found = compared(returns(), ruined).families[0]
    assert found.challenger is not None
    assert found.challenger >= -1.0
    assert found.challenger < -0.6


def test_days_that_one_of_them_lacks_are_left_out_of_both() -> None:
    baseline, challenger = returns(1), returns(2)
    gaps = challenger.copy()
    gaps[[5, 300]] = np.nan
    kept = ~np.isnan(gaps)
    assert compared(baseline, gaps) == compared(baseline[kept], challenger[kept])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), worse=st.floats(0.0, 0.01))
def test_a_challenger_that_is_worse_every_day_never_has_the_better_tail(seed: int, worse: float) -> None:
    baseline = returns(seed, 450)
    found = compared(baseline, baseline - worse)
    assert all((one.challenger or 0) <= (one.baseline or 0) + 1e-12 for one in found.families)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match="two series"):
        compared(returns(), returns()[:-1])
    for options in ({"horizon": 0}, {"tolerance": -0.1}, {"tolerance": float("nan")}, {"tail": 1.0}):
        with pytest.raises(InputError, match="horizon is"):
            compared(returns(), returns(), **options)

"""How heavy losses are: against distributions whose tail is known, scipy's own integral, and too few losses."""

import math

import numpy as np
import pytest
from scipy.stats import genpareto

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.tails import Tail, tail_of

PARETO = 0.01 * (1 + np.random.default_rng(2).pareto(3.0, 20_000))


def test_the_tail_index_of_a_pareto_tail_is_its_alpha_and_not_the_mean_log_excess() -> None:
    found = tail_of(-PARETO)
    assert found.hill_index is not None
    assert found.hill_index == pytest.approx(3.0, rel=0.05)
    assert found.hill_error == pytest.approx(found.hill_index / math.sqrt(1000))


def test_hills_index_of_a_written_out_tail() -> None:
    losses = [-0.01 * 1.1**place for place in range(1, 21)]
    series = np.array(losses + [-0.01] + [0.001] * 379)
    mean_log_excess = math.log(1.1) * sum(range(1, 21)) / 20
    assert tail_of(series).hill_index == pytest.approx(1 / mean_log_excess)


def test_the_shape_of_a_pareto_tail_is_one_over_alpha_and_its_shortfall_that_of_the_formula() -> None:
    found = tail_of(-PARETO)
    assert found.pareto_shape is not None
    assert found.pareto_shape_error is not None
    assert found.pareto_shape_error == pytest.approx((1 + found.pareto_shape) / math.sqrt(1000))
    assert abs(found.pareto_shape - 1 / 3) < 2 * found.pareto_shape_error
    exact = 0.01 * 3 / 2 * 0.01 ** (-1 / 3)  # the mean of a Pareto variable beyond its 1 % quantile
    assert found.extreme_shortfall == pytest.approx(-exact, rel=0.06)


@pytest.mark.parametrize("seed", [3, 4])
def test_the_extrapolated_shortfall_is_the_integral_over_the_fitted_tail(seed: int) -> None:
    series = np.random.default_rng(seed).standard_t(4, 2_000) * 0.01
    found = tail_of(series)
    assert found.threshold is not None
    assert found.pareto_shape is not None
    fitted = genpareto(found.pareto_shape, scale=found.pareto_scale or 0.0)
    beyond = fitted.isf(0.01 / 0.05)
    mean = fitted.expect(lambda x: x, lb=beyond, conditional=True)
    assert found.extreme_shortfall == pytest.approx(found.threshold - mean, rel=1e-4)
    worst = np.sort(series)[:20].mean()
    assert found.extreme_shortfall == pytest.approx(worst, rel=0.25)


def test_a_normal_tail_is_lighter_than_that_of_students_t() -> None:
    rng = np.random.default_rng(5)
    light, heavy = tail_of(rng.normal(0, 0.01, 5_000)), tail_of(0.01 * rng.standard_t(3, 5_000))
    assert light.pareto_shape is not None
    assert heavy.pareto_shape is not None
    assert light.pareto_shape < 0.1 < heavy.pareto_shape
    assert (light.hill_index or 0) > (heavy.hill_index or 0)


def test_the_order_of_the_days_and_missing_ones_change_nothing() -> None:
    rng = np.random.default_rng(6)
    series = 0.01 * rng.standard_t(4, 1_500)
    shuffled = np.concatenate([rng.permutation(series), [np.nan] * 3])
    assert tail_of(shuffled) == tail_of(series)


def test_the_unit_of_the_returns_scales_what_has_it_and_leaves_what_has_none() -> None:
    series = 0.01 * np.random.default_rng(7).standard_t(4, 1_500)
    one, ten = tail_of(series), tail_of(10 * series)
    for name in ("threshold", "expected_shortfall", "pareto_scale", "extreme_shortfall"):
        assert getattr(ten, name) == pytest.approx(10 * getattr(one, name), rel=1e-6)
    assert ten.hill_index == pytest.approx(one.hill_index)
    assert ten.pareto_shape == pytest.approx(one.pareto_shape, abs=1e-6)


def missing(found: Tail) -> set[str]:
    assert all(getattr(found, name) is None and reason for name, reason in found.missing.items())
    return set(found.missing)


def test_each_figure_has_a_least_number_of_losses() -> None:
    series = np.random.default_rng(8).normal(0, 0.01, 2_000)
    fitted = {"pareto_shape", "pareto_shape_error", "pareto_scale", "extreme_shortfall"}
    hill = {"hill_index", "hill_error"}
    assert missing(tail_of(series[:80])) == {"threshold", "expected_shortfall", *hill, *fitted}
    assert missing(tail_of(series[:81])) == hill | fitted
    assert missing(tail_of(series[:381])) == fitted
    assert missing(tail_of(series[:981])) == set()
    assert tail_of(series[:81]).expected_shortfall == pytest.approx(np.sort(series[:81])[:5].mean())


def test_a_tail_that_is_no_loss_or_has_no_mean_gets_no_figures() -> None:
    assert missing(tail_of(np.linspace(0.001, 0.01, 2_000))) >= {"hill_index", "pareto_shape"}
    assert missing(tail_of(np.full(2_000, -0.01))) >= {"hill_index", "pareto_shape"}
    without_mean = tail_of(-(1 + np.random.default_rng(9).pareto(0.6, 5_000)))
    assert without_mean.pareto_shape is None
    assert "no mean" in without_mean.missing["pareto_shape"]
    assert without_mean.hill_index == pytest.approx(0.6, rel=0.15)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match="one series"):
        tail_of(np.zeros((3, 2)))
    with pytest.raises(InputError, match=r"tail is 0\.01, extreme 0\.05"):
        tail_of(np.zeros(9), tail=0.01, extreme=0.05)

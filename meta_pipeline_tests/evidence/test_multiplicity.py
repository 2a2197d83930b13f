import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm, romano_wolf

# The fifteen p-values of Benjamini and Hochberg (1995), section 3.2.
PAPER = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0
]  # fmt: skip

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_the_papers_list_has_four_discoveries_and_three_by_holm() -> None:
    assert int(np.sum(benjamini_hochberg(PAPER) <= 0.05)) == 4
    assert int(np.sum(holm(PAPER) <= 0.05)) == 3


@given(P_VALUES)
def test_step_up_procedures_agree_with_scipy(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(scipy.stats.false_discovery_control(p_values))
    by = scipy.stats.false_discovery_control(p_values, method="by")
    assert benjamini_yekutieli(p_values) == pytest.approx(by)


@given(P_VALUES)
def test_corrections_only_raise_p_values_and_holm_is_the_strictest_but_bonferroni(p_values: list[float]) -> None:
    p = np.array(p_values)
    strict = holm(p)
    assert np.all(benjamini_hochberg(p) >= p - 1e-15)
    assert np.all(strict >= benjamini_hochberg(p) - 1e-12)
    assert np.all(strict <= np.minimum(p * len(p), 1.0) + 1e-12)


@given(P_VALUES, st.randoms(use_true_random=False))
def test_the_order_of_the_p_values_does_not_matter(p_values: list[float], random: object) -> None:
    order = np.random.default_rng(len(p_values)).permutation(len(p_values))
    p = np.array(p_values)
    for method in (benjamini_hochberg, benjamini_yekutieli, holm):
        assert method(p[order]) == pytest.approx(method(p)[order])


def test_missing_p_values_stay_missing_and_are_not_counted() -> None:
    found = holm([0.01, np.nan, 0.02])
    assert found[[0, 2]] == pytest.approx([0.02, 0.02])
    assert np.isnan(found[1])
    assert benjamini_hochberg([]).shape == (0,)


def test_a_p_value_outside_zero_and_one_is_named() -> None:
    with pytest.raises(InputError, match=r"holds .*1\.5"):
        holm([0.1, 1.5])


def _step_down_by_the_book(observed: np.ndarray, draws: np.ndarray) -> np.ndarray:
    order = np.argsort(-observed)
    adjusted = np.empty(len(observed))
    last = 0.0
    for rank, column in enumerate(order):
        largest = draws[:, order[rank:]].max(axis=1)
        last = max(last, (1 + np.sum(largest >= observed[column])) / (1 + len(draws)))
        adjusted[column] = last
    return adjusted


def test_the_step_down_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(3)
    draws = rng.standard_normal((499, 6)) + rng.standard_normal((499, 1))
    observed = np.array([2.9, 0.3, 4.0, -1.0, 3.1, 1.2])
    assert romano_wolf(observed, draws) == pytest.approx(_step_down_by_the_book(observed, draws))


def test_the_step_down_of_one_hypothesis_is_its_own_p_value() -> None:
    draws = np.random.default_rng(0).standard_normal((999, 1))
    assert romano_wolf([1.5], draws)[0] == (1 + int(np.sum(draws >= 1.5))) / 1000


def test_the_step_down_knows_that_identical_contrasts_are_one() -> None:
    one = np.random.default_rng(0).standard_normal((999, 1))
    twenty = romano_wolf(np.full(20, 2.0), np.tile(one, (1, 20)))
    assert twenty == pytest.approx(romano_wolf([2.0], one)[0])


def test_a_missing_statistic_is_left_out_of_the_family() -> None:
    draws = np.random.default_rng(0).standard_normal((199, 3))
    found = romano_wolf([1.0, np.nan, 2.0], draws)
    assert np.isnan(found[1])
    assert found[[0, 2]] == pytest.approx(romano_wolf([1.0, 2.0], draws[:, [0, 2]]))


def test_the_step_down_refuses_draws_of_another_shape() -> None:
    with pytest.raises(InputError, match="expected"):
        romano_wolf([1.0, 2.0], np.zeros((10, 3)))


def test_a_draw_that_is_not_known_is_refused_where_it_would_make_an_effect_look_surer() -> None:
    draws = np.random.default_rng(3).standard_normal((99, 2))
    draws[:50, 1] = np.nan
    assert romano_wolf([1.0, np.nan], draws)[0] > 0.01
    with pytest.raises(InputError, match="NaN in column 1"):
        romano_wolf([1.0, 2.0], draws)


def test_the_step_down_holds_its_error_rate_and_beats_holm_on_correlated_tests() -> None:
    rng = np.random.default_rng(5)
    scale = np.sqrt(0.8)
    draws = scale * rng.standard_normal((999, 1)) + np.sqrt(0.2) * rng.standard_normal((999, 10))
    observed = scale * rng.standard_normal((1500, 1)) + np.sqrt(0.2) * rng.standard_normal((1500, 10))
    first = np.array([np.nanmin(romano_wolf(row, draws)) for row in observed])
    by_holm = np.array([np.min(holm(scipy.stats.norm.sf(row))) for row in observed])
    assert abs(np.mean(first <= 0.1) - 0.1) < 0.04  # Monte Carlo error of draws and campaigns together
    assert np.mean(by_holm <= 0.1) < np.mean(first <= 0.1)

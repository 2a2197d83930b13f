import math

import numpy as np
import pytest
import scipy.stats

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.contrasts import Contrasts, evaluate
from meta_pipeline.evidence.factors import Factor, Role
from meta_pipeline.evidence.importance import DESCRIPTIVE, InformationViews, information_views, wald_importance


def knob(path: str, codes: np.ndarray) -> Factor:
    levels = tuple(range(int(codes.max()) + 1))
    return Factor(path=path, levels=levels, codes=codes.astype(np.int64), role=Role.KNOB)


def views(
    factors: list[Factor], blocks: np.ndarray, values: np.ndarray, *, n_permutations: int = 99, n_bins: int = 4
) -> InformationViews:
    generator = np.random.default_rng(0)
    return information_views(factors, blocks, values, generator=generator, n_permutations=n_permutations, n_bins=n_bins)


def grid(levels: int, knobs: int, copies: int) -> np.ndarray:
    codes = np.stack(np.meshgrid(*[np.arange(levels)] * knobs, indexing="ij"), axis=-1).reshape(-1, knobs)
    return np.tile(codes, (copies, 1))


def test_the_information_of_a_table_is_that_of_the_formula() -> None:
    codes = np.repeat([0, 1], 40)
    values = np.concatenate([np.arange(40.0), np.arange(40.0) + 20.5])
    found = views([knob("a", codes)], np.zeros(80, dtype=np.int64), values, n_bins=2).knobs[0]
    table = np.array([[30, 10], [10, 30]])
    assert np.sum(values <= np.median(values)) == 40
    joint, row = table / 80, np.full(2, 0.5)
    plain = float(np.sum(joint * np.log(joint / np.outer(row, row))))
    assert found.mutual_information == pytest.approx(plain + (1 + 1 - 3) / 160)


def test_knobs_that_matter_come_first_and_dead_ones_look_like_nothing() -> None:
    rng = np.random.default_rng(1)
    codes = grid(3, 3, 6)
    blocks = np.repeat(np.arange(6), 27)
    values = 0.8 * codes[:, 1] + 5.0 * blocks + rng.standard_normal(len(codes))
    found = views([knob(name, codes[:, i]) for i, name in enumerate("abc")], blocks, values).knobs
    assert found[0].path == "b"
    assert found[0].adjusted_p_value <= 0.03
    assert all(other.p_value > 0.05 and other.mutual_information < 0.1 for other in found[1:])
    assert all(other.label == DESCRIPTIVE for other in found)


def test_a_knob_that_goes_with_the_market_tells_nothing() -> None:
    rng = np.random.default_rng(2)
    blocks = np.repeat(np.arange(8), 20)
    confounded = (rng.random(160) < np.where(blocks < 4, 0.9, 0.1)).astype(np.int64)
    values = np.where(blocks < 4, 3.0, 0.0) + rng.standard_normal(160)
    assert views([knob("a", confounded)], blocks, values).knobs[0].p_value > 0.05


def test_p_values_of_dead_knobs_are_spread_evenly() -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 3, (120, 20))
    values = rng.standard_normal(120)
    factors = [knob(f"k{i:02d}", codes[:, i]) for i in range(20)]
    p_values = [found.p_value for found in views(factors, np.repeat([0, 1, 2], 40), values, n_permutations=59).knobs]
    assert 0.3 < float(np.mean(p_values)) < 0.7
    assert min(p_values) >= 1 / 60


def test_two_knobs_of_an_exclusive_or_tell_only_together() -> None:
    codes = grid(2, 3, 20)
    rng = np.random.default_rng(4)
    values = (codes[:, 0] ^ codes[:, 1]) + 0.2 * rng.standard_normal(len(codes))
    factors = [knob(name, codes[:, i]) for i, name in enumerate("abc")]
    found = views(factors, np.zeros(len(codes), dtype=np.int64), values, n_bins=2)
    assert found.pairs[0].paths == ("a", "b")
    assert found.pairs[0].synergy == pytest.approx(math.log(2), abs=0.05)
    assert found.pairs[0].adjusted_p_value <= 0.03
    assert all(pair.synergy < 0.05 for pair in found.pairs[1:])
    assert all(pair.redundancy == pytest.approx(0.0, abs=1e-12) for pair in found.pairs)


def test_a_knob_that_repeats_another_is_redundant_and_no_synergy() -> None:
    codes = grid(3, 2, 8)
    rng = np.random.default_rng(5)
    values = codes[:, 0] + 0.3 * rng.standard_normal(len(codes))
    factors = [knob("a", codes[:, 0]), knob("b", codes[:, 1]), knob("copy", 2 - codes[:, 0])]
    blocks = np.repeat([0, 1], 36)
    found = {pair.paths: pair for pair in views(factors, blocks, values).pairs}
    assert found["a", "copy"].redundancy == pytest.approx(1.0)
    assert found["a", "copy"].synergy < -0.3
    assert found["a", "b"].redundancy == pytest.approx(0.0, abs=1e-12)
    fixed = [factors[0], knob("fixed", np.zeros(72, dtype=np.int64))]
    assert math.isnan(views(fixed, blocks, values).pairs[0].redundancy)


def test_only_ranks_within_blocks_count_and_runs_without_performance_do_not() -> None:
    rng = np.random.default_rng(6)
    codes, blocks = rng.integers(0, 3, 90), np.repeat([0, 1, 2], 30)
    values = rng.standard_normal(90) + codes
    one = views([knob("a", codes)], blocks, values)
    again = views([knob("a", codes)], blocks, np.exp(values) + 100.0 * blocks)
    assert one == again
    gaps = np.append(values, [np.nan, np.nan])
    longer = views([knob("a", np.append(codes, [0, 5]))], np.append(blocks, [0, 9]), gaps)
    assert longer == one


def test_the_order_of_the_runs_changes_nothing() -> None:
    rng = np.random.default_rng(8)
    codes, blocks = rng.integers(0, 3, (90, 2)), np.repeat([0, 1, 2], 30)
    values = rng.standard_normal(90)
    order = rng.permutation(90)
    once = views([knob(name, codes[:, i]) for i, name in enumerate("ab")], blocks, values)
    again = views([knob(name, codes[order, i]) for i, name in enumerate("ab")], blocks[order], values[order])
    assert again == once


def contrasts_of(estimates: list[float], seed: int = 0) -> Contrasts:
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((600, 1))
    series = (rng.standard_normal((600, len(estimates))) + shared) * 0.01
    series -= series.mean(axis=0)
    return evaluate(np.array(estimates), series, confidence_level=0.9, n_draws=499, generator=rng)


def test_the_wald_statistic_is_the_quadratic_form_in_the_joint_covariance() -> None:
    tested = contrasts_of([0.5, -0.2, 0.1, 0.0])
    found = {item.path: item for item in wald_importance(tested, ["a", "a", "b", "a"])}
    columns = [0, 1, 3]
    correlation = np.corrcoef(tested.draws[:, columns].T)
    errors = tested.standard_errors[columns]
    covariance = correlation * np.outer(errors, errors)
    estimates = tested.estimates[columns]
    expected = float(estimates @ np.linalg.solve(covariance, estimates))
    assert found["a"].wald == pytest.approx(expected)
    assert found["a"].degrees_of_freedom == 3
    assert found["a"].p_value == pytest.approx(float(scipy.stats.chi2.sf(expected, 3)))
    assert found["b"].wald == pytest.approx(float(tested.statistics[2] ** 2))


def test_the_strongest_knob_comes_first_and_the_bootstrap_agrees() -> None:
    found = wald_importance(contrasts_of([0.0, 0.1, 2.0, 0.1]), ["a", "a", "b", "c"])
    assert found[0].path == "b"
    assert found[0].p_value < 0.01
    assert found[0].p_value_bootstrap < 0.02
    assert "decides nothing" in found[0].label


def test_repeated_missing_and_dead_contrasts_do_not_count() -> None:
    rng = np.random.default_rng(1)
    column = rng.standard_normal((400, 1)) * 0.01
    column -= column.mean()
    series = np.hstack([column, column, np.zeros((400, 1)), column])
    tested = evaluate(
        np.array([0.3, 0.3, 0.0, np.nan]), series, confidence_level=0.9, n_draws=199, generator=rng, block_length=1
    )
    (found,) = wald_importance(tested, ["a", "a", "dead", "missing"])
    assert (found.path, found.degrees_of_freedom) == ("a", 1)
    assert found.wald == pytest.approx(float(tested.statistics[0] ** 2))


def test_bad_input_is_named() -> None:
    blocks, values = np.zeros(10, dtype=np.int64), np.arange(10.0)
    with pytest.raises(InputError, match="a has 5 codes for 10 runs"):
        views([knob("a", np.zeros(5, dtype=np.int64))], blocks, values)
    with pytest.raises(InputError, match="no run has performance"):
        views([], blocks, np.full(10, np.nan))
    with pytest.raises(InputError, match="n_bins is 1"):
        views([], blocks, values, n_bins=1)
    with pytest.raises(InputError, match="for 3 blocks"):
        views([], blocks[:3], values)
    with pytest.raises(InputError, match="paths has 1 entries for 2"):
        wald_importance(contrasts_of([0.1, 0.2]), ["a"])

"""What shuffling a knob costs in prediction: known effects, none, only together, and only in other markets."""

import numpy as np
import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.factors import Factor, Role
from meta_pipeline.evidence.permutation_importance import PermutationImportance, permutation_importance
from meta_pipeline_tests.evidence.test_importance import grid


def knobs(codes: np.ndarray) -> list[Factor]:
    return [
        Factor(path=name, levels=tuple(range(int(column.max()) + 1)), codes=column.astype(np.int64), role=Role.KNOB)
        for name, column in zip("abcdefgh", codes.T, strict=False)
    ]


def found(codes: np.ndarray, blocks: np.ndarray, values: np.ndarray) -> PermutationImportance:
    return permutation_importance(knobs(codes), blocks, values, generator=np.random.default_rng(0))


def test_a_knob_that_tells_all_costs_twice_the_variance_and_the_others_nothing() -> None:
    codes = grid(2, 3, 8)
    answer = found(codes, np.repeat(np.arange(8), 8), 1.0 * codes[:, 1])
    assert answer.knobs[0].path == "b"
    # Shuffling a fair coin leaves half of it right: the error is then (1/2) 1^2, twice the variance of 1/4.
    assert answer.knobs[0].importance == pytest.approx(2.0, abs=0.15)
    assert answer.r_squared == pytest.approx(1.0, abs=0.01)
    assert all(abs(one.importance) < 1e-3 for one in answer.knobs[1:])
    assert (answer.n_folds, answer.folds_of, answer.has_pairs) == (5, "blocks", True)


def test_knobs_are_ranked_by_the_squares_of_their_effects() -> None:
    codes = grid(3, 3, 20)
    rng = np.random.default_rng(1)
    values = codes[:, 0] + 0.5 * codes[:, 2] + 0.3 * rng.standard_normal(len(codes))
    answer = found(codes, np.repeat(np.arange(20), 27), values)
    assert [one.path for one in answer.knobs] == ["a", "c", "b"]
    assert answer.knobs[0].importance == pytest.approx(4 * answer.knobs[1].importance, rel=0.15)
    assert all("decides nothing" in one.label for one in answer.knobs)


def test_two_knobs_that_tell_only_together_both_matter() -> None:
    codes = grid(2, 3, 20)
    values = (codes[:, 0] ^ codes[:, 1]) + 0.2 * np.random.default_rng(2).standard_normal(len(codes))
    answer = found(codes, np.zeros(len(codes), dtype=np.int64), values)
    assert answer.folds_of == "runs"
    assert {one.path for one in answer.knobs[:2]} == {"a", "b"}
    assert answer.knobs[1].importance > 1.0 > 10 * abs(answer.knobs[2].importance)


def test_a_knob_that_was_set_otherwise_in_good_markets_is_not_paid_for_them() -> None:
    rng = np.random.default_rng(3)
    blocks = np.repeat(np.arange(10), 30)
    codes = (rng.random(300) < np.where(blocks < 5, 0.9, 0.1)).astype(np.int64)[:, None]
    answer = found(codes, blocks, np.where(blocks < 5, 3.0, 0.0) + rng.standard_normal(300))
    assert abs(answer.knobs[0].importance) < 0.05
    assert answer.r_squared < 0.02


def test_a_knob_with_an_effect_counts_in_full_although_it_goes_with_the_market() -> None:
    rng = np.random.default_rng(7)
    blocks = np.repeat(np.arange(12), 50)
    share = np.where(blocks < 6, 0.9, 0.1)
    codes = (rng.random(600) < share).astype(np.int64)
    answer = found(codes[:, None], blocks, codes + np.where(blocks < 6, 3.0, 0.0) + 0.3 * rng.standard_normal(600))
    # Within blocks the effect has the variance 0.9 x 0.1, as has the noise: half is told, and shuffling costs double.
    assert answer.r_squared == pytest.approx(0.5, abs=0.06)
    assert answer.knobs[0].importance == pytest.approx(1.0, abs=0.12)


def test_where_nothing_is_to_be_predicted_nothing_is_important() -> None:
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 3, (240, 4))
    answer = found(codes, np.repeat(np.arange(6), 40), rng.standard_normal(240))
    assert answer.r_squared <= 0.05
    assert max(one.importance for one in answer.knobs) < 0.12


def test_the_order_of_the_runs_and_runs_without_performance_change_nothing() -> None:
    rng = np.random.default_rng(5)
    codes, blocks = rng.integers(0, 3, (150, 3)), np.repeat(np.arange(5), 30)
    values = codes[:, 0] + rng.standard_normal(150)
    order = rng.permutation(150)
    once = found(codes, blocks, values)
    assert found(codes[order], blocks[order], values[order]) == once
    longer = np.vstack([codes, [[0, 2, 1]]])
    assert found(longer, np.append(blocks, 9), np.append(values, np.nan)) == once


def test_many_levels_make_a_surface_of_mains_only() -> None:
    rng = np.random.default_rng(6)
    codes = rng.integers(0, 10, (300, 4))
    answer = found(codes, np.repeat(np.arange(3), 100), 0.3 * codes[:, 0] + rng.standard_normal(300))
    assert not answer.has_pairs
    assert answer.knobs[0].path == "a"


def test_what_cannot_be_answered_is_refused() -> None:
    codes, blocks = grid(3, 2, 1), np.zeros(9, dtype=np.int64)
    with pytest.raises(InputError, match="at least 10"):
        found(codes, blocks, np.arange(9.0))
    with pytest.raises(InputError, match="one number, block and level"):
        found(codes, blocks[:-1], np.arange(9.0))
    flat = np.repeat([1.0, 2.0], 9)  # differs between blocks only
    with pytest.raises(InputError, match="variance within blocks"):
        found(np.vstack([codes, codes]), np.repeat([0, 1], 9), flat)
    with pytest.raises(InputError, match="at least 1"):
        permutation_importance(knobs(codes), blocks, np.arange(9.0), generator=np.random.default_rng(0), n_shuffles=0)

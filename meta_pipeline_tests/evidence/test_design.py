from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.evidence.design import LEVEL_LUCK, Design, control_codes
from meta_pipeline.evidence.factors import Config, Factor, Role, read_factors


def design_of(configs: Sequence[Config], blocks: list[int], years: list[float] | None = None) -> Design:
    paths = sorted({path for config in configs for path in config})
    factors = tuple(f for f in read_factors(configs, paths) if len(f.levels) > 1)
    length = np.array(years or [5.0] * len(configs))
    return Design(
        blocks=np.array(blocks), factors=factors, lengths=np.round(length * 252).astype(np.int64), years=length
    )


def factor_of(design: Design, path: str) -> Factor:
    return next(f for f in design.factors if f.path == path)


def test_matched_pairs_compare_runs_that_differ_in_one_knob_alone() -> None:
    configs = [{"a": a, "b": b} for a, b in product((0, 1), (0, 1))]
    design = design_of(configs, [0] * 4)
    found = design.matched_pairs(factor_of(design, "a"), 0, 1)
    assert found.n_pairs == 2
    assert found.weights == pytest.approx([-0.5, -0.5, 0.5, 0.5])


def test_a_pair_counts_by_what_its_shorter_run_can_say() -> None:
    design = design_of([{"a": 0}, {"a": 1}, {"a": 0}, {"a": 1}], [0, 0, 1, 1], [10, 10, 10, 0.1])
    weights = design.matched_pairs(factor_of(design, "a"), 0, 1).weights
    assert weights is not None
    assert weights[3] == pytest.approx((10 * 0.1 / 10.1) / (5 + 10 * 0.1 / 10.1), rel=1e-2)


def test_a_year_of_bars_counts_like_a_year_of_days() -> None:
    factors = read_factors([{"a": 0}, {"a": 1}, {"a": 0}, {"a": 1}], ["a"])
    bars_per_year = np.array([252, 252, 2190, 2190])
    design = Design(blocks=np.array([0, 0, 1, 1]), factors=factors, lengths=5 * bars_per_year, years=np.full(4, 5.0))
    for way in (design.matched_pairs, design.least_squares):
        assert way(factors[0], 0, 1).weights == pytest.approx([-0.5, 0.5, -0.5, 0.5])


def test_weights_are_differences_within_blocks() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 3, (60, 3))
    blocks = rng.integers(0, 4, 60).tolist()
    design = design_of([{f"k{j}": int(v) for j, v in enumerate(row)} for row in rows], blocks)
    factor = factor_of(design, "k0")
    for way in (design.matched_pairs, design.least_squares, design.generalised_least_squares):
        found = way(factor, 0, 2)
        assert found.weights is not None
        assert found.weights[factor.codes == 2].sum() == pytest.approx(1.0)
        assert found.weights[factor.codes == 0].sum() == pytest.approx(-1.0)
        assert found.weights[factor.codes == 1].sum() == pytest.approx(0.0, abs=1e-12)
        for block in range(4):
            assert found.weights[design.blocks == block].sum() == pytest.approx(0.0, abs=1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_least_squares_weights_are_those_of_a_regression_with_block_dummies(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, blocks = rng.integers(0, 3, (50, 3)), rng.integers(0, 3, 50)
    years = rng.uniform(0.5, 5, 50)
    design = design_of([{f"k{j}": int(v) for j, v in enumerate(row)} for row in rows], blocks.tolist(), years.tolist())
    y = rng.standard_normal(50)
    columns = [np.eye(3)[blocks], *(np.eye(3)[rows[:, j]][:, 1:] for j in range(3))]
    x = np.concatenate(columns, axis=1)
    root = np.sqrt(years)
    beta = np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0]
    found = design.least_squares(factor_of(design, "k1"), 0, 2)
    assert found.weights is not None
    assert found.weights @ y == pytest.approx(beta[3 + 2 + 1])


def random_design(seed: int, n: int = 80) -> Design:
    rng = np.random.default_rng(seed)
    rows, blocks, years = rng.integers(0, 3, (n, 3)), rng.integers(0, 4, n), rng.uniform(0.5, 5, n)
    return design_of([{f"k{j}": int(v) for j, v in enumerate(row)} for row in rows], blocks.tolist(), years.tolist())


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_generalised_least_squares_know_that_runs_of_a_block_share_the_luck_of_their_levels(seed: int) -> None:
    design = random_design(seed)
    n, factor = len(design.blocks), factor_of(design, "k1")
    luck = LEVEL_LUCK * np.array([1 / design.years[design.blocks == b].mean() for b in range(4)])[design.blocks]
    in_block = design.blocks[:, None] == design.blocks
    covariance = np.diag(1 / design.years)
    for other in design.factors:
        covariance += luck[:, None] * (in_block & (other.codes[:, None] == other.codes))
    dummies = [np.eye(4)[design.blocks], *(np.eye(3)[other.codes][:, 1:] for other in design.factors)]
    x = np.concatenate(dummies, axis=1)
    inverse = np.linalg.inv(covariance)
    rows = np.linalg.solve(x.T @ inverse @ x, x.T @ inverse)
    found = design.generalised_least_squares(factor, 0, 2).weights
    assert found is not None
    assert len(found) == n
    assert found == pytest.approx(rows[4 + 2 + 1], abs=1e-10)


def test_generalised_least_squares_are_the_more_precise_where_levels_have_luck() -> None:
    design = random_design(1)
    factor = factor_of(design, "k1")
    both = [design.least_squares(factor, 0, 2).weights, design.generalised_least_squares(factor, 0, 2).weights]
    in_block = design.blocks[:, None] == design.blocks
    covariance = np.diag(0.5 / design.years)
    for other in design.factors:
        covariance += in_block & (other.codes[:, None] == other.codes)
    plain, generalised = (float(w @ covariance @ w) for w in both if w is not None)
    assert generalised < 0.95 * plain


def test_in_one_block_nothing_is_more_precise_than_least_squares() -> None:
    rng = np.random.default_rng(3)
    design = design_of([{f"k{j}": int(v) for j, v in enumerate(row)} for row in rng.integers(0, 3, (40, 2))], [0] * 40)
    factor = factor_of(design, "k0")
    plain, generalised = design.least_squares(factor, 0, 1), design.generalised_least_squares(factor, 0, 1)
    assert generalised.weights == pytest.approx(plain.weights, abs=1e-12)


def test_tables_that_would_be_too_large_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meta_pipeline.evidence.design.MOST_TABLES", 10)
    design = random_design(2)
    factor = factor_of(design, "k0")
    plain = design.least_squares(factor, 0, 1).weights
    assert np.array_equal(design.generalised_least_squares(factor, 0, 1).weights, plain)  # type: ignore[arg-type]


def test_an_effect_that_only_exists_between_blocks_is_refused() -> None:
    design = design_of([{"a": 0, "b": 0}, {"a": 0, "b": 1}, {"a": 1, "b": 0}, {"a": 1, "b": 1}], [0, 0, 1, 1])
    found = design.generalised_least_squares(factor_of(design, "a"), 0, 1)
    assert found.weights is None
    assert "never occur in the same block" in str(found.reason)


def test_knobs_that_move_together_are_refused() -> None:
    design = design_of([{"a": 0, "b": 0}, {"a": 1, "b": 1}, {"a": 0, "b": 0}, {"a": 1, "b": 1}], [0, 0, 1, 1])
    found = design.least_squares(factor_of(design, "a"), 0, 1)
    assert found.weights is None
    assert "always come together" in str(found.reason)
    assert design.matched_pairs(factor_of(design, "a"), 0, 1).weights is None


def test_the_local_contrast_uses_pairs_at_the_live_configuration_alone() -> None:
    configs = [{"a": a, "b": b} for a, b in product((0, 1), (0, 1, 2))]
    design = design_of(configs, [0] * 6)
    found = design.local_pairs(factor_of(design, "a"), 0, 1, {"b": 2})
    assert found.weights == pytest.approx([0, 0, -1, 0, 0, 1])
    assert design.local_pairs(factor_of(design, "a"), 0, 1, {"b": None}).weights is None


def test_a_number_with_many_levels_is_held_fixed_by_bins() -> None:
    (factor,) = read_factors([{"x": i / 7} for i in range(100)], ["x"])
    codes = control_codes(factor)
    assert len(np.unique(codes)) == 8
    by_value = np.argsort([float(str(factor.levels[c])) for c in factor.codes])
    assert np.all(np.diff(codes[by_value]) >= 0)


def test_a_control_with_a_value_per_run_does_not_eat_up_the_other_knobs() -> None:
    rng = np.random.default_rng(0)
    configs: Sequence[Config] = [
        {"a": int(a), "x": float(x)} for a, x in zip(rng.integers(0, 2, 80), rng.random(80), strict=True)
    ]
    design = design_of(configs, [0] * 80)
    assert design.generalised_least_squares(factor_of(design, "a"), 0, 1).weights is not None


def test_residuals_are_what_the_regression_leaves() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2, (30, 2))
    design = design_of([{"a": int(a), "b": int(b)} for a, b in rows], [0] * 15 + [1] * 15)
    y = rng.standard_normal(30)
    x = np.column_stack([np.arange(30) < 15, np.arange(30) >= 15, rows]).astype(float)
    left, freedom = design.residuals(y)
    assert left == pytest.approx(y - x @ np.linalg.lstsq(x, y, rcond=None)[0])
    assert freedom == 30 - 4


def test_undeclared_identifiers_take_no_part() -> None:
    factors = read_factors([{"a": 0, "id": "x"}, {"a": 1, "id": "y"}], ["a"])
    assert [f.role for f in factors] == [Role.KNOB, Role.NUISANCE]

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.bootstrap import circular_block_sums, studentised_draws


def series(n_days: int, n: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n_days, n))
    return np.asarray(x - x.mean(axis=0))


@given(st.integers(1, 20), st.integers(20, 50))
@settings(max_examples=30, deadline=None)
def test_block_sums_run_around_the_end(length: int, n_days: int) -> None:
    x = series(n_days, 2)
    found = circular_block_sums(x, length)
    for start in (0, 3, n_days - 1):
        days = (start + np.arange(length)) % n_days
        assert found[start] == pytest.approx(x[days].sum(axis=0))


def test_draws_are_those_of_resampling_whole_blocks_by_hand() -> None:
    x, length = series(60, 3), 7
    found = studentised_draws(x, block_length=length, n_draws=5, generator=np.random.default_rng(9))
    starts = np.random.default_rng(9).integers(0, 60, size=(5, 9))
    for draw in range(5):
        blocks = np.array([x[(s + np.arange(length)) % 60].sum(axis=0) for s in starts[draw]])
        expected = blocks.sum(axis=0) / np.sqrt(9 * blocks.var(axis=0, ddof=1))
        assert found[draw] == pytest.approx(expected)


def test_a_seed_decides_the_draws() -> None:
    x = series(100, 2)
    one, two, other = (
        studentised_draws(x, block_length=4, n_draws=600, generator=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_columns_see_the_same_days() -> None:
    x = series(120, 1)
    found = studentised_draws(np.hstack([x, 3 * x, -x]), block_length=5, n_draws=50, generator=np.random.default_rng(0))
    assert found[:, 1] == pytest.approx(found[:, 0])
    assert found[:, 2] == pytest.approx(-found[:, 0])


def test_draws_of_independent_days_are_nearly_standard_normal() -> None:
    found = studentised_draws(series(1000, 3), block_length=1, n_draws=4000, generator=np.random.default_rng(0))
    assert found.mean(axis=0) == pytest.approx(0.0, abs=0.06)
    assert found.std(axis=0) == pytest.approx(1.0, abs=0.05)


def test_a_column_that_does_not_move_gives_zeros() -> None:
    x = np.hstack([series(50, 1), np.zeros((50, 1))])
    found = studentised_draws(x, block_length=3, n_draws=20, generator=np.random.default_rng(0))
    assert not found[:, 1].any()


def test_a_block_longer_than_half_the_days_is_refused() -> None:
    with pytest.raises(InputError, match="for 10 days it must be 1 to 5"):
        studentised_draws(series(10, 1), block_length=6, n_draws=5, generator=np.random.default_rng(0))

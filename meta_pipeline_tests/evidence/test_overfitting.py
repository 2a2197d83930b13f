from itertools import combinations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.overfitting import effective_number_of_trials, probability_of_backtest_overfitting


def noise(n_days: int, n: int, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal((n_days, n)) * 0.01)


def by_the_book(returns: np.ndarray, n_blocks: int) -> np.ndarray:
    blocks = np.split(returns, n_blocks)
    logits = []
    for chosen in combinations(range(n_blocks), n_blocks // 2):
        inside = np.concatenate([blocks[b] for b in chosen])
        outside = np.concatenate([blocks[b] for b in range(n_blocks) if b not in chosen])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
        rank = scipy.stats.rankdata(outside.mean(axis=0) / outside.std(axis=0, ddof=1))[best]
        relative = rank / (returns.shape[1] + 1)
        logits.append(np.log(relative / (1 - relative)))
    return np.array(logits)


def test_sixteen_blocks_have_12870_splits() -> None:
    assert probability_of_backtest_overfitting(noise(320, 5), 16).n_splits == 12_870


def test_series_recentred_to_zero_mean_are_overfitted_with_certainty() -> None:
    returns = noise(640, 12)
    found = probability_of_backtest_overfitting(returns - returns.mean(axis=0), 16)
    assert found.probability == 1.0
    assert found.probability_of_loss > 0.999  # in a split or two every series lost in sample
    assert found.degradation_slope == pytest.approx(-1.0, abs=0.15)


def test_the_splits_are_those_of_the_paper() -> None:
    returns = noise(240, 7, 3) + np.linspace(0, 0.0008, 7)
    found = probability_of_backtest_overfitting(returns, 6)
    expected = by_the_book(returns, 6)
    # np.unique sorts the series, which must not matter.
    assert found.logits == pytest.approx(expected)
    assert found.probability == np.mean(expected <= 0)
    line = scipy.stats.linregress(found.in_sample, found.out_of_sample)
    assert (found.degradation_slope, found.degradation_intercept) == pytest.approx((line.slope, line.intercept))


def test_one_series_that_is_truly_better_is_not_overfitted() -> None:
    returns = noise(1000, 10, 1)
    returns[:, 4] += 0.003
    found = probability_of_backtest_overfitting(returns, 10)
    assert found.probability == 0.0
    assert found.probability_of_loss == 0.0


def test_noise_is_overfitted_about_half_of_the_time() -> None:
    found = [probability_of_backtest_overfitting(noise(320, 20, seed), 8).probability for seed in range(60)]
    assert float(np.mean(found)) == pytest.approx(0.5, abs=0.08)
    assert float(np.std(found)) > 0.1  # one campaign's figure says little


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_order_and_copies_of_series_change_nothing(seed: int) -> None:
    returns = noise(64, 6, seed)
    once = probability_of_backtest_overfitting(returns, 4)
    again = probability_of_backtest_overfitting(returns[:, [5, 0, 3, 1, 2, 4, 0, 0]], 4)
    assert again.logits.tolist() == once.logits.tolist()
    assert again.n_series == 6


def test_leverage_ties_in_sample_and_out_of_sample() -> None:
    one, other = noise(160, 2, 7).T
    found = probability_of_backtest_overfitting(np.column_stack([one, 3 * one, other, 0.1 * other]), 4)
    # The two best tie with each other on both sides: rank 3.5 or 1.5 of 4.
    assert set(np.round(found.logits, 9)) <= {round(float(np.log(r / (5 - r))), 9) for r in (3.5, 1.5)}


def test_blocks_may_differ_by_a_day() -> None:
    found = probability_of_backtest_overfitting(noise(163, 4), 16)
    assert found.n_days == 163
    assert np.isfinite(found.logits).all()


def test_a_series_that_stands_in_cash_in_half_of_the_days_has_a_sharpe_ratio_of_zero_there() -> None:
    returns = noise(80, 3)
    returns[:40, 0] = 0.0
    assert np.isfinite(probability_of_backtest_overfitting(returns, 4).logits).all()
    returns[:40, 0] = 0.001
    with pytest.raises(InputError, match="constant and not zero"):
        probability_of_backtest_overfitting(returns, 4)


def test_bad_input_is_named() -> None:
    gap = noise(64, 3)
    gap[5, 2] = np.nan
    with pytest.raises(InputError, match=r"day 5 of series 2 \(1 such"):
        probability_of_backtest_overfitting(gap, 4)
    with pytest.raises(InputError, match="n_blocks is 5"):
        probability_of_backtest_overfitting(noise(64, 3), 5)
    with pytest.raises(InputError, match="20 days do not make 16"):
        probability_of_backtest_overfitting(noise(20, 3), 16)
    with pytest.raises(InputError, match="identical"):
        probability_of_backtest_overfitting(np.tile(noise(64, 1), 3), 4)
    with pytest.raises(InputError, match="days x series"):
        effective_number_of_trials(noise(64, 3)[:, 0])
    with pytest.raises(InputError, match="such values"):
        effective_number_of_trials(gap)


def test_the_effective_number_is_one_for_copies_and_the_number_for_independent_series() -> None:
    base = noise(50, 1)
    assert effective_number_of_trials(np.hstack([base, 2 * base, -base])) == pytest.approx(1.0)
    orthogonal = np.linalg.qr(np.column_stack([np.ones(50), noise(50, 5, 2)]))[0][:, 1:]
    assert effective_number_of_trials(orthogonal) == pytest.approx(5.0)


def test_the_effective_number_is_the_participation_ratio_of_the_eigenvalues() -> None:
    for shape in ((200, 8), (12, 40)):
        returns = noise(*shape) + noise(shape[0], 1, 9)
        eigenvalues = np.linalg.eigvalsh(np.corrcoef(returns.T))
        expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
        assert effective_number_of_trials(returns) == pytest.approx(expected)


def test_series_that_do_not_vary_are_no_trials() -> None:
    returns = np.column_stack([noise(30, 2), np.zeros(30)])
    assert effective_number_of_trials(returns) == pytest.approx(effective_number_of_trials(returns[:, :2]))
    assert np.isnan(effective_number_of_trials(np.zeros((30, 2))))

import sys

import numpy as np
import pytest
from arch.bootstrap import SPA

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.contrasts import ledoit_wolf
from meta_pipeline.evidence.superiority import (
    model_confidence_set,
    stepwise_superior,
    superior_predictive_ability,
)


def series(n_days: int, n: int, seed: int, correlation: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n_days, 1))
    own = rng.standard_normal((n_days, n))
    return np.asarray((np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own) * 0.01)


def test_noise_does_not_beat_a_benchmark_more_often_than_the_test_says() -> None:
    p_values = []
    for seed in range(80):
        returns = series(250, 9, seed)
        p_values.append(superior_predictive_ability(returns[:, 1:], returns[:, 0], n_draws=99, seed=seed).p_value)
    assert float(np.mean(np.array(p_values) <= 0.1)) <= 0.1 + 2 * np.sqrt(0.09 / 80)


def test_a_series_that_is_better_is_found_and_named() -> None:
    returns = series(750, 8, 1)
    returns[:, 5] += 0.0015
    found = superior_predictive_ability(returns[:, 1:], returns[:, 0], n_draws=299)
    assert found.p_value <= 0.01
    assert found.p_value_lower <= found.p_value <= found.p_value_upper
    assert found.p_value_lower >= 1 / 300  # 299 draws can say no more than that
    assert found.best == 4
    assert stepwise_superior(returns[:, 1:], returns[:, 0], n_draws=299) == (4,)


def test_differences_and_errors_are_those_of_ledoit_and_wolf() -> None:
    returns = series(500, 3, 2)
    found = superior_predictive_ability(returns[:, 1:], returns[:, 0], n_draws=19)
    for column in (1, 2):
        pair = ledoit_wolf(returns[:, column], returns[:, 0], n_draws=19)
        assert found.differences[column - 1] == pytest.approx(pair.estimate)
        assert found.standard_errors[column - 1] == pytest.approx(pair.standard_error, rel=1e-9)


def test_on_equal_scales_the_mean_return_is_archs_own_test() -> None:
    returns = series(400, 6, 3)
    returns[:, 3] += 0.0008
    ours = superior_predictive_ability(
        returns[:, 1:], returns[:, 0], metric="mean_return", n_draws=499, block_length=1, seed=7
    )
    theirs = SPA(-returns[:, 0], -returns[:, 1:], block_size=1, reps=499, bootstrap="circular", seed=7)
    theirs.compute()
    assert ours.p_value == pytest.approx(float(theirs.pvalues["consistent"]), abs=0.03)


def test_a_wild_series_does_not_hide_a_good_one() -> None:
    returns = series(750, 4, 4)
    returns[:, 2] += 0.0015
    returns[:, 3] *= 30
    found = superior_predictive_ability(returns[:, 1:], returns[:, 0], metric="mean_return", n_draws=299)
    assert found.best == 1
    assert found.p_value <= 0.02


def test_leverage_is_no_superiority() -> None:
    returns = series(400, 3, 5)
    benchmark = returns[:, 0] + 0.001
    levered = np.column_stack([benchmark * 3, benchmark])
    found = superior_predictive_ability(levered, benchmark, n_draws=99)
    assert (found.p_value, found.p_value_lower, found.p_value_upper) == (1.0, 1.0, 1.0)
    assert found.standard_errors.tolist() == [0.0, 0.0]
    assert stepwise_superior(levered, benchmark, n_draws=99) == ()
    assert superior_predictive_ability(levered, benchmark, metric="mean_return", n_draws=99).p_value < 0.2


def test_all_series_may_be_superior() -> None:
    returns = series(750, 4, 6)
    returns[:, 1:] += 0.003
    returns[:, 1] += 0.003
    assert stepwise_superior(returns[:, 1:], returns[:, 0], n_draws=199) == (0, 1, 2)


def test_the_confidence_set_keeps_the_best_and_drops_the_bad() -> None:
    returns = series(750, 6, 7)
    returns[:, [1, 4]] += 0.002
    found = model_confidence_set(returns, n_draws=299)
    assert found.included == (1, 4)
    assert found.p_values.max() == 1.0


def test_copies_and_levered_copies_share_their_place_in_the_confidence_set() -> None:
    returns = series(400, 4, 8)
    returns[:, 2] += 0.001
    once = model_confidence_set(returns, n_draws=199)
    again = model_confidence_set(np.column_stack([returns, returns[:, 2], 2 * returns[:, 0]]), n_draws=199)
    assert again.p_values[:4].tolist() == once.p_values.tolist()
    assert again.p_values[4:].tolist() == once.p_values[[2, 0]].tolist()
    assert model_confidence_set(np.tile(returns[:, :1], 3)).included == (0, 1, 2)


def test_many_series_are_compared_by_the_maximum_statistic() -> None:
    returns = series(300, 45, 9)
    returns[:, 7] += 0.003
    found = model_confidence_set(returns, n_draws=99)
    assert 7 in found.included
    assert len(found.included) < 45


def test_the_same_seed_gives_the_same_answer() -> None:
    returns = series(200, 4, 10)
    one, two = (superior_predictive_ability(returns[:, 1:], returns[:, 0], n_draws=99, seed=3) for _ in range(2))
    assert one.p_value == two.p_value


def test_without_arch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arch.bootstrap", None)
    returns = series(50, 3, 0)
    with pytest.raises(InputError, match=r"pip install 'meta-pipeline\[lab\]'"):
        superior_predictive_ability(returns[:, 1:], returns[:, 0])
    with pytest.raises(InputError, match="arch"):
        model_confidence_set(returns)


def test_bad_input_is_named() -> None:
    returns = series(50, 3, 0)
    gap = returns.copy()
    gap[4, 1] = np.nan
    with pytest.raises(InputError, match="day 4 of series 1"):
        superior_predictive_ability(gap, returns[:, 0])
    with pytest.raises(InputError, match="benchmark holds nan"):
        superior_predictive_ability(returns, gap[:, 1])
    with pytest.raises(InputError, match="benchmark has shape"):
        superior_predictive_ability(returns, returns)
    with pytest.raises(InputError, match="10 days"):
        model_confidence_set(returns[:10])
    with pytest.raises(InputError, match="size is 0"):
        stepwise_superior(returns, returns[:, 0], size=0)
    with pytest.raises(InputError, match="block_length is 40"):
        model_confidence_set(returns, block_length=40)
    with pytest.raises(InputError, match="series 1 does not vary"):
        model_confidence_set(np.column_stack([returns[:, 0], np.full(50, 0.001)]))
    with pytest.raises(InputError, match="metric is 'sortino'"):
        model_confidence_set(returns, metric="sortino")  # type: ignore[arg-type]

"""What a series rests on: regimes, best days; and what is said where nothing can be known."""

import math

import numpy as np
import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.robustness import robustness
from meta_pipeline.evidence.tails import tail_of


def test_a_series_that_earns_in_one_regime_only_is_concentrated_and_its_worst_regime_is_named() -> None:
    rng = np.random.default_rng(1)
    labels = np.array(["CALM"] * 900 + ["CRISIS"] * 100)
    returns = np.where(labels == "CALM", 0.002, 0.0) + rng.normal(0, 0.005, 1000)
    found = robustness(returns, 252, labels)
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)) / math.log(2)
    assert found.regime_entropy == pytest.approx(entropy)
    assert found.worst_regime == "CRISIS"
    assert found.concentration is not None
    assert found.concentration > 0.9
    crisis = next(one for one in found.regimes if one.label == "CRISIS")
    whole = returns.mean() / returns.std(ddof=1) * math.sqrt(252)
    assert crisis.sharpe is not None
    assert crisis.shrunk_sharpe == pytest.approx((100 * crisis.sharpe + 252 * whole) / 352)


def test_each_regime_has_its_share_of_what_was_won_or_lost() -> None:
    labels = np.array(["BULL"] * 40 + ["BEAR"] * 40)
    returns = np.where(labels == "BULL", 0.003, -0.001) + np.tile([1e-4, -1e-4], 40)
    found = {one.label: one for one in robustness(returns, 252, labels).regimes}
    won, lost = (float(np.log1p(returns[labels == label]).sum()) for label in ("BULL", "BEAR"))
    assert found["BULL"].share == pytest.approx(won / (won - lost))
    assert found["BEAR"].share == pytest.approx(-lost / (won - lost))


def test_a_bad_fortnight_does_not_make_the_worst_regime_once_it_is_drawn_towards_the_whole() -> None:
    rng = np.random.default_rng(4)
    labels = np.array(["LONG"] * 1500 + ["SHORT"] * 10 + ["GOOD"] * 800)
    returns = rng.normal(0, 0.01, 2310) + np.where(labels == "GOOD", 0.002, np.where(labels == "LONG", -0.0008, -0.004))
    found = robustness(returns, 252, labels)
    by = {one.label: one for one in found.regimes}
    assert (by["SHORT"].sharpe or 0) < (by["LONG"].sharpe or 0)  # as it was, the fortnight was the worst
    assert found.worst_regime == "LONG"
    assert found.worst_regime_sharpe == by["LONG"].shrunk_sharpe


def test_the_tail_is_that_of_its_days() -> None:
    returns = np.append(np.random.default_rng(3).normal(0, 0.01, 600), np.nan)
    assert robustness(returns, 252).tail == tail_of(returns)


def test_the_best_ten_days_may_have_made_more_than_everything() -> None:
    returns = np.concatenate([np.full(10, 0.05), np.full(90, -0.001)])
    made, lost = 10 * math.log(1.05), 90 * math.log(0.999)
    assert robustness(returns, 252).best_days == pytest.approx(made / (made + lost))


def test_what_cannot_be_known_is_none_with_a_reason() -> None:
    found = robustness(np.full(30, np.nan), 252, np.array(["CALM"] * 30))
    assert found.n_days == 0
    assert found.tail.missing["expected_shortfall"]
    for name in ("regime_entropy", "concentration", "worst_regime", "worst_regime_sharpe", "best_days"):
        assert getattr(found, name) is None
        assert found.missing[name]
    ruined = robustness(np.array([0.1, -1.0, 0.2] * 10), 252, np.array(["A", "B", "A"] * 10))
    assert ruined.concentration is None
    assert next(one for one in ruined.regimes if one.label == "B").log_wealth is None
    with pytest.raises(InputError, match="one label per day"):
        robustness(np.zeros(3), 252, np.array(["A"]))

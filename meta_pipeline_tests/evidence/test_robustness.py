"""What a series rests on: regimes, best days, tail; and what is said where nothing can be known."""

import math

import numpy as np
import pytest

from meta_pipeline.errors import InputError
from meta_pipeline.evidence.robustness import robustness


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


def test_hills_index_is_that_of_the_pareto_tail_it_is_given() -> None:
    losses = 0.01 * (1 + np.random.default_rng(2).pareto(3.0, 100_000))
    found = robustness(-losses, 252)
    assert found.tail_index == pytest.approx(3.0, rel=0.05)


def test_the_best_ten_days_may_have_made_more_than_everything() -> None:
    returns = np.concatenate([np.full(10, 0.05), np.full(90, -0.001)])
    made, lost = 10 * math.log(1.05), 90 * math.log(0.999)
    assert robustness(returns, 252).best_days == pytest.approx(made / (made + lost))


def test_what_cannot_be_known_is_none_with_a_reason() -> None:
    found = robustness(np.full(30, np.nan), 252, np.array(["CALM"] * 30))
    assert found.n_days == 0
    for name in ("regime_entropy", "concentration", "worst_regime", "best_days", "expected_shortfall", "tail_index"):
        assert getattr(found, name) is None
        assert found.missing[name]
    ruined = robustness(np.array([0.1, -1.0, 0.2] * 10), 252, np.array(["A", "B", "A"] * 10))
    assert ruined.concentration is None
    assert next(one for one in ruined.regimes if one.label == "B").log_wealth is None
    with pytest.raises(InputError, match="one label per day"):
        robustness(np.zeros(3), 252, np.array(["A"]))

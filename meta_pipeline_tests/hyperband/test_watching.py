"""Triggers on real outcomes: each fires just beyond its threshold, and what is unknown is not said to be well."""

import numpy as np
import pytest

from meta_pipeline.hyperband.watching import MINIMUM_DAYS, Limits, triggers


def fired(returns: list[float], profits: list[float], **limits: float) -> set[str]:
    found = triggers(np.array(returns), profits, periods_per_year=252.0, limits=Limits(**limits))  # type: ignore[arg-type]
    assert all(trigger.fired <= (trigger.value is not None) for trigger in found)
    return {trigger.name for trigger in found if trigger.fired}


@pytest.mark.parametrize(
    ("returns", "profits", "expected"),
    [
        ([], [], set()),
        ([0.5, -0.19], [1.0], set()),
        ([0.5, -0.21], [1.0], {"drawdown"}),
        ([-0.11], [-1.0], {"return"}),
        ([-0.09], [-1.0], set()),
        ([-0.21], [-1.0], {"drawdown", "return"}),
        ([0.001, -0.002] * (MINIMUM_DAYS // 2), [], {"Sharpe ratio"}),
        ([0.001, -0.002] * (MINIMUM_DAYS // 2 - 1), [], set()),
        ([0.0], [-1.0] * 8, {"losing streak"}),
        ([0.0], [*[-1.0] * 8, 1.0], set()),
    ],
)
def test_a_trigger_fires_beyond_its_threshold_and_not_before(
    returns: list[float], profits: list[float], expected: set[str]
) -> None:
    assert fired(returns, profits) == expected


def test_each_trigger_says_its_figure_and_its_threshold() -> None:
    (deep, *_), limit = triggers(np.array([0.1, -0.3]), [1.0], periods_per_year=252.0), -0.2
    assert (round(deep.value or 0, 6), deep.threshold, deep.fired) == (-0.3, limit, True)
    assert "2 days" in deep.reason
    nothing = triggers(np.zeros(0), [], periods_per_year=252.0)
    assert all(trigger.value is None for trigger in nothing)

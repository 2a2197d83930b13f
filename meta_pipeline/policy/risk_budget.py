"""How much of the book the chosen strategies may use: as much as keeps its expected shortfall within the budget.

Expected shortfall is the mean of the worst days. With few days it is estimated badly, and always too small, so the
normal distribution's is a floor under it. Belongs here: weights and returns -> scale. Does not belong here: the
weights (allocation).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.policy.modes import RiskMode

LEVEL: Final = 0.975
"""Share of days that are no worse: the level of the Basel market risk rules."""

NORMAL_TAIL: Final = 2.337803
"""Expected shortfall of a standard normal variable at that level: its density at the quantile over 0.025."""

BUDGET: Final[Mapping[RiskMode, float]] = MappingProxyType(
    {RiskMode.DEFENSIVE: 0.005, RiskMode.NORMAL: 0.0125, RiskMode.AGGRESSIVE: 0.025}
)
"""The daily expected shortfall that a mode allows, as a fraction of the equity. Ours; the document has none."""

FEWEST_DAYS: Final = 20


def expected_shortfall(returns: NDArray[np.float64]) -> float | None:
    """Return the expected loss of a day among the worst 2.5 %, as a positive fraction; never below the normal one.

    None with fewer than `FEWEST_DAYS` days, or where a return is no number.
    """
    n = len(returns)
    if n < FEWEST_DAYS or not bool(np.all(np.isfinite(returns))):
        return None
    tail = (1.0 - LEVEL) * n
    worst = np.sort(returns)[: int(np.ceil(tail))]
    # The last of them counts by the part of it that lies within the tail.
    shares = np.ones(len(worst))
    shares[-1] = tail - (len(worst) - 1)
    historical = -float(worst @ shares) / tail
    normal = NORMAL_TAIL * float(np.std(returns, ddof=1)) - float(np.mean(returns))
    return max(historical, normal, 0.0)


def scale_to_budget(shortfall: float | None, mode: RiskMode) -> float:
    """Return by how much to scale the weights, 0..1: nothing is scaled up, and an unknown shortfall gets half."""
    if shortfall is None:
        return 0.5
    return 1.0 if shortfall <= BUDGET[mode] else BUDGET[mode] / shortfall

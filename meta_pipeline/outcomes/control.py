"""The second control: what happened to strategies that nobody touched, over the same days (difference in differences).

The paired replay knows nothing of what the change did to fills, capacity or the market; a strategy's own before and
after knows nothing of how the times changed. Strategies without a change went through the same times.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.outcomes.paired import NEGLIGIBLE, weighted
from meta_pipeline.proposals.candidate import finite
from meta_pipeline.proposals.outcome_rule import OutcomeRule

Days = NDArray[np.datetime64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class BeforeAndAfter:
    """What a strategy earned in one market under the configuration that was live, before and after the change.

    Parameters
    ----------
    dates, returns
        Shape (n_days,): one series over both spans.
    changed_on
        First day of the span after the change.
    """

    strategy_id: str
    market: str
    dates: Days
    returns: Floats
    changed_on: np.datetime64
    periods_per_year: float


@dataclass(frozen=True, kw_only=True)
class Control:
    """Change of the treated strategy less the mean change of the untouched ones.

    Parameters
    ----------
    estimate, lower, upper
        In the rule's metric, with the confidence sequence of every look. None where `reason` says why.
    strategies
        The untouched strategies.
    """

    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    strategies: tuple[str, ...] = ()
    n_days: int = 0
    reason: str | None = None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the control as a JSON object."""
        return {
            "estimate": finite(self.estimate),
            "lower": finite(self.lower),
            "upper": finite(self.upper),
            "strategies": list(self.strategies),
            "n_days": self.n_days,
            "reason": self.reason,
        }


def difference_in_differences(
    treated: Sequence[BeforeAndAfter], untouched: Sequence[BeforeAndAfter], rule: OutcomeRule, *, seed: int
) -> Control:
    """Compare how a strategy changed with how untouched ones did, each market of a strategy weighing the same."""
    usable = [one for one in treated if _moves(one)]
    others = [one for one in untouched if _moves(one)]
    names = tuple(sorted({one.strategy_id for one in others}))
    if not usable or not others:
        missing = "days before and after the change" if not usable else "untouched strategy with days before and after"
        return Control(reason=f"no {missing}")
    series = [part for one in [*usable, *others] for part in _spans(one)]
    days = np.unique(np.concatenate([dates for dates, _ in series]))
    matrix = np.full((len(days), len(series)), np.nan)
    for column, (dates, returns) in enumerate(series):
        matrix[np.searchsorted(days, dates), column] = returns
    per_strategy = {name: sum(one.strategy_id == name for one in others) for name in names}
    signs = [1.0 / len(usable)] * len(usable)
    signs += [-1.0 / len(names) / per_strategy[one.strategy_id] for one in others]
    weights = np.array([w for sign in signs for w in (-sign, sign)])
    periods = np.repeat([one.periods_per_year for one in [*usable, *others]], 2)
    try:
        found = weighted(
            matrix, weights, periods, metric=rule.metric, alpha=rule.alpha, tuned_for=rule.tuned_for, seed=seed
        )
    except InputError as error:
        return Control(strategies=names, n_days=len(days), reason=str(error))
    return Control(
        estimate=found.estimate, lower=found.lower, upper=found.upper, strategies=names, n_days=len(days)
    )  # fmt: skip


def _spans(one: BeforeAndAfter) -> tuple[tuple[Days, Floats], tuple[Days, Floats]]:
    later = one.dates >= one.changed_on
    return (one.dates[~later], one.returns[~later]), (one.dates[later], one.returns[later])


def _moves(one: BeforeAndAfter) -> bool:
    return all(len(returns) >= 3 and float(np.std(returns)) > NEGLIGIBLE for _, returns in _spans(one))

"""One number to compare strategies by, and what a strategy must hold to be considered at all.

Belongs here: how figures are weighed, and thresholds as constraints. Does not belong here: the figures (performance),
the predecessor's score as it was (legacy_objective), or gates on a winner (verdict).

Each figure becomes a goodness between 0 and 1 that never falls as the figure gets better. The score is their weighted
mean less the penalty: 1 for a flawless strategy, and monotone in every figure. What is unknown counts as worst.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from meta_pipeline.errors import InputError, NotFound
from meta_pipeline.hyperband.performance import Performance

VOLATILITY_TARGET: Final = 0.20


def _rising(low: float, high: float) -> Callable[[float], float]:
    return lambda value: min(max((value - low) / (high - low), 0.0), 1.0)


def _volatility_excess(volatility: float) -> float:
    """Return 0 up to the target, and 1 from 42 % on: half the predecessor's penalty, its sign put right."""
    return min(math.expm1(min(5.0 * max(volatility - VOLATILITY_TARGET, 0.0), 50.0)), 2.0) / 2.0


GOODNESS: Final[Mapping[str, Callable[[float], float]]] = MappingProxyType(
    {
        "sharpe_ratio": _rising(0.0, 3.0),
        "profit_factor": _rising(1.0, 3.0),
        "max_drawdown": _rising(-0.30, 0.0),
        "alpha_persistence": _rising(0.0, 1.0),
        "trade_efficiency": _rising(0.0, 1.0),
        "sortino_ratio": _rising(0.0, 4.0),
        "calmar_ratio": _rising(0.0, 3.0),
        "recovery_factor": _rising(0.0, 10.0),
        "expected_shortfall": _rising(-0.05, 0.0),
        "kelly_fraction": _rising(0.0, 5.0),
        "annual_return": _rising(0.0, 0.5),
        "win_rate": _rising(0.0, 1.0),
    }
)
"""Figure -> its goodness."""

PENALTIES: Final[Mapping[str, Callable[[float], float]]] = MappingProxyType({"volatility": _volatility_excess})
"""Figure -> what is subtracted, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Viability:
    """Thresholds; a strategy below one is not considered, however it scores."""

    round_trips: int = 10
    sharpe_ratio: float = 0.5
    profit_factor: float = 1.1
    max_drawdown: float = -0.30

    def constraints(self, found: Performance) -> dict[str, float]:
        """Return by which share of itself each threshold is missed: above zero, it is. Unknown is missed by 1.

        As shares they can be summed, which is how promotion orders what is infeasible.
        """
        thresholds = {name: float(getattr(self, name)) for name in self.__dataclass_fields__}
        return {
            name: _bounded((threshold - found[name].value) / (abs(threshold) or 1.0))
            for name, threshold in thresholds.items()
        }

    def reasons(self, found: Performance) -> tuple[str, ...]:
        """Say which thresholds are missed, and by what; empty for a viable strategy."""
        thresholds = {name: getattr(self, name) for name in self.__dataclass_fields__}
        said = []
        for name, missed in self.constraints(found).items():
            if missed > 0.0:
                figure = found[name]
                known = f"{figure.value:.4g}" if not math.isnan(figure.value) else f"unknown ({figure.reason})"
                said.append(f"{name} is {known}, at least {thresholds[name]:g} is needed")
        return tuple(said)


def _bounded(missed: float) -> float:
    return 1.0 if math.isnan(missed) else float(min(max(missed, -1e6), 1e6))


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Weights and thresholds.

    Parameters
    ----------
    name
        Of the preset.
    weights
        Figure of `GOODNESS` -> its weight, positive.
    penalties
        Figure of `PENALTIES` -> its weight, not negative.
    viability
        Thresholds.
    """

    name: str
    weights: Mapping[str, float]
    penalties: Mapping[str, float]
    viability: Viability = Viability()

    def __post_init__(self) -> None:
        """Check the weights.

        Raises
        ------
        InputError
            If a figure is unknown, or a weight not positive and finite.
        """
        for given, known in ((self.weights, GOODNESS), (self.penalties, PENALTIES)):
            for name, weight in given.items():
                if name not in known:
                    raise InputError(f"no weight can be put on {name!r}; it can be on {', '.join(known)}")
                if not 0 < weight < math.inf:
                    raise InputError(f"the weight of {name} is {weight!r}; it must be positive: penalties are apart")
        if not self.weights:
            raise InputError("the objective weighs nothing; give at least one weight")

    def score(self, found: Performance) -> float:
        """Return the weighted goodness: at most 1, higher is better; below 0 where penalties outweigh."""
        return self.score_of({name: figure.value for name, figure in found.items()})

    def score_of(self, figures: Mapping[str, float]) -> float:
        """Score figures by name; NaN counts as the worst there is."""
        good = sum(weight * _known(figures[name], GOODNESS[name], 0.0) for name, weight in self.weights.items())
        bad = sum(weight * _known(figures[name], PENALTIES[name], 1.0) for name, weight in self.penalties.items())
        return float((good - bad) / sum(self.weights.values()))


def _known(value: float, rate: Callable[[float], float], worst: float) -> float:
    return worst if math.isnan(value) else rate(value)


OBJECTIVES: Final[Mapping[str, Objective]] = MappingProxyType(
    {
        "documented": Objective(
            name="documented",
            weights={
                "sharpe_ratio": 0.4,
                "profit_factor": 0.3,
                "max_drawdown": 0.2,
                "alpha_persistence": 0.1,
                "trade_efficiency": 0.05,
            },
            penalties={"volatility": 0.05},
        ),
        "cautious": Objective(
            name="cautious",
            weights={
                "sharpe_ratio": 0.3,
                "sortino_ratio": 0.2,
                "calmar_ratio": 0.2,
                "max_drawdown": 0.2,
                "expected_shortfall": 0.1,
            },
            penalties={"volatility": 0.1},
        ),
        "sharpe": Objective(name="sharpe", weights={"sharpe_ratio": 1.0}, penalties={}),
    }
)
"""`documented`: the predecessor's weights with their signs put right; `cautious`: weighs losses; `sharpe`: alone."""


def objective_named(name: str) -> Objective:
    """Look a preset up.

    Raises
    ------
    NotFound
        If there is none of this name.
    """
    try:
        return OBJECTIVES[name]
    except KeyError:
        raise NotFound(f"there is no objective {name!r}; there are {', '.join(OBJECTIVES)}") from None

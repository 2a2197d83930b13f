"""The parts of a diagnostics report. Every figure that is not known is None, with the reason beside it.

Belongs here: what is said. Does not belong here: how it is found (diagnose, configurations, overfitting) or how
it looks (report).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.candidate import SliceEffect, finite

_QUARANTINED: Final = "quarantined:"


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """From where on a configuration is pointed out; the predecessor's figures.

    Parameters
    ----------
    minimum_runs
        Distinct runs below which nothing is said.
    sharpe
        A configuration underperforms when its annualised Sharpe ratio is below this.
    volatility
        It is high-risk when its annualised volatility is above this,
    drawdown
        or its maximum drawdown (negative) is below this.
    """

    minimum_runs: int = 5
    sharpe: float = 0.5
    volatility: float = 0.30
    drawdown: float = -0.20

    def __post_init__(self) -> None:
        """Refuse thresholds that nothing can meet.

        Raises
        ------
        InputError
            Naming the threshold and its value.
        """
        if self.minimum_runs < 1:
            raise InputError(f"minimum_runs is {self.minimum_runs}; it must be at least 1")
        if not math.isfinite(self.sharpe):
            raise InputError(f"the Sharpe threshold is {self.sharpe}; it must be a finite number")
        if not self.volatility > 0:
            raise InputError(f"the volatility threshold is {self.volatility}; it must be positive")
        if not -1 <= self.drawdown <= 0:
            raise InputError(f"the drawdown threshold is {self.drawdown}; drawdowns are between -1 and 0")

    def to_json(self) -> dict[str, JsonValue]:
        """Return the thresholds as a JSON object."""
        return {
            "minimum_runs": self.minimum_runs,
            "sharpe": finite(self.sharpe),
            "volatility": finite(self.volatility),
            "drawdown": finite(self.drawdown),
        }


@dataclass(frozen=True, kw_only=True)
class DataHealth:
    """What the quality gate made of a strategy's runs.

    Parameters
    ----------
    accepted, metrics_only, quarantined
        Runs in each state; every run ever handed in is in one of them.
    reasons
        Quarantined runs by reason code.
    """

    accepted: int = 0
    metrics_only: int = 0
    quarantined: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the reasons explain every quarantined run.

        Raises
        ------
        InputError
            If they do not.
        """
        explained = sum(self.reasons.values())
        if explained != self.quarantined:
            raise InputError(f"{self.quarantined} runs are quarantined, but reasons are given for {explained}")

    @classmethod
    def of_states(cls, states: Mapping[str, int]) -> "DataHealth":
        """Build the record from the number of runs by state, those in quarantine by `quarantined:<reason code>`."""
        reasons = {
            reason: number
            for state, number in sorted(states.items())
            if (reason := state.removeprefix(_QUARANTINED)) != state
        }
        return cls(
            accepted=states.get("accepted", 0),
            metrics_only=states.get("metrics_only", 0),
            quarantined=sum(reasons.values()),
            reasons=reasons,
        )

    @property
    def n_runs(self) -> int:
        """Runs handed in, whatever became of them."""
        return self.accepted + self.metrics_only + self.quarantined

    def to_json(self) -> dict[str, JsonValue]:
        """Return the record as a JSON object."""
        return {
            "accepted": self.accepted,
            "metrics_only": self.metrics_only,
            "quarantined": self.quarantined,
            "reasons": dict(self.reasons),
        }


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Performance of some runs together.

    Parameters
    ----------
    n_runs, n_distinct, n_days
        Runs; of these distinct; distinct days on which they have returns.
    sharpe, mean_return, volatility
        Annualised.
    max_drawdown
        Not positive: the deepest of any single run.
    win_rate
        Share of positive returns among those that are not zero.
    missing
        For each figure that is None: why.
    """

    n_runs: int
    n_distinct: int
    n_days: int
    sharpe: float | None = None
    mean_return: float | None = None
    volatility: float | None = None
    max_drawdown: float | None = None
    win_rate: float | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the figures as a canonical-JSON-safe object."""
        return {
            "n_runs": self.n_runs,
            "n_distinct": self.n_distinct,
            "n_days": self.n_days,
            "sharpe": finite(self.sharpe),
            "mean_return": finite(self.mean_return),
            "volatility": finite(self.volatility),
            "max_drawdown": finite(self.max_drawdown),
            "win_rate": finite(self.win_rate),
            "missing": dict(self.missing),
        }


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Figures of one market, regime, sector, or of the whole strategy."""

    label: str
    figures: Figures

    def to_json(self) -> dict[str, JsonValue]:
        """Return the slice as a JSON object."""
        return {"label": self.label, "figures": self.figures.to_json()}


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One configuration: a set of values of the declared knobs, over all runs that have it.

    Parameters
    ----------
    configuration_id
        sha256 of the knobs' values.
    knobs
        By path, as `level_to_json` writes levels: a missing key is not a null value.
    markets
        In which it was run.
    reasons
        Why it is pointed out, in words; empty where it is not.
    """

    configuration_id: str
    knobs: Mapping[str, JsonValue]
    markets: tuple[str, ...]
    figures: Figures
    reasons: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """Return the configuration as a JSON object."""
        return {
            "configuration_id": self.configuration_id,
            "knobs": dict(self.knobs),
            "markets": list(self.markets),
            "figures": self.figures.to_json(),
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The configurations that are pointed out for one thing, worst first.

    Parameters
    ----------
    count
        How many there are; `configurations` holds at most the first hundred.
    """

    count: int
    configurations: tuple[Configuration, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the findings as a JSON object."""
        return {"count": self.count, "configurations": [one.to_json() for one in self.configurations]}


@dataclass(frozen=True, kw_only=True)
class KnobEffect:
    """What one candidate says: the effect of one change, whether it is stable, and why it is no proposal.

    Parameters
    ----------
    from_value, to_value
        As `level_to_json` writes them.
    metric, method, estimate, lower, upper, n_pairs, n_runs, n_days
        Of the effect the grade rests on.
    sign_consistency, drift, regimes
        How it held over time and in each regime.
    suppressed_by, reason
        The rule that stopped it and its sentence; None for a proposal.
    missing
        For each figure that is None: why.
    """

    proposal_type: str
    knob: str
    from_value: Mapping[str, JsonValue]
    to_value: Mapping[str, JsonValue]
    metric: str
    method: str
    estimate: float | None
    lower: float | None
    upper: float | None
    n_pairs: int
    n_runs: int
    n_days: int
    grade: str
    expected_uplift: float | None
    probability_positive: float | None
    sign_consistency: float | None
    drift: float | None
    regimes: tuple[SliceEffect, ...]
    suppressed_by: str | None
    reason: str | None
    missing: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the effect as a canonical-JSON-safe object."""
        numbers = (
            *("estimate", "lower", "upper", "expected_uplift", "probability_positive"),
            *("sign_consistency", "drift"),
        )
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            **{name: finite(getattr(self, name)) for name in numbers},
            "from_value": dict(self.from_value),
            "to_value": dict(self.to_value),
            "regimes": [regime.to_json() for regime in self.regimes],
            "missing": dict(self.missing),
        }


@dataclass(frozen=True, kw_only=True)
class KnobStatus:
    """What the campaign can say about one declared knob.

    Parameters
    ----------
    status
        "varied", "constant" (one value only), "dead" (changes no return), or "aliased".
    n_levels
        Values that occur in the runs; a missing key counts as one.
    aliased_with
        Other knobs and keys that always move together with it.
    """

    path: str
    live: Mapping[str, JsonValue]
    status: str
    n_levels: int
    aliased_with: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """Return the status as a JSON object."""
        return {
            "path": self.path,
            "live": dict(self.live),
            "status": self.status,
            "n_levels": self.n_levels,
            "aliased_with": list(self.aliased_with),
        }

"""The rule by which a change will be judged, fixed before anybody sees how it went.

It is part of a proposal's body, and so of the digest that an approval names: nobody chooses the measure afterwards.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, get_args

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError

Metric = Literal["sharpe_ratio", "mean_return"]
METRICS: Final = get_args(Metric)
METRIC_NAMES: Final[Mapping[Metric, str]] = {"sharpe_ratio": "Sharpe ratio", "mean_return": "mean return"}


@dataclass(frozen=True, kw_only=True)
class OutcomeRule:
    """How the outcome of one change is judged against the old configuration, replayed over the same days.

    Parameters
    ----------
    metric
        What is compared: "sharpe_ratio" (annualised) or "mean_return" (annualised, arithmetic, as a fraction).
    minimum_days
        Days after the change before the effect counts.
    evaluation_days
        Days after which the judgement ends, whatever it found; the interval is tuned for half of them.
    smallest_effect
        Harm that does not matter, in the metric's unit: a change is kept once more harm than this is ruled out.
    alpha
        Probability that the interval ever leaves out the true effect, over all nightly looks together.
    drawdown_rise
        Guardrail: by how much deeper the drawdown since the change may be, as a fraction of equity.
    volatility_rise
        Guardrail: by what fraction the volatility may be higher.
    regime_fall
        Guardrail: loss of Sharpe ratio in the worst regime that may be shown beyond chance.
    guardrail_days
        Days after the change before the guardrails count.
    markets
        Where the strategy trades, each weighing the same; empty: every market of the strategy's runs.
    """

    metric: Metric = "sharpe_ratio"
    minimum_days: int = 60
    evaluation_days: int = 504
    smallest_effect: float = 0.05
    alpha: float = 0.10
    drawdown_rise: float = 0.05
    volatility_rise: float = 0.25
    regime_fall: float = 0.5
    guardrail_days: int = 20
    markets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the rule.

        Raises
        ------
        InputError
            Naming the value that is out of range.
        """
        if self.metric not in METRICS:
            raise InputError(f"an outcome rule's metric is {self.metric!r}; it is one of {', '.join(METRICS)}")
        for name in ("minimum_days", "evaluation_days", "guardrail_days"):
            value: object = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 5 <= value <= 100_000:
                raise InputError(f"an outcome rule's {name} is {value!r}; give 5 to 100000 days")
        if self.evaluation_days < self.minimum_days:
            raise InputError(
                f"an outcome rule ends after {self.evaluation_days} days, before its minimum of {self.minimum_days}; "
                "raise evaluation_days"
            )
        for name in ("smallest_effect", "drawdown_rise", "volatility_rise", "regime_fall"):
            number: object = getattr(self, name)
            if not _is_number(number) or number < 0:  # type: ignore[operator]  # a number by the test before
                raise InputError(f"an outcome rule's {name} is {number!r}; give a finite number, zero or more")
        if not _is_number(self.alpha) or not 0 < self.alpha < 0.5:
            raise InputError(f"an outcome rule's alpha is {self.alpha!r}; it must lie between 0 and 0.5")

    @property
    def tuned_for(self) -> int:
        """Days at which the confidence sequence is about as narrow as it can be."""
        return max(self.minimum_days, self.evaluation_days // 2)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the rule as a JSON object; `rule_of` reads it back."""
        written: dict[str, JsonValue] = {**asdict(self), "markets": list(self.markets)}
        for name in ("smallest_effect", "alpha", "drawdown_rise", "volatility_rise", "regime_fall"):
            written[name] = float(getattr(self, name))
        return written


def rule_of(stored: Mapping[str, Any]) -> OutcomeRule:
    """Read a rule from a JSON object, as `OutcomeRule.to_json` writes it; fields may be left out.

    Raises
    ------
    InputError
        If a field is unknown, or has a value that cannot be used.
    """
    known = [field.name for field in fields(OutcomeRule)]
    unknown = sorted(set(stored) - set(known))
    if unknown:
        raise InputError(f"an outcome rule has no field {', '.join(unknown)}; there are {', '.join(known)}")
    values = dict(stored)
    if "markets" in values:
        markets = values["markets"]
        if not isinstance(markets, list | tuple) or not all(isinstance(name, str) for name in markets):
            raise InputError(f"an outcome rule's markets are {markets!r}; give a list of market ids")
        values["markets"] = tuple(markets)
    return OutcomeRule(**values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

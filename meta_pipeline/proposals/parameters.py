"""What a person may set about proposals: error rate, bootstrap, smallest effect, risk limits, thresholds."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Settings of one evaluation. They are part of the evidence digest.

    Parameters
    ----------
    alpha
        Bound on the rate of campaigns without any effect in which something is graded A or B.
    bootstrap_draws
        Resamples of the joint block bootstrap; the smallest p-value is 1 / (draws + 1).
    seed
        Seed of the bootstrap. Results are a function of it and of the evidence, of nothing else.
    switching_cost
        Smallest expected uplift worth a change, in annualised Sharpe ratio.
    minimum_runs
        Fewer distinct runs than this are insufficient data.
    minimum_pairs
        Matched pairs from which a contrast rests on pairs; below, it rests on least squares.
    minimum_observations
        A run with fewer returns is left out of contrasts, and reported.
    sub_periods
        Number of equal calendar slices in which stability is judged.
    horizon_years
        The time over which the realised effect is predicted, in years.
    haircut_short, haircut_long
        Share of a contrast that is claimed, at `haircut_short_years` of evidence and at
        `haircut_long_years`; linear in between, constant outside.
    power
        Probability with which the "smallest detectable effect" is detected.
    risk_alpha_share
        Share of `alpha` at which risk effects are tested, for the two risk proposal types. It is
        small because a change of risk is easy to see, and it must not eat into the error rate.
    tail
        Tail probability of the expected shortfall.
    prior_trials
        Distinct trials of the strategy that were scored before this panel (the trial ledger).
    several_changes
        Whether expected value may propose several changes at once, the best of each knob. Off by default: claims of
        single changes did not add up on markets that they were not learned on.
    underperformer_sharpe, high_volatility, deep_drawdown, underperformer_share
        The predecessor's thresholds: annualised Sharpe ratio, annualised volatility, drawdown (negative),
        and the share of configurations below the first from which risk is reduced.
    """

    alpha: float = 0.10
    bootstrap_draws: int = 999
    seed: int = 20261120
    switching_cost: float = 0.05
    minimum_runs: int = 5
    minimum_pairs: int = 5
    minimum_observations: int = 10
    sub_periods: int = 8
    horizon_years: float = 2.0
    haircut_short: float = 0.25
    haircut_long: float = 0.45
    haircut_short_years: float = 5.0
    haircut_long_years: float = 10.0
    power: float = 0.80
    risk_alpha_share: float = 0.05
    tail: float = 0.05
    prior_trials: int = 0
    several_changes: bool = False
    underperformer_sharpe: float = 0.5
    high_volatility: float = 0.30
    deep_drawdown: float = -0.20
    underperformer_share: float = 0.30

    def __post_init__(self) -> None:
        """Refuse settings that make no sense.

        Raises
        ------
        InputError
            Naming the setting, its value, and what is allowed.
        """
        for name in ("alpha", "power", "tail"):
            _require(0 < getattr(self, name) < 1, name, getattr(self, name), "between 0 and 1, both excluded")
        for name in ("haircut_short", "haircut_long", "risk_alpha_share", "underperformer_share"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "between 0 and 1")
        for name, least in (("bootstrap_draws", 99), ("minimum_runs", 2), ("minimum_pairs", 1)):
            _require(getattr(self, name) >= least, name, getattr(self, name), f"at least {least}")
        for name, least in (("minimum_observations", 3), ("sub_periods", 2), ("prior_trials", 0)):
            _require(getattr(self, name) >= least, name, getattr(self, name), f"at least {least}")
        for name in ("switching_cost", "seed"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "not negative")
        _require(self.horizon_years > 0, "horizon_years", self.horizon_years, "positive")
        _require(
            0 < self.haircut_short_years < self.haircut_long_years,
            "haircut_short_years",
            self.haircut_short_years,
            f"positive and below haircut_long_years ({self.haircut_long_years})",
        )

    def to_json(self) -> dict[str, JsonValue]:
        """Return the settings as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class RiskLimits:
    """How much more risk a strategy accepts from one change. None: no limit of that kind.

    A limit is compared with the estimated difference, signed. A figure that is missing never passes a
    limit that is set: unknown risk is not accepted.

    Parameters
    ----------
    volatility_rise
        Largest rise of annualised volatility, as a fraction of the present one (0.25: by a quarter).
    expected_shortfall_rise
        Largest rise of the expected shortfall, as a fraction of the present one.
    drawdown_rise
        Largest deepening of the maximum drawdown, in points of equity (0.10: from -20 % to -30 %).
    volatility, drawdown
        Ceilings for the proposed value itself: annualised volatility, and maximum drawdown (negative).
    """

    volatility_rise: float | None = 0.25
    expected_shortfall_rise: float | None = 0.25
    drawdown_rise: float | None = 0.10
    volatility: float | None = None
    drawdown: float | None = None

    def __post_init__(self) -> None:
        """Refuse limits of the wrong sign.

        Raises
        ------
        InputError
            Naming the limit and its value.
        """
        for name in ("volatility_rise", "expected_shortfall_rise", "drawdown_rise", "volatility"):
            value = getattr(self, name)
            _require(value is None or value >= 0, name, value, "not negative, or None for no limit")
        _require(
            self.drawdown is None or -1 <= self.drawdown <= 0, "drawdown", self.drawdown, "between -1 and 0, or None"
        )

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "RiskLimits":
        """Read limits that a person wrote, or `to_json`; those that are left out have their defaults.

        Raises
        ------
        InputError
            Naming a limit that does not exist, or a value that is no number.
        """
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise InputError(f"risk_limits has {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        for name, value in data.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            _require(value is None or number, f"risk_limits.{name}", value, "a number, or null for no limit")
        return cls(**{name: None if value is None else float(value) for name, value in data.items()})  # type: ignore[arg-type]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the limits as a JSON object."""
        return asdict(self)


def _require(condition: bool, name: str, value: object, allowed: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        condition = False
    if not condition:
        raise InputError(f"{name} is {value!r}; it must be {allowed}")

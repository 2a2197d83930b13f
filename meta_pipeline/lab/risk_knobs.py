"""The knobs that every strategy of the lab shares: how much risk a full position takes."""

from typing import Final

from meta_pipeline.proposals.knobs import Knob, RiskDirection

TARGET_VOLATILITY: Final = Knob(
    path="target_volatility",
    knob_type="float",
    lower=0.05,
    upper=0.25,
    max_step=0.05,
    choices=(0.10, 0.15, 0.20),
    risk_direction=RiskDirection.HIGHER_IS_RISKIER,
)
"""Annualised volatility that a full position aims at, as a fraction."""

LEVERAGE_CAP: Final = Knob(
    path="leverage_cap",
    knob_type="float",
    lower=0.25,
    upper=2.0,
    max_step=0.5,
    choices=(0.5, 1.0, 1.5),
    risk_direction=RiskDirection.HIGHER_IS_RISKIER,
)
"""Largest exposure, as a multiple of equity."""

SHORT_SCALE: Final = Knob(
    path="short_scale",
    knob_type="float",
    lower=0.0,
    upper=1.0,
    max_step=0.5,
    choices=(0.0, 0.5, 1.0),
    risk_direction=RiskDirection.HIGHER_IS_RISKIER,
)
"""Size of a short position relative to a long one; 0 trades the long side only."""

RISK_DEFAULTS: Final = {"target_volatility": 0.15, "leverage_cap": 1.0}
"""About the long-run volatility of stocks, and no borrowing."""

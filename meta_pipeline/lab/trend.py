"""Trend following by two moving averages."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.lab.indicators import Indicators
from meta_pipeline.lab.risk_knobs import LEVERAGE_CAP, RISK_DEFAULTS, SHORT_SCALE, TARGET_VOLATILITY
from meta_pipeline.lab.strategy import Columns, LabStrategy
from meta_pipeline.proposals.knobs import Knob, RiskDirection

KNOBS: Final = (
    Knob(
        path="fast_days",
        knob_type="int",
        lower=2,
        upper=60,
        max_step=30,
        choices=(5, 10, 20, 50),
        risk_direction=RiskDirection.NEUTRAL,
    ),
    Knob(
        path="slow_days",
        knob_type="int",
        lower=80,
        upper=250,
        max_step=100,
        choices=(100, 150, 200, 250),
        risk_direction=RiskDirection.NEUTRAL,
    ),
    Knob(
        path="entry_band",
        knob_type="float",
        lower=0.0,
        upper=0.05,
        max_step=0.02,
        choices=(0.0, 0.01, 0.02, 0.04),
        risk_direction=RiskDirection.LOWER_IS_RISKIER,
    ),
    SHORT_SCALE,
    TARGET_VOLATILITY,
    LEVERAGE_CAP,
)


def directions(indicators: Indicators, columns: Columns, first: int) -> NDArray[np.float64]:
    """Long where the fast average is above the slow one by more than the band, short where below, else flat."""
    fast = indicators.by_config(indicators.average, columns["fast_days"])
    slow = indicators.by_config(indicators.average, columns["slow_days"])
    gap = fast / slow - 1.0
    wish = np.where(gap > columns["entry_band"], 1.0, 0.0)
    wish -= np.where(gap < -columns["entry_band"], columns["short_scale"], 0.0)
    wish[:first] = 0.0
    return wish


# 50 and 200 days are the averages that chart services draw; trading both sides with no band is the textbook form.
TREND: Final = LabStrategy(
    strategy_id="LAB_TREND",
    family="trend",
    description="Follows the trend: long while a fast moving average is above a slow one, short while below.",
    knobs=KNOBS,
    live_config={"fast_days": 50, "slow_days": 200, "entry_band": 0.0, "short_scale": 1.0, **RISK_DEFAULTS},
    directions=directions,
)

"""Breakout of a channel of closes (Donchian), with a trailing stop."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.lab.indicators import Indicators
from meta_pipeline.lab.risk_knobs import LEVERAGE_CAP, RISK_DEFAULTS, SHORT_SCALE, TARGET_VOLATILITY
from meta_pipeline.lab.strategy import Columns, LabStrategy
from meta_pipeline.proposals.knobs import Knob, RiskDirection

KNOBS: Final = (
    Knob(
        path="entry_days",
        knob_type="int",
        lower=20,
        upper=250,
        max_step=50,
        choices=(20, 55, 100, 200),
        risk_direction=RiskDirection.NEUTRAL,
    ),
    Knob(
        path="exit_days",
        knob_type="int",
        lower=3,
        upper=20,
        max_step=10,
        choices=(5, 10, 20),
        risk_direction=RiskDirection.HIGHER_IS_RISKIER,
    ),
    Knob(
        path="stop_distance",
        knob_type="float",
        lower=1.0,
        upper=8.0,
        max_step=2.0,
        choices=(2.0, 3.0, 4.0, 6.0),
        risk_direction=RiskDirection.HIGHER_IS_RISKIER,
    ),
    SHORT_SCALE,
    TARGET_VOLATILITY,
    LEVERAGE_CAP,
)


def directions(indicators: Indicators, columns: Columns, first: int) -> NDArray[np.float64]:
    """Enter beyond the closes of `entry_days`, leave beyond the opposite closes of `exit_days` or at the stop.

    The stop trails the best close since entry by `stop_distance` times the present daily volatility. It is looked at
    on closes, as everything else: a stop is left at the next close, not at its level.
    """
    upper = indicators.by_config(indicators.highest, columns["entry_days"])
    lower = indicators.by_config(indicators.lowest, columns["entry_days"])
    exit_upper = indicators.by_config(indicators.highest, columns["exit_days"])
    exit_lower = indicators.by_config(indicators.lowest, columns["exit_days"])
    closes, volatility = indicators.closes, indicators.daily_volatility
    stop, short_scale = columns["stop_distance"], columns["short_scale"]
    wish = np.zeros_like(upper)
    side, best = np.zeros(upper.shape[1]), np.zeros(upper.shape[1])
    for day in range(first, len(upper)):
        close = closes[day]
        best = np.where(side > 0.0, np.maximum(best, close), np.minimum(best, close))
        lost = side * (best - close) > stop * volatility[day] * best
        crossed = np.where(side > 0.0, close < exit_lower[day], close > exit_upper[day])
        side = np.where(lost | crossed, 0.0, side)
        breakout = np.where(close > upper[day], 1.0, np.where(close < lower[day], -1.0, 0.0))
        enters = (side == 0.0) & (breakout != 0.0)
        side = np.where(enters, breakout, side)
        best = np.where(enters, close, best)
        wish[day] = np.where(side < 0.0, side * short_scale, side)
    return wish


# 55 days in, 20 days out: the slower system of Faith, Way of the Turtle (2007); three units is a usual trailing stop.
BREAKOUT: Final = LabStrategy(
    strategy_id="LAB_BREAKOUT",
    family="breakout",
    description="Buys new highs and sells new lows of a channel of closes, with a trailing stop.",
    knobs=KNOBS,
    live_config={"entry_days": 55, "exit_days": 20, "stop_distance": 3.0, "short_scale": 1.0, **RISK_DEFAULTS},
    directions=directions,
)

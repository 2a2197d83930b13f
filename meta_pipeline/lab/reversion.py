"""Mean reversion: against a stretched close, until it is back or time is up."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.lab.indicators import Indicators
from meta_pipeline.lab.risk_knobs import LEVERAGE_CAP, RISK_DEFAULTS, TARGET_VOLATILITY
from meta_pipeline.lab.strategy import Columns, LabStrategy
from meta_pipeline.proposals.knobs import Knob, RiskDirection

KNOBS: Final = (
    Knob(
        path="lookback_days",
        knob_type="int",
        lower=8,
        upper=80,
        max_step=20,
        choices=(10, 20, 40, 60),
        risk_direction=RiskDirection.NEUTRAL,
    ),
    Knob(
        path="entry_deviation",
        knob_type="float",
        lower=1.0,
        upper=2.5,
        max_step=0.5,
        choices=(1.0, 1.5, 2.0),
        risk_direction=RiskDirection.LOWER_IS_RISKIER,
    ),
    Knob(
        path="exit_deviation",
        knob_type="float",
        lower=-0.75,
        upper=0.75,
        max_step=0.5,
        choices=(-0.5, 0.0, 0.5),
        risk_direction=RiskDirection.LOWER_IS_RISKIER,
    ),
    Knob(
        path="max_holding_days",
        knob_type="int",
        lower=2,
        upper=60,
        max_step=10,
        choices=(5, 10, 20, 40),
        risk_direction=RiskDirection.HIGHER_IS_RISKIER,
    ),
    TARGET_VOLATILITY,
    LEVERAGE_CAP,
)


def directions(indicators: Indicators, columns: Columns, first: int) -> NDArray[np.float64]:
    """Fade closes that are `entry_deviation` standard deviations away from their average.

    A position is left when the close is back within `exit_deviation` on its own side (negative: overshot to
    the other side), or after `max_holding_days`. The next entry waits until the close has been inside
    the entry deviation: one stretch is traded once. A day whose window does not move shows no deviation and
    changes nothing but the holding time.
    """
    scores = indicators.by_config(indicators.deviation, columns["lookback_days"])
    entry, leave, longest = columns["entry_deviation"], columns["exit_deviation"], columns["max_holding_days"]
    wish = np.zeros_like(scores)
    side, held = np.zeros(scores.shape[1]), np.zeros(scores.shape[1])
    armed = np.ones(scores.shape[1], dtype=bool)
    for day in range(first, len(scores)):
        score = scores[day]
        held += 1.0
        exits = (side != 0.0) & ((side * score >= -leave) | (held >= longest))
        side = np.where(exits, 0.0, side)
        armed = (armed & ~exits) | (np.abs(score) < entry)
        enters = (side == 0.0) & armed & (np.abs(score) >= entry)
        side = np.where(enters, -np.sign(score), side)
        held = np.where(enters, 0.0, held)
        wish[day] = side
    return wish


# Bollinger's bands are 20 days and two standard deviations; out at the average, or after two weeks.
REVERSION: Final = LabStrategy(
    strategy_id="LAB_REVERSION",
    family="reversion",
    description="Fades stretched closes: buys far below the moving average, sells short far above it.",
    knobs=KNOBS,
    live_config={
        "lookback_days": 20,
        "entry_deviation": 2.0,
        "exit_deviation": 0.0,
        "max_holding_days": 10,
        **RISK_DEFAULTS,
    },
    directions=directions,
)

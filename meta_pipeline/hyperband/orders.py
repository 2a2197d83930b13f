"""From what four models foretell to orders: the rules, and the five trading parameters in them.

Belongs here: decisions, one per bar, each from that bar and the ones before. Does not belong here: fills (simulator).

- A position is wished where the entry model is surer than `confidence_threshold` of its direction.
- Against a move stronger than `momentum_threshold` standard deviations nothing is opened. With such a move the profit
  model need not agree; otherwise it must give the direction better odds than the training bars had.
- The position model's rank says where between `position_range_min` and `position_range_max` the size lies; that is
  scaled to the target volatility, up to the cap.
- A position is closed where the exit model is surer than `exit_threshold` that it loses, and not opened where it would
  be closed.
- Where a model or the volatility is unknown nothing is opened, and what is open is closed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meta_pipeline.hyperband.protocol import ParameterValue
from meta_pipeline.hyperband.simulator import LEAVE_LONG, LEAVE_SHORT, Orders

Floats = NDArray[np.float64]

STRETCH: Final = 5.0
"""On real prices nine of ten of the position model's ranks lie within 0.1 of one half."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Foretold:
    """What is known at the close of each bar. Arrays of shape (n_bars,); NaN: unknown.

    Parameters
    ----------
    rises
        Probability that the upper barrier is met first.
    size_rank
        Where the expected efficiency of the next moves ranks among the training bars', 0 to 1.
    falls
        Probability that a long position loses within a third of the horizon.
    continues
        Probability that following the last moves pays.
    usual_continues
        Its share among the training bars.
    last_direction
        1, -1 or 0: of the last moves.
    momentum
        Strength of the last moves in standard deviations, signed.
    volatility
        Per bar.
    """

    rises: Floats
    size_rank: Floats
    falls: Floats
    continues: Floats
    usual_continues: Floats
    last_direction: Floats
    momentum: Floats
    volatility: Floats


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is fixed in a search. See `StrategySettings`; None: none."""

    target_volatility: float
    leverage_cap: float
    stop_loss: float | None
    take_profit: float | None
    horizon: int
    allow_short: bool
    periods_per_year: float


def orders(seen: Foretold, config: Mapping[str, ParameterValue], rules: Rules) -> Orders:
    """Decide, bar by bar.

    Parameters
    ----------
    seen
        The models' answers.
    config
        Holds at least the five trading parameters.
    rules
        What is fixed.
    """
    known = np.all([np.isfinite(getattr(seen, name)) for name in Foretold.__dataclass_fields__], axis=0)
    confidence, exit_at = _number(config, "confidence_threshold"), _number(config, "exit_threshold")
    longs = known & (seen.rises > confidence)
    shorts = known & (1.0 - seen.rises > confidence) & rules.allow_short
    direction = longs.astype(np.float64) - shorts
    loses = np.where(direction > 0, seen.falls, 1.0 - seen.falls)
    opens = (direction != 0.0) & _agreed(seen, direction, _number(config, "momentum_threshold")) & ~(loses > exit_at)
    low, high = _number(config, "position_range_min"), _number(config, "position_range_max")
    with np.errstate(invalid="ignore"):
        scale = rules.target_volatility / (seen.volatility * np.sqrt(rules.periods_per_year))
        size = (low + (high - low) * _stretched(seen.size_rank)) * np.minimum(scale, rules.leverage_cap)
        width = np.where(known, seen.volatility * np.sqrt(rules.horizon), 1.0)
        leave = LEAVE_LONG * (seen.falls > exit_at) + LEAVE_SHORT * (1.0 - seen.falls > exit_at)
    return Orders(
        target=np.where(opens, direction * np.where(known, size, 0.0), 0.0),
        leave=np.where(known, leave, LEAVE_LONG | LEAVE_SHORT).astype(np.uint8),
        stop=_distance(width, rules.stop_loss),
        take=_distance(width, rules.take_profit),
        longest=rules.horizon,
    )


def _stretched(rank: Floats) -> Floats:
    """Undo some of the shrinking of a forest's mean towards one half, so that sizes use their range."""
    return np.clip(0.5 + STRETCH * (rank - 0.5), 0.0, 1.0)


def _agreed(seen: Foretold, direction: Floats, threshold: float) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        strong = np.abs(seen.momentum) > threshold
        along = np.sign(seen.momentum) == direction
        approved = (seen.continues - seen.usual_continues) * seen.last_direction * direction > 0.0
        agreed: NDArray[np.bool_] = np.where(strong, along, approved)
    return agreed


def _distance(width: Floats, multiple: float | None) -> Floats:
    return np.full(len(width), np.inf) if multiple is None else multiple * width


def _number(config: Mapping[str, ParameterValue], name: str) -> float:
    value = config[name]
    assert isinstance(value, float)
    return value

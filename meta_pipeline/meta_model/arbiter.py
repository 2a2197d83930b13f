"""The arbiter: a second opinion from indicators, for decisions that were escalated.

The predecessor's weights and bounds, with two changes: every input is free of the price's scale, and the confidence
grows from the evidence alone, so that the acceptance threshold can be missed.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Final, NamedTuple

from meta_pipeline.errors import InputError
from meta_pipeline.meta_model.actions import ACTIONS, BUY, HOLD, SELL
from meta_pipeline.meta_model.decision import Decision, Outcome

ACCEPTANCE: Final = 0.70
"""Smallest confidence at which an arbiter's action is taken, documented by the predecessor."""

TRADE_SCORE: Final = 0.15
_WEIGHTS: Final = {"rsi": 0.20, "macd": 0.25, "bollinger": 0.15, "volume": 0.15, "momentum": 0.25}


@dataclass(frozen=True, kw_only=True)
class MarketSnapshot:
    """Indicators of one market at one time, none of them in units of price alone.

    Parameters
    ----------
    rsi
        Relative strength index, 0..100.
    macd, macd_signal, average_true_range
        In the same units of price; only their ratio is used. The range must be positive.
    bollinger_position
        0 at the lower band, 1 at the upper one; may lie outside.
    volume_ratio
        Volume over its average, not negative.
    momentum
        Return of the last hour as a fraction (0.02 is two per cent).
    """

    rsi: float
    macd: float
    macd_signal: float
    average_true_range: float
    bollinger_position: float
    volume_ratio: float
    momentum: float

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
                raise InputError(f"{item.name} is {value!r}; it must be a finite number")
        if not 0.0 <= self.rsi <= 100.0:
            raise InputError(f"rsi is {self.rsi}; it must be from 0 to 100")
        if self.average_true_range <= 0.0:
            raise InputError(f"average_true_range is {self.average_true_range}; it must be positive")
        if self.volume_ratio < 0.0:
            raise InputError(f"volume_ratio is {self.volume_ratio}; it must not be negative")


class Verdict(NamedTuple):
    """The arbiter's answer: action code, confidence 0..1, and the score it comes from, -1 (sell) to 1 (buy)."""

    action: int
    confidence: float
    score: float


def judge(market: MarketSnapshot) -> Verdict:
    """Score a market: weighted sum of five signals, each -1..1. From a score of 0.15 it trades.

    The confidence of a trade is (1 + |score|) / 2, that of HOLD 1 - |score|.
    """
    signals = _signals(market)
    score = sum(_WEIGHTS[name] * signal for name, signal in signals.items())
    if abs(score) < TRADE_SCORE:
        return Verdict(HOLD, 1.0 - abs(score), score)
    return Verdict(BUY if score > 0 else SELL, 0.5 + abs(score) / 2.0, score)


def arbitrate(decision: Decision, market: MarketSnapshot | None, *, acceptance: float = ACCEPTANCE) -> Decision:
    """Settle an escalated decision by the arbiter; any other decision, or one without a market, stays as it is.

    Accepted is an action other than HOLD whose confidence reaches `acceptance`; else the decision goes on holding.
    """
    if decision.outcome is not Outcome.ESCALATE or market is None:
        return decision
    verdict = judge(market)
    if verdict.action == HOLD or verdict.confidence < acceptance:
        return decision
    name = ACTIONS[verdict.action]
    return replace(decision, action=name, confidence=verdict.confidence, reason=f"arbiter_{name.lower()}")


def _signals(market: MarketSnapshot) -> dict[str, float]:
    trend = max(-1.0, min(1.0, (market.macd - market.macd_signal) / market.average_true_range))
    surge = min((market.volume_ratio - 1.0) / 2.0, 1.0) if market.volume_ratio > 1.5 else 0.0
    return {
        "rsi": _beyond(market.rsi, low=30.0, high=70.0, full=30.0),
        "macd": trend,
        "bollinger": _beyond(market.bollinger_position, low=0.2, high=0.8, full=0.2),
        "volume": math.copysign(surge, trend) if trend else 0.0,
        "momentum": math.copysign(min(10.0 * abs(market.momentum), 1.0), market.momentum)
        if abs(market.momentum) > 0.02
        else 0.0,
    }


def _beyond(value: float, *, low: float, high: float, full: float) -> float:
    """Positive below `low` (cheap: buy), negative above `high`, 1 in size at `full` beyond."""
    if value < low:
        return min((low - value) / full, 1.0)
    return -min((value - high) / full, 1.0) if value > high else 0.0

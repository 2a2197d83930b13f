"""The lab's backtests once more, one configuration at a time, in plain Python: the reference of the vectorised ones.

Written from the descriptions of the strategies, with no code of theirs: lists, loops and `statistics`.
"""

import math
import statistics
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

Config = Mapping[str, Any]


def plain_backtest(
    strategy_id: str, config: Config, closes: list[float], *, cost: float, first: int = 300
) -> list[float]:
    """Net returns of one configuration, from the return that ends at close number `first`."""
    daily_volatility = ewma_volatility(closes)
    wishes = {"LAB_TREND": trend, "LAB_REVERSION": reversion, "LAB_BREAKOUT": breakout}[strategy_id]
    wish = wishes(config, closes, daily_volatility, first - 2)
    held, result = 0.0, []
    for day in range(first, len(closes)):
        decided = day - 2
        estimate = daily_volatility[decided] * math.sqrt(252.0)
        size = min(config["target_volatility"] / estimate, config["leverage_cap"]) if estimate > 0 else 0.0
        goal = wish[decided] * size
        exposure = goal if abs(goal - held) > 0.1 * max(abs(goal), abs(held)) else held
        turnover = abs(exposure - held)
        change = closes[day] / closes[day - 1] - 1
        result.append(exposure * change - cost * turnover)
        held = exposure * (1 + change) / (1 + exposure * change)
    return result


def ewma_volatility(closes: list[float]) -> list[float]:
    decay = 60 / 61
    squares, weights, estimates = 0.0, 0.0, [math.nan]
    for before, now in pairwise(closes):
        squares = decay * squares + (now / before - 1) ** 2
        weights = decay * weights + 1
        estimates.append(math.sqrt(squares / weights))
    return estimates


def trend(config: Config, closes: list[float], _volatility: list[float], first: int) -> list[float]:
    wish = [0.0] * len(closes)
    for day in range(first, len(closes)):
        fast = statistics.fmean(closes[day - config["fast_days"] + 1 : day + 1])
        slow = statistics.fmean(closes[day - config["slow_days"] + 1 : day + 1])
        gap = fast / slow - 1
        if gap > config["entry_band"]:
            wish[day] = 1.0
        elif gap < -config["entry_band"]:
            wish[day] = -config["short_scale"]
    return wish


def reversion(config: Config, closes: list[float], _volatility: list[float], first: int) -> list[float]:
    wish, side, held, armed = [0.0] * len(closes), 0, 0, True
    for day in range(first, len(closes)):
        window = closes[day - config["lookback_days"] + 1 : day + 1]
        spread = _spread(window)
        score = (closes[day] - statistics.fmean(window)) / spread if spread > 0 else math.nan
        if side:
            held += 1
            back = score >= -config["exit_deviation"] if side > 0 else score <= config["exit_deviation"]
            if back or held >= config["max_holding_days"]:
                side, armed = 0, False
        if abs(score) < config["entry_deviation"]:
            armed = True
        if not side and armed and abs(score) >= config["entry_deviation"]:
            side, held = (-1 if score > 0 else 1), 0
        wish[day] = float(side)
    return wish


def breakout(config: Config, closes: list[float], volatility: list[float], first: int) -> list[float]:
    wish, side, best = [0.0] * len(closes), 0, 0.0
    for day in range(first, len(closes)):
        close = closes[day]
        channel = closes[day - config["entry_days"] : day]
        leave = closes[day - config["exit_days"] : day]
        distance = config["stop_distance"] * volatility[day]
        if side > 0:
            best = max(best, close)
            if close < min(leave) or best - close > distance * best:
                side = 0
        elif side < 0:
            best = min(best, close)
            if close > max(leave) or close - best > distance * best:
                side = 0
        if not side and (close > max(channel) or close < min(channel)):
            side, best = (1 if close > max(channel) else -1), close
        wish[day] = float(side) if side >= 0 else -config["short_scale"]
    return wish


def _spread(window: list[float]) -> float:
    mean = statistics.fmean(window)
    return math.sqrt(sum((close - mean) ** 2 for close in window) / (len(window) - 1))

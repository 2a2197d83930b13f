"""Paths of prices with a known truth: no signal at all, or one that is planted."""

import numpy as np

from meta_pipeline.hyperband.bars import Bars, Fills

START = np.datetime64("2015-01-01T00:00:00", "s")
FOUR_HOURS = np.timedelta64(4 * 3600, "s")


def path(
    n_bars: int, *, seed: int, drift: float = 0.0, stay: float = 0.985, symbol: str = "X", fills: Fills = "next_open"
) -> Bars:
    """4-hour bars. `drift` per bar, in units of its volatility; its sign stays with chance `stay`: a trend."""
    generator = np.random.default_rng(seed)
    turns = np.where(generator.random(n_bars) < stay, 1.0, -1.0)
    moves = 0.008 * (generator.standard_normal(n_bars) + drift * np.cumprod(turns))
    close = 100.0 * np.exp(np.cumsum(moves))
    opening = np.concatenate([[100.0], close[:-1]]) * np.exp(0.0003 * generator.standard_normal(n_bars))
    high = np.maximum(opening, close) * (1.0 + 0.002 * generator.random(n_bars))
    low = np.minimum(opening, close) * (1.0 - 0.002 * generator.random(n_bars))
    return Bars(
        symbol=symbol,
        times=START + np.arange(n_bars) * FOUR_HOURS,
        open=opening,
        high=high,
        low=low,
        close=close,
        volume=generator.lognormal(size=n_bars),
        fills=fills,
    )


def changed_after(bars: Bars, last_same: int, *, seed: int) -> Bars:
    """The same bars up to number `last_same`, wild ones after."""
    other = path(len(bars), seed=seed)
    keep = np.arange(len(bars)) <= last_same
    assert bars.volume is not None
    assert other.volume is not None
    return Bars(
        symbol=bars.symbol,
        times=bars.times.copy(),
        fills=bars.fills,
        **{
            name: np.where(keep, getattr(bars, name), 3.0 * getattr(other, name))
            for name in ("open", "high", "low", "close", "volume")
        },
    )

"""Days of two configurations with a known difference."""

import numpy as np

from meta_pipeline.outcomes.paired import MarketDays

START = np.datetime64("2026-11-23")


def market_days(
    n: int = 300,
    *,
    better: float = 0.0,
    scale: float = 1.0,
    noise: float = 0.002,
    seed: int = 1,
    market: str = "M",
    regimes: tuple[str, ...] = (),
) -> MarketDays:
    """Return days of an old and a new configuration.

    Parameters
    ----------
    better
        Sharpe ratio a year that the new one has more.
    scale
        Its volatility, as a multiple.
    noise
        Daily deviation of what differs between the two.
    regimes
        Labels in turn, a hundred days each; empty: none.
    """
    generator = np.random.default_rng(seed)
    old = 0.0003 + 0.01 * generator.standard_t(5, size=n) / np.sqrt(5 / 3)
    new = scale * (old + better * old.std() / np.sqrt(252) + noise * generator.standard_normal(n))
    labels = None if not regimes else np.array([regimes[day // 100 % len(regimes)] for day in range(n)])
    days = START + np.arange(n)
    return MarketDays(market=market, dates=days, before=old, after=new, periods_per_year=252.0, regimes=labels)

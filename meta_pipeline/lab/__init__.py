"""A real campaign on real prices: three strategies, three markets, and an example of what a user hands in.

`campaign` runs backtests up to the split (`CAMPAIGN_END`), `replay` runs any configuration on any days, and so on
the later ones that no campaign saw. Prices ship in the package `arch` (the extra `lab`).
"""

from meta_pipeline.lab.campaign import campaign
from meta_pipeline.lab.catalogue import STRATEGIES, strategy_named
from meta_pipeline.lab.design import with_live
from meta_pipeline.lab.planned import run_plan
from meta_pipeline.lab.prices import CAMPAIGN_END, MARKETS, Market, load_prices, market_named
from meta_pipeline.lab.regimes import regimes
from meta_pipeline.lab.replay import replay, replay_many, trades
from meta_pipeline.lab.strategy import LabStrategy

__all__ = [
    "CAMPAIGN_END",
    "LabStrategy",
    "Market",
    "campaign",
    "load_prices",
    "market_named",
    "markets",
    "regimes",
    "replay",
    "replay_many",
    "run_plan",
    "strategies",
    "strategy_named",
    "trades",
    "with_live",
]


def markets() -> tuple[Market, ...]:
    """Return the markets of the lab."""
    return tuple(MARKETS.values())


def strategies() -> tuple[LabStrategy, ...]:
    """Return the strategies of the lab."""
    return tuple(STRATEGIES.values())

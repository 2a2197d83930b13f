"""A campaign: one strategy, many configurations, every market, as backtest runs."""

import zlib
from collections.abc import Sequence
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from meta_pipeline import __version__
from meta_pipeline.backtests.run import BacktestRun
from meta_pipeline.canonical import JsonValue, digest
from meta_pipeline.errors import InputError
from meta_pipeline.lab.backtest import backtest
from meta_pipeline.lab.design import mixed_design
from meta_pipeline.lab.metrics import reported_metrics
from meta_pipeline.lab.prices import CAMPAIGN_END, MARKETS, Market, load_prices, market_named
from meta_pipeline.lab.strategy import Config, LabStrategy
from meta_pipeline.lab.window import Window, campaign_window


def campaign(
    strategy: LabStrategy,
    *,
    n_configs: int,
    seed: int,
    campaign_id: str | None = None,
    start: date | None = None,
    end: date | None = None,
    markets: Sequence[str] = tuple(MARKETS),
) -> list[BacktestRun]:
    """Run one campaign: the same configurations in every market.

    Parameters
    ----------
    n_configs
        Configurations; the result has n_configs x len(markets) runs.
    seed
        Of the draw of the configurations, the only thing that is drawn. The same arguments give the same runs, byte
        for byte.
    campaign_id
        Name of the campaign, at most 64 characters. None: made from all that the runs depend on.
    start, end
        The window, both inclusive. None: from the market's first day that can be simulated, to CAMPAIGN_END.
        Closes after `end` are not looked at.

    Returns
    -------
    Runs by market, then by configuration, the live one first. Runs of one market share one array of dates.

    Raises
    ------
    InputError
        For an unknown market, a window that cannot be simulated, or a number of configurations that is out of range.
    """
    if seed < 0:
        raise InputError(f"seed is {seed}; give a whole number that is not negative")
    # Each strategy draws from its own stream, whichever campaigns are run beside it.
    entropy = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(strategy.strategy_id.encode()),))
    configs = mixed_design(strategy, n_configs, np.random.default_rng(entropy))
    name = campaign_id or _campaign_name(strategy, n_configs, seed, start, end or CAMPAIGN_END, markets)
    runs = []
    for market_id in markets:
        market = market_named(market_id)
        window = campaign_window(market, load_prices(market_id), start, end)
        runs += runs_of_market(strategy, configs, market, window, name)
    return runs


def returns_in(
    strategy: LabStrategy, configs: Sequence[Config], market: Market, window: Window
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Simulate configurations and cut the window out of their paths.

    A path always begins on the market's first day that can be simulated, so that windows fit together: two
    adjoining windows are the same days as the one that spans them.

    Returns
    -------
    dates, returns
        Shapes (n_days,) and (n_days, n_configs).
    """
    paths = backtest(strategy, configs, market, load_prices(market.market_id).until(window.end))
    first = int(np.searchsorted(paths.dates, np.datetime64(window.start, "D")))
    return calendar(market.market_id, window), paths.returns[first:]


@lru_cache(maxsize=64)
def calendar(market_id: str, window: Window) -> NDArray[np.datetime64]:
    """Return the days of a window on which the market traded: one array for all who ask, not writable."""
    dates = load_prices(market_id).until(window.end).dates
    days: NDArray[np.datetime64] = dates[dates >= np.datetime64(window.start, "D")]
    days.setflags(write=False)
    return days


def _campaign_name(
    strategy: LabStrategy, n_configs: int, seed: int, start: date | None, end: date, markets: Sequence[str]
) -> str:
    # The live configuration is part of the design: after a change of it the same call is another campaign.
    parts: list[JsonValue] = [
        strategy.strategy_id,
        strategy.live_config,
        n_configs,
        seed,
        str(start),
        str(end),
        list(markets),
    ]
    return f"lab-{end:%Y%m%d}-n{n_configs}-s{seed}-{digest(parts)[:8]}"


def runs_of_market(
    strategy: LabStrategy, configs: Sequence[Config], market: Market, window: Window, campaign_id: str
) -> list[BacktestRun]:
    """Backtest configurations on one market and window, as runs of a campaign.

    Raises
    ------
    InputError
        If a configuration breaks the strategy's declaration.
    """
    dates, returns = returns_in(strategy, configs, market, window)
    metrics = reported_metrics(returns, market.periods_per_year)
    by_run = np.ascontiguousarray(returns.T)
    return [
        BacktestRun(
            strategy_id=strategy.strategy_id,
            campaign_id=campaign_id,
            config=config,
            start_date=dates[0].item(),
            end_date=dates[-1].item(),
            dates=dates,
            returns=by_run[run],
            periods_per_year=market.periods_per_year,
            market_id=market.market_id,
            sector=market.sector,
            code_version=f"lab-{__version__}",
            metrics=metrics[run],
            source="meta_pipeline.lab",
        )
        for run, config in enumerate(configs)
    ]

"""The runs that `meta-pipeline proposals experiments` asks for, made by the lab: an example of taking such a plan.

Belongs here: from the exported plan to backtest runs. Does not belong here: what is asked for (proposals).
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from meta_pipeline.backtests.run import BacktestRun
from meta_pipeline.errors import InputError
from meta_pipeline.lab.campaign import runs_of_market
from meta_pipeline.lab.catalogue import strategy_named
from meta_pipeline.lab.prices import load_prices, market_named
from meta_pipeline.lab.strategy import Config
from meta_pipeline.lab.window import checked_window

FORMAT: Final = 1
"""Of the plans that are read (`proposals.experiment_plan.PLAN_FORMAT`)."""


def run_plan(plan: Mapping[str, Any]) -> list[BacktestRun]:
    """Make the missing runs of a plan.

    Parameters
    ----------
    plan
        As `meta-pipeline proposals experiments STRATEGY --output FILE` writes it.

    Returns
    -------
    Runs by market, window and campaign: under the same three as in the plan, so that they join the blocks that they
    are missing from.

    Raises
    ------
    InputError
        If it is no such plan, names what the lab does not know, or a configuration breaks the declaration.
    """
    if plan.get("format") != FORMAT:
        raise InputError(
            f"the plan has format {plan.get('format')!r}, the lab reads {FORMAT}; write it anew with: meta-pipeline "
            "proposals experiments STRATEGY --output FILE"
        )
    try:
        named = str(plan["strategy_id"])
        by_block: dict[tuple[str, str, str], list[Config]] = defaultdict(list)
        for run in plan["runs"]:
            by_block[run["market"], run["window"], run["campaign"]].append(dict(run["config"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"this is no plan of missing runs ({type(error).__name__}: {error})") from error
    strategy, runs = strategy_named(named), []
    for (market_id, window, campaign), configs in by_block.items():
        market, (start, end) = market_named(market_id), _days(window)
        checked = checked_window(market, load_prices(market_id), start, end)
        runs += runs_of_market(strategy, configs, market, checked, campaign)
    return runs


def _days(window: str) -> tuple[date, date]:
    try:
        start, end = window.split("..")
        return date.fromisoformat(start), date.fromisoformat(end)
    except ValueError as error:
        raise InputError(f"the window {window!r} is not two days as in 2010-01-04..2013-11-01") from error

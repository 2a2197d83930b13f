"""What the live configuration earned on a search's days, handed in as backtest runs, one per market.

A search evaluates the live configuration beside all others. Without its runs the loop would know no market of the
strategy, and could play no shadow experiment, judge no change and diagnose nothing.
"""

from datetime import datetime
from typing import TYPE_CHECKING

from meta_pipeline.backtests.recording import IngestSummary, record
from meta_pipeline.backtests.run import BacktestRun
from meta_pipeline.hyperband.forest_strategy import parameters_of, strategy_searched
from meta_pipeline.hyperband.slots import LIVE
from meta_pipeline.store import strategies
from meta_pipeline.store.backtests import RunStore

if TYPE_CHECKING:
    from meta_pipeline.hyperband.forest_evaluator import ForestEvaluator
    from meta_pipeline.hyperband.results import SearchResult
    from meta_pipeline.store.database import Database
    from meta_pipeline.store.search_ledgers import SearchPlace


def record_live_runs(
    database: "Database",
    place: "SearchPlace",
    evaluator: "ForestEvaluator",
    result: "SearchResult",
    *,
    actor: str,
    now: datetime,
) -> IngestSummary | None:
    """Hand in the live configuration's runs of a finished search of a declared strategy; again changes nothing.

    Returns
    -------
    IngestSummary or None
        None if the search is about no declared strategy, another configuration is live by now, or it failed.
    """
    with database.connect() as connection:
        declared = {found.strategy.strategy_id: found for found in strategies.list_strategies(connection)}
    strategy_id = strategy_searched(result.settings.name)
    strategy = None if strategy_id is None else declared.get(strategy_id)
    live = result.settings.live_config
    if strategy is None or live is None or parameters_of(strategy.strategy.live_config) != live:
        return None
    units = result.settings.maximum_resource
    kept = place.checkpoints.build().find(LIVE, units)
    if kept is None or kept[1].error is not None:
        return None
    periods = {series.symbol: series.annual_periods for series in evaluator.bars}
    runs = [
        BacktestRun(
            strategy_id=strategy.strategy.strategy_id,
            campaign_id=result.settings.name.removeprefix(f"{strategy_id}-"),
            config=strategy.strategy.live_config,
            config_version=strategy.live_version,
            dates=times,
            returns=returns,
            periods_per_year=periods[symbol],
            market_id=symbol,
            code_version=evaluator.fingerprint[:16],
            source=f"search {result.settings.name}, the live configuration on its out-of-sample bars",
        )
        for symbol, (times, returns) in evaluator.returns_by_symbol(live, kept[1].checkpoint, units).items()
    ]
    return record(runs, into=RunStore(database, actor=actor, clock=lambda: now))

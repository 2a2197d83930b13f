"""What a backtest run is: records, importers, the quality gate, aggregates."""

from meta_pipeline.backtests.reasons import ReasonCode
from meta_pipeline.backtests.recording import IngestSummary, record
from meta_pipeline.backtests.run import BacktestRun, RunState, Trade

__all__ = ["BacktestRun", "IngestSummary", "ReasonCode", "RunState", "Trade", "record"]

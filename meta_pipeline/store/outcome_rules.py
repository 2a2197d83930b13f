"""The outcome rule that new proposals of a strategy get: from the settings, and the markets of its runs."""

from sqlalchemy import Connection, select

from meta_pipeline.proposals.outcome_rule import OutcomeRule
from meta_pipeline.settings import Settings
from meta_pipeline.store.schema import backtest_runs


def markets_of(connection: Connection, strategy_id: str) -> dict[str, float]:
    """Return the markets of a strategy's runs with a return series, each with its periods per year.

    Where runs of a market differ, the larger number is taken: it is that of the finer bars.
    """
    runs = backtest_runs.c
    rows = connection.execute(
        select(runs.market_id, runs.periods_per_year)
        .where(runs.strategy_id == strategy_id, runs.state == "accepted", runs.periods_per_year.is_not(None))
        .distinct()
        .order_by(runs.market_id, runs.periods_per_year)
    )
    return {row.market_id: row.periods_per_year for row in rows}


def outcome_rule(
    connection: Connection, strategy_id: str, settings: Settings, *, market_id: str | None = None
) -> OutcomeRule:
    """Return the rule by which changes of a strategy are judged from now on.

    Parameters
    ----------
    market_id
        If the change is meant for one market only.
    """
    markets = tuple(markets_of(connection, strategy_id)) if market_id is None else (market_id,)
    return OutcomeRule(
        minimum_days=settings.outcome_minimum_days,
        evaluation_days=max(settings.outcome_evaluation_days, settings.outcome_minimum_days),
        smallest_effect=settings.switching_cost,
        alpha=min(settings.alpha, 0.49),
        drawdown_rise=settings.outcome_drawdown_rise,
        volatility_rise=settings.outcome_volatility_rise,
        regime_fall=settings.outcome_regime_fall,
        markets=markets,
    )

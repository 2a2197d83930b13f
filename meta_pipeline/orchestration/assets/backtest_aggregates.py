"""The asset `backtest_aggregates`: every pending run is absorbed, and the aggregates of its strategy are made anew."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from meta_pipeline.orchestration.assets import GROUP, RESEARCH, THROUGH_BY_FOUR
from meta_pipeline.orchestration.evidence_state import evidence_state
from meta_pipeline.orchestration.isolation import Outcome, check_result, check_spec, each_strategy
from meta_pipeline.orchestration.metadata import on_the_pages, picture_value, strategy_pages, table_value
from meta_pipeline.orchestration.refreshing import scope_of
from meta_pipeline.orchestration.resources import DatabaseResource

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from meta_pipeline.backtests.aggregates import Aggregate

NAME: Final = "backtest_aggregates"
COLUMNS: Final = ("label", "n_runs", "sharpe", "volatility", "max_drawdown")


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What one strategy's refresh did; the returns it read are not kept."""

    n_absorbed: int
    n_quarantined: int


@dg.asset(
    name=NAME,
    group_name=GROUP,
    owners=RESEARCH,
    kinds={"postgresql", "numpy"},
    freshness_policy=THROUGH_BY_FOUR,
    check_specs=[check_spec(NAME)],
    description=(
        "Performance per strategy, market, regime, sector and configuration, recomputed from return series. Absorbing "
        "a run and counting it happen in one transaction, so that none is lost and none counts twice."
    ),
)
def backtest_aggregates(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[DatabaseResource]
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows the bare type only
    """Refresh every strategy with pending runs, each in a transaction of its own."""
    from meta_pipeline.store.backtests import pending_runs

    with database.connect() as connection:
        waiting = [found.strategy_id for found in pending_runs(connection, now=database.now()).strategies]
    scope = scope_of(context.run)
    due = [strategy for strategy in waiting if scope is None or strategy in scope]
    outcome = each_strategy(due, lambda strategy: refresh(strategy, database), context.log)
    with database.connect() as connection:
        state = evidence_state(connection)
        shown = [found for name in state.strategies for found in _wholes_and_markets(connection, name)]
    return dg.MaterializeResult(
        metadata={
            **_performance(shown),
            **on_the_pages(database.settings, strategy_pages(state.strategies)),
            **_numbers(outcome),
            "strategies with evidence": len(state.evidence),
        },
        data_version=dg.DataVersion(state.evidence_digest),
        check_results=[check_result(outcome)],
    )


def refresh(strategy_id: str, database: DatabaseResource) -> Refreshed:
    """Absorb one strategy's pending runs and replace its aggregates, in one transaction."""
    from meta_pipeline.store import aggregates

    with database.begin() as connection:
        done = aggregates.refresh(connection, strategy_id, now=database.now())
    states = done.evidence.states
    return Refreshed(
        n_absorbed=done.n_absorbed,
        n_quarantined=sum(count for name, count in states.items() if name.startswith("quarantined")),
    )


def _numbers(outcome: Outcome[Refreshed]) -> dict[str, int]:
    return {
        "runs absorbed": sum(one.n_absorbed for one in outcome.done.values()),
        "runs in quarantine": sum(one.n_quarantined for one in outcome.done.values()),
        "strategies refreshed": len(outcome.done),
        "strategies failed": len(outcome.failed),
    }


def _performance(shown: "Sequence[Aggregate]") -> dict[str, Any]:
    from meta_pipeline.report.pictures import aggregates_picture
    from meta_pipeline.report.tables import aggregates_table

    picture = aggregates_picture(shown, title="Sharpe ratio, pooled over configurations")
    return {
        "performance": table_value(aggregates_table(shown), only=COLUMNS),
        "picture of the Sharpe ratios": picture_value(picture, says="Sharpe ratio of each strategy and market"),
    }


def _wholes_and_markets(connection: "Connection", strategy_id: str) -> "list[Aggregate]":
    """Read what fits on a page, each market labelled with its strategy."""
    from meta_pipeline.backtests.aggregates import Dimension
    from meta_pipeline.store.aggregates import read_aggregates

    wholes = read_aggregates(connection, strategy_id, dimension=Dimension.STRATEGY)
    markets = read_aggregates(connection, strategy_id, dimension=Dimension.MARKET)
    return [*wholes, *(replace(found, label=f"{strategy_id} {found.label}") for found in markets)]

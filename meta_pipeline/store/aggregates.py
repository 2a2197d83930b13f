"""Aggregates in the database: replaced together with the record of which runs they rest on.

Belongs here: one transaction from runs to aggregates. Does not belong here: how runs are pooled
(backtests.aggregates).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, text

from meta_pipeline.backtests.aggregates import Aggregate, Dimension, aggregate
from meta_pipeline.errors import InputError
from meta_pipeline.store.backtest_panel import Evidence, load_evidence
from meta_pipeline.store.half_years import write_half_years
from meta_pipeline.store.queries import query
from meta_pipeline.store.regimes import read_regimes
from meta_pipeline.store.schema import aggregations, backtest_aggregates
from meta_pipeline.store.trials import record_trials


@dataclass(frozen=True, kw_only=True, eq=False)
class Refresh:
    """What a refresh did.

    Parameters
    ----------
    aggregation_id
        Its number; later refreshes have larger ones.
    n_absorbed
        Runs that no evidence had before.
    evidence
        What was read: the panel for the stages that follow, and its digest.
    aggregates
        What was written.
    """

    aggregation_id: int
    n_absorbed: int
    evidence: Evidence
    aggregates: tuple[Aggregate, ...]


def refresh(connection: Connection, strategy_id: str, *, now: datetime) -> Refresh:
    """Aggregate all runs of a strategy, replace its aggregates, and absorb exactly the runs that were read.

    In the same transaction the runs enter the trial ledger, and are reduced to half-years for the decision core.
    A run that commits while this reads or computes is not absorbed: it stays pending, whatever order
    the transactions end in. Refreshes of one strategy take turns.

    Parameters
    ----------
    connection
        A transaction at READ COMMITTED.
    now
        The time, UTC-aware.

    Raises
    ------
    InputError
        If the strategy has no runs at all.
    """
    lock = text("SELECT pg_advisory_xact_lock(hashtextextended('aggregates of ' || :strategy_id, 0))")
    connection.execute(lock, {"strategy_id": strategy_id})
    evidence = load_evidence(connection, strategy_id)
    if not evidence.run_ids:
        raise InputError(f"strategy {strategy_id!r} has no runs to aggregate; ingest a campaign first")
    panel = evidence.panel
    found = aggregate(
        panel,
        strategy_id=strategy_id,
        regimes=read_regimes(connection, panel.markets, panel.dates),
        states=evidence.states,
        distinct_series=evidence.distinct_series,
    )
    new = {
        "strategy_id": strategy_id,
        "n_absorbed": 0,
        "evidence_digest": evidence.digest,
        "created_at": now,
    }
    aggregation_id = connection.execute(insert(aggregations).returning(aggregations.c.aggregation_id), new).scalar_one()
    rows = {"aggregation_id": aggregation_id, "run_ids": list(evidence.run_ids), "now": now}
    absorbed = connection.execute(query("absorb_runs"), rows).scalars().all()
    record_trials(connection, absorbed, now=now)
    write_half_years(connection, strategy_id, panel)
    own = aggregations.c.aggregation_id == aggregation_id
    connection.execute(aggregations.update().where(own).values(n_absorbed=len(absorbed)))
    _replace(connection, strategy_id, aggregation_id, found)
    return Refresh(aggregation_id=aggregation_id, n_absorbed=len(absorbed), evidence=evidence, aggregates=found)


def _replace(connection: Connection, strategy_id: str, aggregation_id: int, found: Sequence[Aggregate]) -> None:
    connection.execute(delete(backtest_aggregates).where(backtest_aggregates.c.strategy_id == strategy_id))
    rows = [
        {
            "strategy_id": strategy_id,
            "dimension": one.dimension.value,
            "label": one.label,
            "aggregation_id": aggregation_id,
            "n_runs": one.n_runs,
            "n_distinct": one.n_distinct,
            "n_days": one.n_days,
            "sharpe": one.sharpe,
            "mean_return": one.mean_return,
            "volatility": one.volatility,
            "max_drawdown": one.max_drawdown,
            "win_rate": one.win_rate,
            "body": {**one.body, "missing": dict(one.missing)},
        }
        for one in found
    ]
    connection.execute(insert(backtest_aggregates), rows)


def read_aggregates(
    connection: Connection, strategy_id: str, *, dimension: Dimension | None = None
) -> tuple[Aggregate, ...]:
    """Read a strategy's present aggregates, ordered by dimension and label; none before the first refresh."""
    table = backtest_aggregates
    statement = select(table).where(table.c.strategy_id == strategy_id)
    if dimension is not None:
        statement = statement.where(table.c.dimension == dimension.value)
    found = [_aggregate(row) for row in connection.execute(statement)]
    rank = {name: position for position, name in enumerate(Dimension)}
    return tuple(sorted(found, key=lambda one: (rank[one.dimension], one.label)))


def _aggregate(row: Row[Any]) -> Aggregate:
    body = dict(row.body)
    return Aggregate(
        dimension=Dimension(row.dimension),
        label=row.label,
        n_runs=row.n_runs,
        n_distinct=row.n_distinct,
        n_days=row.n_days,
        sharpe=row.sharpe,
        mean_return=row.mean_return,
        volatility=row.volatility,
        max_drawdown=row.max_drawdown,
        win_rate=row.win_rate,
        missing=body.pop("missing"),
        body=body,
    )

"""The trial ledger: every distinct run ever seen of a strategy. A deflated Sharpe ratio counts them all."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select

from meta_pipeline.store.queries import query
from meta_pipeline.store.schema_evidence import trials


def record_trials(connection: Connection, run_ids: Sequence[str], *, now: datetime) -> int:
    """Enter runs into the ledger, runs in quarantine too; return how many trials were new.

    A trial is a block (market, window, campaign), a configuration, and its returns: a run handed in twice is one.
    """
    return connection.execute(query("record_trials"), {"run_ids": list(run_ids), "now": now}).rowcount


def count_trials(connection: Connection, strategy_id: str) -> int:
    """Return how many distinct trials of a strategy were ever seen."""
    own = select(func.count()).select_from(trials).where(trials.c.strategy_id == strategy_id)
    return int(connection.execute(own).scalar_one())


def earlier_trials(connection: Connection, strategy_id: str) -> int:
    """Return how many of them are not among the runs that its evidence holds now: left in quarantine, or gone."""
    return int(connection.execute(query("earlier_trials"), {"strategy_id": strategy_id}).scalar_one())

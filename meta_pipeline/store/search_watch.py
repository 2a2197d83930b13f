"""What a searched strategy really did, for its triggers: closed trades of the live books, and the looks of experiments.

Belongs here: reading real outcomes as returns on capital. Does not belong here: thresholds (hyperband.watching).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from sqlalchemy import Connection, select

from meta_pipeline.canonical import JsonValue
from meta_pipeline.counted import counted
from meta_pipeline.hyperband.watching import Limits, Trigger, triggers
from meta_pipeline.store import experiments
from meta_pipeline.store.schema_policy import live_capital, live_closed_trades, live_strategies

CALENDAR_DAYS: Final = 365.0
"""Days a year of a series that has every day between the first trade and the last, those without one at zero."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One source of outcomes, and the triggers on it.

    Parameters
    ----------
    source
        "book live", or "experiment exp-...".
    n_trades
        Closed trades; for an experiment, days.
    triggers
        All of them, fired or not; empty where there is nothing yet.
    note
        What there is to know besides.
    """

    source: str
    n_trades: int
    triggers: tuple[Trigger, ...]
    note: str = ""

    @property
    def fired(self) -> tuple[Trigger, ...]:
        """Those that call for somebody."""
        return tuple(trigger for trigger in self.triggers if trigger.fired)

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {
            "source": self.source,
            "n": self.n_trades,
            "note": self.note,
            "triggers": [trigger.to_json() for trigger in self.triggers],
        }


def watch(connection: Connection, strategy_id: str, *, limits: Limits | None = None) -> list[Watched]:
    """Hold everything that a strategy really did against the limits: in each book, and in its shadow experiments."""
    return [*_books(connection, strategy_id, limits), *_experiments(connection, strategy_id, limits)]


def _books(connection: Connection, strategy_id: str, limits: Limits | None) -> list[Watched]:
    found = []
    rows = connection.execute(
        select(live_strategies.c.scope, live_strategies.c.strategy_no)
        .where(live_strategies.c.strategy_id == strategy_id)
        .order_by(live_strategies.c.scope)
    ).all()
    for row in rows:
        trades = connection.execute(
            select(live_closed_trades.c.pnl, live_closed_trades.c.closed_at)
            .where(live_closed_trades.c.strategy_no == row.strategy_no)
            .order_by(live_closed_trades.c.closed_at, live_closed_trades.c.exit_execution_id)
        ).all()
        capital = connection.execute(
            select(live_capital.c.amount).where(live_capital.c.scope == row.scope).order_by(live_capital.c.effective_at)
        ).first()
        source = f"book {row.scope}"
        if capital is None:
            found.append(Watched(source=source, n_trades=len(trades), triggers=(), note="the book has no capital yet"))
            continue
        profits = np.array([trade.pnl for trade in trades], dtype=np.float64)
        days = np.array([trade.closed_at.date() for trade in trades], dtype="datetime64[D]")
        returns = np.zeros(int((days[-1] - days[0]).astype(int)) + 1) if len(days) else np.zeros(0)
        if len(days):
            np.add.at(returns, (days - days[0]).astype(int), profits / capital.amount)
        held = triggers(
            returns,
            profits.tolist(),
            periods_per_year=CALENDAR_DAYS,
            limits=limits,
            since=f" of closed trades, on the first capital of {row.scope}",
        )
        found.append(Watched(source=source, n_trades=len(trades), triggers=held))
    return found


def _experiments(connection: Connection, strategy_id: str, limits: Limits | None) -> list[Watched]:
    """Hold the challenger of each running experiment against the Sharpe ratio; deeper falls are its guardrails."""
    wanted = limits or Limits()
    found = []
    for one in experiments.list_experiments(connection, running=True):
        if one.strategy_id != strategy_id:
            continue
        look = experiments.latest_look(connection, one.experiment_id)
        body = {} if look is None or look.body is None else look.body
        ratio = (body.get("after") or {}).get("sharpe")
        days = 0 if look is None else look.n_days
        trigger = Trigger(
            name="Sharpe ratio",
            value=ratio,
            threshold=wanted.sharpe_ratio,
            fired=ratio is not None and ratio < wanted.sharpe_ratio,
            reason=f"of the challenger on paper, over {counted(days, 'day')}",
        )
        breached = [str(rail.get("text")) for rail in body.get("guardrails") or [] if rail.get("breached")]
        note = "; ".join(breached) or ("no day to look at yet" if look is None else "no guardrail is breached")
        found.append(Watched(source=f"experiment {one.experiment_id}", n_trades=days, triggers=(trigger,), note=note))
    return found

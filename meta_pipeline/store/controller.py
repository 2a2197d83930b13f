"""The controller as the settings want it: evaluate a book, store the policy, publish it.

Belongs here: what the schedule, the command line and the API have in common. Does not belong here: how a policy is
made (policies) and where it is published (policy_publishing).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from meta_pipeline.counted import counted
from meta_pipeline.policy.evaluate import Rules
from meta_pipeline.policy.modes import Profile, RiskMode
from meta_pipeline.settings import Settings
from meta_pipeline.store.database import Database
from meta_pipeline.store.live_books import Scope, list_scopes
from meta_pipeline.store.policies import Controller, PolicyRecord, Request, evaluate_policy, latest_policy
from meta_pipeline.store.policy_keys import signer_of
from meta_pipeline.store.policy_publishing import Publication, publish
from meta_pipeline.store.schema_policy import live_closed_trades, live_fills

GRACE = timedelta(minutes=2)
"""How long a scheduled evaluation may be late before it is made up for."""

LATE_FILLS = timedelta(days=7)

_NONE = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A policy, and how publishing it went."""

    record: PolicyRecord
    publications: tuple[Publication, ...]


def controller_of(settings: Settings, *, clock: Callable[[], datetime], timer: Callable[[], float]) -> Controller:
    """Return the controller of the settings; the first time, it makes a key to sign with.

    Raises
    ------
    Unhealthy, InputError
        If there is no key that can be used.
    """
    rules = Rules(
        profile=Profile(settings.policy_profile),
        max_strategies=settings.policy_max_strategies,
        ceiling=RiskMode.NORMAL if settings.current_profile == "SAFE" else RiskMode.AGGRESSIVE,
        max_age=timedelta(hours=settings.policy_max_age_hours),
    )
    return Controller(
        rules=rules,
        interval=timedelta(minutes=settings.msc_evaluation_interval_minutes),
        signer=signer_of(settings, now=clock()),
        clock=clock,
        timer=timer,
    )


def evaluate_and_publish(
    database: Database, scope: str, controller: Controller, request: Request, settings: Settings
) -> Issued:
    """Make a policy and publish it; raises as `evaluate_policy`."""
    record = evaluate_policy(database, scope, controller, request)
    return publish_record(database, record, controller, settings)


def publish_record(database: Database, record: PolicyRecord, controller: Controller, settings: Settings) -> Issued:
    """Publish a policy that was just made."""
    made = publish(database, record, settings, now=controller.clock())
    return Issued(record=record, publications=tuple(made))


@dataclass(frozen=True, kw_only=True)
class Due:
    """A book whose policy is to be made, and why; `trigger` None: not yet, and why not."""

    scope: Scope
    trigger: str | None
    why: str


def due_evaluations(connection: Connection, settings: Settings, *, now: datetime, scheduled: bool) -> list[Due]:
    """Say of every book whether its policy is due.

    Parameters
    ----------
    scheduled
        Whether the schedule asks, on its half hour. It comes when an interval has passed; in between, only what makes
        up for it is due: outcomes that no policy has seen, and an interval that ran over.
    """
    return [_due(connection, scope, settings, now=now, scheduled=scheduled) for scope in list_scopes(connection)]


def _due(connection: Connection, scope: Scope, settings: Settings, *, now: datetime, scheduled: bool) -> Due:
    if not settings.msc_enabled:
        return Due(scope=scope, trigger=None, why="MSC_ENABLED is false")
    last = latest_policy(connection, scope.scope)
    if last is None:
        return Due(scope=scope, trigger="schedule", why="it has no policy yet")
    interval = timedelta(minutes=settings.msc_evaluation_interval_minutes)
    age = now - last.created_at
    # A tick of the schedule may be a little early by this clock.
    late = interval - GRACE if scheduled else interval + (GRACE if interval % timedelta(minutes=30) == _NONE else _NONE)
    if age >= late:
        return Due(
            scope=scope,
            trigger="schedule",
            why=f"its policy is {counted(round(age / timedelta(minutes=1)), 'minute')} old",
        )
    news = None if scheduled else _unseen_outcomes(connection, scope.scope, since=last.created_at)
    if news is not None:
        return Due(scope=scope, trigger="outcomes", why=news)
    wait = (late - age) / timedelta(minutes=1)
    return Due(scope=scope, trigger=None, why=f"its policy is good for {counted(round(wait), 'minute')} more")


def _unseen_outcomes(connection: Connection, scope: str, *, since: datetime) -> str | None:
    """Say which trades were closed by fills that came in after a moment, or None."""
    fills, trades = live_fills.c, live_closed_trades.c
    unseen = (
        select(fills.execution_id)
        .where(
            fills.strategy_no == trades.strategy_no,
            fills.symbol == trades.symbol,
            fills.executed_at.between(trades.opened_at, trades.closed_at),
            fills.received_at > since,
        )
        .exists()
    )
    # The bound on closed_at is for the index; a fill that comes later than that waits for the schedule.
    changed = select(trades.symbol).where(trades.scope == scope, trades.closed_at > since - LATE_FILLS, unseen).limit(1)
    if connection.execute(changed).first() is None:
        return None
    return "trades were closed since its policy was made"

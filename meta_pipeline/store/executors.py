"""What executors say of themselves: which policy they run, and how far they are behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import Conflict
from meta_pipeline.store.live_books import load_scope
from meta_pipeline.store.schema_policy import executor_heartbeats

SILENT_AFTER: Final = timedelta(minutes=2)
FORGOTTEN_AFTER: Final = timedelta(days=7)
MOST_EXECUTORS: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """What an executor runs, by its own word. `epoch` is "" and `version` 0 where it has no document."""

    executor_id: str
    scope: str
    epoch: str
    version: int
    mode: str
    reduce_only: bool
    reasons: tuple[str, ...]
    problems: Mapping[str, str]
    reported_at: datetime


@dataclass(frozen=True, kw_only=True)
class ExecutorStatus:
    """An executor beside the policy that is in force.

    Parameters
    ----------
    behind
        Versions it is behind; None where it runs another epoch, or nothing.
    clock_skew_seconds
        Its clock minus ours, when it last reported.
    silent
        Whether it has not reported for two minutes.
    """

    heartbeat: Heartbeat
    received_at: datetime
    behind: int | None
    clock_skew_seconds: float
    silent: bool

    def to_json(self) -> dict[str, JsonValue]:
        """Return the status as a JSON object."""
        beat = self.heartbeat
        return {
            "executor_id": beat.executor_id,
            "scope": beat.scope,
            "epoch": beat.epoch,
            "version": beat.version,
            "mode": beat.mode,
            "reduce_only": beat.reduce_only,
            "reasons": list(beat.reasons),
            "problems": dict(beat.problems),
            "reported_at": beat.reported_at.isoformat(),
            "received_at": self.received_at.isoformat(),
            "versions_behind": self.behind,
            "clock_skew_seconds": self.clock_skew_seconds,
            "silent": self.silent,
        }


def record_heartbeat(connection: Connection, beat: Heartbeat, *, now: datetime) -> None:
    """Note what an executor runs; only its latest word is kept.

    Raises
    ------
    NotFound
        If there is no such book.
    Conflict
        If more executors report than can be real.
    """
    load_scope(connection, beat.scope)
    _make_room(connection, beat.scope, beat.executor_id, now)
    values: dict[str, Any] = {
        "epoch": beat.epoch,
        "version": beat.version,
        "mode": beat.mode,
        "reduce_only": beat.reduce_only,
        "reasons": list(beat.reasons),
        "problems": dict(beat.problems),
        "reported_at": beat.reported_at,
        "received_at": now,
    }
    statement = upsert(executor_heartbeats).values(scope=beat.scope, executor_id=beat.executor_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["scope", "executor_id"], set_=values))


def list_executors(
    connection: Connection, scope: str, *, epoch: str, version: int, now: datetime
) -> list[ExecutorStatus]:
    """Return the executors of a book that reported within a week, by id.

    Parameters
    ----------
    epoch, version
        Of the policy in force; "" and 0 where there is none.
    """
    columns = executor_heartbeats.c
    rows = connection.execute(
        select(executor_heartbeats)
        .where(columns.scope == scope, columns.received_at > now - FORGOTTEN_AFTER)
        .order_by(columns.executor_id)
        .limit(MOST_EXECUTORS)
    )
    found = []
    for row in rows:
        fields = row._asdict()
        received = fields.pop("received_at")
        beat = Heartbeat(**{**fields, "reasons": tuple(fields["reasons"])})
        same = beat.epoch == epoch and beat.version > 0
        found.append(
            ExecutorStatus(
                heartbeat=beat,
                received_at=received,
                behind=max(version - beat.version, 0) if same else None,
                clock_skew_seconds=(beat.reported_at - received).total_seconds(),
                silent=now - received > SILENT_AFTER,
            )
        )
    return found


def skew(executors: Sequence[ExecutorStatus]) -> dict[str, JsonValue]:
    """Return how far the executors that still report are apart."""
    talking = [one for one in executors if not one.silent]
    versions = sorted({one.heartbeat.version for one in talking})
    modes = sorted({one.heartbeat.mode for one in talking})
    behind = [one.behind for one in talking if one.behind is not None]
    return {
        "executors": len(executors),
        "silent": len(executors) - len(talking),
        "versions": list(versions),
        "most_behind": max(behind, default=None),
        "without_current_epoch": sum(one.behind is None for one in talking),
        "modes": list(modes),
    }


def _make_room(connection: Connection, scope: str, executor_id: str, now: datetime) -> None:
    """Forget executors that are long gone, and refuse a new one where there are too many to be real."""
    columns = executor_heartbeats.c
    known = select(columns.executor_id).where(columns.scope == scope, columns.executor_id == executor_id)
    if connection.execute(known).first() is not None:
        return
    own = columns.scope == scope
    connection.execute(delete(executor_heartbeats).where(own, columns.received_at < now - FORGOTTEN_AFTER))
    n = connection.execute(select(func.count()).select_from(executor_heartbeats).where(own)).scalar_one()
    if n >= MOST_EXECUTORS:
        raise Conflict(f"{n} executors report for the book {scope!r} already; at most {MOST_EXECUTORS} may")

"""Which runs has no evidence absorbed? Asked every few seconds, so it must lose none and cost next to nothing.

Belongs here: the anti-join and its low-water mark. Does not belong here: when a refresh starts (orchestration).

The answer is a state, not an event: a run is pending until `absorbed_runs` has it, however late its
transaction committed. A cursor on an id or a time loses what commits behind it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from meta_pipeline.store.queries import query

MARK_LIFETIME: Final = timedelta(hours=1)
"""A mark is not believed for longer: once an hour all rows are looked at, should somebody have edited them by hand."""


@dataclass(frozen=True, kw_only=True)
class LowWaterMark:
    """Below this transaction id every transaction has ended, and every run it wrote is absorbed.

    Parameters
    ----------
    xid
        The transaction id, 64 bits.
    epoch
        The history in which it means something; see sql/queries/database_epoch.sql.
    taken_at
        When all rows were last looked at, UTC-aware.
    """

    xid: int
    epoch: str
    taken_at: datetime

    def to_json(self) -> dict[str, Any]:
        """Return the mark as a JSON object, for the cursor of a sensor."""
        return {"xid": self.xid, "epoch": self.epoch, "taken_at": self.taken_at.isoformat()}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "LowWaterMark":
        """Read a mark back."""
        return cls(xid=body["xid"], epoch=body["epoch"], taken_at=datetime.fromisoformat(body["taken_at"]))


@dataclass(frozen=True, kw_only=True)
class PendingStrategy:
    """What one strategy has that no evidence has absorbed, whatever the state of its runs.

    Parameters
    ----------
    n_runs
        How many.
    digest
        Names exactly these runs: another run more, another digest.
    oldest, newest
        When the first and the last of them came in, UTC.
    closed
        Whether a campaign among them is closed, so that no more of it is coming.
    """

    strategy_id: str
    n_runs: int
    digest: str
    oldest: datetime
    newest: datetime
    closed: bool


@dataclass(frozen=True, kw_only=True)
class PendingRuns:
    """The answer, and the mark to ask with next time (None: look at everything again)."""

    strategies: tuple[PendingStrategy, ...]
    mark: LowWaterMark | None


def pending_runs(connection: Connection, *, now: datetime, mark: LowWaterMark | None = None) -> PendingRuns:
    """Ask which runs no evidence has absorbed.

    Parameters
    ----------
    connection
        A transaction at READ COMMITTED; reading is enough.
    now
        The time, UTC-aware.
    mark
        What the previous answer carried; it only saves work. One from another history, or older
        than `MARK_LIFETIME`, is not used.
    """
    epoch = connection.execute(query("database_epoch")).scalar_one()
    usable = mark is not None and mark.epoch == epoch and mark.taken_at <= now < mark.taken_at + MARK_LIFETIME
    floor = mark.xid if mark is not None and usable else 0
    rows = connection.execute(query("pending_runs"), {"mark": str(floor), "whole": not usable}).all()
    first = rows[0]
    next_mark = None
    # Pending rows from another cluster carry ids this one has not reached: they are found by looking at everything.
    if first.last_pending is None or first.last_pending < first.xmax:
        xid = first.xmin if first.first_pending is None else min(first.xmin, first.first_pending)
        taken_at = mark.taken_at if mark is not None and usable else now
        next_mark = LowWaterMark(xid=xid, epoch=epoch, taken_at=taken_at)
    strategies = tuple(
        PendingStrategy(
            strategy_id=row.strategy_id,
            n_runs=row.n_runs,
            digest=row.digest,
            oldest=row.oldest,
            newest=row.newest,
            closed=row.closed,
        )
        for row in rows
        if row.strategy_id is not None
    )
    return PendingRuns(strategies=strategies, mark=next_mark)

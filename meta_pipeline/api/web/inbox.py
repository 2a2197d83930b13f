"""The inbox: what waits for somebody, and every proposal by status and strategy."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from sqlalchemy import Connection, func, select
from starlette.responses import Response

from meta_pipeline.api.access import in_thread
from meta_pipeline.api.context import Ctx
from meta_pipeline.api.pages import Cursor, moment_and_id, page
from meta_pipeline.api.web.grid import proposals_grid
from meta_pipeline.api.web.live import POLICY, Live, moment_text
from meta_pipeline.api.web.pages import PageRoute, link, show, tile
from meta_pipeline.api.web.visitor import Visits
from meta_pipeline.errors import InputError
from meta_pipeline.proposals.states import Status
from meta_pipeline.store import meta_model, pages, strategy_lists
from meta_pipeline.store.schema import config_change_log, meta_config_proposals

router = APIRouter(route_class=PageRoute, include_in_schema=False)

ROWS: Final = 50
WAITING: Final = (Status.PENDING, Status.APPROVED)


@router.get("/pages/inbox")
async def inbox(
    context: Ctx,
    visitor: Visits,
    status: Annotated[str, Query(max_length=20)] = "waiting",
    strategy: Annotated[str | None, Query(max_length=64)] = None,
    cursor: Cursor = None,
) -> Response:
    """Show what waits; other proposals by a filter."""
    after, wanted = moment_and_id(cursor), _statuses(status)
    chosen = strategy or None

    def read() -> dict[str, Any]:
        now = context.decision_time()
        with context.database.connect() as connection:
            records, more = pages.proposals_page(connection, limit=ROWS, after=after, status=wanted, strategy_id=chosen)
            waiting = _waiting(connection)
            names = strategy_lists.declared_ids(connection)
        last = (records[-1].created_at, records[-1].proposal_id) if more else None
        following = page([], last)["next_cursor"]
        older = None if following is None else link("inbox", status=status, strategy=chosen, cursor=str(following))
        return {
            "grid": proposals_grid(records),
            "older": older,
            "newest": link("inbox", status=status, strategy=chosen) if cursor else None,
            "live": _live(waiting, now, status=status, strategy=chosen),
            "filters": _filters(waiting.counts, status, chosen),
            "strategies": names,
            "strategy": chosen,
            "status": status,
        }

    values = await in_thread(read)
    return show("inbox.html", title="Inbox", place="inbox", visitor=visitor, policy=POLICY, **values)


@router.get("/pages/inbox/live")
async def inbox_live(
    context: Ctx,
    visitor: Visits,
    status: Annotated[str, Query(max_length=20)] = "waiting",
    strategy: Annotated[str | None, Query(max_length=64)] = None,
    seen: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Return the figures of an inbox that is open, and whether its list is what is on record."""
    _statuses(status)

    def read() -> Live:
        now = context.decision_time()
        with context.database.connect() as connection:
            waiting = _waiting(connection)
        return _live(waiting, now, status=status, strategy=strategy or None, seen=seen)

    values = await in_thread(read)
    return show("live.html", title="Inbox", place="inbox", visitor=visitor, live=values)


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """How many proposals there are by status, changes to undo, and whether the meta-model has an alarm."""

    counts: Mapping[str, int]
    undo: int
    alarm: bool

    @property
    def mark(self) -> str:
        """What differs once a proposal was made or changed its status."""
        numbers = [self.counts.get(str(status), 0) for status in Status]
        return ".".join(str(number) for number in (*numbers, self.undo, int(self.alarm)))


def _waiting(connection: Connection) -> _Waiting:
    champion = meta_model.champion(connection)
    alarm = None if champion is None else meta_model.open_alarm(connection, champion.model_id)
    undo = connection.execute(_RECOMMENDED).scalar_one()
    return _Waiting(counts=_counts(connection), undo=undo, alarm=alarm is not None)


def _live(waiting: _Waiting, now: datetime, *, status: str, strategy: str | None, seen: str | None = None) -> Live:
    mark = waiting.mark if seen is None else seen
    return Live(
        address=link("inbox/live", status=status, strategy=strategy, seen=mark),
        page=link("inbox", status=status, strategy=strategy),
        tiles=_tiles(waiting),
        as_of=moment_text(now),
        moved=mark != waiting.mark,
    )


_RECOMMENDED: Final = (
    select(func.count())
    .select_from(config_change_log)
    .where(config_change_log.c.outcome_verdict == "REVERT", config_change_log.c.is_reverted.is_(False))
)


def _statuses(text: str) -> tuple[Status, ...]:
    if text in {"waiting", "all"}:
        return WAITING if text == "waiting" else ()
    try:
        return (Status(text),)
    except ValueError:
        raise InputError(f"status {text!r} is none; take one of waiting, all, {', '.join(Status)}") from None


def _counts(connection: Connection) -> dict[str, int]:
    column = meta_config_proposals.c.status
    return {str(name): int(n) for name, n in connection.execute(select(column, func.count()).group_by(column))}


def _tiles(waiting: _Waiting) -> list[tuple[str, ...]]:
    counts, undo, alarm = waiting.counts, waiting.undo, waiting.alarm
    return [
        tile(
            counts.get("PENDING", 0),
            *("proposal waits for a verdict", "proposals wait for a verdict", link("inbox", status="PENDING")),
        ),
        tile(
            counts.get("APPROVED", 0),
            *("approved, waits to be applied", "approved, wait to be applied", link("inbox", status="APPROVED")),
        ),
        tile(
            undo,
            "change that its outcome says to revert",
            "changes that their outcome says to revert",
            link("changes", judged="REVERT"),
        ),
        ("open" if alarm else "none", "alarm of the meta-model", link("models")),
    ]


def _filters(counts: Mapping[str, int], present: str, strategy: str | None) -> list[dict[str, Any]]:
    numbers = {"waiting": sum(counts.get(one, 0) for one in WAITING), "all": sum(counts.values())}
    return [
        {
            "name": name,
            "n": f"{numbers.get(name, counts.get(name, 0)):,}",
            "href": link("inbox", status=name, strategy=strategy),
            "present": name == present,
        }
        for name in ("waiting", "all", *map(str, Status))
    ]

"""Freezes of applies, and of automatic application: what holds now, and setting and lifting it.

The rules are the services' (store.freezing, store.automation_freezes); a form only says who, what and why.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from meta_pipeline.api.access import in_thread
from meta_pipeline.api.context import Context, Ctx
from meta_pipeline.api.problems import ProblemError
from meta_pipeline.api.web.grid import Cell, Grid, moment
from meta_pipeline.api.web.pages import PageRoute, fault_of, form_of, link, see, show, tile
from meta_pipeline.api.web.typed import confirmed, reason_of
from meta_pipeline.api.web.visitor import Visitor, Visits
from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.report.table import MISSING, day
from meta_pipeline.store import automation_freezes, freezing, kill_file, strategy_lists
from meta_pipeline.store.freezing import FreezeRecord

router = APIRouter(route_class=PageRoute, include_in_schema=False)

EVERYTHING: Final = "everything"
AUTOMATION: Final = "automation"
LATEST: Final = 50

_DONE: Final = {
    "frozen": "Frozen. Nothing that it covers is applied until it is lifted; reverts and changes that reduce risk are.",
    "lifted": "Lifted.",
    "automation_frozen": "Automatic application is frozen.",
    "automation_lifted": "Automatic application goes on, within its limits.",
}
FreezeId = Annotated[int, Path(ge=1, le=2**62)]
Work = Callable[[Context, Visitor, dict[str, str]], str]


@router.get("/pages/freezes")
async def freezes(context: Ctx, visitor: Visits, done: Annotated[str, Query(max_length=20)] = "") -> Response:
    """Show the freezes that were not lifted, those that were, and the kill file."""
    return await in_thread(lambda: _shown(context, visitor, said=_DONE.get(done, "")))


@router.post("/pages/freezes")
async def freeze(request: Request, context: Ctx, visitor: Visits) -> Response:
    """Freeze everything, or one strategy, from now until it is lifted."""
    return await _do(request, context, visitor, _freeze)


@router.post("/pages/freezes/{freeze_id}/lift")
async def lift(request: Request, context: Ctx, visitor: Visits, freeze_id: FreezeId) -> Response:
    """End a freeze. A person does it, who may."""

    def work(context: Context, visitor: Visitor, fields: dict[str, str]) -> str:
        visitor.require("operator")
        confirmed(fields, wanted=str(freeze_id), what="the number of the freeze")
        why, now = reason_of(fields, what="lifting a freeze"), context.decision_time()
        with context.database.begin() as connection:
            freezing.lift(connection, freeze_id, reason=why, actor=visitor.name, now=now)
        return "lifted"

    return await _do(request, context, visitor, work)


@router.post("/pages/automation/freeze")
async def freeze_automation(request: Request, context: Ctx, visitor: Visits) -> Response:
    """Freeze automatic application."""

    def work(context: Context, visitor: Visitor, fields: dict[str, str]) -> str:
        visitor.require("approver", "operator")
        confirmed(fields, wanted=AUTOMATION, what="the word")
        why, now = reason_of(fields, what="a freeze of automation"), context.decision_time()
        automation_freezes.freeze(context.database, reason=why, actor=visitor.name, now=now)
        return "automation_frozen"

    return await _do(request, context, visitor, work)


@router.post("/pages/automation/lift")
async def lift_automation(request: Request, context: Ctx, visitor: Visits) -> Response:
    """Lift the freeze of automatic application."""

    def work(context: Context, visitor: Visitor, fields: dict[str, str]) -> str:
        visitor.require("operator")
        confirmed(fields, wanted=AUTOMATION, what="the word")
        why, now = reason_of(fields, what="lifting the freeze of automation"), context.decision_time()
        automation_freezes.unfreeze(context.database, reason=why, actor=visitor.name, now=now)
        return "automation_lifted"

    return await _do(request, context, visitor, work)


def _freeze(context: Context, visitor: Visitor, fields: dict[str, str]) -> str:
    visitor.require("approver", "operator")
    strategy = fields.get("strategy", "").strip()
    confirmed(fields, wanted=strategy or EVERYTHING, what="what is to be frozen")
    why, now = reason_of(fields, what="a freeze"), context.decision_time()
    with context.database.begin() as connection:
        freezing.freeze_now(connection, reason=why, strategy_id=strategy or None, actor=visitor.name, now=now)
    return "frozen"


async def _do(request: Request, context: Context, visitor: Visitor, work: Work) -> Response:
    """Do what a form asks; refused, show the page again with why, and with what was typed."""
    fields = await form_of(request, visitor.whose)

    def work_or_again() -> Response:
        try:
            return see("freezes", done=work(context, visitor, fields))
        except (MetaPipelineError, ProblemError) as error:
            status, code, detail = fault_of(error)
            if status in {500, 503}:
                raise
            return _shown(context, visitor, fault=f"Refused ({code}): {detail}", typed=fields, status=status)

    return await in_thread(work_or_again)


def _shown(
    context: Context,
    visitor: Visitor,
    *,
    said: str = "",
    fault: str = "",
    typed: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    now = context.decision_time()
    with context.database.connect() as connection:
        found = freezing.list_freezes(connection, lifted=True)
        automation = automation_freezes.frozen(connection)
        declared = strategy_lists.declared_ids(connection)
    standing = [one for one in found if one.lifted_at is None]
    lifted = sorted((one for one in found if one.lifted_at is not None), key=_when_lifted, reverse=True)
    return show(
        "freezes.html",
        title="Freezes",
        place="freezes",
        visitor=visitor,
        http_status=status,
        tiles=tiles(standing, now=now, automation=automation is not None),
        killed=kill_file.found(context.settings),
        standing=_grid(standing, now),
        numbers=[one.freeze.freeze_id for one in standing],
        lifted=_lifted_grid(lifted[:LATEST]),
        automation=automation,
        since=None if automation is None else day(automation.frozen_at),
        strategies=declared,
        everything=EVERYTHING,
        automation_word=AUTOMATION,
        said=said,
        fault=fault,
        typed=typed or {},
    )


def tiles(standing: Sequence[FreezeRecord], *, now: datetime, automation: bool) -> list[tuple[str, ...]]:
    """Return how many freezes hold now, of everything or of single strategies, and whether automation is frozen."""
    held = [one for one in standing if one.freeze.covers(now)]
    whole = sum(one.freeze.strategy_id is None for one in held)
    return [
        tile(whole, "freeze of everything holds now", "freezes of everything hold now"),
        tile(len(held) - whole, "freeze of a strategy holds now", "freezes of single strategies hold now"),
        ("frozen" if automation else "allowed", "automatic application"),
    ]


def _when_lifted(record: FreezeRecord) -> datetime:
    assert record.lifted_at is not None
    return record.lifted_at


def _grid(records: Sequence[FreezeRecord], now: datetime) -> Grid:
    return Grid(
        name="Freezes",
        headers=("Number", "Of", "When", "Now", "Reason", "By"),
        rows=tuple(
            (
                *_what(one),
                Cell(text="frozen" if one.freeze.covers(now) else "not now", chip=True),
                Cell(text=one.freeze.reason),
                Cell(text=one.created_by),
            )
            for one in records
        ),
        empty="None is on record: whatever is approved may be applied.",
    )


def _lifted_grid(records: Sequence[FreezeRecord]) -> Grid:
    return Grid(
        name="Lifted freezes",
        headers=("Number", "Of", "When", "Reason", "Lifted", "By", "Why"),
        rows=tuple(
            (
                *_what(one),
                Cell(text=one.freeze.reason),
                moment(one.lifted_at),
                Cell(text=one.lifted_by or MISSING),
                Cell(text=one.lift_reason or MISSING),
            )
            for one in records
        ),
        empty="None was lifted yet.",
    )


def _what(record: FreezeRecord) -> tuple[Cell, ...]:
    name = record.freeze.strategy_id
    return (
        Cell(text=str(record.freeze.freeze_id), number=True),
        Cell(text=name or EVERYTHING, href=None if name is None else link("strategy", id=name)),
        Cell(text=record.freeze.when()),
    )

"""Strategies: knobs, live configuration, versions, and what is proposed and was changed."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from meta_pipeline.api.access import in_thread
from meta_pipeline.api.context import Ctx
from meta_pipeline.api.web.diagnosed import diagnosed
from meta_pipeline.api.web.grid import Cell, Grid, changes_grid, moment, proposals_grid
from meta_pipeline.api.web.pages import PageRoute, link, show
from meta_pipeline.api.web.tables import config_lines, knobs_table, versions_table
from meta_pipeline.api.web.visitor import Visits
from meta_pipeline.proposals.configs import level_at
from meta_pipeline.report.table import day
from meta_pipeline.report.tables import level_text
from meta_pipeline.store import pages, strategies

router = APIRouter(route_class=PageRoute, include_in_schema=False)

ROWS: Final = 10


@router.get("/pages/strategies")
async def list_strategies(context: Ctx, visitor: Visits) -> Response:
    """List declared strategies."""

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            declared = strategies.list_strategies(connection)
            others = strategies.list_undeclared(connection)
        rows = tuple(
            (
                Cell(text=one.strategy.strategy_id, href=link("strategy", id=one.strategy.strategy_id)),
                Cell(text=one.strategy.family or "-"),
                Cell(text=one.strategy.description or "-"),
                Cell(text=str(len(one.strategy.knobs)), number=True),
                Cell(text=str(one.live_version), number=True),
                Cell(text=one.created_by),
                moment(one.created_at),
            )
            for one in declared
        )
        headers = ("Strategy", "Family", "Description", "Knobs", "Live version", "Declared by", "On")
        empty = "None is declared yet: meta-pipeline strategies declare FILE"
        return {"grid": Grid(name="Strategies", headers=headers, rows=rows, empty=empty), "others": others}

    values = await in_thread(read)
    return show("strategies.html", title="Strategies", place="strategies", visitor=visitor, **values)


@router.get("/pages/strategy")
async def strategy(
    context: Ctx, visitor: Visits, identifier: Annotated[str, Query(alias="id", min_length=1, max_length=64)]
) -> Response:
    """Show one strategy."""

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            record = strategies.load(connection, identifier)
            versions = strategies.versions(connection, identifier)
            proposed, _ = pages.proposals_page(connection, limit=ROWS, after=None, strategy_id=identifier)
            changed, _ = pages.changes_page(connection, limit=ROWS, after=None, strategy_id=identifier)
            found = diagnosed(connection, identifier)
        live = record.strategy.live_config
        values = {path: level_text(level_at(live, path)) for path in record.knobs}
        return {
            "record": record,
            "knobs": knobs_table(list(record.strategy.knobs), values),
            "config": config_lines(live),
            "versions": versions_table(versions[-50:]),
            "proposed": proposals_grid(proposed),
            "changed": changes_grid(changed),
            "diagnosed": found,
            "night": None if found.stored is None else day(found.stored.seen_at),
            "parts": found.parts(),
        }

    values = await in_thread(read)
    return show("strategy.html", title=f"Strategy {identifier}", place="strategies", visitor=visitor, **values)

"""Strategies: knobs, live configuration, versions, and what is proposed and was changed."""

from collections.abc import Sequence
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
from meta_pipeline.store import pages, strategies, strategy_lists
from meta_pipeline.store.strategy_lists import ListedStrategy

router = APIRouter(route_class=PageRoute, include_in_schema=False)

ROWS: Final = 10
LISTED: Final = 50


@router.get("/pages/strategies")
async def list_strategies(
    context: Ctx, visitor: Visits, after: Annotated[str | None, Query(max_length=64)] = None
) -> Response:
    """List declared strategies."""

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            listed, more = strategy_lists.strategies_page(connection, limit=LISTED, after=after or None)
            others = strategies.list_undeclared(connection)
        return {
            "grid": _grid(listed),
            "others": others,
            "older": link("strategies", after=listed[-1].strategy_id) if more else None,
            "newest": link("strategies") if after else None,
        }

    values = await in_thread(read)
    return show("strategies.html", title="Strategies", place="strategies", visitor=visitor, **values)


def _grid(listed: Sequence[ListedStrategy]) -> Grid:
    return Grid(
        name="Strategies",
        headers=("Strategy", "Family", "Description", "Knobs", "Open proposals", "Live version", "Declared by", "On"),
        rows=tuple(
            (
                Cell(text=one.strategy_id, href=link("strategy", id=one.strategy_id)),
                Cell(text=one.family or "-"),
                Cell(text=one.description or "-"),
                Cell(text=f"{one.n_knobs:,}", number=True),
                Cell(text=f"{one.n_open:,}", number=True),
                Cell(text=str(one.live_version), number=True),
                Cell(text=one.created_by),
                moment(one.created_at),
            )
            for one in listed
        ),
        empty="None is declared yet: meta-pipeline strategies declare FILE",
    )


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
            "proposed": proposals_grid(proposed, empty="Nothing was proposed for it yet."),
            "changed": changes_grid(changed, empty="Its configuration was not changed through the gate yet."),
            "diagnosed": found,
            "night": None if found.stored is None else day(found.stored.seen_at),
            "parts": found.parts(),
        }

    values = await in_thread(read)
    return show("strategy.html", title=f"Strategy {identifier}", place="strategies", visitor=visitor, **values)

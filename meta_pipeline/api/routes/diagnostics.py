"""/api/v1/diagnostics: the reports that researchers read."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from meta_pipeline.api import answers
from meta_pipeline.api.access import Reader, in_thread
from meta_pipeline.api.conditions import json_response
from meta_pipeline.api.context import Ctx
from meta_pipeline.api.links import of_first_item
from meta_pipeline.api.pages import Cursor, Limit, moment_and_id, page
from meta_pipeline.api.problems import problem_responses
from meta_pipeline.api.representations import row_json
from meta_pipeline.api.strict_route import StrictRoute
from meta_pipeline.errors import NotFound
from meta_pipeline.store import diagnostics, pages

router = APIRouter(prefix="/api/v1", tags=["diagnostics"], route_class=StrictRoute)


_LINKS = of_first_item("strategy_id", "strategy_id", "diagnostics_latest_report")


@router.get("/diagnostics", responses={**problem_responses(), 200: {"model": answers.Page, "links": _LINKS}})
async def list_reports(
    context: Ctx,
    _: Reader,
    strategy_id: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List diagnostics reports, those found last first."""
    after = moment_and_id(cursor)

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            rows, more = pages.diagnostics_page(connection, limit=limit, after=after, strategy_id=strategy_id)
        return page([row_json(row) for row in rows], (rows[-1]["seen_at"], rows[-1]["report_id"]) if more else None)

    return json_response(await in_thread(read))


@router.get("/diagnostics/{strategy_id}", responses={**problem_responses(), 200: {"model": answers.Answer}})
async def latest_report(
    context: Ctx, _: Reader, strategy_id: Annotated[str, Path(min_length=1, max_length=64)]
) -> Response:
    """Return the latest report of a strategy, whole; what is not known is null, with the reason beside it."""

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            stored = diagnostics.latest_report(connection, strategy_id)
        if stored is None:
            raise NotFound(f"there is no diagnostics report of {strategy_id!r} yet")
        return {
            "report_id": stored.report_id,
            "strategy_id": stored.strategy_id,
            "created_at": stored.created_at.isoformat(),
            "seen_at": stored.seen_at.isoformat(),
            "report": stored.report.to_json(),
        }

    return json_response(await in_thread(read))

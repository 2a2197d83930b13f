"""Whether the server lives, whether it can serve, its metrics, and its documentation."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from meta_pipeline.api import answers
from meta_pipeline.api.access import Reader, in_thread
from meta_pipeline.api.conditions import json_response
from meta_pipeline.api.context import Context, Ctx
from meta_pipeline.api.docs_page import docs_page
from meta_pipeline.api.metrics import exposition, read_figures
from meta_pipeline.api.problems import problem, problem_responses
from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.store import migrations

router = APIRouter(tags=["system"])


@router.get("/healthz", responses={**problem_responses(), 200: {"model": answers.State}})
async def healthz() -> Response:
    """Say that the process answers; nothing more."""
    return json_response({"status": "alive"})


@router.get("/readyz", responses={**problem_responses(), 200: {"model": answers.State}})
async def readyz(context: Ctx) -> Response:
    """Say whether the database answers and has the schema that this server needs; 503 if not."""
    fault = await in_thread(lambda: _fault(context))
    if fault is not None:
        return problem(503, "unhealthy", fault)
    return json_response({"status": "ready"})


@router.get(
    "/metrics",
    responses={**problem_responses(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request, context: Ctx, _: Reader) -> Response:
    """Return the metrics in Prometheus's text format."""
    state = request.app.state
    try:
        figures = await state.kept_figures.get("", lambda: read_figures(context))
    except MetaPipelineError:
        figures = None
    text = await in_thread(lambda: exposition(state.registry, figures))
    return Response(text, media_type="text/plain; version=0.0.4")


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """Show the documentation, as one page that loads nothing from elsewhere."""
    return HTMLResponse(docs_page(request.app.openapi()))


@router.get("/", include_in_schema=False)
async def root() -> RedirectResponse:
    """Lead to the pages for people."""
    return RedirectResponse("/pages/inbox")


def _fault(context: Context) -> str | None:
    try:
        with context.database.connect() as connection:
            migrations.require_current(connection)
    except MetaPipelineError as error:
        return str(error)
    return None

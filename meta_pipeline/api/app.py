"""The app: routes, errors, and the guard around them."""

from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from meta_pipeline import __version__
from meta_pipeline.api import links, problems
from meta_pipeline.api.access import remembered_tokens
from meta_pipeline.api.context import Context, Kept
from meta_pipeline.api.guard import Guard
from meta_pipeline.api.metrics import HttpMetrics
from meta_pipeline.api.routes import backtests, changes, diagnostics, meta_agent, msc, policy, proposals, system
from meta_pipeline.api.web import router as web
from meta_pipeline.api.web.sessions import Sessions

DESCRIPTION = """The governed feedback loop of systematic trading, over HTTP.

Errors are problem+json with a stable `code`. Lists come in pages: hand `next_cursor` back as `cursor`. What changes the
live configuration names the state it was decided on (If-Match with an ETag: 428 without, 412 if it moved), and takes an
Idempotency-Key, so that it can safely be sent again. Numbers must be finite, keys unique, texts free of NUL: anything
else is invalid input.
"""

STATUS_SECONDS = 0.25
"""How old an answer of /api/msc/status may be; every evaluation and halt through this server ends it at once."""

POLICY_SECONDS = 0.25
FIGURES_SECONDS = 5.0


def create_app(context: Context) -> FastAPI:
    """Make the app. Nothing is connected to before the first request."""
    app = FastAPI(
        title="meta_pipeline",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        generate_unique_id_function=links.operation_id,
    )
    app.state.context = context
    app.state.tokens = remembered_tokens()
    app.state.sessions = Sessions()
    app.state.kept_status = Kept[bytes](STATUS_SECONDS)
    app.state.kept_policy = Kept[Any](POLICY_SECONDS)
    app.state.kept_figures = Kept[Any](FIGURES_SECONDS)
    app.state.registry = CollectorRegistry()
    for module in (msc, meta_agent, proposals, changes, diagnostics, policy, backtests, system):
        app.include_router(module.router)
    app.include_router(web.router)
    problems.install(app)
    app.add_middleware(Guard, allowed_hosts=context.allowed_hosts, observe=HttpMetrics(app.state.registry).observe)
    documented = app.openapi

    def openapi() -> dict[str, Any]:
        document = documented()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.setdefault("Problem", problems.Problem.model_json_schema())
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # how FastAPI's own documentation has it done
    return app

"""All pages."""

from fastapi import APIRouter

from meta_pipeline.api.problems import ProblemError
from meta_pipeline.api.web import audit, changes, inbox, models, policy, proposal, searches, sign_in, strategies
from meta_pipeline.api.web.pages import PageRoute
from meta_pipeline.api.web.visitor import Visits

router = APIRouter(route_class=PageRoute, include_in_schema=False)
for module in (sign_in, inbox, proposal, changes, policy, strategies, searches, models, audit):
    router.include_router(module.router)


@router.get("/pages/{rest:path}")
async def unknown(_: Visits, rest: str) -> None:
    """Say that there is no such page."""
    raise ProblemError(404, "not_found", f"there is no page {rest[:100]!a}; take one of those above")

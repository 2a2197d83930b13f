"""All pages."""

from fastapi import APIRouter

from meta_pipeline.api.problems import ProblemError
from meta_pipeline.api.web import (
    audit,
    brakes,
    changes,
    freezes,
    inbox,
    live,
    models,
    policy,
    proposal,
    reports,
    searches,
    sign_in,
    strategies,
)
from meta_pipeline.api.web.pages import PageRoute
from meta_pipeline.api.web.visitor import Visits

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_GOVERNED = (inbox, proposal, changes, policy, brakes, freezes)
_READ = (strategies, searches, models, audit, reports)
for module in (sign_in, live, *_GOVERNED, *_READ):
    router.include_router(module.router)


@router.get("/pages/{rest:path}")
async def unknown(_: Visits, rest: str) -> None:
    """Say that there is no such page."""
    raise ProblemError(404, "not_found", f"there is no page {rest[:100]!a}; take one of those above")

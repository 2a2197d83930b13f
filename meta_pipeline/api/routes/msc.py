"""/api/msc: the strategy controller under its documented routes."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from meta_pipeline.api import answers
from meta_pipeline.api.access import Operator, Reader, in_thread
from meta_pipeline.api.conditions import IdempotencyKey, json_response
from meta_pipeline.api.context import Context, Ctx, Kept
from meta_pipeline.api.links import leads_to
from meta_pipeline.api.pages import Cursor, Limit, number, page
from meta_pipeline.api.problems import problem_responses
from meta_pipeline.api.strict_route import StrictRoute
from meta_pipeline.store import policy_views
from meta_pipeline.store.controller import evaluate_and_publish
from meta_pipeline.store.policies import Request as Asked

router = APIRouter(prefix="/api/msc", tags=["strategy controller"], route_class=StrictRoute)

Scope = Annotated[str, Query(min_length=1, max_length=64, description="The live book.")]
LIVE = "live"


@router.get("/status", responses={**problem_responses(), 200: {"model": answers.MscStatus}})
async def status(request: Request, context: Ctx, _: Reader, scope: Scope = LIVE) -> Response:
    """Return the policy in force, the health it was made from, where it is published, and what executors run.

    A policy that has expired is shown as DEFENSIVE, which is what executors make of it.
    """
    kept: Kept[bytes] = request.app.state.kept_status
    return Response(await kept.get(scope, lambda: _status(context, scope)), media_type="application/json")


@router.get("/history", responses={**problem_responses(), 200: {"model": answers.MscHistory}})
async def history(context: Ctx, _: Reader, scope: Scope = LIVE, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Return policies, the newest first, and the changes of the mode."""
    before = number(cursor)

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            body, last = policy_views.history_json(connection, scope, limit=limit, before_id=before, now=context.now())
        return {**body, "next_cursor": page([], None if last is None else (last,))["next_cursor"]}

    return json_response(await in_thread(read))


_LINKS = leads_to(policy_document_version={"version": "$response.body#/evaluation/policy/version"})


@router.post("/evaluate", responses={**problem_responses(409), 200: {"model": answers.MscEvaluated, "links": _LINKS}})
async def evaluate(
    request: Request, context: Ctx, caller: Operator, scope: Scope = LIVE, idempotency_key: IdempotencyKey = None
) -> Response:
    """Make a policy now, by the same service as the schedule; one evaluation of a book runs at a time."""

    def make() -> dict[str, Any]:
        asked = Asked(trigger="manual", actor=caller.name, idempotency_key=idempotency_key)
        issued = evaluate_and_publish(context.database, scope, context.controller(), asked, context.settings)
        record = issued.record
        return {
            "status": "success",
            "message": f"{record.risk_mode}: {', '.join(record.allowed_strategies) or 'no strategy'}",
            "evaluation": {
                "status": "success",
                "duration_seconds": record.duration_seconds,
                "policy": policy_views.policy_json(policy_views.effective(record, now=context.now())),
                "timestamp": record.created_at.isoformat(),
                "publications": [one.to_json() for one in issued.publications],
            },
        }

    made = await in_thread(make)
    request.app.state.kept_status.forget()
    return json_response(made)


@router.get("/health", responses={**problem_responses(), 200: {"model": answers.MscHealth}})
async def health(context: Ctx, _: Reader, scope: Scope = LIVE) -> Response:
    """Return the readings of the last evaluation against the documented thresholds."""

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            return policy_views.health_json(connection, scope, now=context.now())

    return json_response(await in_thread(read))


@router.get("/strategies", responses={**problem_responses(), 200: {"model": answers.MscStrategies}})
async def strategies(context: Ctx, _: Reader, scope: Scope = LIVE) -> Response:
    """Return the strategies of a book by their documented score, with what it is made of, computed now."""

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            return policy_views.strategies_json(connection, scope, context.settings, now=context.now())

    return json_response(await in_thread(read))


def _status(context: Context, scope: str) -> bytes:
    with context.database.connect() as connection:
        shown = policy_views.status_json(connection, scope, context.settings, now=context.now())
    return bytes(json_response(shown).body)

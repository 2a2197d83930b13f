"""The brake of a book, and evaluating it now: the forms of the policy page.

A halt lowers risk, and is never refused because something has moved; ending one names the halt that was looked at.
"""

from collections.abc import Callable
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from meta_pipeline.api.access import in_thread
from meta_pipeline.api.conditions import require_match
from meta_pipeline.api.context import Context, Ctx
from meta_pipeline.api.problems import ProblemError
from meta_pipeline.api.web.pages import PageRoute, fault_of, form_of, see
from meta_pipeline.api.web.policy import halt_etag, shown
from meta_pipeline.api.web.typed import confirmed, reason_of
from meta_pipeline.api.web.visitor import Visitor, Visits
from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.store import live_books, policies, policy_inputs
from meta_pipeline.store.controller import evaluate_and_publish, publish_record
from meta_pipeline.store.policies import Request as Asked

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_BOOK: Final = "the name of the book"
Work = Callable[[Context, Visitor, dict[str, str], str], str]


@router.post("/pages/policy/halt")
async def halt(request: Request, context: Ctx, visitor: Visits) -> Response:
    """Stop all new trades of a book at once; exits and cancels go on."""
    return await _do(request, context, visitor, _halt)


@router.post("/pages/policy/resume")
async def resume(request: Request, context: Ctx, visitor: Visits) -> Response:
    """End the halt that was looked at."""
    return await _do(request, context, visitor, _resume)


@router.post("/pages/policy/evaluate")
async def evaluate(request: Request, context: Ctx, visitor: Visits) -> Response:
    """Make a policy now, by the same service as the schedule."""
    return await _do(request, context, visitor, _evaluate)


def _halt(context: Context, visitor: Visitor, fields: dict[str, str], scope: str) -> str:
    confirmed(fields, wanted=scope, what=_BOOK)
    why, controller = reason_of(fields, what="a halt"), context.controller()
    record = policies.halt(context.database, scope, controller, actor=visitor.name, reason=why)
    publish_record(context.database, record, controller, context.settings)
    return "halted"


def _resume(context: Context, visitor: Visitor, fields: dict[str, str], scope: str) -> str:
    confirmed(fields, wanted=scope, what=_BOOK)
    why, controller = reason_of(fields, what="the end of a halt"), context.controller()
    with context.database.connect() as connection:
        there = policy_inputs.current_halt(connection, scope)
    if there is not None:  # else the service says that there is none
        require_match(fields.get("etag"), halt_etag(there))
    record = policies.resume(context.database, scope, controller, actor=visitor.name, reason=why)
    publish_record(context.database, record, controller, context.settings)
    return "resumed"


def _evaluate(context: Context, visitor: Visitor, _: dict[str, str], scope: str) -> str:
    asked = Asked(trigger="manual", actor=visitor.name, idempotency_key=None)
    evaluate_and_publish(context.database, scope, context.controller(), asked, context.settings)
    return "evaluated"


async def _do(request: Request, context: Context, visitor: Visitor, work: Work) -> Response:
    """Do what a form asks; refused, show the page again with why, and with what was typed."""
    fields = await form_of(request, visitor.whose)
    scope = fields.get("scope", "")

    def work_or_again() -> Response:
        try:
            visitor.require("operator")
            with context.database.connect() as connection:
                live_books.load_scope(connection, scope)
            done = work(context, visitor, fields, scope)
        except (MetaPipelineError, ProblemError) as error:
            status, code, detail = fault_of(error)
            if status in {404, 500, 503}:
                raise
            return shown(context, visitor, scope, fault=f"Refused ({code}): {detail}", typed=fields, status=status)
        return see("policy", scope=scope, done=done)

    answer = await in_thread(work_or_again)
    request.app.state.kept_policy.forget()
    request.app.state.kept_status.forget()
    return answer

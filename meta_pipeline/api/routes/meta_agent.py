"""/api/ai/meta: the meta-model's agent in this process."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from meta_pipeline.api import answers
from meta_pipeline.api.access import Operator, Reader, in_thread
from meta_pipeline.api.conditions import json_response
from meta_pipeline.api.context import Context, Ctx
from meta_pipeline.api.forms import QuestionForm
from meta_pipeline.api.problems import ProblemError, problem_responses
from meta_pipeline.api.representations import moment
from meta_pipeline.api.strict_route import StrictRoute
from meta_pipeline.meta_model.agent import MetaAgent
from meta_pipeline.store import meta_model as store

router = APIRouter(prefix="/api/ai/meta", tags=["meta-model"], route_class=StrictRoute)


@router.get("/status", responses={**problem_responses(), 200: {"model": answers.State}})
async def status(context: Ctx, _: Reader) -> Response:
    """Return what the agent of this server decided since the last reset, its guards, and the champion model."""
    return json_response(await in_thread(lambda: _status(context)))


@router.post("/reset_stats", responses={**problem_responses(409), 200: {"model": answers.State}})
async def reset_stats(context: Ctx, _: Operator) -> Response:
    """Set the counters to zero. Breaker and alarm are not statistics: they stay as they are."""
    _agent(context).reset_statistics()
    return json_response(await in_thread(lambda: _status(context)))


@router.post("/decide", responses={**problem_responses(409), 200: {"model": answers.Answer}})
async def decide(context: Ctx, _: Reader, question: QuestionForm) -> Response:
    """Ask the agent: it overrides the base models' ensemble, defers to it, or holds, and says why."""
    agent = _agent(context)
    votes = {name: ballot.model_dump() for name, ballot in question.predictions.items()}
    decided = await in_thread(lambda: agent.decide(votes, question.regime, symbol=question.symbol))
    return json_response(decided.as_contract())


def _agent(context: Context) -> MetaAgent:
    if context.agent is None:
        raise ProblemError(409, "no_agent", "this server runs no meta-model agent; set META_AGENT_ENABLED=true")
    return context.agent


def _status(context: Context) -> dict[str, Any]:
    with context.database.connect() as connection:
        champion = store.champion(connection)
        alarm = None if champion is None else store.open_alarm(connection, champion.model_id)
    agent = context.agent
    return {
        "status": "inactive" if agent is None else "active",
        "statistics": None if agent is None else agent.get_statistics(),
        "champion": None
        if champion is None
        else {
            "model_id": champion.model_id,
            "horizon": champion.horizon,
            "n_samples": champion.n_samples,
            "data_kind": champion.data_kind,
            "promoted_at": moment(champion.promoted_at),
            "alarm": None if alarm is None else moment(alarm.raised_at),
        },
    }

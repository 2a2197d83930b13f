"""/api/v1/proposals and /api/v1/decisions: what is proposed, and deciding it through the gate's own service."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from meta_pipeline.api import answers
from meta_pipeline.api.access import Applier, Approver, Reader, in_thread, standing_of
from meta_pipeline.api.conditions import IdempotencyKey, IfMatch, json_response, once, require_match
from meta_pipeline.api.context import Context, Ctx
from meta_pipeline.api.forms import ApplyForm, DecisionForm
from meta_pipeline.api.links import of_first_item
from meta_pipeline.api.pages import Cursor, Limit, moment_and_id, number, page
from meta_pipeline.api.problems import problem_responses
from meta_pipeline.api.representations import proposal_etag, proposal_json, row_json
from meta_pipeline.api.strict_route import StrictRoute
from meta_pipeline.proposals.decision import Decision
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.proposals.states import Status
from meta_pipeline.store import audit, governance, pages, proposals

router = APIRouter(prefix="/api/v1", tags=["proposals"], route_class=StrictRoute)

ProposalId = Annotated[str, Path(min_length=1, max_length=64, description="The whole id.")]
StrategyId = Annotated[str | None, Query(min_length=1, max_length=64)]


_OF_A_PROPOSAL = ("get_proposal", "diff", "report", "decide", "apply")
_LINKS = of_first_item("proposal_id", "proposal_id", *(f"proposals_{name}" for name in _OF_A_PROPOSAL))


@router.get("/proposals", responses={**problem_responses(), 200: {"model": answers.Page, "links": _LINKS}})
async def list_proposals(
    context: Ctx,
    _: Reader,
    status: Annotated[list[Status] | None, Query(max_length=10, description="Only in one of these; none: all.")] = None,
    strategy_id: StrategyId = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List proposals, the newest first."""
    after = moment_and_id(cursor)

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            records, more = pages.proposals_page(
                connection, limit=limit, after=after, status=tuple(status or ()), strategy_id=strategy_id
            )
        last = (records[-1].created_at, records[-1].proposal_id) if more else None
        return page([proposal_json(record) for record in records], last)

    return json_response(await in_thread(read))


@router.get("/proposals/{proposal_id}", responses={**problem_responses(), 200: {"model": answers.Proposal}})
async def get_proposal(context: Ctx, caller: Reader, proposal_id: ProposalId) -> Response:
    """Return a proposal: the body that was hashed, what has happened to it, who may decide, what will be checked.

    `standing` says who of the approvers may decide, and which checks pass or fail now for each act of the caller. The
    ETag names the proposal's state.
    """

    def read() -> tuple[dict[str, Any], str]:
        with context.database.connect() as connection:
            record = proposals.get(connection, proposal_id)
            history = audit.entries(connection, subject_id=proposal_id, limit=100)
            standing = standing_of(context, connection, proposal_id, caller)
        shown: dict[str, Any] = {
            **proposal_json(record),
            "body": record.body,
            "supporting_metrics": dict(record.draft.supporting_metrics),
            "history": [
                {"seq": one.seq, "at": one.at.isoformat(), "actor": one.actor, "action": one.action}
                for one in reversed(history)
            ],
            "standing": standing.to_json(),
        }
        return shown, proposal_etag(record)

    shown, tag = await in_thread(read)
    return json_response(shown, headers={"ETag": tag})


@router.get("/proposals/{proposal_id}/diff", responses={**problem_responses(), 200: {"model": answers.Acted}})
async def diff(context: Ctx, _: Reader, proposal_id: ProposalId) -> Response:
    """Return exactly what would change: touched keys, direction of risk, effective configuration, every check."""

    def read() -> tuple[dict[str, Any], str]:
        with context.database.connect() as connection:
            record = proposals.get(connection, proposal_id)
            seen = governance.preview(connection, proposal_id, now=context.decision_time(), settings=context.settings)
            return seen.to_json(), proposal_etag(record)

    shown, tag = await in_thread(read)
    return json_response(shown, headers={"ETag": tag})


@router.get(
    "/proposals/{proposal_id}/report",
    responses={**problem_responses(), 200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}},
)
async def report(context: Ctx, caller: Reader, proposal_id: ProposalId) -> Response:
    """Return the approval sheet as Markdown: what an approver reads, in the order it matters.

    Its checks are those of the caller's acts, made now; its last part says who may decide.
    """

    def read() -> tuple[str, str]:
        from meta_pipeline.report.approval import approval_sheet
        from meta_pipeline.report.outcomes import track_record
        from meta_pipeline.store.scorecards import scorecard

        with context.database.connect() as connection:
            record = proposals.get(connection, proposal_id)
            past = track_record(scorecard(connection), record.draft.proposal_type)
            seen = governance.preview(connection, proposal_id, now=context.decision_time(), settings=context.settings)
            standing = standing_of(context, connection, proposal_id, caller)
        sheet = approval_sheet(
            record,
            checks=seen.checks,
            touched=seen.touched,
            track_record=past,
            approval_hours=context.settings.approval_hours,
            standing=standing,
        )
        return sheet.markdown(), proposal_etag(record)

    text, tag = await in_thread(read)
    return Response(text, media_type="text/markdown", headers={"ETag": tag})


@router.post(
    "/proposals/{proposal_id}/decisions",
    responses={**problem_responses(409, 412, 428), 200: {"model": answers.Decided}},
)
async def decide(
    context: Ctx,
    caller: Approver,
    proposal_id: ProposalId,
    form: DecisionForm,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Approve or reject a proposal by the rules of the gate: four eyes, list of approvers, digest, base."""

    def work() -> Response:
        _require_state(context, proposal_id, if_match)
        decision = Decision(
            proposal_id=proposal_id,
            digest=form.digest,
            verdict=form.verdict,
            reason=form.reason,
            signature=form.signature,
        )
        result = governance.decide(
            context.database,
            [decision],
            approver=caller.name,
            channel="api",
            channel_ref=idempotency_key or "",
            now=context.decision_time(),
            settings=context.settings,
        )[0]
        if result.error is not None:
            raise result.error
        return json_response(result.to_json(), headers={"ETag": proposal_etag(_read(context, proposal_id))})

    asked = f"decide {proposal_id}", form.model_dump()
    return await in_thread(lambda: once(context, caller, idempotency_key, asked, work))


@router.post(
    "/proposals/{proposal_id}/apply", responses={**problem_responses(409, 412, 428), 200: {"model": answers.Acted}}
)
async def apply(
    context: Ctx,
    caller: Applier,
    proposal_id: ProposalId,
    form: ApplyForm,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Apply an approved proposal to the live configuration, in one transaction; twice is once."""

    def work() -> Response:
        _require_state(context, proposal_id, if_match)
        result = governance.apply(
            context.database,
            proposal_id,
            actor=caller.name,
            now=context.decision_time(),
            settings=context.settings,
            dry_run=form.dry_run,
        )
        return json_response(result.to_json(), headers={"ETag": proposal_etag(_read(context, proposal_id))})

    asked = f"apply {proposal_id}", form.model_dump()
    return await in_thread(lambda: once(context, caller, idempotency_key, asked, work))


@router.get("/decisions", responses={**problem_responses(), 200: {"model": answers.Page}})
async def decisions(
    context: Ctx,
    _: Reader,
    proposal_id: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List decisions as they were recorded, the newest first."""
    before = number(cursor)

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            rows, more = pages.decisions_page(connection, limit=limit, before=before, proposal_id=proposal_id)
        return page([row_json(row) for row in rows], (rows[-1]["approval_id"],) if more else None)

    return json_response(await in_thread(read))


def _read(context: Context, proposal_id: str) -> ProposalRecord:
    with context.database.connect() as connection:
        return proposals.get(connection, proposal_id)


def _require_state(context: Context, proposal_id: str, if_match: str | None) -> None:
    """Refuse what was decided on another state; should it change after this, the service itself refuses."""
    require_match(if_match, proposal_etag(_read(context, proposal_id)))

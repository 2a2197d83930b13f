"""One proposal: the approval page in the order of the specification, and deciding and applying it.

The rules are the gate's (store.governance); a form only says what was looked at, and by whom.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from meta_pipeline.api.access import Caller, in_thread, standing_of
from meta_pipeline.api.conditions import require_match
from meta_pipeline.api.context import Context, Ctx
from meta_pipeline.api.forms import DecisionForm
from meta_pipeline.api.problems import ProblemError
from meta_pipeline.api.representations import proposal_etag
from meta_pipeline.api.web.drawn import drawn
from meta_pipeline.api.web.grid import history_grid
from meta_pipeline.api.web.pages import PageRoute, fault_of, form_of, see, show
from meta_pipeline.api.web.visitor import Visitor, Visits
from meta_pipeline.errors import InputError, MetaPipelineError
from meta_pipeline.proposals.decision import Decision
from meta_pipeline.proposals.draft import ProposalRecord
from meta_pipeline.report.decisions import SHORT_DIGEST
from meta_pipeline.store import audit, changes, governance, proposals

router = APIRouter(route_class=PageRoute, include_in_schema=False)

ProposalId = Annotated[str, Path(min_length=1, max_length=64)]

_DONE: Final = {
    "approved": "Approved. Nothing has changed yet: it is applied next, and every check is made again then.",
    "rejected": "Rejected. The same proposal is not made again for a while.",
    "already": "You had decided the same before; nothing was written.",
    "applied": "Applied. The live configuration has its next version.",
    "already_applied": "It had been applied before; nothing was written.",
}


@router.get("/pages/proposals/{proposal_id}")
async def proposal(
    context: Ctx, visitor: Visits, proposal_id: ProposalId, done: Annotated[str, Query(max_length=20)] = ""
) -> Response:
    """Show a proposal, with the forms that this visitor may use."""
    return await in_thread(lambda: _shown(context, visitor, proposal_id, said=_DONE.get(done, "")))


@router.post("/pages/proposals/{proposal_id}/decisions")
async def decide(request: Request, context: Ctx, visitor: Visits, proposal_id: ProposalId) -> Response:
    """Approve or reject, by typing the first digits of the digest that the page shows."""
    fields = await form_of(request, visitor.whose)

    def work() -> Response:
        visitor.require("approver")
        require_match(fields.get("etag"), proposal_etag(_read(context, proposal_id)))
        decision = _decision(proposal_id, fields)
        result = governance.decide(
            context.database,
            [decision],
            approver=visitor.name,
            channel="api",
            channel_ref="pages",
            now=context.decision_time(),
            settings=context.settings,
        )[0]
        if result.error is not None:
            raise result.error
        return see(f"proposals/{proposal_id}", done=result.outcome)

    return await in_thread(lambda: _or_again(context, visitor, proposal_id, fields, work))


@router.post("/pages/proposals/{proposal_id}/apply")
async def apply(request: Request, context: Ctx, visitor: Visits, proposal_id: ProposalId) -> Response:
    """Apply an approved proposal; twice is once."""
    fields = await form_of(request, visitor.whose)

    def work() -> Response:
        visitor.require("approver", "operator")
        require_match(fields.get("etag"), proposal_etag(_read(context, proposal_id)))
        result = governance.apply(
            context.database, proposal_id, actor=visitor.name, now=context.decision_time(), settings=context.settings
        )
        return see(f"proposals/{proposal_id}", done=result.outcome)

    return await in_thread(lambda: _or_again(context, visitor, proposal_id, fields, work))


def _decision(proposal_id: str, fields: dict[str, str]) -> Decision:
    """Read a decision; what is typed must be the beginning of the digest of what was looked at."""
    verdict, digest = fields.get("verdict", ""), fields.get("digest", "")
    typed = fields.get("typed", "").strip().lower()
    if not typed or typed != digest[:SHORT_DIGEST]:
        raise InputError(
            f"the digest typed is {typed[:64]!r}, which is not that of this proposal; type the {SHORT_DIGEST} digits "
            "that stand above the form"
        )
    try:
        form = DecisionForm.model_validate(
            {
                "verdict": verdict,
                "digest": digest,
                "reason": fields.get("reason", "").strip().replace("\r\n", "\n"),
                "signature": fields.get("signature", "").strip() or None,
            }
        )
    except ValueError:
        raise InputError("choose approve or reject; a reason has at most 4,000 characters") from None
    return Decision(
        proposal_id=proposal_id,
        digest=form.digest,
        verdict=form.verdict,
        reason=form.reason,
        signature=form.signature,
    )


def _or_again(context: Context, visitor: Visitor, proposal_id: str, fields: dict[str, str], work: Any) -> Response:
    """Do what a form asks; refused, show the proposal again with why, and with what was typed."""
    try:
        answer: Response = work()
    except (MetaPipelineError, ProblemError) as error:
        status, code, detail = fault_of(error)
        if status in {404, 500, 503}:
            raise
        fault = f"Refused ({code}): {detail}"
        return _shown(context, visitor, proposal_id, fault=fault, typed=fields, status=status)
    return answer


def _shown(
    context: Context,
    visitor: Visitor,
    proposal_id: str,
    *,
    said: str = "",
    fault: str = "",
    typed: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    from meta_pipeline.report.outcomes import track_record
    from meta_pipeline.report.proposal_report import ProposalReport, proposal_parts
    from meta_pipeline.store.scorecards import scorecard

    with context.database.connect() as connection:
        record = proposals.get(connection, proposal_id)
        past = track_record(scorecard(connection), record.draft.proposal_type)
        seen = governance.preview(connection, proposal_id, now=context.decision_time(), settings=context.settings)
        standing = standing_of(context, connection, proposal_id, Caller(name=visitor.name, roles=visitor.roles))
        history = audit.entries(connection, subject_id=proposal_id, limit=50)
        change = changes.of_proposal(connection, proposal_id)
    found = ProposalReport(
        record=record,
        checks=seen.checks,
        touched=seen.touched,
        track_record=past,
        approval_hours=context.settings.approval_hours,
        standing=standing,
    )
    parts = proposal_parts(found, drawn(record))
    return show(
        "proposal.html",
        title=f"Proposal {record.proposal_id}",
        place="inbox",
        visitor=visitor,
        http_status=status,
        record=record,
        proposal_status=str(record.status),
        etag=proposal_etag(record),
        short=record.body_digest[:SHORT_DIGEST],
        n_digits=SHORT_DIGEST,
        parts=parts,
        history=history_grid(history),
        change=change,
        said=said,
        fault=fault,
        typed=typed or {},
    )


def _read(context: Context, proposal_id: str) -> ProposalRecord:
    with context.database.connect() as connection:
        return proposals.get(connection, proposal_id)

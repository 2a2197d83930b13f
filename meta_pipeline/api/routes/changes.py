"""/api/v1/changes and /api/v1/audit: what was applied, undoing it, and the record of everything."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from meta_pipeline.api import answers
from meta_pipeline.api.access import Caller, Reader, in_thread, needs
from meta_pipeline.api.conditions import IdempotencyKey, IfMatch, json_response, once, require_match
from meta_pipeline.api.context import Context, Ctx
from meta_pipeline.api.forms import RevertForm
from meta_pipeline.api.links import of_first_item
from meta_pipeline.api.pages import Cursor, Limit, moment_and_id, number, page
from meta_pipeline.api.problems import problem_responses
from meta_pipeline.api.representations import change_etag, change_json, entry_json
from meta_pipeline.api.strict_route import StrictRoute
from meta_pipeline.store import anchors, applied_together, change_outcomes, changes, governance, pages
from meta_pipeline.store.changes import ChangeRecord

router = APIRouter(prefix="/api/v1", tags=["changes"], route_class=StrictRoute)

ChangeId = Annotated[str, Path(min_length=1, max_length=64, description="The whole id.")]
Reverter = Annotated[Caller, Depends(needs("approver", "operator"))]


_LINKS = of_first_item("change_id", "change_id", "changes_get_change", "changes_revert")


@router.get("/changes", responses={**problem_responses(), 200: {"model": answers.Page, "links": _LINKS}})
async def list_changes(
    context: Ctx,
    _: Reader,
    strategy_id: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    reverted: Annotated[bool | None, Query(description="Only those that were, or were not; left out: both.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List applied changes, the newest first."""
    after = moment_and_id(cursor)

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            records, more = pages.changes_page(
                connection, limit=limit, after=after, strategy_id=strategy_id, reverted=reverted
            )
        last = (records[-1].applied_at, records[-1].change_id) if more else None
        return page([change_json(record) for record in records], last)

    return json_response(await in_thread(read))


@router.get("/changes/{change_id}", responses={**problem_responses(), 200: {"model": answers.Change}})
async def get_change(context: Ctx, _: Reader, change_id: ChangeId) -> Response:
    """Return one change; its ETag names whether it is in force.

    `outcome` is the last look at what it did: effect, interval, guardrails and verdict; null before the first.
    `together` names the changes that were applied in the same transaction: they are judged as one.
    """

    def read() -> tuple[dict[str, Any], str]:
        with context.database.connect() as connection:
            record = changes.get(connection, change_id)
            batch = applied_together.applied_with(connection, change_id)
            look = change_outcomes.latest_look(connection, change_id)
        others = [one.change_id for one in batch if one.change_id != change_id]
        outcome = None if look is None else {**look.body, "simulated": look.simulated}
        return {**change_json(record), "together": others, "outcome": outcome}, change_etag(record)

    shown, tag = await in_thread(read)
    return json_response(shown, headers={"ETag": tag})


@router.post(
    "/changes/{change_id}/revert", responses={**problem_responses(409, 412, 428), 200: {"model": answers.Acted}}
)
async def revert(
    context: Ctx,
    caller: Reverter,
    change_id: ChangeId,
    form: RevertForm,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Restore the exact state before a change; refused, with a three-way difference, where the key moved since."""

    def work() -> Response:
        require_match(if_match, change_etag(_read(context, change_id)))
        result = governance.revert(
            context.database,
            change_id,
            actor=caller.name,
            reason=form.reason,
            now=context.decision_time(),
            settings=context.settings,
            dry_run=form.dry_run,
        )
        return json_response(result.to_json(), headers={"ETag": change_etag(_read(context, change_id))})

    asked = f"revert {change_id}", form.model_dump()
    return await in_thread(lambda: once(context, caller, idempotency_key, asked, work))


@router.get("/audit", tags=["audit"], responses={**problem_responses(), 200: {"model": answers.Page}})
async def list_audit(
    context: Ctx,
    _: Reader,
    subject_id: Annotated[str | None, Query(min_length=1, max_length=128)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List audit entries, the newest first; `payload` is the very text that was hashed."""
    before = number(cursor)

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            entries, more = pages.audit_page(connection, limit=limit, before=before, subject_id=subject_id)
        return page([entry_json(entry) for entry in entries], (entries[-1].seq,) if more else None)

    return json_response(await in_thread(read))


@router.get("/audit/verification", tags=["audit"], responses={**problem_responses(), 200: {"model": answers.Verified}})
async def verify(context: Ctx, _: Reader) -> Response:
    """Walk the whole chain and hold it against the anchors; 503 with the code audit_forked if it is another log."""

    def read() -> dict[str, Any]:
        noted = anchors.read_anchors(anchors.place_of(context.settings))
        with context.database.connect() as connection:
            walked = anchors.verify_anchored(connection, noted)
        return {"intact": True, "entries": walked.entries, "head_hash": walked.head_hash}

    return json_response(await in_thread(read))


def _read(context: Context, change_id: str) -> ChangeRecord:
    with context.database.connect() as connection:
        return changes.get(connection, change_id)

"""Applied changes: the list, one change with its outcome, and undoing it."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from meta_pipeline.api.access import in_thread
from meta_pipeline.api.conditions import require_match
from meta_pipeline.api.context import Context, Ctx
from meta_pipeline.api.pages import Cursor, moment_and_id, page
from meta_pipeline.api.problems import ProblemError
from meta_pipeline.api.representations import change_etag
from meta_pipeline.api.web.grid import changes_grid, history_grid
from meta_pipeline.api.web.pages import PageRoute, fault_of, form_of, link, see, show
from meta_pipeline.api.web.tables import facts
from meta_pipeline.api.web.typed import confirmed, reason_of
from meta_pipeline.api.web.visitor import Visitor, Visits
from meta_pipeline.errors import InputError, MetaPipelineError
from meta_pipeline.report.decisions import SHORT_DIGEST
from meta_pipeline.report.table import Table
from meta_pipeline.store import (
    applied_together,
    audit,
    change_outcomes,
    changes,
    governance,
    pages,
    proposals,
    strategies,
)
from meta_pipeline.store.changes import ChangeRecord

router = APIRouter(route_class=PageRoute, include_in_schema=False)

ROWS: Final = 50
_STATES: Final = {"all": None, "in force": False, "reverted": True}
ChangeId = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("/pages/changes")
async def list_changes(
    context: Ctx,
    visitor: Visits,
    state: Annotated[str, Query(max_length=20)] = "all",
    judged: Annotated[str | None, Query(max_length=20)] = None,
    strategy: Annotated[str | None, Query(max_length=64)] = None,
    cursor: Cursor = None,
) -> Response:
    """List changes, the newest first."""
    after, chosen = moment_and_id(cursor), strategy or None
    if state not in _STATES:
        raise InputError(f"state {state!r} is none; take one of {', '.join(_STATES)}")

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            records, more = pages.changes_page(
                connection, limit=ROWS, after=after, strategy_id=chosen, reverted=_STATES[state], verdict=judged
            )
        last = (records[-1].applied_at, records[-1].change_id) if more else None
        following = page([], last)["next_cursor"]
        query = {"state": state, "strategy": chosen, "judged": judged}
        return {
            "grid": changes_grid(records),
            "older": None if following is None else link("changes", **query, cursor=str(following)),
            "newest": link("changes", **query) if cursor else None,
            "filters": [
                {"name": name, "href": link("changes", state=name, strategy=chosen), "present": name == state}
                for name in _STATES
            ],
            "judged": judged,
        }

    return show("changes.html", title="Changes", place="changes", visitor=visitor, **await in_thread(read))


@router.get("/pages/changes/{change_id}")
async def change(
    context: Ctx, visitor: Visits, change_id: ChangeId, done: Annotated[str, Query(max_length=20)] = ""
) -> Response:
    """Show one change, what became of it, and how to undo it."""
    said = "Reverted. The state before the change is restored, exactly." if done == "reverted" else ""
    return await in_thread(lambda: _shown(context, visitor, change_id, said=said))


@router.post("/pages/changes/{change_id}/revert")
async def revert(request: Request, context: Ctx, visitor: Visits, change_id: ChangeId) -> Response:
    """Restore the exact state before a change."""
    fields = await form_of(request, visitor.whose)

    def work() -> Response:
        visitor.require("approver", "operator")
        with context.database.connect() as connection:
            require_match(fields.get("etag"), change_etag(changes.get(connection, change_id)))
        confirmed(fields, wanted=short_of(change_id), what=f"the {SHORT_DIGEST} digits of the change")
        result = governance.revert(
            context.database,
            change_id,
            actor=visitor.name,
            reason=reason_of(fields, what="a revert"),
            now=context.decision_time(),
            settings=context.settings,
        )
        return see(f"changes/{change_id}", done=result.outcome)

    def work_or_again() -> Response:
        try:
            return work()
        except (MetaPipelineError, ProblemError) as error:
            status, code, detail = fault_of(error)
            if status in {404, 500, 503}:
                raise
            fault = f"Refused ({code}): {detail}"
            return _shown(context, visitor, change_id, fault=fault, typed=fields, status=status)

    return await in_thread(work_or_again)


def short_of(change_id: str) -> str:
    """Return the digits that are typed to revert a change: the first of the hash that its id is."""
    return change_id.removeprefix("chg-")[:SHORT_DIGEST]


def _shown(
    context: Context,
    visitor: Visitor,
    change_id: str,
    *,
    said: str = "",
    fault: str = "",
    typed: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    from meta_pipeline.outcomes.plan import exit_plan
    from meta_pipeline.report.outcomes import outcome_facts, together_facts

    with context.database.connect() as connection:
        record = changes.get(connection, change_id)
        batch = applied_together.applied_with(connection, change_id)
        looks = change_outcomes.looks(connection, change_id)
        live = strategies.live_config(connection, record.strategy_id)
        history = audit.entries(connection, subject_id=change_id, limit=50)
        approval = proposals.approval_of(connection, record.proposal_id)
        plan = exit_plan(proposals.get(connection, record.proposal_id).draft)
    otherwise = record.evaluation_missing_reason or changes.NOT_JUDGED
    outcome = [*together_facts(batch, change_id), *outcome_facts(looks[0] if looks else None, otherwise=otherwise)]
    return show(
        "change.html",
        title=f"Change {record.change_id}",
        place="changes",
        visitor=visitor,
        http_status=status,
        record=record,
        what=_what(record),
        etag=change_etag(record),
        short=short_of(record.change_id),
        now=changes.three_way(record, live.config).text(),
        live_version=live.version,
        approved="by nobody: it was automatic" if approval is None else f"by {approval.approver}",
        approved_because="" if approval is None else approval.reason,
        outcome=facts(outcome),
        plan=plan.sentences(),
        history=history_grid(history),
        said=said,
        fault=fault,
        typed=typed or {},
    )


def _what(record: ChangeRecord) -> Table:
    grid = changes_grid([record])
    pairs = zip(grid.headers, (cell.text for cell in grid.rows[0]), strict=True)
    return facts([pair for pair in pairs if pair[0] != "Change"])

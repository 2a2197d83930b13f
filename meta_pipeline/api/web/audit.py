"""The audit log: entries as they were hashed, and whether the chain holds."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from meta_pipeline.api.access import in_thread
from meta_pipeline.api.context import Context, Ctx
from meta_pipeline.api.pages import Cursor, number, page
from meta_pipeline.api.web.grid import entries_grid
from meta_pipeline.api.web.pages import PageRoute, link, show
from meta_pipeline.api.web.visitor import Visits
from meta_pipeline.counted import counted
from meta_pipeline.errors import AuditBroken, AuditForked
from meta_pipeline.store import anchors, pages

router = APIRouter(route_class=PageRoute, include_in_schema=False)

ROWS: Final = 50


@router.get("/pages/audit")
async def audit(
    context: Ctx,
    visitor: Visits,
    subject: Annotated[str | None, Query(max_length=128)] = None,
    verify: Annotated[str | None, Query(max_length=8)] = None,
    cursor: Cursor = None,
) -> Response:
    """List entries, the newest first; walk the whole chain if asked to."""
    before, chosen = number(cursor), subject or None

    def read() -> dict[str, Any]:
        with context.database.connect() as connection:
            entries, more = pages.audit_page(connection, limit=ROWS, before=before, subject_id=chosen)
        following = page([], (entries[-1].seq,) if more else None)["next_cursor"]
        return {
            "grid": entries_grid(entries),
            "older": None if following is None else link("audit", subject=chosen, cursor=str(following)),
            "newest": link("audit", subject=chosen) if cursor else None,
            "subject": chosen,
            "verified": _verified(context) if verify else None,
        }

    return show("audit.html", title="Audit", place="audit", visitor=visitor, **await in_thread(read))


def _verified(context: Context) -> dict[str, str]:
    """Walk the chain and hold it against the anchors; a break is what the page is for, and no error of it."""
    noted = anchors.read_anchors(anchors.place_of(context.settings))
    try:
        with context.database.connect() as connection:
            walked = anchors.verify_anchored(connection, noted)
    except (AuditBroken, AuditForked) as error:
        return {"state": "BROKEN", "tone": "bad", "says": str(error)}
    entries = counted(walked.entries, "entry holds", "entries hold")
    says = f"{entries} together, and with {counted(len(noted), 'anchor')}. Head {walked.head_hash}"
    return {"state": "intact", "tone": "good", "says": says}

"""Signing in with an API token, and out again; the style sheet; the first page."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from meta_pipeline.api.access import LONGEST_TOKEN, READERS, in_thread
from meta_pipeline.api.context import Context, Ctx
from meta_pipeline.api.web.pages import HEADERS, PageRoute, form_of, link, see, show
from meta_pipeline.api.web.sessions import COOKIE, LIFETIME_SECONDS
from meta_pipeline.api.web.visitor import NOBODY, Visits, sessions_of
from meta_pipeline.report.html import style_sheet
from meta_pipeline.store.api_tokens import Token, find_token

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_REFUSED = "This token is unknown, revoked or expired, or it is an executor's, which reads no pages."


@router.get("/pages/style.css")
async def style() -> Response:
    """Return the one style sheet; it says nothing about anybody, so everybody may have it."""
    headers = {**HEADERS, "Cache-Control": "public, max-age=300"}
    return Response(style_sheet(), media_type="text/css", headers=headers)


@router.get("/pages/")
async def first() -> Response:
    """Lead to what waits."""
    return see("inbox")


@router.get("/pages/sign-in")
async def ask(request: Request, back: Annotated[str, Query(max_length=1000)] = "") -> Response:
    """Ask for a token."""
    return _asked(request, back, said="")


@router.post("/pages/sign-in")
async def sign_in(request: Request, context: Ctx) -> Response:
    """Begin a session with a token."""
    fields = await form_of(request, NOBODY)
    text, back = fields.get("token", "").strip(), fields.get("back", "")
    token = await in_thread(lambda: _find(context, text)) if 0 < len(text) <= LONGEST_TOKEN else None
    if token is None or token.role not in READERS:
        return _asked(request, back, said=_REFUSED)
    answer = RedirectResponse(_own(back), status_code=303, headers=dict(HEADERS))
    answer.set_cookie(
        COOKIE,
        sessions_of(request).begin(token.token_id),
        max_age=int(LIFETIME_SECONDS),
        path="/pages",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/pages/sign-out")
async def sign_out(request: Request, visitor: Visits) -> Response:
    """End the session."""
    await form_of(request, visitor.whose)
    sessions_of(request).end(request.cookies.get(COOKIE, ""))
    answer = see("sign-in")
    answer.delete_cookie(COOKIE, path="/pages", httponly=True, samesite="strict")
    return answer


def _asked(request: Request, back: str, *, said: str) -> Response:
    return show(
        "sign-in.html",
        title="Sign in",
        place="",
        visitor=None,
        http_status=401 if said else 200,
        said=said,
        back=_own(back),
        form_token=sessions_of(request).form_token(NOBODY),
    )


def _own(back: str) -> str:
    """Return where to go after signing in: a page of ours, whatever the address says."""
    good = (
        back.startswith("/pages/") and back.isascii() and back.isprintable() and "\\" not in back and "//" not in back
    )
    return back if good else link("inbox")


def _find(context: Context, text: str) -> Token | None:
    with context.database.connect() as connection:
        return find_token(connection, text, now=context.decision_time())

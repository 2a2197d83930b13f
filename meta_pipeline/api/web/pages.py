"""How a page is answered: its frame, its headers, its forms, and its errors as pages.

Belongs here: what all pages do in the same way. Does not belong here: what a page says.
"""

import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import HTMLResponse, RedirectResponse, Response

from meta_pipeline.api import problems
from meta_pipeline.api.problems import ProblemError
from meta_pipeline.api.web.visitor import Visitor, sessions_of, visitor_of
from meta_pipeline.counted import counted
from meta_pipeline.errors import InputError, MetaPipelineError
from meta_pipeline.report.html import render

CLOSED: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""What a browser may do with a page: no script, nothing from elsewhere, no frame."""

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CLOSED,
    # With "no-referrer" browsers send forms with the origin "null", which is nobody's.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
MOST_FIELDS: Final = 20
LONGEST_CELL: Final = 24

PLACES: Final = (
    ("inbox", "Inbox"),
    ("changes", "Changes"),
    ("policy", "Policy"),
    ("freezes", "Freezes"),
    ("strategies", "Strategies"),
    ("searches", "Search"),
    ("models", "Meta-model"),
    ("audit", "Audit"),
)
"""(address under /pages/, name), in the order shown."""


def show(
    template: str,
    *,
    title: str,
    place: str,
    visitor: Visitor | None,
    http_status: int = 200,
    policy: str = CLOSED,
    **values: Any,
) -> Response:
    """Return a page.

    Parameters
    ----------
    place
        Under which of `PLACES` it belongs; "" for none.
    visitor
        Who looks; None: nobody is signed in.
    policy
        What the browser may do with it.
    """
    text = render(f"pages/{template}", title=title, place=place, places=PLACES, visitor=visitor, **values)
    headers = {**HEADERS, "Content-Security-Policy": policy}
    return HTMLResponse(text.encode("utf-8"), status_code=http_status, headers=headers)


def tile(number: int, one: str, many: str, *where: str) -> tuple[str, ...]:
    """Return a number in large, under it what it counts, and where that is to be seen."""
    return (*counted(number, one, many).split(" ", 1), *where)


def see(address: str, **query: str | None) -> Response:
    """Lead to a page after a form did its work, so that reloading it does nothing again."""
    return RedirectResponse(link(address, **query), status_code=303, headers=dict(HEADERS))


def link(address: str, **query: str | None) -> str:
    """Return the address of a page; what is None is left out."""
    given = [(name, value) for name, value in query.items() if value is not None]
    text = urlencode(given, errors="backslashreplace")
    return f"/pages/{address}?{text}" if text else f"/pages/{address}"


async def form_of(request: Request, whose: str) -> dict[str, str]:
    """Read a form, and refuse one that no page of ours made for this visitor.

    Raises
    ------
    ProblemError
        403 without the form token.
    InputError
        If a field comes twice, or the text is not UTF-8.
    """
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError:
        raise InputError("the form cannot be read; send it again from its page") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InputError("a field of the form came twice; send it again from its page")
    if not sessions_of(request).is_form_token(fields.pop("form_token", ""), whose):
        raise ProblemError(
            403, "form_not_ours", "this form was not made for you by this server, or it is too old; load its page again"
        )
    if any("\x00" in value for value in fields.values()):
        raise InputError("a field of the form holds NUL, which no text of ours can")
    return fields


class PageRoute(APIRoute):
    """A route whose errors are pages, too; who is not signed in is led to where one can."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        handle = super().get_route_handler()

        async def paged(request: Request) -> Response:
            try:
                return await handle(request)
            except (MetaPipelineError, ProblemError, RequestValidationError, HTTPException, SQLAlchemyError) as error:
                return await _fault(request, error)

        return paged


async def _fault(request: Request, error: Exception) -> Response:
    status, code, detail = fault_of(error)
    if status == 401 and "hx-request" in request.headers:
        # A part of a page that is open; its whole leads to where one signs in.
        return Response(status_code=401, headers={**HEADERS, "HX-Refresh": "true"})
    if status == 401:
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return see("sign-in", back=back if request.method == "GET" else None)
    try:
        visitor = await visitor_of(request)
    except (MetaPipelineError, ProblemError, SQLAlchemyError):
        visitor = None
    return show(
        "fault.html",
        title=detail_title(status),
        place="",
        visitor=visitor,
        http_status=status,
        code=code,
        detail=detail,
    )


def fault_of(error: Exception) -> tuple[int, str, str]:
    """Return the status, the code and the sentence of an error: those that the API answers with."""
    if isinstance(error, ProblemError):
        return error.status, error.code, error.detail
    if isinstance(error, MetaPipelineError):
        return problems.STATUSES.get(error.code, 500), error.code, str(error)
    if isinstance(error, SQLAlchemyError):
        answer = problems.of_database(error)
        said = json.loads(bytes(answer.body))
        return answer.status_code, said["code"], said["detail"]
    if isinstance(error, HTTPException):
        return error.status_code, problems.OF_THE_FRAMEWORK.get(error.status_code, "http_error"), str(error.detail)
    return 422, "invalid_input", "the address cannot be read; go back, and follow a link of the page"


def detail_title(status: int) -> str:
    """Return the title of a status."""
    return problems.TITLES.get(status, "Error")

"""Errors as problem+json (RFC 9457): a stable `code`, a status that follows from it, and the way out in words."""

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from meta_pipeline.errors import MetaPipelineError
from meta_pipeline.store.transactions import sqlstate

CONTENT_TYPE: Final = "application/problem+json"
_LOG: Final = logging.getLogger("meta_pipeline.api")

STATUSES: Final[Mapping[str, int]] = {
    "not_found": 404,
    "nothing_to_do": 409,
    "not_permitted": 403,
    "four_eyes": 403,
    "not_an_approver": 403,
    "not_signed": 403,
    "conflict": 409,
    "illegal_transition": 409,
    "stale_base": 409,
    "digest_mismatch": 409,
    "lapsed": 409,
    "blocked": 409,
    "frozen": 409,
    "over_budget": 409,
    "insufficient_data": 409,
    "invalid_input": 422,
    "unhealthy": 503,
    "database_unavailable": 503,
    "schema_mismatch": 503,
    "audit_broken": 503,
    "audit_forked": 503,
    "artifact_broken": 503,
    "content_tampered": 503,
}
"""Code of an error -> HTTP status."""

OF_THE_FRAMEWORK: Final[Mapping[int, str]] = {400: "invalid_input", 404: "not_found", 405: "method_not_allowed"}
"""Status of a refusal by the framework, before any route is asked -> code."""

TITLES: Final[Mapping[int, str]] = {
    400: "Bad request",
    401: "Not signed in",
    403: "Not permitted",
    404: "Not found",
    405: "Method not allowed",
    408: "Too slow",
    409: "Conflict",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Not JSON",
    422: "Invalid input",
    428: "Condition required",
    500: "Internal error",
    503: "Unavailable",
}


class Problem(BaseModel):
    """What every error looks like."""

    type: str = Field(description="urn:meta-pipeline:problem: and the code.")
    title: str
    status: int
    code: str = Field(description="Stable; branch on this.")
    detail: str = Field(description="What is wrong and the way out, for people.")
    errors: list[dict[str, Any]] | None = Field(default=None, description="Invalid input: each place and its fault.")


class ProblemError(Exception):
    """An error of HTTP itself: conditions, authentication, form."""

    def __init__(self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, dict(headers or {})


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, Any]] | None = None,
) -> Response:
    """Return a problem as a response."""
    body: dict[str, Any] = {
        "type": f"urn:meta-pipeline:problem:{code}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": detail,
    }
    if errors is not None:
        body["errors"] = errors
    content = json.dumps(body, ensure_ascii=True, allow_nan=False).encode()
    return Response(content, status_code=status, media_type=CONTENT_TYPE, headers=dict(headers or {}))


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of these statuses, and of those that any request may get."""
    always = (400, 401, 403, 404, 405, 408, 413, 415, 422, 503)
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": TITLES[status], "content": {CONTENT_TYPE: {"schema": schema}}}
        for status in sorted({*always, *statuses})
    }


def install(app: FastAPI) -> None:
    """Make every error of an app a problem."""

    @app.exception_handler(MetaPipelineError)
    async def _ours(_: Request, error: MetaPipelineError) -> Response:
        return problem(STATUSES.get(error.code, 500), error.code, str(error))

    @app.exception_handler(ProblemError)
    async def _http(_: Request, error: ProblemError) -> Response:
        return problem(error.status, error.code, error.detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        found = [_place(one) for one in error.errors()]
        detail = "; ".join(f"{one['where']}: {one['what']}" for one in found[:5])
        return problem(422, "invalid_input", detail, errors=found[:100])

    @app.exception_handler(HTTPException)
    async def _starlette(_: Request, error: HTTPException) -> Response:
        code = OF_THE_FRAMEWORK.get(error.status_code, "http_error")
        return problem(error.status_code, code, str(error.detail), headers=error.headers)

    @app.exception_handler(SQLAlchemyError)
    async def _database(_: Request, error: SQLAlchemyError) -> Response:
        return of_database(error)

    @app.exception_handler(Exception)
    async def _unforeseen(request: Request, error: Exception) -> Response:
        _LOG.exception("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "internal_error", "something failed that should not have; the server's log says what")


def of_database(error: SQLAlchemyError) -> Response:
    """Return an error of the database as a problem."""
    if isinstance(error, DBAPIError) and sqlstate(error) in {"40001", "40P01", "55P03"}:
        return problem(409, "conflict", "somebody else is changing the same thing; try again in a moment")
    if isinstance(error, DataError):
        return problem(422, "invalid_input", "the database cannot store a value of the request")
    if isinstance(error, OperationalError | InterfaceError):
        return problem(503, "database_unavailable", "the database does not answer; try again in a moment")
    _LOG.exception("the database refused a statement", exc_info=error)
    return problem(500, "internal_error", "the database refused it, and nothing was written; the server's log says why")


def _place(error: Mapping[str, Any]) -> dict[str, Any]:
    where = ".".join(str(part) for part in error.get("loc", ()))
    said = error.get("ctx", {}).get("error") if error.get("type") == "json_invalid" else None
    return {"where": _shown(where), "what": _shown(str(said or error.get("msg", "invalid")))}


def _shown(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")[:500]

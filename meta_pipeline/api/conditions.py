"""Conditions of requests: the state they were decided on (If-Match), and the key that makes them safe to send again."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from fastapi import Header
from starlette.responses import Response

from meta_pipeline.api.access import Caller
from meta_pipeline.api.context import Context
from meta_pipeline.api.problems import ProblemError
from meta_pipeline.canonical import JsonValue, canonical_json
from meta_pipeline.store.api_requests import Answer, begin_request, drop_request, finish_request

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=200, description='The ETag of what was looked at; required. "*" is none.'),
]
IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match", max_length=1000)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key with the same request gives the same answer, and does nothing twice. Kept a day.",
    ),
]

REPLAYED: Final = "Idempotency-Replayed"


def json_response(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a body as JSON, never with NaN."""
    content = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    return Response(content, status_code=status, media_type="application/json", headers=dict(headers or {}))


def etag(*parts: object) -> str:
    """Return a strong ETag of some parts."""
    return '"' + hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:32] + '"'


def require_match(given: str | None, present: str) -> None:
    """Refuse a request that was decided on another state than the present one.

    Raises
    ------
    ProblemError
        428 without a condition, 412 with one that does not hold.
    """
    if given is None or given.strip() in {"", "*"}:
        raise ProblemError(
            428, "condition_required", "name what you looked at: If-Match with the ETag of the answer that showed it"
        )
    if given.strip() != present:
        raise ProblemError(
            412, "changed_meanwhile", "it is not as it was when you looked at it; look again", {"ETag": present}
        )


def matches(given: str | None, present: str) -> bool:
    """Say whether an If-None-Match names the present ETag."""
    if given is None:
        return False
    return present in {part.strip().removeprefix("W/") for part in given.split(",")}


def once(
    context: Context,
    caller: Caller,
    key: str | None,
    asked: tuple[str, JsonValue],
    work: Callable[[], Response],
) -> Response:
    """Do what a request asks, once per key; an answer that was given before is given again.

    Parameters
    ----------
    asked
        The route, ids filled in, and the body: what the key stands for.
    """
    if key is None:
        return work()
    where, body = asked
    name = _digest("key", caller.name, where, key)
    content = _digest("content", canonical_json(body))
    with context.database.begin() as connection:
        known = begin_request(connection, name, content, now=context.now())
    if known is not None:
        headers = {**known.headers, REPLAYED: "true"}
        return Response(known.body, status_code=known.status, media_type="application/json", headers=headers)
    try:
        response = work()
    except BaseException:
        # It was refused, and did nothing.
        with context.database.begin() as connection:
            drop_request(connection, name)
        raise
    kept = {name: value for name, value in response.headers.items() if name in {"etag", "location"}}
    answer = Answer(status=response.status_code, body=bytes(response.body).decode("utf-8"), headers=kept)
    with context.database.begin() as connection:
        finish_request(connection, name, answer)
    return response


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode("utf-8")).hexdigest()

"""Answers to requests with an idempotency key, so that a request that is sent again is answered and not done again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from meta_pipeline.errors import Conflict, InputError
from meta_pipeline.store.schema_policy import api_requests

KEPT_FOR: Final = timedelta(hours=24)
ABANDONED_AFTER: Final = timedelta(minutes=2)
"""A request that began so long ago and has no answer died on its way; it may be sent again. What it asked for is
itself done at most once (a proposal is applied once, a fill taken in once)."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer as it was sent."""

    status: int
    body: str
    headers: Mapping[str, str]


def begin_request(connection: Connection, key: str, content: str, *, now: datetime) -> Answer | None:
    """Note that a request is under way, or return the answer it had.

    Parameters
    ----------
    key, content
        Digests of who asks with which key, and of what is asked.

    Raises
    ------
    InputError
        If the key belongs to another request.
    Conflict
        If the request is under way.
    """
    columns = api_requests.c
    connection.execute(delete(api_requests).where(columns.started_at < now - KEPT_FOR))
    new = connection.execute(
        upsert(api_requests)
        .values(request_key=key, content_digest=content, started_at=now)
        .on_conflict_do_nothing()
        .returning(columns.request_key)
    ).one_or_none()
    if new is not None:
        return None
    row = connection.execute(select(api_requests).where(columns.request_key == key).with_for_update()).one()
    if row.content_digest != content:
        raise InputError("this idempotency key belongs to another request; use a new key for a new request")
    if row.status is not None:
        return Answer(status=row.status, body=row.body, headers=row.headers)
    if now - row.started_at < ABANDONED_AFTER:
        raise Conflict("the same request is under way; ask again in a moment")
    connection.execute(update(api_requests).where(columns.request_key == key).values(started_at=now))
    return None


def finish_request(connection: Connection, key: str, answer: Answer) -> None:
    """Keep the answer of a request."""
    connection.execute(
        update(api_requests)
        .where(api_requests.c.request_key == key)
        .values(status=answer.status, body=answer.body, headers=dict(answer.headers))
    )


def drop_request(connection: Connection, key: str) -> None:
    """Forget a request that was refused: it did nothing, and may be sent again."""
    connection.execute(delete(api_requests).where(api_requests.c.request_key == key))

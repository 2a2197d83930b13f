"""Fills that were refused: kept with the reason, and while one waits the book counts as not fully known.

A refusal ends when a fill with its id is taken in later, or when a person says that it was never real. Belongs here:
noting, listing and ending refusals. Does not belong here: what is wrong with a fill (policy.fills, live_trades).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from meta_pipeline.canonical import JsonValue, digest
from meta_pipeline.errors import NotFound
from meta_pipeline.proposals.identity import clean_name, clean_reason
from meta_pipeline.store import audit
from meta_pipeline.store.schema_policy import live_refused_fills

_COLUMNS = live_refused_fills.c


@dataclass(frozen=True, kw_only=True)
class RefusedFill:
    """A fill that was not taken in, and why, in a sentence.

    Parameters
    ----------
    execution_id
        Its id, or, where that could not be read, where it stood.
    fields
        What it said, field by field, whatever that was.
    """

    execution_id: str
    reason: str
    fields: Mapping[str, Any]

    def body(self) -> dict[str, JsonValue]:
        """Return what it said as JSON: what is wrong with it may be that it is none, so everything as text."""
        return {_storable(name)[:64]: _storable(value)[:200] for name, value in list(self.fields.items())[:50]}


def note_refusals(connection: Connection, scope: str, refused: Sequence[RefusedFill], *, now: datetime) -> None:
    """Keep refused fills; the same one again is noted once."""
    rows = [
        {
            "scope": scope,
            "execution_id": _storable(one.execution_id)[:128],
            "content_digest": digest(one.body()),
            "reason": _storable(one.reason)[:2000],
            "body": one.body(),
            "received_at": now,
        }
        for one in refused
    ]
    if rows:
        connection.execute(upsert(live_refused_fills).on_conflict_do_nothing(), rows)


def mend_refusals(
    connection: Connection, scope: str, execution_ids: Sequence[str], *, actor: str, now: datetime
) -> None:
    """Note that refused fills came in right: ones with their ids were taken in."""
    if execution_ids:
        own = _COLUMNS.execution_id == text("ANY (:ids)")
        connection.execute(
            update(live_refused_fills)
            .where(_COLUMNS.scope == scope, _COLUMNS.resolved_at.is_(None), own)
            .values(resolved_at=now, resolved_by=clean_name(actor)),
            {"ids": list(execution_ids)},
        )


def unresolved_refusals(connection: Connection, scope: str) -> int:
    """Return how many refused fills nobody has mended or dismissed."""
    statement = select(func.count()).where(_COLUMNS.scope == scope, _COLUMNS.resolved_at.is_(None))
    return int(connection.execute(statement).scalar_one())


def list_refusals(connection: Connection, scope: str, *, limit: int) -> list[dict[str, JsonValue]]:
    """Return the refused fills that wait for somebody, the oldest first, as JSON objects."""
    rows = connection.execute(
        select(_COLUMNS.execution_id, _COLUMNS.reason, _COLUMNS.body, _COLUMNS.received_at)
        .where(_COLUMNS.scope == scope, _COLUMNS.resolved_at.is_(None))
        .order_by(_COLUMNS.refusal_id)
        .limit(limit)
    )
    return [{**row._asdict(), "received_at": row.received_at.isoformat()} for row in rows]


def dismiss_refusals(connection: Connection, scope: str, *, reason: str, actor: str, now: datetime) -> int:
    """Say that the refused fills of a book were never real; return how many there were.

    Raises
    ------
    InputError
        If there is no reason.
    NotFound
        If there is nothing to dismiss.
    """
    why = clean_reason(reason, what="the dismissal")
    done = connection.execute(
        update(live_refused_fills)
        .where(_COLUMNS.scope == scope, _COLUMNS.resolved_at.is_(None))
        .values(resolved_at=now, resolved_by=clean_name(actor))
    ).rowcount
    if not done:
        raise NotFound(f"the book {scope!r} has no refused fills that wait for anybody")
    event = audit.Event(
        action="live.dismiss", subject_type="live_scope", subject_id=scope, payload={"fills": done, "reason": why}
    )
    audit.append(connection, event, actor=actor, at=now)
    return done


def _storable(value: object) -> str:
    return str(value).replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")

"""Pages of a list by cursor: where the last page ended, and never a number of rows to skip."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query

from meta_pipeline.canonical import JsonValue
from meta_pipeline.errors import InputError

Limit = Annotated[int, Query(ge=1, le=200, description="At most so many.")]
Cursor = Annotated[str | None, Query(max_length=512, description="`next_cursor` of the page before.")]


def page(items: Sequence[JsonValue], last: tuple[Any, ...] | None) -> dict[str, JsonValue]:
    """Return one page; `last` is the key of its last row, None if no more follow."""
    return {"items": list(items), "next_cursor": None if last is None else _cursor(last)}


def moment_and_id(cursor: str | None) -> tuple[datetime, str] | None:
    """Read the cursor of a list in order of time and id.

    Raises
    ------
    InputError
        If it is none.
    """
    if cursor is None:
        return None
    match _read(cursor):
        case [str() as moment, str() as name]:
            try:
                at = datetime.fromisoformat(moment)
            except ValueError:
                raise _wrong() from None
            if at.tzinfo is None or not name.isprintable():
                raise _wrong()
            return at, name
        case _:
            raise _wrong()


def number(cursor: str | None) -> int | None:
    """Read the cursor of a list in order of a number.

    Raises
    ------
    InputError
        If it is none.
    """
    if cursor is None:
        return None
    match _read(cursor):
        case [int() as value] if not isinstance(value, bool) and 0 <= value < 2**62:
            return value
        case _:
            raise _wrong()


def _cursor(key: tuple[Any, ...]) -> str:
    parts = [part.isoformat() if isinstance(part, datetime) else part for part in key]
    return urlsafe_b64encode(json.dumps(parts).encode()).decode("ascii").rstrip("=")


def _read(cursor: str) -> Any:
    try:
        return json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, RecursionError):
        raise _wrong() from None


def _wrong() -> InputError:
    return InputError("the cursor is none of ours; take `next_cursor` of the page before, or leave it out")

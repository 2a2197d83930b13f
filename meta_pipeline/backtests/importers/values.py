"""Single values of a table, from text or as they are typed in the file.

Belongs here: dates, numbers, JSON. Every function returns the value, or raises ValueError with words that name it.
"""

import json
import math
from datetime import UTC, date, datetime
from typing import Any

from meta_pipeline.backtests.defect import shown
from meta_pipeline.canonical import JsonValue


def to_datetime(value: Any) -> datetime | None:
    """Read a date or time stamp; one with an offset is converted to UTC, one without is taken as it is.

    Only the ISO order (year, month, day) is read: 01/02/2020 is two different days on two continents.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(f"{shown(value)} is not a date; write it like 2020-12-31") from None
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 -- naive, as the caller's value is
    raise ValueError(f"{shown(value)} is not a date; write it like 2020-12-31")


def to_date(value: Any) -> date | None:
    """Read a date; the day of a time stamp."""
    found = to_datetime(value)
    return None if found is None else found.date()


def to_number(value: Any) -> float | None:
    """Read a number; NaN and infinities are numbers here, for the quality gate to judge."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise ValueError(f"{shown(value)} is not a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{shown(value)} is not a number") from None


def to_integer(value: Any) -> int | None:
    """Read a whole number, written as such."""
    number = to_number(value)
    if number is None:
        return None
    if not math.isfinite(number) or number != int(number):
        raise ValueError(f"{shown(value)} is not a whole number")
    return int(number)


def to_text(value: Any) -> str:
    """Read a label; numbers are written out, nothing is an empty text."""
    return "" if value is None else str(value)


def to_json(value: Any) -> Any:
    """Read a JSON document from text; what is not text is returned as it is.

    NaN and infinities are read as such, for the quality gate to name.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{shown(value)} is not JSON: {error.msg} at character {error.pos + 1}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(repeated)} occurs twice in one object")
    return members


def to_level(value: Any) -> JsonValue:
    """Read a knob's value from a cell of a `config.<knob>` column.

    Text that is JSON is taken as that (`1`, `1.0`, `true`, `"1"`, `null` and `[1, 2]` stay apart), other text as is.
    """
    if not isinstance(value, str):
        level: JsonValue = value
        return level
    try:
        level = json.loads(value, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return value
    return level

"""Instants as numbers: microseconds since 1970, UTC, so that columns of them sort and subtract."""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from meta_pipeline.errors import InputError

MICROSECONDS_PER_MINUTE: Final = 60_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Instant(NamedTuple):
    """Microseconds since 1970, UTC, and whether the text said which zone it is in."""

    microseconds: int
    zoned: bool


def read_instant(text: object) -> Instant:
    """Read an ISO 8601 text; without a zone it is UTC.

    Raises
    ------
    InputError
        If it is not such a text.
    """
    if not isinstance(text, str):
        raise InputError(f"{text!r} is not a time stamp; write ISO 8601, for example 2026-02-06T10:00:00Z")
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(f"{text!r} is not a time stamp; write ISO 8601, for example 2026-02-06T10:00:00Z") from None
    if moment.tzinfo is None:
        return Instant((moment.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND, False)
    return Instant((moment - _EPOCH) // _MICROSECOND, True)


def microseconds_of(moment: datetime) -> int:
    """Return a zoned time as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def iso(microseconds: int) -> str:
    """Return microseconds since 1970 as ISO 8601 in UTC."""
    return (_EPOCH + timedelta(microseconds=int(microseconds))).isoformat().replace("+00:00", "Z")
